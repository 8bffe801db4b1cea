"""Changing a span without rebuilding it: cut attributes out of its bytes, grow its drop count.

Appending needs no function: a span's bytes plus an encoded attribute are a span with one more attribute.
What is not cut stays byte for byte where it was (S11). Used only where something was wrong: not a hot path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from mypy_extensions import i64

from processor.wire.cursor import Cursor
from processor.wire.values import encode_len, encode_varint

_ATTRIBUTES: Final = 0x4A
_DROPPED_COUNT: Final = 0x50  # Span.dropped_attributes_count = 10, uint32


def cut_attributes(raw: bytes, keys: set[bytes]) -> tuple[bytes, int]:
    """The span without any attribute of these keys, and how many were cut. `raw` has passed the scan."""
    cursor = Cursor(raw)
    end: i64 = len(raw)
    parts: list[bytes] = []
    kept: i64 = 0
    count = 0
    while cursor.pos < end:
        start: i64 = cursor.pos
        tag: i64 = cursor.tag(end)
        cursor.skip(tag, end)
        if tag == _ATTRIBUTES and _key(raw[start : cursor.pos]) in keys:
            parts.append(raw[kept:start])
            kept = cursor.pos
            count += 1
    parts.append(raw[kept:])
    return b"".join(parts), count


def add_dropped(raw: bytes, count: int) -> bytes:
    """The span with `dropped_attributes_count` greater by `count`: the old field goes, one new one is appended."""
    cursor = Cursor(raw)
    end: i64 = len(raw)
    parts: list[bytes] = []
    kept: i64 = 0
    total = 0
    while cursor.pos < end:
        start: i64 = cursor.pos
        tag: i64 = cursor.tag(end)
        if tag != _DROPPED_COUNT:
            cursor.skip(tag, end)
            continue
        total = cursor.varint(end) & 0xFFFFFFFF
        parts.append(raw[kept:start])
        kept = cursor.pos
    parts.append(raw[kept:])
    parts.append(b"\x50" + encode_varint(min(total + count, 0xFFFFFFFF)))
    return b"".join(parts)


def replace_fields(message: bytes, wanted: i64, replace: Callable[[bytes], bytes | None]) -> bytes:
    """The message with the content of each length-delimited field of this tag replaced; without it for None.

    What `replace` returns as it is stays byte for byte; so does a message in which nothing changes.
    """
    cursor = Cursor(message)
    end: i64 = len(message)
    parts: list[bytes] = []
    kept: i64 = 0
    while cursor.pos < end:
        start: i64 = cursor.pos
        tag: i64 = cursor.tag(end)
        if tag != wanted:
            cursor.skip(tag, end)
            continue
        content = cursor.content(end)
        changed = replace(content)
        if changed is content:
            continue
        parts.append(message[kept:start])
        if changed is not None:
            parts.append(encode_len(int(tag), changed))
        kept = cursor.pos
    if not kept:
        return message
    parts.append(message[kept:])
    return b"".join(parts)


def _key(field: bytes) -> bytes:
    """The key of an encoded `attributes` field; of a repeated key the last."""
    cursor = Cursor(field)
    end: i64 = len(field)
    cursor.tag(end)
    cursor.length(end)
    key = b""
    while cursor.pos < end:
        tag: i64 = cursor.tag(end)
        if tag == 0x0A:
            key = cursor.content(end)
        else:
            cursor.skip(tag, end)
    return key
