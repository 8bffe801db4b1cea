"""Single OTLP/JSON values, kind by kind, at their limits. Random values are in test_otlp_json.py."""

from __future__ import annotations

import json
import math
import struct

import pytest

from processor.wire.otlp_numbers import Unreadable, parse_json_integer
from processor.wire.otlp_scalars import READERS, WRITERS

INTEGER_BYTES = {"fixed32": 4, "fixed64": 8, "sfixed64": 8}
RANGES = {
    "enum": (-(2**31), 2**31 - 1),
    "uint32": (0, 2**32 - 1),
    "uint64": (0, 2**64 - 1),
    "int64": (-(2**63), 2**63 - 1),
    "sint32": (-(2**31), 2**31 - 1),
    "fixed32": (0, 2**32 - 1),
    "fixed64": (0, 2**64 - 1),
    "sfixed64": (-(2**63), 2**63 - 1),
}
KINDS = sorted(RANGES)


def read(kind: str, text: str) -> bytes:
    """The payload of a JSON value that is given as text."""
    return READERS[kind](json.loads(text, parse_int=parse_json_integer))


def as_integer(kind: str, payload: bytes) -> int:
    return int(str(WRITERS[kind](payload)))


@pytest.mark.parametrize("kind", KINDS)
def test_integers_are_read_up_to_their_limits(kind: str) -> None:
    """F25: each integer kind takes its whole range, and not one more on either side."""
    for limit, beyond in zip(RANGES[kind], (-1, 1), strict=True):
        assert limit == as_integer(kind, read(kind, str(limit)))
        with pytest.raises(Unreadable, match=r"from (0|-2\^\d\d) to 2\^\d\d-1$"):
            read(kind, str(limit + beyond))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "enum"])
def test_integers_are_read_from_strings(kind: str) -> None:
    """OTLP/JSON: integers come as strings or numbers."""
    for limit, beyond in zip(RANGES[kind], (-1, 1), strict=True):
        assert limit == as_integer(kind, read(kind, f'"{limit}"'))
        with pytest.raises(Unreadable):
            read(kind, f'"{limit + beyond}"')


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["1000", "1e3", "1E+3", "1000.0", "100000e-2"])
def test_integral_floats_are_integers(kind: str, text: str) -> None:
    """F25: a number with a point or an exponent is an integer if its value is, as protobuf's JSON has it."""
    assert 1000 == as_integer(kind, read(kind, text))
    if kind != "enum":
        assert 1000 == as_integer(kind, read(kind, f'"{text}"'))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("-0", 0),
        ('"-0"', 0),
        ("-0.0", 0),
        ('"007"', 7),
        ('"0e0"', 0),
        ('"1544712660123456789.0"', 1544712660123456789),
        ('"18446744073709551615"', 2**64 - 1),
        ('"18446744073709551615.0"', 2**64 - 1),
        ('"000000000000000000000000000000001"', 1),
    ],
)
def test_unusual_integers(text: str, expected: int) -> None:
    """Strings are read exactly, never through a float."""
    assert expected == as_integer("fixed64", read("fixed64", text))


@pytest.mark.parametrize(
    "text",
    [
        '""', '" 1"', '"1 "', '"1\\n"', '"+1"', '"1_0"', '"0x10"', '"１２"', '"²"', '"abc"', '"1.5"', '"1."', '".5"',
        '"1e-1"',
        '"1e999"', '"1e9999"', '"1e99999999999999999999"', '"NaN"', '"Infinity"', '"true"', '"' + "9" * 5000 + '"',
        '"' + "0" * 5000 + '"', '"-1e30"', "1.5", "1e400", "1e30", "NaN", "Infinity", "-Infinity", "9" * 5000,
        "true", "false", "[]", "{}", "[1]",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_an_integer_is_unreadable(kind: str, text: str) -> None:
    """F25: neither fractions, nor words, nor what only Python takes for a number."""
    with pytest.raises(Unreadable):
        read(kind, text)


@pytest.mark.parametrize("text", ['"SPAN_KIND_SERVER"', '"2"', "true", "null"])
def test_enums_are_integers_only(text: str) -> None:
    """OTLP/JSON: enum names are not allowed, and a number in a string is a name that does not exist."""
    with pytest.raises(Unreadable, match=r"^must be an enum's integer"):
        read("enum", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", 0.0), ("-0.0", -0.0), ("1", 1.0), ("1.5", 1.5), ("5e-324", 5e-324), ("1e-400", 0.0),
        ("1.7976931348623157e308", 1.7976931348623157e308), ("1" + "0" * 300, 1e300), ('"1.5"', 1.5),
        ('"-1e3"', -1000.0), ('"NaN"', math.nan), ('"Infinity"', math.inf), ('"-Infinity"', -math.inf),
        ("18446744073709551617", 18446744073709551617.0),
    ],
)  # fmt: skip
def test_doubles(text: str, expected: float) -> None:
    """Doubles are numbers of any form, or the three words in strings."""
    assert struct.pack("<d", expected) == read("double", text)


@pytest.mark.parametrize(
    "text",
    [
        "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "9" * 400, "9" * 5000,
        '"1e999"', '"nan"', '"inf"', '"+Infinity"',
        '""', '" 1"', '"1_0"', '"١"', "true", "[]", "{}",
    ],
    ids=lambda text: text[:24],
)  # fmt: skip
def test_what_is_not_a_double_is_unreadable(text: str) -> None:
    """F25: the bare words are not JSON, and what overflows a double is not silently infinite."""
    with pytest.raises(Unreadable, match=r"^must be a number"):
        read("double", text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""), ("QQ==", b"A"), ("QQ", b"A"), ("QUI=", b"AB"), ("QUI", b"AB"), ("QUJD", b"ABC"),
        ("+/+/", b"\xfb\xff\xbf"), ("-_-_", b"\xfb\xff\xbf"), ("-_+/", b"\xfb\xff\xbf"), ("_w", b"\xff"),
    ],
)  # fmt: skip
def test_base64_of_either_alphabet(text: str, expected: bytes) -> None:
    """bytesValue: standard or URL-safe, padded or not."""
    assert bytes((len(expected),)) + expected == READERS["bytes"](text)


