"""What is known in memory: the segments on disk, and the items that live in them or in the buffer.

Segments are deleted oldest first alone: what one says of earlier ones is needed for as long as those are there.
Only the journal (`store.py`) may touch this, on the event loop; `recovery.py` fills it before that.
"""

from __future__ import annotations

import os
import re
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

from processor.journal.record import MARK_BYTES, Draft, Settled

VERSION: Final = 1
_NAME: Final = re.compile(r"(\d{10})-([0-9a-f]{16})-([0-9a-f]{16})\.v(\d{1,6})")


@dataclass(slots=True)
class Segment:
    """A file of whole commits. `first`: no number in an earlier segment was higher."""

    path: str
    sequence: int
    first: int
    mark: bytes
    size: int = 0
    live_items: int = 0
    live_bytes: int = 0
    is_reported: bool = False


def new_segment(directory: str, sequence: int, first: int) -> Segment:
    """A segment that is not on disk yet."""
    mark = os.urandom(MARK_BYTES)
    path = os.path.join(directory, f"{sequence:010d}-{first:016x}-{mark.hex()}.v{VERSION}")
    return Segment(path, sequence, first, mark)


def named_segment(directory: str, name: str) -> Segment | None:
    """The segment of a file's name; None where it is none of this version."""
    match = _NAME.fullmatch(name)
    if match is None or int(match[4]) != VERSION:
        return None
    return Segment(os.path.join(directory, name), int(match[1]), int(match[2], 16), bytes.fromhex(match[3]))


def version_of(name: str) -> int | None:
    """The version of the layout that wrote a file of this name; None where it is no segment."""
    match = _NAME.fullmatch(name)
    return int(match[4]) if match else None


class Entry:
    """A live item: where it is, and which of its parts are not settled.

    `draft` until it is on disk, then `segment` and `offset`. `flags` has a byte a part, 1 where it is not settled;
    None while all are, for most items are settled as a whole.
    """

    __slots__ = ("draft", "flags", "is_damaged", "number", "offset", "parts", "segment", "size", "unsettled")

    def __init__(self, number: int, parts: int, size: int, draft: Draft | None = None) -> None:
        self.number = number
        self.parts = parts
        self.size = size
        self.unsettled = parts
        self.flags: bytearray | None = None
        self.draft = draft
        self.segment: Segment | None = None
        self.offset = 0
        self.is_damaged = False

    @property
    def carried_size(self) -> int:
        """Bytes at most, of its record and of what is to be said beside it, where it is carried forward."""
        return self.size + 16 + 4 * (self.parts - self.unsettled)

    def settle(self, parts: Iterable[int] | None) -> list[int]:
        """These parts are done, None for all; of given ones those that were not before, and that it has."""
        if parts is None:
            self.unsettled, self.flags = 0, bytearray(self.parts)
            return []
        flags = self.flags
        if flags is None:
            flags = self.flags = bytearray(b"\x01") * self.parts
        done = []
        for part in parts:
            if 0 <= part < self.parts and flags[part]:
                flags[part] = 0
                done.append(part)
        self.unsettled -= len(done)
        return done

    def settled_parts(self) -> list[int]:
        """The parts that are done."""
        return [part for part, flag in enumerate(self.flags or b"") if not flag]

    def unsettled_parts(self) -> frozenset[int] | None:
        """The parts that still count; None for all of them."""
        return frozenset(part for part, flag in enumerate(self.flags) if flag) if self.flags is not None else None

    def place(self, segment: Segment, offset: int) -> None:
        """It is on disk, there; and where it was before it is garbage."""
        self.leave()
        self.draft = None
        self.segment, self.offset = segment, offset
        segment.live_items += 1
        segment.live_bytes += self.size

    def leave(self) -> None:
        """Where it is it no longer counts."""
        if self.segment is not None:
            self.segment.live_items -= 1
            self.segment.live_bytes -= self.size
        self.segment = None


class Index:
    """The live items by number, and the segments, oldest first. The last segment is the tail once one was written."""

    def __init__(self) -> None:
        # In the order of the disk, but for what was appended while a record was carried.
        self.entries: dict[int, Entry] = {}
        self.segments: deque[Segment] = deque()
        self.tail: Segment | None = None
        self.disk_bytes = 0

    @property
    def live_bytes(self) -> int:
        """What on disk is of live items."""
        return sum(segment.live_bytes for segment in self.segments)

    def settle(self, number: int, parts: Iterable[int] | None) -> Settled | None:
        """These parts are done; what to write of it, None where they were before."""
        entry = self.entries.get(number)
        if entry is None:
            return None
        done = entry.settle(parts)
        if entry.unsettled:
            return (number, done) if done else None
        self.remove(number)
        return number, None

    def remove(self, number: int) -> Entry | None:
        """The item no longer counts."""
        entry = self.entries.pop(number, None)
        if entry is not None:
            entry.leave()
        return entry

    def dead(self) -> list[Segment]:
        """The segments that may be deleted."""
        return list(takewhile(lambda each: not each.live_items and each is not self.tail, self.segments))

    def delete(self, count: int) -> None:
        """The oldest segments were deleted."""
        for _ in range(count):
            self.disk_bytes -= self.segments.popleft().size

    def grow(self, segment: Segment, end: int) -> None:
        """The tail, which may be a new one, ends here now."""
        if segment is not self.tail:
            self.segments.append(segment)
            self.tail = segment
        self.disk_bytes += end - segment.size
        segment.size = end

    def place(self, places: Sequence[tuple[int, int]], segment: Segment) -> None:
        """These records are on disk: number, and where. What was settled meanwhile is passed over."""
        for number, offset in places:
            entry = self.entries.get(number)
            if entry is None:
                continue
            if entry.segment is not None:  # carried: it is behind the others now
                self.entries[number] = self.entries.pop(number)
            entry.place(segment, offset)

    def oldest_live(self, max_bytes: int) -> list[Entry]:
        """Items of the oldest segment with live ones: at least one, and no more bytes; none where that is the tail."""
        oldest = next((each for each in self.segments if each.live_items), self.tail)
        if oldest is None or oldest is self.tail:
            return []
        found: list[Entry] = []
        size = 0
        for entry in self.entries.values():
            if entry.segment is not oldest:
                continue
            size += entry.carried_size
            if found and size > max_bytes:
                break
            found.append(entry)
            if len(found) == oldest.live_items:
                break
        return found
