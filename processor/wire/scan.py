"""An ExportTraceServiceRequest's bytes to spans, in any field order, without building objects for what we do not read.

`Scan` walks the envelope first: bytes that are no request raise `MalformedRequest` before any span is handed out.
Then `step` reads spans, a bounded number a call. A span that is malformed is counted in `rejected` and left out; its
neighbours are not harmed (S9).
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.errors import MalformedRequest
from processor.origin import Origin
from processor.span import Context, Group, Hit, Span
from processor.wire.cursor import Cursor, Malformed, fields
from processor.wire.groups import Groups, Home
from processor.wire.interest import Interest, Interests
from processor.wire.schema import RESOURCE, SCOPE
from processor.wire.span_reader import SpanReader

_ZERO_8: Final = bytes(8)
_ZERO_16: Final = bytes(16)


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

    After `step` returned False: `spans` and, at the same index, `trace_ids` and `hits` (the attributes of interest;
    None, where there is none, is the usual case). `reader` is free for whoever knows what the interests mean.
    `rejected` counts the spans left out by reason.
    """

    __slots__ = (
        "cursor",
        "data",
        "empty",
        "groups",
        "hits",
        "interests",
        "origin",
        "reader",
        "rejected",
        "sections",
        "spans",
        "trace_ids",
    )

    def __init__(self, data: bytes, origin: Origin, interests: Interests, groups: Groups, empty: Context) -> None:
        self.data = data
        self.origin = origin
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

    def keep(self, indexes: list[int]) -> None:
        """Of the spans that were read keep only these, in order."""
        self.spans = [self.spans[index] for index in indexes]
        self.trace_ids = [self.trace_ids[index] for index in indexes]
        self.hits = [self.hits[index] for index in indexes]

    def _envelope(self) -> None:
        """Find the sections; check everything around the spans."""
        end: i64 = len(self.data)
        extra, parts = self._split(0, end, 0x0A)
        for i in range(0, len(parts), 2):
            self._resource_spans(extra, parts[i], parts[i + 1])

    def _resource_spans(self, extra: bytes, start: i64, end: i64) -> None:
        resource, parts = self._split(start, end, 0x12)
        home = self.groups.find(self.origin, extra, resource)
        if home is None:
            home = Home(self.origin, extra, resource, self._resource_hits(resource))
            self.groups.keep(home)
        for i in range(0, len(parts), 2):
            scope, spans = self._split(parts[i], parts[i + 1], 0x12)
            self._check_field(scope, 0x0A, SCOPE)
            if spans:
                group = home.group(scope, parts[i + 1] - parts[i])
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
        kept: list[bytes] = []
        parts: list[int] = []
        since: i64 = start
        while cursor.pos < end:
            field: i64 = cursor.pos
            size: i64 = cursor.enter(wanted, end)
            if size >= 0:
                if since < field:
                    kept.append(data[since:field])
                parts.append(cursor.pos)
                cursor.pos += size
                parts.append(cursor.pos)
                since = cursor.pos
                continue
            tag: i64 = cursor.tag(end)
            if tag >> 3 == wanted >> 3:
                raise Malformed("a wrong wire type")
            cursor.skip(tag, end)
        kept.append(data[since:end])
        return b"".join(kept), parts

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
            size: i64 = cursor.enter(0x12, end)
            if size < 0:
                cursor.skip(cursor.tag(end), end)
                continue
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
