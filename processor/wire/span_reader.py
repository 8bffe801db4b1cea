"""One Span message's bytes to a `Span`, in any field order, without building objects for what we do not read.

Everything inside is checked, so that what passes is understood by every decoder: a backend would refuse the
whole request for one broken span. Raises `Malformed`, which costs the span alone (S9).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.span import IS_ENTRY, Context, Group, Hit, Span
from processor.wire.cursor import TABLES, Cursor, Malformed, fields
from processor.wire.interest import NONE, Interest
from processor.wire.schema import ANY_VALUE, BAD, I32, KEY_VALUE, PLAIN, SPAN

# Tags of a Span's fields.
_TRACE_ID: Final = 0x0A
_SPAN_ID: Final = 0x12
_PARENT_ID: Final = 0x22
_NAME: Final = 0x2A
_KIND: Final = 0x30
_START_TIME: Final = 0x39
_END_TIME: Final = 0x41
_ATTRIBUTES: Final = 0x4A
_FLAGS: Final = 0x85  # fixed32; on the wire 0x85 0x01
_SERVER: Final = 2
_CONSUMER: Final = 5
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_ZERO_8: Final = bytes(8)
_ZERO_16: Final = bytes(16)


def is_entry(kind: i64, flags: i64) -> bool:
    """Whether a span's flags, or where they do not say it its kind, say that its parent is in another process."""
    if flags & _HAS_IS_REMOTE:
        return flags & _IS_REMOTE != 0
    return kind == _SERVER or kind == _CONSUMER


