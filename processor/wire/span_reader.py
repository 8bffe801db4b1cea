"""One Span message's bytes to a `Span`, in any field order, without building objects for what we do not read.

Everything inside is checked, so that what passes is understood by every decoder: a backend would refuse the
whole request for one broken span. Raises `Malformed`, which costs the span alone (S9).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.span import Context, Group, Hit, Span
from processor.wire.cursor import TABLES, Cursor, Malformed, fields
from processor.wire.interest import NONE, Interest
from processor.wire.schema import ANY_VALUE, BAD, I32, I64, KEY_VALUE, LEN, PLAIN, SPAN, VARINT

_ATTRIBUTES: Final = 0x4A  # Span.attributes = 9
_KIND: Final = 0x30  # Span.kind = 6
_FLAGS: Final = 0x85  # Span.flags = 16, fixed32; on the wire 0x85 0x01
_SERVER: Final = 2
_CONSUMER: Final = 5
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


class SpanReader:
    """Reads the spans of one buffer. `trace_id` and `hits` are those of the span read last: no span keeps them."""

    __slots__ = ("cursor", "data", "hits", "interest", "known", "maybe", "trace_id")

    def __init__(self, data: bytes, interest: Interest) -> None:
        self.data = data
        self.cursor = Cursor(data)
        self.interest = interest
        self.maybe = interest.maybe
        self.known = interest.known
        self.trace_id = b""
        self.hits: list[Hit] | None = None

    def read(self, start: i64, end: i64, group: Group, empty: Context) -> Span:
        """The Span message at [start, end). Of repeated scalar fields the last counts. Raises `Malformed`."""
        data = self.data
        cursor = self.cursor
        table = TABLES[SPAN]
        pos: i64 = start
        id_start: i64 = 0
        id_end: i64 = 0
        parent_start: i64 = 0
        parent_end: i64 = 0
        trace_start: i64 = 0
        trace_end: i64 = 0
        kind: i64 = 0
        flags: i64 = 0
        hits: list[Hit] | None = None
        known = self.known
        while pos < end:
            tag: i64 = data[pos]
            if tag == _ATTRIBUTES and known is not None and pos + 3 < end:
                width = known.get(data[pos : pos + 8 + data[pos + 3]])
                if width is not None:
                    if width > 0:
                        pos += width
                        continue
                    if pos - width <= end and data[pos - width - 1] < 128:
                        pos -= width
                        continue
            pos += 1
            if tag >= 128:
                if tag == 0x85 and pos < end and data[pos] == 1:
                    tag = _FLAGS
                    pos += 1
                else:
                    cursor.pos = pos - 1
                    tag = cursor.tag(end)
                    pos = cursor.pos
                if tag == _FLAGS:
                    if end - pos < 4:
                        raise Malformed("truncated")
                    flags = data[pos + 1] << 8  # the bits we read are in the second byte
                    pos += 4
                    continue
                if tag >> 3 == 16:
                    raise Malformed("a wrong wire type, a group, or field 0")
            if tag & 7 == LEN:
                if pos >= end:
                    raise Malformed("truncated")
                size: i64 = data[pos]
                pos += 1
                if size >= 128:
                    cursor.pos = pos - 1
                    size = cursor.length(end)
                    pos = cursor.pos
                stop: i64 = pos + size
                if stop > end:
                    raise Malformed("a length past its message")
                if tag == _ATTRIBUTES:
                    key_end: i64 = self.usual(pos, stop)
                    if key_end > 0:
                        if known is not None and size < 128:
                            self.interest.learn(data[pos - 2 : stop])
                    else:
                        hit = self.attribute(pos, stop) if key_end == 0 else self.hit(pos + 2, -key_end, stop)
                        if hit is not None:
                            if hits is None:
                                hits = []
                            hits.append(hit)
                elif tag == 0x0A:
                    trace_start = pos
                    trace_end = stop
                elif tag == 0x12:
                    id_start = pos
                    id_end = stop
                elif tag == 0x22:
                    parent_start = pos
                    parent_end = stop
                elif tag < 128 and table[tag] != PLAIN:
                    if table[tag] == BAD:
                        raise Malformed("a wrong wire type, a group, or field 0")
                    cursor.pos = pos
                    cursor.check(table[tag], stop, 1)
                pos = stop
                continue
            if tag < 128 and table[tag] == BAD:
                raise Malformed("a wrong wire type, a group, or field 0")
            if tag & 7 == I64:
                pos += 8
            elif tag & 7 == I32:
                pos += 4
            elif tag & 7 == VARINT:
                cursor.pos = pos
                number: i64 = cursor.varint(end)
                if tag == _KIND:
                    kind = number & 0xFFFFFFFF
                pos = cursor.pos
            else:
                raise Malformed("a group or unknown wire type")
            if pos > end:
                raise Malformed("truncated")
        if pos != end:
            raise Malformed("truncated")
        trace_id = data[trace_start:trace_end]
        if trace_id != self.trace_id:
            self.trace_id = trace_id
        span = Span(data[start:end], data[id_start:id_end], data[parent_start:parent_end], group, empty)
        self.hits = hits
        if flags & _HAS_IS_REMOTE:
            span.has_remote_parent = flags & _IS_REMOTE != 0
        elif kind == _SERVER or kind == _CONSUMER:
            span.is_entry = True
        return span

    def usual(self, start: i64, end: i64) -> i64:
        """Where the key ends of a KeyValue of the usual shape, which is sound then; negative if it may be of interest.

        That is a short key, then a string, a number or a bool. 0 says nothing: `attribute` decides.
        """
        data = self.data
        size: i64 = end - start
        if size < 6 or data[start] != 0x0A:
            return 0
        length: i64 = data[start + 1]
        at: i64 = start + 2 + length
        if length >= 128 or at + 4 > end or data[at] != 0x12 or length == 0:
            return 0
        is_maybe: i64 = self.maybe[length * 256 + data[at - 1]]
        if size >= 128:
            return at if not is_maybe and self.is_text(at + 1, end) else 0
        if data[at + 1] + at + 2 != end:
            return 0
        kind: i64 = data[at + 2]
        if kind == 0x0A:
            if data[at + 3] + at + 4 != end:
                return 0
        elif kind == 0x21:
            if end - at != 11:
                return 0
        elif kind == 0x18 or kind == 0x10:
            last: i64 = end - 1
            pos: i64 = at + 3
            if last - pos >= 10 or data[last] >= 128:
                return 0
            while pos < last:
                if data[pos] < 128:
                    return 0
                pos += 1
        else:
            return 0
        return -at if is_maybe else at

    def is_text(self, start: i64, end: i64) -> bool:
        """Whether [start, end) is a length and, filling it, an AnyValue that is one string."""
        cursor = self.cursor
        cursor.pos = start
        size: i64 = cursor.length(end)
        if cursor.pos + size != end or size == 0 or self.data[cursor.pos] != 0x0A:
            return False
        cursor.pos += 1
        size = cursor.length(end)
        return cursor.pos + size == end

    def hit(self, start: i64, end: i64, stop: i64) -> Hit | None:
        """The hit of a key at [start, end) whose one short value fills the rest up to `stop`, if it is of interest."""
        key = self.data[start:end]
        slot: i64 = self.interest.slot(key)
        return None if slot == NONE else Hit(slot, key, self.data[end + 2 : stop])

    def attribute(self, start: i64, end: i64) -> Hit | None:
        """The KeyValue at [start, end), fields in any order, checked in full; a hit if its key is of interest.

        Of a repeated key the last counts; repeated values are merged, which is what joining their bytes means.
        """
        data = self.data
        cursor = self.cursor
        cursor.pos = start
        key_start: i64 = 0
        key_end: i64 = 0
        value_start: i64 = 0
        value_end: i64 = 0
        values: i64 = 0
        while cursor.pos < end:
            tag: i64 = cursor.tag(end)
            if tag == 0x0A:
                size: i64 = cursor.length(end)
                key_start = cursor.pos
                key_end = key_start + size
                cursor.pos = key_end
            elif tag == 0x12:
                values += 1
                length: i64 = cursor.length(end)
                value_start = cursor.pos
                value_end = value_start + length
                cursor.check(ANY_VALUE, value_end, 3)
            elif tag < 128 and TABLES[KEY_VALUE][tag] == BAD:
                raise Malformed("a wrong wire type, a group, or field 0")
            else:
                cursor.skip(tag, end)
        n: i64 = key_end - key_start
        if n == 0 or (n < 128 and not self.maybe[n * 256 + data[key_end - 1]]):
            return None
        key = data[key_start:key_end]
        slot: i64 = self.interest.slot(key)
        if slot == NONE:
            return None
        if values > 1:
            return Hit(slot, key, b"".join(fields(data[start:end], 0x12)))
        return Hit(slot, key, data[value_start:value_end])
