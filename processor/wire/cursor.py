"""Reading protobuf's wire format, bounded: varints, skipping, and the check that nested messages are whole.

Every length is checked against the message around it, never against the buffer. Groups, field 0 and wrong wire types
of known fields are refused. Raises `Malformed`, never anything else, whatever the bytes.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.wire.schema import (
    BAD,
    I32,
    I64,
    LEN,
    LENGTH_8,
    LENGTH_16,
    MAX_DEPTH,
    PLAIN,
    VARINT,
    tables,
)  # fmt: skip

TABLES: Final[list[bytes]] = tables()


class Malformed(Exception):
    """The bytes are not the message that they should be. The text is one of a few fixed reasons."""


class Cursor:
    """A position in a buffer that is never moved past the end it is given."""

    __slots__ = ("data", "pos")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.pos: i64 = 0

    def varint(self, end: i64) -> i64:
        """The varint at `pos`; moves behind it. At most 10 bytes; bits over 63 are lost, as in every decoder."""
        data = self.data
        pos: i64 = self.pos
        result: i64 = 0
        shift: i64 = 0
        while pos < end:
            byte: i64 = data[pos]
            pos += 1
            if shift < 63:
                result |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.pos = pos
                return result
            shift += 7
            if shift > 63:
                raise Malformed("a varint of more than 10 bytes")
        raise Malformed("truncated")

    def tag(self, end: i64) -> i64:
        """The tag at `pos`, however it is encoded."""
        data = self.data
        pos: i64 = self.pos
        if pos < end and data[pos] < 128:
            tag: i64 = data[pos]
            self.pos = pos + 1
        else:
            tag = self.varint(end)
            if self.pos - pos > 5:
                raise Malformed("a tag of more than 5 bytes")
        if tag < 8 or tag > 0xFFFFFFFF:
            raise Malformed("a field number out of range")
        return tag

    def length(self, end: i64) -> i64:
        """The length at `pos`, checked against `end`."""
        data = self.data
        pos: i64 = self.pos
        if pos < end and data[pos] < 128:
            size: i64 = data[pos]
            self.pos = pos + 1
        elif pos + 1 < end and data[pos + 1] < 128:
            size = data[pos] - 128 + (data[pos + 1] << 7)
            self.pos = pos + 2
        else:
            size = self.varint(end)
            if self.pos - pos > 5:
                raise Malformed("a length of more than 5 bytes")
        if size > end - self.pos:
            raise Malformed("a length past its message")
        return size

    def content(self, end: i64) -> bytes:
        """The bytes behind their length at `pos`; moves behind them."""
        size: i64 = self.length(end)
        start: i64 = self.pos
        self.pos += size
        return self.data[start : start + size]

    def skip(self, tag: i64, end: i64) -> None:
        """Move behind the field whose tag was just read."""
        wire_type: i64 = tag & 7
        if wire_type == LEN:
            size: i64 = self.length(end)
            self.pos += size
        elif wire_type == VARINT:
            self.varint(end)
        else:
            self.fixed(wire_type, end)

    def fixed(self, wire_type: i64, end: i64) -> None:
        """Move behind a fixed-size field."""
        if wire_type == I64:
            self.pos += 8
        elif wire_type == I32:
            self.pos += 4
        else:
            raise Malformed("a group or unknown wire type")
        if self.pos > end:
            raise Malformed("truncated")

    def check(self, kind: i64, end: i64, depth: i64) -> None:
        """Walk the message of `kind` from `pos` to `end`, and the messages inside, at most MAX_DEPTH levels."""
        if depth > MAX_DEPTH:
            raise Malformed("nested too deep")
        table = TABLES[kind]
        data = self.data
        while self.pos < end:
            tag: i64 = data[self.pos]
            if tag < 128:
                self.pos += 1
            else:
                tag = self.tag(end)
            entry: i64 = PLAIN
            if tag < 128:
                entry = table[tag]
            if entry == PLAIN:
                self.skip(tag, end)
            elif entry == BAD:
                raise Malformed("a wrong wire type, a group, or field 0")
            else:
                self.inside(entry, end, depth)
        if self.pos != end:
            raise Malformed("truncated")

    def inside(self, entry: i64, end: i64, depth: i64) -> None:
        """Check the length-delimited field of a known kind at `pos`."""
        size: i64 = self.length(end)
        stop: i64 = self.pos + size
        if entry == LENGTH_8 or entry == LENGTH_16:
            if size != 0 and size != (8 if entry == LENGTH_8 else 16):
                raise Malformed("a link whose id has a wrong length")
            self.pos = stop
        else:
            self.check(entry, stop, depth + 1)


def fields(message: bytes, wanted: i64) -> list[bytes]:
    """The contents of each length-delimited field with this tag."""
    cursor = Cursor(message)
    end: i64 = len(message)
    found: list[bytes] = []
    while cursor.pos < end:
        tag: i64 = cursor.tag(end)
        if tag == wanted:
            found.append(cursor.content(end))
        else:
            cursor.skip(tag, end)
    return found
