"""Numbers of OTLP/JSON: which JSON values are which integer or double, and the error for those that are not.

Rules: OTLP/JSON (64-bit integers as strings or numbers), and protobuf's JSON mapping where OTLP is silent (integral
floats are integers, numbers in strings, NaN and infinities by name). This module must not know the wire.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

_SPECIAL_DOUBLES: Final[dict[str, float]] = {
    "NaN": math.nan,
    "Infinity": math.inf,
    "-Infinity": -math.inf,
}
# Bounded, so that no text makes the exact arithmetic behind it expensive.
_NUMBER: Final = re.compile(r"-?[0-9]{1,400}(?:\.[0-9]{1,400})?(?:[eE][+-]?[0-9]{1,3})?")
# The longest that an integer of 64 bits, with a sign, can be without leading zeros.
_INTEGER_DIGITS: Final = 20


class Unreadable(Exception):
    """A JSON value that the field cannot hold. `path` grows from the value outwards as the error travels."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason
        self.path = ""


@dataclass(frozen=True, slots=True)
class Limits:
    """The range of an integer kind, and its words in an error."""

    least: int
    most: int
    words: str


U32: Final = Limits(0, (1 << 32) - 1, "must be an integer from 0 to 2^32-1")
S32: Final = Limits(-(1 << 31), (1 << 31) - 1, "must be an integer from -2^31 to 2^31-1")
U64: Final = Limits(0, (1 << 64) - 1, "must be an integer from 0 to 2^64-1")
S64: Final = Limits(-(1 << 63), (1 << 63) - 1, "must be an integer from -2^63 to 2^63-1")
ENUM_NUMBER: Final = Limits(-(1 << 31), (1 << 31) - 1, "must be an enum's integer, from -2^31 to 2^31-1")


def read_integer(value: object, limits: Limits) -> int:
    """An integer from a number or a decimal string; `5.0` and `1e3` are integers, `true` is not."""
    if type(value) is str:
        number = _parse_integer(value, limits)
    elif type(value) is int:
        number = value
    elif type(value) is float and value.is_integer():
        number = int(value)
    else:
        raise Unreadable(limits.words)
    if limits.least <= number <= limits.most:
        return number
    raise Unreadable(limits.words)


def _parse_integer(text: str, limits: Limits) -> int:
    if len(text) <= _INTEGER_DIGITS and text.isascii() and text.isdigit():
        return int(text)
    # Exact, not through a float: "1544712660123456789.0" keeps its last digit.
    number = Decimal(text) if _NUMBER.fullmatch(text) else Decimal("NaN")
    if number.is_nan() or number.adjusted() > _INTEGER_DIGITS or number != number.to_integral_value():
        raise Unreadable(limits.words)
    return int(number)


def parse_json_integer(text: str) -> int | float:
    """The hook for `json.loads`: what is too long for any integer kind may still be a double, or infinite.

    Python refuses to read more than 4300 digits as an int, which would fail the whole document (S9).
    """
    return int(text) if len(text) <= 2 * _INTEGER_DIGITS else float(text)


def read_double(value: object) -> float:
    """A double from a number, a number in a string, or `"NaN"`, `"Infinity"`, `"-Infinity"`.

    The bare words NaN and Infinity are not JSON, and 1e999 does not fit: both are unreadable. An int must come
    from `parse_json_integer`, so that it fits.
    """
    number = math.nan
    if type(value) is float:
        number = value
    elif type(value) is int:
        number = float(value)
    elif type(value) is str:
        special = _SPECIAL_DOUBLES.get(value)
        if special is not None:
            return special
        number = float(value) if _NUMBER.fullmatch(value) else math.nan
    if math.isfinite(number):
        return number
    raise Unreadable('must be a number, "NaN", "Infinity" or "-Infinity"')
