"""Spans back to ExportTraceServiceRequests: their own bytes plus a suffix, under the resource and scope they came with.

A chunk is a valid request; chunks joined end to end are one too. Nothing that was around the spans is lost:
resource, scope, schema URLs and unknown fields leave as they came. No empty ResourceSpans or ScopeSpans is written.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.span import Group
from processor.wire.values import encode_varint


def _head(size: int) -> bytes:
    return b"\x12" + encode_varint(size)


# `spans = 2` and its length, ready made for spans of up to 8 KiB: an index instead of an encoding, a span.
_HEADS: Final[list[bytes]] = [_head(size) for size in range(8192)]


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

    A single span over `max_bytes` makes a chunk of its own.
    """

    __slots__ = ("chunks", "count", "max_bytes", "max_spans", "sections", "size")

    def __init__(self, max_spans: int, max_bytes: int) -> None:
        self.max_spans: i64 = max_spans
        self.max_bytes: i64 = max_bytes
        self.sections: dict[Group, _Section] = {}
        self.size: i64 = 0
        self.count: i64 = 0
        self.chunks: list[tuple[bytes, int]] = []

    def add(self, group: Group, raw: bytes, suffix: bytes) -> None:
        """One more span."""
        length: i64 = len(raw) + len(suffix)
        if self.count >= self.max_spans or (self.count and self.size + length > self.max_bytes):
            self._flush()
        section = self.sections.get(group)
        if section is None:
            section = _Section()
            self.sections[group] = section
            self.size += len(group.extra) + len(group.resource) + len(group.scope) + 24
        pieces = section.pieces
        head = _HEADS[length] if length < 8192 else _head(length)
        pieces.append(head)
        pieces.append(raw)
        if suffix:
            pieces.append(suffix)
        length += len(head)
        section.size += length
        section.count += 1
        self.size += length
        self.count += 1

    def take(self) -> list[tuple[bytes, int]]:
        """The chunks, each with its number of spans; the framer is empty again."""
        self._flush()
        chunks = self.chunks
        self.chunks = []
        return chunks

    def _flush(self) -> None:
        if not self.count:
            return
        parts: list[bytes] = []
        extras: set[bytes] = set()
        for group, section in self.sections.items():
            if group.extra and group.extra not in extras:
                extras.add(group.extra)
                parts.append(group.extra)
            scope_size = len(group.scope) + section.size
            scope_head = b"\x12" + encode_varint(scope_size)
            resource_size = len(group.resource) + len(scope_head) + scope_size
            parts.append(b"\x0a" + encode_varint(resource_size))
            parts.append(group.resource)
            parts.append(scope_head)
            parts.append(group.scope)
            parts += section.pieces
        self.chunks.append((b"".join(parts), self.count))
        self.sections = {}
        self.size = 0
        self.count = 0
