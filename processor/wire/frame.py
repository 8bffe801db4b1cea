"""Spans back to ExportTraceServiceRequests: their own bytes plus a suffix, under the resource and scope they came with.

A chunk is a valid request, of one origin; chunks joined end to end are one too. Nothing that was around the spans is
lost: resource, scope, schema URLs and unknown fields leave as they came. No empty ResourceSpans or ScopeSpans is
written.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.origin import Origin
from processor.span import Group, Span
from processor.wire.values import encode_varint


def _head(size: int) -> bytes:
    return b"\x12" + encode_varint(size)


# `spans = 2` and its length, ready made for spans of up to 8 KiB: an index instead of an encoding, a span.
HEADS: Final[list[bytes]] = [_head(size) for size in range(8192)]


@mypyc_attr(acyclic=True)
class _Section:
    """The spans of one group that wait to be framed, as alternating pieces; `size` is their sum."""

    __slots__ = ("count", "pieces", "size")

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.size: i64 = 0
        self.count: i64 = 0


class Framer:
    """Collects spans and frames them into chunks of at most `max_spans` spans and about `max_bytes` bytes.

    A single span over `max_bytes` makes a chunk of its own. Where what is around the spans takes more than half of a
    chunk, the chunk grows rather than that it is written again for each span.
    """

    __slots__ = ("around", "chunks", "count", "extras", "max_bytes", "max_spans", "room", "sections", "size")

    def __init__(self, max_spans: int, max_bytes: int) -> None:
        self.max_spans: i64 = max_spans
        self.max_bytes: i64 = max_bytes
        self.sections: dict[Group, _Section] = {}
        self.extras: dict[bytes, None] = {}
        self.around: i64 = 0  # bytes of resources, scopes and so on in this chunk
        self.room: i64 = self.max_bytes  # how many bytes of spans it may have
        self.size: i64 = 0  # bytes of spans
        self.count: i64 = 0
        self.chunks: list[tuple[bytes, int, Origin]] = []

    def add(self, spans: list[Span], suffixes: list[bytes]) -> None:
        """More spans, each with what is to be appended to its bytes."""
        at: i64 = 0
        while at < len(spans):
            at = self._add_run(spans, suffixes, at)

    def _add_run(self, spans: list[Span], suffixes: list[bytes], start: i64) -> i64:
        """The span at `start` and those behind it that are of its group and fit into the chunk; where the next is."""
        length: i64 = len(spans[start].raw) + len(suffixes[start])
        if self.count >= self.max_spans or (self.count and self.size + length > self.room):
            self._flush()
        group = spans[start].group
        section = self.sections.get(group)
        if section is None:
            section = _Section()
            self.sections[group] = section
            self._surround(group)
        pieces = section.pieces
        room: i64 = max(self.room - self.size, length)  # one that is alone is never too large
        end: i64 = min(len(spans), start + self.max_spans - self.count)
        size: i64 = 0
        index: i64 = start
        while index < end:
            span = spans[index]
            raw = span.raw
            suffix = suffixes[index]
            length = len(raw) + len(suffix)
            if size + length > room or span.group is not group:
                break
            head = HEADS[length] if length < 8192 else _head(length)
            pieces.append(head)
            pieces.append(raw)
            if suffix:
                pieces.append(suffix)
            size += length + len(head)
            index += 1
        section.size += size
        section.count += index - start
        self.size += size
        self.count += index - start
        return index

    def take(self) -> list[tuple[bytes, int, Origin]]:
        """The chunks, each with its number of spans and its origin; the framer is empty again."""
        self._flush()
        chunks = self.chunks
        self.chunks = []
        return chunks

    def _surround(self, group: Group) -> None:
        """Count what a further group brings along."""
        self.around += len(group.resource) + len(group.scope) + 24
        if group.extra and group.extra not in self.extras:
            self.extras[group.extra] = None
            self.around += len(group.extra)
        self.room = max(self.max_bytes - self.around, self.around)

    def _flush(self) -> None:
        if not self.count:
            return
        by_origin: dict[Origin, list[Group]] = {}
        for group in self.sections:
            by_origin.setdefault(group.origin, []).append(group)
        for origin, groups in by_origin.items():
            self._frame(origin, groups)
        self.sections = {}
        self.extras = {}
        self.around = 0
        self.room = self.max_bytes
        self.size = 0
        self.count = 0

    def _frame(self, origin: Origin, groups: list[Group]) -> None:
        """One chunk: what waits of one origin."""
        by_resource: dict[bytes, list[Group]] = {}
        for group in groups:
            by_resource.setdefault(group.resource, []).append(group)
        parts: list[bytes] = list(dict.fromkeys([group.extra for group in groups if group.extra]))
        for resource, members in by_resource.items():
            self._frame_resource(parts, resource, members)
        self.chunks.append((b"".join(parts), sum([self.sections[group].count for group in groups]), origin))

    def _frame_resource(self, parts: list[bytes], resource: bytes, groups: list[Group]) -> None:
        """One ResourceSpans, however many scopes it has: a resource is written once a chunk."""
        heads: list[bytes] = []
        size: i64 = len(resource)
        for group in groups:
            length: i64 = len(group.scope) + self.sections[group].size
            head = b"\x12" + encode_varint(length)
            heads.append(head)
            size += len(head) + length
        parts.append(b"\x0a" + encode_varint(size))
        parts.append(resource)
        for group, head in zip(groups, heads, strict=True):
            parts.append(head)
            parts.append(group.scope)
            parts += self.sections[group].pieces