class SpanReader:
    """Reads the spans of one buffer. `trace_id` and `hits` are those of the span read last: no span keeps them.

    `said_trace_id`, `span_id`, `parent_id`, `kind`, `flags` and `found` are what the span being read said so far.
    """

    __slots__ = (
        "cursor", "data", "flags", "found", "hits", "interest", "kind", "maybe", "parent_id", "said_trace_id", "seen",
        "span_id", "trace_id",
    )  # fmt: skip

    def __init__(self, data: bytes, interest: Interest) -> None:
        self.data = data
        self.cursor = Cursor(data)
        self.interest = interest
        self.maybe = interest.maybe
        self.seen = interest.seen
        self.trace_id = b""
        self.said_trace_id = b""
        self.span_id = b""
        self.parent_id = b""
        self.kind: i64 = 0
        self.flags: i64 = 0
        self.found: list[Hit] = []
        self.hits: list[Hit] | None = None

    def read(self, start: i64, end: i64, group: Group, empty: Context) -> Span:
        """The Span message at [start, end). Of repeated scalar fields the last counts. Raises `Malformed`.

        Neighbours of one trace have one `trace_id` object.
        """
        data = self.data
        seen = self.seen
        match = None if seen is None else seen.match_span(data, start, end)
        pos: i64 = start
        if self.found:
            self.found = []
        if match is None or seen is None:
            pos = self._head(data, start, end)
        else:
            pos = match.end()
            trace_id, span_id, parent_id, kind, run, flags = match.groups(b"")
            if run:
                self.found = seen.hits_of(run).copy()
            self.said_trace_id = trace_id
            self.span_id = span_id
            self.parent_id = parent_id
            self.kind = kind[0] if kind else 0
            self.flags = flags[0] << 8 if flags else 0
        if pos < end:
            self._fields(data, pos, end)
        self.hits = self.found or None
        trace_id = self.said_trace_id
        if trace_id != self.trace_id or not trace_id:
            if len(trace_id) != 16 or trace_id == _ZERO_16:
                raise Malformed("a trace_id that is not 16 bytes, or all zero")
            self.trace_id = trace_id
        span_id = self.span_id
        if len(span_id) != 8 or span_id == _ZERO_8:
            raise Malformed("a span_id that is not 8 bytes, or all zero")
        parent_id = self.parent_id
        if parent_id == _ZERO_8:
            parent_id = b""
        elif parent_id and len(parent_id) != 8:
            raise Malformed("a parent_span_id that is not 8 bytes")
        span = Span(data[start:end], span_id, parent_id, group, empty)
        if self.flags != _HAS_IS_REMOTE and is_entry(self.kind, self.flags):
            span.state |= IS_ENTRY
        return span

    def _head(self, data: bytes, start: i64, end: i64) -> i64:
        """Read the ids, the name, the kind and the times where they come first and in order, as from most SDKs.

        Returns where `_fields` is to go on, in any order and whatever there is.
        """
        self.kind = 0
        self.flags = 0
        self.parent_id = b""
        if (
            end - start < 60
            or data[start] != _TRACE_ID
            or data[start + 1] != 16
            or data[start + 18] != _SPAN_ID
            or data[start + 19] != 8
        ):
            self.said_trace_id = b""
            self.span_id = b""
            return start
        self.said_trace_id = data[start + 2 : start + 18]
        self.span_id = data[start + 20 : start + 28]
        pos: i64 = start + 28
        if data[pos] == _PARENT_ID and data[pos + 1] == 8:
            self.parent_id = data[pos + 2 : pos + 10]
            pos += 10
        if data[pos] != _NAME:
            return pos
        size: i64 = data[pos + 1]
        kind: i64 = pos + 2 + size
        if size >= 128 or kind + 20 > end or data[kind] != _KIND or data[kind + 1] >= 128:
            return pos
        if data[kind + 2] != _START_TIME or data[kind + 11] != _END_TIME:
            return pos
        self.kind = data[kind + 1]
        return kind + 20

    def _fields(self, data: bytes, start: i64, end: i64) -> None:
        """Read the fields of a Span from `start` on, in any order."""
        seen = self.seen
        found = self.found
        pos: i64 = start
        while pos < end:
            tag: i64 = data[pos]
            if tag == _ATTRIBUTES:
                if seen is not None:
                    start = pos
                    pos = seen.pass_by(data, pos, end, found)
                    if pos > start:
                        continue
                pos = self._attribute(data, pos + 1, end)
            elif tag == 0x85 and pos + 6 <= end and data[pos + 1] == 1:
                self.flags = data[pos + 3] << 8  # the bits we read are in the second byte
                pos += 6
            else:
                pos = self._field(pos, end)

    def _field(self, pos: i64, end: i64) -> i64:
        """Read a field, however its tag is encoded; the position behind it."""
        cursor = self.cursor
        cursor.pos = pos
        tag: i64 = cursor.tag(end)
        entry: i64 = TABLES[SPAN][tag] if tag < 128 else PLAIN
        if entry == BAD or (tag >> 3 == 16 and tag != _FLAGS):
            raise Malformed("a wrong wire type, a group, or field 0")
        if tag == _ATTRIBUTES:
            return self._attribute(self.data, cursor.pos, end)
        if entry != PLAIN:
            cursor.inside(entry, end, 0)
        elif tag == _TRACE_ID:
            self.said_trace_id = cursor.content(end)
        elif tag == _SPAN_ID:
            self.span_id = cursor.content(end)
        elif tag == _PARENT_ID:
            self.parent_id = cursor.content(end)
        elif tag == _KIND:
            self.kind = cursor.varint(end) & 0xFFFFFFFF
        elif tag == _FLAGS:
            cursor.fixed(I32, end)
            self.flags = self.data[cursor.pos - 3] << 8
        else:
            cursor.skip(tag, end)
        return cursor.pos

    def _attribute(self, data: bytes, pos: i64, end: i64) -> i64:
        """Read the attribute whose tag ends before `pos`; the position behind it."""
        if pos >= end:
            raise Malformed("truncated")
        start: i64 = pos + 1
        size: i64 = data[pos]
        if size >= 128:
            cursor = self.cursor
            cursor.pos = pos
            size = cursor.length(end)
            start = cursor.pos
        stop: i64 = start + size
        if stop > end:
            raise Malformed("a length past its message")
        key_end: i64 = self.usual(data, start, stop)
        if key_end > 0 and self.seen is None:
            return stop
        hit: Hit | None = None
        if key_end == 0:
            hit = self.attribute(start, stop)
        elif key_end < 0:
            hit = self.hit(start + 2, -key_end, stop)
        if hit is not None:
            self.found.append(hit)
        if key_end != 0 and self.seen is not None and start == pos + 1 and data[pos - 1] == _ATTRIBUTES:
            self.seen.learn(data[pos - 1 : stop], hit)
        return stop

    def usual(self, data: bytes, start: i64, end: i64) -> i64:
        """Where the key ends of a KeyValue of the usual shape, which is sound then; negative if it may be of interest.

        That is a short key, then a string, a number or a bool. 0 says nothing: `attribute` decides.
        """
        size: i64 = end - start
        if size < 6 or data[start] != 0x0A:
            return 0
        length: i64 = data[start + 1]
        at: i64 = start + 2 + length
        if length >= 128 or at + 4 > end or data[at] != 0x12 or length == 0:
            return 0
        is_maybe: i64 = self.maybe[length * 256 + data[at - 1]]
        if size >= 128:
            return at if not is_maybe and self._is_text(data, at + 1, end) else 0
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

    def _is_text(self, data: bytes, start: i64, end: i64) -> bool:
        """Whether [start, end) is a length and, filling it, an AnyValue that is one string, both of usual lengths."""
        size: i64 = end - start - 2
        if size < 131 or size >= 16384:
            return self._is_long_text(start, end)
        if data[start] != size & 127 | 128 or data[start + 1] != size >> 7 or data[start + 2] != 0x0A:
            return False
        size -= 3
        return data[start + 3] == size & 127 | 128 and data[start + 4] == size >> 7

    def _is_long_text(self, start: i64, end: i64) -> bool:
        """The same of any length."""
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
