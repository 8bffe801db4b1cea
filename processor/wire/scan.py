"""An ExportTraceServiceRequest's bytes to spans, in any field order, without building objects for what we do not read.

`Scan` walks the envelope first: bytes that are no request raise `MalformedRequest` before any span is handed out. Then `step`
reads spans, a bounded number a call. A span that is malformed is counted in `rejected` and left out; its
neighbours are not harmed (S9).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.errors import MalformedRequest
from processor.span import Context, Group, Hit, Span
from processor.wire.cursor import TABLES, Cursor, Malformed, fields
from processor.wire.groups import Groups
from processor.wire.interest import NONE, Interest, Interests
from processor.wire.schema import ANY_VALUE, BAD, I32, I64, KEY_VALUE, LEN, PLAIN, RESOURCE, SCOPE, SPAN, VARINT

_ATTRIBUTES: Final = 0x4A  # Span.attributes = 9
_KIND: Final = 0x30  # Span.kind = 6
_FLAGS: Final = 0x85  # Span.flags = 16, fixed32; on the wire 0x85 0x01
_ZERO_8: Final = bytes(8)
_ZERO_16: Final = bytes(16)
_SERVER: Final = 2
_CONSUMER: Final = 5
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200


@mypyc_attr(acyclic=True)
class _Section:
    """The spans field of one ScopeSpans: where its message lies, to which group its spans belong, what to look for."""

    __slots__ = ("end", "group", "interest", "start")

    def __init__(self, group: Group, interest: Interest, start: i64, end: i64) -> None:
        self.group = group
        self.interest = interest
        self.start: i64 = start
        self.end: i64 = end


class Scan:
    """One request being read.

    After `step` returned False: `spans` and, at the same index, `trace_ids` and `hits` (the attributes of interest; None,
    where there is none, is the usual case). `reader` is free for whoever knows what the interests mean. `rejected` counts the spans left out by reason.
    """

    __slots__ = (
        "cursor",
        "data",
        "empty",
        "groups",
        "hits",
        "interests",
        "reader",
        "rejected",
        "sections",
        "spans",
        "trace_ids",
    )

    def __init__(self, data: bytes, interests: Interests, groups: Groups, empty: Context) -> None:
        self.data = data
        self.cursor = Cursor(data)
        self.interests = interests
        self.reader: object = None
        self.groups = groups
        self.empty = empty
        self.spans: list[Span] = []
        self.trace_ids: list[bytes] = []
        self.hits: list[list[Hit] | None] = []
        self.rejected: dict[str, int] = {}
        self.sections: list[_Section] = []
        try:
            self._envelope()
        except Malformed as error:
            raise MalformedRequest(f"not an ExportTraceServiceRequest: {error}") from None
        self.sections.reverse()

    def step(self, max_spans: i64) -> bool:
        """Read at most `max_spans` further spans; False when all are read."""
        while self.sections and max_spans > 0:
            section = self.sections[-1]
            max_spans = self._spans(section, max_spans)
            if section.start >= section.end:
                self.sections.pop()
        return bool(self.sections)

    def _envelope(self) -> None:
        """Find the sections; check everything around the spans."""
        end: i64 = len(self.data)
        extra, parts = self._split(0, end, 0x0A)
        for i in range(0, len(parts), 2):
            self._resource_spans(extra, parts[i], parts[i + 1])

    def _resource_spans(self, extra: bytes, start: i64, end: i64) -> None:
        resource, parts = self._split(start, end, 0x12)
        hits = self._resource_hits(resource)
        for i in range(0, len(parts), 2):
            scope, spans = self._split(parts[i], parts[i + 1], 0x12)
            self._check_field(scope, 0x0A, SCOPE)
            if spans:
                group = self.groups.get(extra, resource, scope, hits)
                interest = self._interest_of(scope)
                self.sections.append(_Section(group, interest, parts[i], parts[i + 1]))

    def _interest_of(self, scope: bytes) -> Interest:
        """What to look for in the spans of a scope, by its name."""
        interests = self.interests
        if interests.scoped is not interests.spans and interests.scope_name in scope:
            names = [name for each in fields(scope, 0x0A) for name in fields(each, 0x0A)]
            if names and names[-1] == interests.scope_name:
                return interests.scoped
        return interests.spans

    def _split(self, start: i64, end: i64, wanted: i64) -> tuple[bytes, list[int]]:
        """The bytes of all fields but `wanted`, joined; and the ranges of the wanted submessages, flat."""
        cursor = self.cursor
        data = self.data
        cursor.pos = start
        kept: bytes = b""
        parts: list[int] = []
        while cursor.pos < end:
            field: i64 = cursor.pos
            tag: i64 = cursor.tag(end)
            if tag == wanted:
                size: i64 = cursor.length(end)
                parts.append(cursor.pos)
                cursor.pos += size
                parts.append(cursor.pos)
            elif tag >> 3 == wanted >> 3:
                raise Malformed("a wrong wire type")
            else:
                cursor.skip(tag, end)
                kept += data[field : cursor.pos]
        return kept, parts

    def _check_field(self, message: bytes, wanted: i64, kind: i64) -> None:
        """Check each submessage `wanted` of a joined envelope."""
        cursor = Cursor(message)
        end: i64 = len(message)
        while cursor.pos < end:
            tag: i64 = cursor.tag(end)
            if tag == wanted:
                cursor.inside(kind, end, 0)
            else:
                cursor.skip(tag, end)

    def _resource_hits(self, envelope: bytes) -> list[Hit]:
        """The attributes of interest in the envelope's Resource."""
        self._check_field(envelope, 0x0A, RESOURCE)
        cursor = Cursor(envelope)
        end: i64 = len(envelope)
        hits: list[Hit] = []
        reader = SpanReader(envelope, self.interests.resources)
        while cursor.pos < end:
            tag: i64 = cursor.tag(end)
            if tag != 0x0A:
                cursor.skip(tag, end)
                continue
            size: i64 = cursor.length(end)
            stop: i64 = cursor.pos + size
            while cursor.pos < stop:
                inner: i64 = cursor.tag(stop)
                if inner == 0x0A:
                    length: i64 = cursor.length(stop)
                    hit = reader.attribute(cursor.pos, cursor.pos + length)
                    if hit is not None:
                        hits.append(hit)
                    cursor.pos += length
                else:
                    cursor.skip(inner, stop)
        return hits

    def _spans(self, section: _Section, max_spans: i64) -> i64:
        """Read spans of a section from where it stands; what is left of the allowance."""
        cursor = self.cursor
        cursor.pos = section.start
        end: i64 = section.end
        reader = SpanReader(self.data, section.interest)
        while cursor.pos < end and max_spans > 0:
            tag: i64 = cursor.tag(end)
            if tag != 0x12:
                cursor.skip(tag, end)
                continue
            size: i64 = cursor.length(end)
            stop: i64 = cursor.pos + size
            max_spans -= 1
            try:
                self._keep(reader, reader.read(cursor.pos, stop, section.group, self.empty))
            except Malformed as error:
                self._reject(str(error))
            cursor.pos = stop
        section.start = cursor.pos
        return max_spans

    def _keep(self, reader: SpanReader, span: Span) -> None:
        """Keep a span whose ids are right."""
        trace_id = reader.trace_id
        parent_id = span.parent_id
        if len(trace_id) != 16 or trace_id == _ZERO_16:
            self._reject("a trace_id that is not 16 bytes, or all zero")
        elif len(span.span_id) != 8 or span.span_id == _ZERO_8:
            self._reject("a span_id that is not 8 bytes, or all zero")
        elif parent_id and len(parent_id) != 8:
            self._reject("a parent_span_id that is not 8 bytes")
        else:
            if parent_id == _ZERO_8:
                span.parent_id = b""
            self.spans.append(span)
            self.trace_ids.append(trace_id)
            self.hits.append(reader.hits)

    def _reject(self, reason: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1


class SpanReader:
    """Reads the spans of one buffer. `trace_id` and `hits` are those of the span read last: no span keeps them."""

    __slots__ = ("cursor", "data", "hits", "interest", "maybe", "trace_id")

    def __init__(self, data: bytes, interest: Interest) -> None:
        self.data = data
        self.cursor = Cursor(data)
        self.interest = interest
        self.maybe = interest.maybe
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
        while pos < end:
            tag: i64 = data[pos]
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
                    if not self.is_plain(pos, stop):
                        hit = self.attribute(pos, stop)
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

    def is_plain(self, start: i64, end: i64) -> bool:
        """Whether the KeyValue at [start, end) is sound and of no interest, told from the usual shape.

        That is a short key, of no interest by its length and last byte, then a short value that is a string, a bool or an integer.
        False says nothing: `attribute` decides.
        """
        data = self.data
        size: i64 = end - start
        if size < 6 or size >= 128 or data[start] != 0x0A:
            return False
        length: i64 = data[start + 1]
        at: i64 = start + 2 + length
        if at + 4 > end or data[at] != 0x12 or data[at + 1] + at + 2 != end or length == 0:
            return False
        if self.maybe[length * 256 + data[at - 1]]:
            return False
        kind: i64 = data[at + 2]
        if kind == 0x0A:
            return data[at + 3] + at + 4 == end
        if kind != 0x18 and kind != 0x10:
            return False
        last: i64 = end - 1
        at += 3
        if last - at >= 10 or data[last] >= 128:
            return False
        while at < last:
            if data[at] < 128:
                return False
            at += 1
        return True

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
        merged: bytes = b""
        while cursor.pos < end:
            tag: i64 = cursor.tag(end)
            if tag == 0x0A:
                size: i64 = cursor.length(end)
                key_start = cursor.pos
                key_end = key_start + size
                cursor.pos = key_end
            elif tag == 0x12:
                if value_end:
                    merged += data[value_start:value_end]
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
        return Hit(slot, key, merged + data[value_start:value_end]) if slot != NONE else None