@pytest.mark.parametrize(
    "value",
    [
        "Q",
        "QUJDQ",
        "=",
        "Q===",
        "QQ=",
        "QQ===",
        "====",
        "Q=Q=",
        "Q Q=",
        "QQ==\n",
        "Q!",
        "é",
        "\ud800",
        5,
        None,
        True,
        [],
    ],
)
def test_what_is_not_base64_is_unreadable(value: object) -> None:
    """Nothing is skipped or guessed."""
    with pytest.raises(Unreadable, match=r"^must be a string in base64$"):
        READERS["bytes"](value)


@pytest.mark.parametrize("value", ["xyz!", "abc", "ab cd", "ａｂ", "\ud800"])
def test_a_parent_id_that_is_not_hex_is_unreadable(value: str) -> None:
    """S9: an empty parent would make a root of the span, so it is refused, where other ids become empty."""
    assert b"\0" == READERS["id"](value)
    with pytest.raises(Unreadable, match=r"^must be a string of hexadecimal digits"):
        READERS["parent id"](value)


@pytest.mark.parametrize("kind", ["id", "parent id"])
def test_ids_are_hex_of_either_case(kind: str) -> None:
    """OTLP/JSON: ids are hex, case-insensitive; of any length here."""
    assert b"\x03\xab\xcd\xef" == READERS[kind]("aBcDeF")
    assert b"\0" == READERS[kind]("")
    with pytest.raises(Unreadable):
        READERS[kind](5)


@pytest.mark.parametrize("value", [0, 1, "true", "", 1.0, [], {}])
def test_only_booleans_are_booleans(value: object) -> None:
    """F25: nothing that merely counts as true or false."""
    assert (b"\x01", b"\0") == (READERS["bool"](True), READERS["bool"](False))
    with pytest.raises(Unreadable, match=r"^must be true or false$"):
        READERS["bool"](value)


@pytest.mark.parametrize("value", [5, 1.5, True, [], {}, "\ud800", "a\udfffb"])
def test_only_unicode_text_is_a_string(value: object) -> None:
    """F25: half a surrogate pair has no UTF-8 form."""
    assert b"\x04" + "😀".encode() == READERS["string"](
        "\ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16")
    )
    with pytest.raises(Unreadable, match=r"^must be "):
        READERS["string"](value)


def test_lengths_of_more_than_one_byte() -> None:
    """The length in front of a value is a varint."""
    assert b"\x7f" + b"x" * 127 == READERS["string"]("x" * 127)
    assert b"\x80\x01" + b"x" * 128 == READERS["string"]("x" * 128)
    assert b"\x80\x80\x01" + b"x" * 16384 == READERS["string"]("x" * 16384)


@pytest.mark.parametrize(
    ("kind", "raw", "expected"),
    [
        ("bool", b"\x82\x01", True),
        ("enum", b"\xff\xff\xff\xff\x0f", -1),
        ("uint32", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2**32 - 1),
        ("uint64", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", str(2**64 - 1)),
        ("int64", b"\x81\x80\x00", "1"),
        ("sint32", b"\x01", -1),
    ],
)
def test_varints_that_are_too_long_are_cut_to_their_field(kind: str, raw: bytes, expected: object) -> None:
    """Numbers decode as every protobuf reader takes them, superfluous bits ignored."""
    assert expected == WRITERS[kind](raw)
