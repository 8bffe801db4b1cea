"""An ExportTraceServiceRequest's bytes to spans, in any field order, without building objects for what we do not read.

`Scan` walks the envelope first: bytes that are no request raise `MalformedRequest` before any span is handed out.
Then `step` reads spans, a bounded number a call. A span that is malformed is counted in `rejected` and left out; its
neighbours are not harmed (S9).
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.errors import MalformedRequest
from processor.origin import Origin
from processor.span import IS_ENTRY, Context, Group, Hit, Span
from processor.wire.cursor import Cursor, Malformed, fields
from processor.wire.frame import HEADS
from processor.wire.groups import Groups, Home
from processor.wire.interest import Interest, Interests
from processor.wire.schema import RESOURCE, SCOPE
from processor.wire.span_reader import SpanReader, is_entry

# Tags on the way to a Span.
_RESOURCE_SPANS: Final = 0x0A
_SCOPE_SPANS: Final = 0x12
_SPANS: Final = 0x12

# Spans are read many at once, out of so many bytes; where that gave few, that many are read one by one first.
_WINDOW: Final = 1 << 16
_FEW: Final = 4
_PAUSE: Final = 64
_FOR_EVER: Final = 1 << 62
_LOCAL: Final = b"\x01"  # the second byte of flags that say that the parent is in this process


@mypyc_attr(acyclic=True)
class _Section:
    """The spans of one ScopeSpans: where what is left of its message lies, their group, and what to look for.

    `pause`: how many spans are read one by one before many are tried at once.
    """

    __slots__ = ("end", "group", "interest", "pause", "start")

    def __init__(self, group: Group, interest: Interest, start: i64, end: i64) -> None:
        self.group = group
        self.interest = interest
        self.pause: i64 = _FOR_EVER if interest.seen is None else 0
        self.start: i64 = start
        self.end: i64 = end


class Scan:
    """One request being read.

    After `step` returned False: `spans`, in order. From `starts[i]` on, until the next start, they are of the trace
    `trace_ids[i]`. Those at `said_at[i]` have attributes of interest, `hits[i]`. `around`: their groups, in order.
    `reader` is free for whoever knows what the interests mean. `rejected` counts the spans left out by reason.
    """

    __slots__ = (
        "around", "cursor", "data", "empty", "groups", "hits", "interests", "origin", "reader", "rejected", "said_at",
        "sections", "spans", "starts", "trace_ids",
    )  # fmt: skip

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
        self.starts: list[int] = []
        self.hits: list[list[Hit]] = []
        self.said_at: list[int] = []
        self.around: list[Group] = []
        self.rejected: dict[str, int] = {}
        self.sections: list[_Section] = []
        for seen in (interests.spans.seen, interests.scoped.seen):
            if seen is not None:
                seen.refresh()
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
        spans, trace_ids, starts = self.spans, self.trace_ids, self.starts
        said = dict(zip(self.said_at, self.hits, strict=True))
        self.spans, self.trace_ids, self.starts, self.said_at, self.hits = [], [], [], [], []
        for index in indexes:
            self._add(spans[index], trace_ids[bisect_right(starts, index) - 1], said.get(index))

    def _add(self, span: Span, trace_id: bytes, hits: list[Hit] | None) -> None:
        """One more span that was read."""
        if not self.trace_ids or self.trace_ids[-1] != trace_id:
            self.trace_ids.append(trace_id)
            self.starts.append(len(self.spans))
        if hits is not None:
            self.hits.append(hits)
            self.said_at.append(len(self.spans))
        self.spans.append(span)

    def _envelope(self) -> None:
        """Find the sections; check everything around the spans."""
        end: i64 = len(self.data)
        parts: list[int] = []
        extra = self._split(0, end, _RESOURCE_SPANS, parts)
        for i in range(0, len(parts), 2):
            self._resource_spans(extra, parts[i], parts[i + 1])

    def _resource_spans(self, extra: bytes, start: i64, end: i64) -> None:
        parts: list[int] = []
        resource = self._split(start, end, _SCOPE_SPANS, parts)
        home = self.groups.find(self.origin, extra, resource)
        if home is None:
            home = Home(self.origin, extra, resource, self._resource_hits(resource))
            self.groups.keep(home)
        for i in range(0, len(parts), 2):
            self._scope_spans(home, parts[i], parts[i + 1])

    def _scope_spans(self, home: Home, start: i64, end: i64) -> None:
        scope = self._split(start, end, _SPANS, None)
        self._check_field(scope, 0x0A, SCOPE)
        if len(scope) < end - start:
            group = home.group(scope, end - start)
            self.around.append(group)
            self.sections.append(_Section(group, self._interest_of(scope), start, end))

    def _interest_of(self, scope: bytes) -> Interest:
        """What to look for in the spans of a scope, by its name."""
        interests = self.interests
        if interests.scoped is not interests.spans and interests.scope_name in scope:
            names = [name for each in fields(scope, 0x0A) for name in fields(each, 0x0A)]
            if names and names[-1] == interests.scope_name:
                return interests.scoped
        return interests.spans

    def _split(self, start: i64, end: i64, wanted: i64, parts: list[int] | None) -> bytes:
        """The bytes of all fields but `wanted`, joined; the ranges of the wanted submessages are added to `parts`."""
        cursor = self.cursor
        data = self.data
        kept: list[bytes] = []
        pos: i64 = start
        since: i64 = start
        while pos < end:
            if parts is None:
                inside: i64 = self._pass_usual(pos, end, wanted)
                if inside > pos:
                    if since < pos:
                        kept.append(data[since:pos])
                    pos = inside
                    since = inside
                    continue
            cursor.pos = pos
            tag: i64 = cursor.tag(end)
            if tag != wanted:
                if tag >> 3 == wanted >> 3:
                    raise Malformed("a wrong wire type")
                cursor.skip(tag, end)
                pos = cursor.pos
                continue
            size: i64 = cursor.length(end)
            if since < pos:
                kept.append(data[since:pos])
            if parts is not None:
                parts.append(cursor.pos)
                parts.append(cursor.pos + size)
            pos = cursor.pos + size
            since = pos
        kept.append(data[since:end])
        return b"".join(kept)

    def _pass_usual(self, start: i64, end: i64, wanted: i64) -> i64:
        """The position behind the submessages `wanted` from `start` on, as far as they are as long as most spans."""
        data = self.data
        pos: i64 = start
        last: i64 = end - 130
        while pos < last and data[pos] == wanted:
            low: i64 = data[pos + 1]
            high: i64 = data[pos + 2]
            if low < 128 or high >= 128:
                break
            stop: i64 = pos + low + (high << 7) - 125  # two bytes of length: low - 128 of the first count
            if stop > end:
                break
            pos = stop
        return pos

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
        """Read spans of a section from where it stands; what is left of the allowance.

        Where they begin and end is found once more: remembered, places of empty spans would take fifty times their
        bytes.
        """
        data = self.data
        cursor = self.cursor
        group = section.group
        empty = self.empty
        spans = self.spans
        reader = SpanReader(data, section.interest)
        trace_id = b""
        pos: i64 = section.start
        end: i64 = section.end
        while pos < end and max_spans > 0:
            if section.pause == 0:
                before: i64 = len(spans)
                pos = self._seen_spans(section, pos, max_spans)
                max_spans -= len(spans) - before
                trace_id = b""
                continue
            section.pause -= 1
            start: i64 = pos + 3
            low: i64 = data[pos + 1]
            if low >= 128 and data[pos] == _SPANS and data[pos + 2] < 128:
                pos += low + (data[pos + 2] << 7) - 125
            else:
                cursor.pos = pos
                tag: i64 = cursor.tag(end)
                if tag != _SPANS:
                    cursor.skip(tag, end)
                    pos = cursor.pos
                    continue
                size: i64 = cursor.length(end)
                start = cursor.pos
                pos = start + size
            max_spans -= 1
            try:
                span = reader.read(start, pos, group, empty)
            except Malformed as error:
                self._reject(str(error))
                continue
            if reader.trace_id is not trace_id or reader.hits is not None:
                trace_id = reader.trace_id
                self._add(span, trace_id, reader.hits)
            else:
                spans.append(span)
        section.start = pos
        return max_spans

    def _seen_spans(self, section: _Section, pos: i64, max_spans: i64) -> i64:
        """Read spans of a section from `pos` on, as long as they are seen whole; where the next is.

        Where there are few, not to be tried again for a while; where what is not seen looks like spans, never.
        """
        seen = section.interest.seen
        group = section.group
        empty = self.empty
        spans = self.spans
        if seen is None:
            return pos
        last_id = b""
        number: i64 = 0
        rows = seen.rows(self.data, pos, min(section.end, pos + _WINDOW))
        for head, raw, trace_id, span_id, parent_id, kind, run, flags in rows[:max_spans]:
            if len(raw) >= len(HEADS) or head != HEADS[len(raw)]:
                if number + 2 < len(rows):
                    section.pause = _FOR_EVER
                break
            span = Span(raw, span_id, parent_id, group, empty)
            if flags != _LOCAL and is_entry(kind[0] if kind else 0, flags[0] << 8 if flags else 0):
                span.state |= IS_ENTRY
            if run or trace_id != last_id:
                last_id = trace_id
                self._add(span, trace_id, seen.hits_of(run) if run else None)
            else:
                spans.append(span)
            pos += len(head) + len(raw)
            number += 1
        if number < _FEW and section.pause == 0:
            section.pause = _PAUSE
        return pos

    def _reject(self, reason: str) -> None:
        self.rejected[reason] = self.rejected.get(reason, 0) + 1
