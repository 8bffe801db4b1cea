"""How people write durations, sizes and addresses in a variable. Pure functions that raise `ValueError`."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Final

_SECONDS: Final = {"ms": Decimal("0.001"), "s": Decimal(1), "m": Decimal(60), "h": Decimal(3600)}
_BYTES: Final = {"": 1, "B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "KB": 10**3, "MB": 10**6, "GB": 10**9}
_BYTES_ANY_CASE: Final = {unit.lower(): factor for unit, factor in _BYTES.items()}
# More digits are no duration and no size that anybody means; fewer than a Decimal's, so that all of them count.
_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?)\s*([A-Za-z]*)")

# Ten years and a petabyte: no sum of such, in whatever ticks, leaves 64 bits.
_MOST_SECONDS: Final = 87_600 * 3600
_MOST_BYTES: Final = 1 << 50


def parse_duration(value: object) -> object:
    """`500ms`, `30s`, `10m`, `1h` to seconds; numbers are seconds already."""
    if not isinstance(value, str):
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    if match is None or match[2] not in _SECONDS:
        raise ValueError("must be a duration such as 500ms, 30s or 10m")
    seconds = float(Decimal(match[1]) * _SECONDS[match[2]])
    if seconds > _MOST_SECONDS:
        raise ValueError("must be at most 87600h")
    return seconds


def parse_size(value: object) -> object:
    """`64MiB`, `1GiB`, `4096` to bytes; units in any case."""
    if not isinstance(value, str):
        return value
    match = _NUMBER_AND_UNIT.fullmatch(value.strip())
    if match is None or match[2].lower() not in _BYTES_ANY_CASE:
        raise ValueError("must be a size such as 64MiB or 1GiB")
    size = int(Decimal(match[1]) * _BYTES_ANY_CASE[match[2].lower()])
    if size > _MOST_BYTES:
        raise ValueError("must be at most 1048576GiB")
    return size


def parse_endpoint(value: object) -> object:
    """`host:port`, `[::1]:port` or `off`; the port may be 0 (the system chooses)."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.lower() == "off":
        return "off"
    host, colon, port = text.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not re.fullmatch(r"[^\s/\[\]]+", bare) or not _is_port(port):
        raise ValueError("must be host:port such as 127.0.0.1:4317, or off")
    if ":" in bare and not (host.startswith("[") and host.endswith("]")):
        raise ValueError("must have an IPv6 address in brackets, such as [::1]:4317")
    return text


def _is_port(text: str) -> bool:
    return bool(re.fullmatch(r"[0-9]{1,5}", text)) and int(text) <= 65535


def split_endpoint(endpoint: str) -> tuple[str, int]:
    """A valid `host:port` as its parts, without brackets."""
    host, _, port = endpoint.rpartition(":")
    return host.removeprefix("[").removesuffix("]"), int(port)


def format_duration(seconds: float) -> str:
    """A short form that `parse_duration` reads back."""
    exact = Decimal(repr(seconds))
    if exact and exact < 1:
        return f"{_plain(exact * 1000)}ms"
    unit = next((unit for unit in ("h", "m") if exact and exact % _SECONDS[unit] == 0), "s")
    return f"{_plain(exact / _SECONDS[unit])}{unit}"


def _plain(number: Decimal) -> str:
    """Without exponent, and without zeros behind the point."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def format_size(size: int) -> str:
    """A short form that `parse_size` reads back."""
    unit = next((unit for unit in ("GiB", "MiB", "KiB") if size and size % _BYTES[unit] == 0), "")
    return f"{size // _BYTES[unit]}{unit}"
