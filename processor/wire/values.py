"""AnyValue and KeyValue, read and written. Only what is carried or evaluated is ever read."""

from __future__ import annotations

import struct
from typing import Final

from mypy_extensions import i64

from processor.wire.cursor import Cursor

# What a value may be. A tuple is an array; a bytes value a bytes value; None a value that is not set.
AnyValue = str | bool | int | float | bytes | tuple[object, ...] | None

_STRING: Final = 0x0A
_BOOL: Final = 0x10
_INT: Final = 0x18
_DOUBLE: Final = 0x21
_ARRAY: Final = 0x2A
_KV_LIST: Final = 0x32
_BYTES: Final = 0x3A


class Opaque:
    """A value whose content does not matter to us, or that is not valid UTF-8: `kind` says which."""

    __slots__ = ("kind",)

    def __init__(self, kind: str) -> None:
        self.kind = kind


def read_value(encoded: bytes) -> object:
    """An encoded AnyValue as `AnyValue`; key-value lists and broken text as `Opaque`. Of several members the last
    counts.

    An array's items are read one level deep: arrays in arrays are `Opaque`.
    """
    return _read(encoded, True)


def _read(encoded: bytes, with_arrays: bool) -> object:
    cursor = Cursor(encoded)
    end: i64 = len(encoded)
    value: object = None
    items: list[object] = []
    while cursor.pos < end:
        tag: i64 = cursor.tag(end)
        if tag == _STRING:
            value = _text(cursor.content(end))
        elif tag == _BOOL:
            value = cursor.varint(end) != 0
        elif tag == _INT:
            value = _varint_64(cursor, end)
        elif tag == _DOUBLE:
            start: i64 = cursor.pos
            cursor.skip(tag, end)
            value = struct.unpack("<d", encoded[start : cursor.pos])[0]
        elif tag == _ARRAY:
            if with_arrays:
                items += _items(cursor.content(end))
                value = items
                continue
            cursor.skip(tag, end)
            value = Opaque("array")
        elif tag == _BYTES:
            value = cursor.content(end)
        elif tag == _KV_LIST:
            cursor.skip(tag, end)
            value = Opaque("kvlist")
        else:
            cursor.skip(tag, end)
            continue
        items = []  # arrays are merged only where nothing else stands between them
    return tuple(items) if value is items else value


def _text(data: bytes) -> object:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return Opaque("invalid UTF-8")


def _varint_64(cursor: Cursor, end: i64) -> int:
    """A signed 64-bit varint with all its bits."""
    start: i64 = cursor.pos
    cursor.varint(end)
    result = 0
    for index, byte in enumerate(cursor.data[start : cursor.pos]):
        result |= (byte & 0x7F) << (7 * index)
    result &= (1 << 64) - 1
    return result - (1 << 64) if result >> 63 else result


def _items(encoded: bytes) -> list[object]:
    cursor = Cursor(encoded)
    end: i64 = len(encoded)
    items: list[object] = []
    while cursor.pos < end:
        tag: i64 = cursor.tag(end)
        if tag == 0x0A:
            items.append(_read(cursor.content(end), False))
        else:
            cursor.skip(tag, end)
    return items


# One byte each: most tags and lengths are.
_SMALL: Final[list[bytes]] = [bytes([number]) for number in range(128)]


def encode_varint(number: int) -> bytes:
    """A non-negative number as a varint."""
    if number < 128:
        return _SMALL[number]
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def encode_len(tag: int, body: bytes) -> bytes:
    """A length-delimited field: tag, length, body."""
    return encode_varint(tag) + encode_varint(len(body)) + body


def encode_text(text: str) -> bytes:
    """An AnyValue that is a string."""
    return encode_len(_STRING, text.encode("utf-8"))


def encode_texts(texts: list[str]) -> bytes:
    """An AnyValue that is an array of strings."""
    return encode_len(_ARRAY, b"".join([encode_len(0x0A, encode_text(text)) for text in texts]))


def encode_attribute(key: bytes, value: bytes) -> bytes:
    """A whole `attributes` field of a Span: appended to a span's bytes it is one more attribute."""
    return encode_len(0x4A, encode_len(0x0A, key) + encode_len(0x12, value))
