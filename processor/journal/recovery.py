"""What a folder holds: its segments read from front to back, bodies passed over.

A damaged stretch costs what it holds: behind it the segment's mark is searched, and the next record whose check is
right goes on. What is settled in a record that is damaged comes back: twice rather than never. A commit that was not
finished counts as not written, and is cut off.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
from typing import Final

from processor.journal.index import Entry, Index, Segment, named_segment
from processor.journal.journal import Item
from processor.journal.record import (
    FIRST,
    MOVES,
    PREFIX_BYTES,
    SETTLES,
    Record,
    decode_fields,
    decode_settled,
    is_whole,
)

LOG: Final = logging.getLogger("processor")

# Read at once at a record's start: a head, and small records behind it. Opening 450 MB in rows of 220 kB takes 23 ms,
# in rows of 7 kB 0.67 s; with windows of 4 KiB the latter takes 1.1 s, with 64 KiB 0.87 s.
_WINDOW_BYTES: Final = 16 * 1024
_SEARCH_BYTES: Final = 1024 * 1024


class Recovery:
    """Reads a folder once, and fills the index."""

    def __init__(self) -> None:
        self.index = Index()
        self._items: dict[int, Item] = {}
        self.damaged = 0
        self.next_number = 1
        self.next_sequence = 1

    def read(self, directory: str) -> None:
        """Read every segment. Raises `OSError`, but where the disk fails: what it does not give is damaged."""
        names = os.listdir(directory)
        for segment in sorted(filter(None, (named_segment(directory, name) for name in names)), key=_order):
            missing = segment.sequence - self.next_sequence
            if missing > 0 and self.index.segments:
                self._report(segment, f"{missing} segments before it are missing", missing)
            self.next_sequence = segment.sequence + 1
            self.next_number = max(self.next_number, segment.first + 1)
            try:
                self._read_segment(segment)
            except OSError as error:
                if error.errno != errno.EIO:
                    raise
                self._report(segment, f"cannot be read: {error.strerror}")
            self.index.segments.append(segment)
            self.index.disk_bytes += segment.size
        for number in [number for number, entry in self.index.entries.items() if not entry.unsettled]:
            self.index.remove(number)

    def recovered(self) -> list[Item]:
        """The items that live, in order."""
        return [_with_parts(self._items[number], entry) for number, entry in sorted(self.index.entries.items())]

    def _report(self, segment: Segment, what: str, count: int = 1) -> None:
        self.damaged += count
        LOG.warning("journal: %s: %s", os.path.basename(segment.path), what)

    def _read_segment(self, segment: Segment) -> None:
        file = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            segment.size = os.fstat(file).st_size
            end = self._read_records(segment, Window(file, segment))
        finally:
            os.close(file)
        if end < segment.size:
            LOG.warning(
                "journal: %s: the last commit was not finished, and nobody was told that it was: %d bytes are cut off",
                os.path.basename(segment.path), segment.size - end,
            )  # fmt: skip
            with contextlib.suppress(OSError):  # it is passed over the next time, too
                os.truncate(segment.path, end)
                segment.size = end

    def _read_records(self, segment: Segment, window: Window) -> int:
        """Read the records; where the last finished commit ends."""
        at = 0
        is_intact = True  # nothing is missing of the commit so far
        while at < segment.size:
            found = window.record(at)
            if found is None:
                after = window.search(at + 1)
                if after is None and window.may_be_cut(at):
                    return at
                self._report(segment, f"damaged from byte {at} to {segment.size if after is None else after}")
                if after is None:
                    break
                at, is_intact = after, False
                continue
            record, head = found
            if at + record.left > segment.size:
                return at
            is_intact = is_intact or bool(record.flags & FIRST)
            self._apply(segment, at, record, head, is_intact)
            at += record.size
        return segment.size

    def _apply(self, segment: Segment, at: int, record: Record, head: bytes, is_intact: bool) -> None:
        self.next_number = max(self.next_number, record.number + 1)
        if record.kind == SETTLES or (record.kind == MOVES and is_intact):
            for number, parts in decode_settled(head):
                if number in self.index.entries:
                    self.index.entries[number].settle(parts)
        elif record.kind != MOVES:
            entry = self.index.entries.pop(record.number, None) or Entry(record.number, record.parts, record.size)
            entry.place(segment, at)
            self.index.entries[record.number] = entry
            self._items[record.number] = Item(record.number, record.kind, head, record.body_size, record.parts, None)


class Window:
    """A segment's bytes, read ahead a little."""

    def __init__(self, file: int, segment: Segment) -> None:
        self._file = file
        self._size = segment.size
        self._mark = segment.mark
        self._at = 0
        self._bytes = b""

    def record(self, at: int) -> tuple[Record, bytes] | None:
        """The record that begins here, and its head; None where none does."""
        prefix = self._read(at, PREFIX_BYTES)
        record = decode_fields(prefix, self._mark)
        if record is None or at + PREFIX_BYTES + record.head_size > self._size:
            return None
        head = self._read(at + PREFIX_BYTES, record.head_size)
        return (record, head) if is_whole(prefix, head) else None

    def search(self, at: int) -> int | None:
        """Where the next whole record begins."""
        while at < self._size:
            some = os.pread(self._file, _SEARCH_BYTES, at)
            found = some.find(self._mark)
            if found >= 0:
                if self.record(at + found) is not None:
                    return at + found
                at += found + 1
            else:
                at += max(len(some) - len(self._mark) + 1, 1)
        return None

    def may_be_cut(self, at: int) -> bool:
        """Whether what is here is a record's beginning that the file's end cut off."""
        prefix = self._read(at, PREFIX_BYTES)
        if len(prefix) < PREFIX_BYTES:
            return prefix.startswith(self._mark[: len(prefix)])
        record = decode_fields(prefix, self._mark)
        return record is not None and at + PREFIX_BYTES + record.head_size > self._size

    def _read(self, at: int, size: int) -> bytes:
        start = at - self._at
        if start < 0 or start + size > len(self._bytes):
            self._at, start = at, 0
            self._bytes = os.pread(self._file, max(size, _WINDOW_BYTES), at)
        return self._bytes[start : start + size]


def _order(segment: Segment) -> tuple[int, str]:
    return segment.sequence, segment.path


def _with_parts(item: Item, entry: Entry) -> Item:
    return Item(item.number, item.kind, item.head, item.body_size, item.parts, entry.unsettled_parts())
