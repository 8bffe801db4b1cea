"""The journal on the event loop: what is buffered, what is on disk and lives, and when the worker is sent.

    append, settle, move ──▶ buffer ──job──▶ worker: delete dead segments, write one commit ──result──▶ index

One job is under way at a time; what gathers meanwhile goes with the next one (group commit). What a job took stays in
the buffer until its result is there, so that after a failure the next job takes all of it again, in order.

Everything here runs on one event loop, and only the methods touch the state.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final

from processor.journal.buffer import Buffer, Taken
from processor.journal.folder import take
from processor.journal.index import Entry
from processor.journal.journal import Failure, Item, JournalFailed, JournalProblem, Sync, failed
from processor.journal.record import MAX_FIELD, MOVES, SETTLES, Draft
from processor.journal.recovery import Recovery
from processor.journal.tail import GONE, Job, Place, Result, Tail, read_body

LOG: Final = logging.getLogger("processor")

# After a failure all is tried again; what is settled is written, and dead segments are deleted, where nothing else
# sends the worker. A kill in between brings back what was settled in that time.
RETRY_S: Final = 1.0
SETTLE_S: Final = 0.1
# CPU of append, commit and settle, in microseconds, NORMAL; one at a time and eight at once:
#   a body of 220 kB (512 spans)    178, 124    beside 32 for its crc32 alone, 70 for a plain write to a new file
#   the same in 1,000 pieces        202, 224
#   a body of 7 kB                   65,  25    beside 1 and 7; the way to a thread and back is 20
# OFF saves the checksum. FULL: 372, 189 and 3 ms of waiting for the disk. Segments of 1 to 32 MiB cost the same.
# `python tests/journal/measure.py` prints them.
_MIN_SEGMENT_BYTES: Final = 256 * 1024
_MAX_SEGMENT_BYTES: Final = 8 * 1024 * 1024
_SEGMENTS: Final = 32  # at least, where the journal is full
_CARRY_BYTES: Final = 1024 * 1024  # a job copies no more of the oldest segment, and one record at least


def open_journal(directory: str, max_bytes: int, sync: Sync = Sync.NORMAL) -> Journal:
    """The journal of a folder, which is made if its parent is there. Raises `JournalProblem`, with nothing changed.

    The folder is this process's until `close`. Needs no event loop yet.
    """
    lock = take(directory, max_bytes)
    recovery = Recovery()
    try:
        recovery.read(directory)
    except OSError as error:
        os.close(lock)
        raise JournalProblem("journal_directory", f"cannot read {directory}: {error.strerror}; name another") from None
    return Journal(directory, max_bytes, sync, lock, recovery)


class Journal:
    """Items on disk, and those on their way. To be made by `open_journal`."""

    def __init__(self, directory: str, max_bytes: int, sync: Sync, lock: int, recovery: Recovery) -> None:
        self.max_bytes = max_bytes
        self.is_healthy = True
        self.damaged = recovery.damaged
        self._lock = lock
        self._items = recovery.recovered()
        self._index = recovery.index
        self._buffer = Buffer()
        self._next_number = recovery.next_number
        self._segment_bytes = min(max(max_bytes // _SEGMENTS, _MIN_SEGMENT_BYTES), _MAX_SEGMENT_BYTES)
        self._tail = Tail(directory, recovery.next_sequence, self._segment_bytes, sync)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="journal")
        self._waiters: list[tuple[int, asyncio.Future[None]]] = []  # and the turn that each waits for
        self._is_writing = False
        self._is_closing = False
        self._timer: asyncio.TimerHandle | None = None

    def recovered(self) -> list[Item]:
        """What lived when the journal was opened, in order of the numbers. Once: the second time there is nothing."""
        items, self._items = self._items, []
        return items

    @property
    def used_bytes(self) -> int:
        """What is on disk, and what is on its way there."""
        return self._index.disk_bytes + self._buffer.size_bytes

    @property
    def buffered_bytes(self) -> int:
        """What is on its way to the disk, in memory."""
        return self._buffer.size_bytes

    @property
    def live_bytes(self) -> int:
        """What is on disk and not settled, the whole of each item."""
        return self._index.live_bytes

    @property
    def live_items(self) -> int:
        """Items with a part that is not settled."""
        return len(self._index.entries)

    def is_live(self, number: int) -> bool:
        """Whether an item has a part that is not settled."""
        return number in self._index.entries

    def has_room(self, size: int) -> bool:
        """Whether items of so many bytes, heads included, fit. Leaves a segment for what is carried forward.

        What is dead is no longer there: the job that writes the items deletes it before.
        """
        dead = sum(segment.size for segment in self._index.dead())
        return self.used_bytes - dead + size + self._segment_bytes <= self.max_bytes

    def append(self, kind: int, head: bytes, pieces: Sequence[bytes], parts: int) -> int:
        """Buffer an item of 1 ≤ kind ≤ 254 with `parts` ≥ 1 parts; its number, higher than all before, for ever."""
        size = sum(map(len, pieces))
        if not SETTLES < kind < MOVES or parts < 1 or max(parts, size, len(head)) > MAX_FIELD:
            raise ValueError(f"no item: kind {kind}, {parts} parts, {size} bytes")
        draft = Draft(self._next_number, kind, parts, head, pieces, size)
        self._next_number += 1
        self._index.entries[draft.number] = Entry(draft.number, parts, draft.size, draft)
        self._buffer.add(draft)
        return draft.number

    def settle(self, number: int, parts: Iterable[int] | None = None) -> None:
        """These parts are done, None for all: at once here, for a restart with the next commit."""
        settled = self._index.settle(number, parts)
        if settled is not None:
            self._buffer.add_settled(settled)
            self._wake_in(SETTLE_S)

    def move(self, number: int, parts: Iterable[int] | None = None) -> None:
        """As `settle`, for parts that are in items appended since the last commit: done once those are on disk."""
        entry = self._index.entries.get(number)
        if entry is None:
            return
        known = None if parts is None else [part for part in parts if 0 <= part < entry.parts]
        self._buffer.add_moved((number, known))
        self._wake_in(SETTLE_S)

    async def commit(self) -> None:
        """Wait until all that was buffered is on disk. Raises `JournalFailed` where it is not.

        What was buffered without an `await` in between is there as a whole after a crash, or not at all.
        """
        turn = self._buffer.turn
        if self._buffer.done >= turn:
            return
        waiter = asyncio.get_running_loop().create_future()
        self._waiters.append((turn, waiter))
        self._send()
        await waiter

    async def read(self, number: int) -> bytes | None:
        """The body of an item, on disk or not yet; None where it is damaged, or no longer lives.

        Raises `JournalFailed` where it cannot be read now.
        """
        while (entry := self._index.entries.get(number)) is not None:
            if entry.draft is not None:
                return b"".join(entry.draft.pieces)
            place = _place_of(entry)
            try:
                body = await asyncio.to_thread(read_body, place)
            except OSError as error:
                if error.errno not in GONE:
                    raise failed(error) from None
                body = None
            if body is not None:
                return body
            if number in self._index.entries and place == _place_of(entry):  # not deleted or carried meanwhile
                self._note_damaged(entry)
                return None
        return None

    async def close(self) -> None:
        """Commit what is buffered and let go of the folder. Raises `JournalFailed` where it is not on disk."""
        try:
            await self.commit()
        finally:
            self._is_closing = True
            if self._timer is not None:
                self._timer.cancel()
            await asyncio.to_thread(self._worker.shutdown)
            self._tail.close()
            os.close(self._lock)

    # The worker's way there and back.

    def _send(self) -> None:
        """Send the worker, if it is here and there is something to do."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_writing or self._is_closing:
            return
        dead = self._index.dead()
        carried = self._to_carry(sum(segment.size for segment in dead))
        taken, drafts = self._buffer.take(self._next_number, carried)
        if not (dead or carried or drafts):
            return
        self._next_number += len(drafts) - taken.drafts
        room = self.max_bytes - self._index.disk_bytes
        job = Job(dead, [_place_of(entry) for entry in carried], drafts, self._next_number, room)
        loop = asyncio.get_running_loop()

        def report(future: Future[Result]) -> None:
            loop.call_soon_threadsafe(self._on_done, future, taken)

        self._is_writing = True
        self._worker.submit(self._tail.run, job).add_done_callback(report)

    def _to_carry(self, dead_bytes: int) -> list[Entry]:
        """What is copied out of the oldest segment, so that what lives is half of what is there, at least."""
        index = self._index
        live = index.live_bytes
        if index.disk_bytes - dead_bytes <= 2 * (live + self._segment_bytes):
            return []
        spare = self._segment_bytes // 4  # what is settled has to fit, too
        free = self.max_bytes - index.disk_bytes + dead_bytes - self._buffer.size_bytes - spare
        found = index.oldest_live(_CARRY_BYTES)
        return found if sum(entry.carried_size for entry in found) <= free else []

    def _on_done(self, future: Future[Result], taken: Taken) -> None:
        self._is_writing = False
        error = future.exception()
        result = future.result() if error is None else Result(failure=JournalFailed(Failure.IO_ERROR, repr(error)))
        self._index.delete(result.deleted)
        for number in result.damaged:
            if number in self._index.entries:
                self._note_damaged(self._index.entries[number])
                self._index.remove(number)
        if result.failure is None:
            self._keep(result, taken)
        self._note_health(result.failure)
        self._answer(taken.turn, result.failure)
        if self._waiters:
            self._send()
        elif self._buffer.turn > self._buffer.done or self._index.dead() or self._to_carry(0):
            self._wake_in(SETTLE_S)

    def _keep(self, result: Result, taken: Taken) -> None:
        """A commit is on disk."""
        if result.segment is not None:
            self._index.grow(result.segment, result.end)
            self._index.place(result.places, result.segment)
        for number, parts in self._buffer.drop(taken):
            self._index.settle(number, parts)

    def _answer(self, turn: int, failure: JournalFailed | None) -> None:
        """Tell those who waited for what a job took."""
        waiting = self._waiters
        self._waiters = [each for each in waiting if each[0] > turn]
        for due, waiter in waiting:
            if due > turn or waiter.done():
                continue
            if failure is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(JournalFailed(failure.failure, str(failure)))

    def _note_health(self, failure: JournalFailed | None) -> None:
        if failure is not None and self.is_healthy:
            LOG.error("journal: cannot write, tried again every second: %s", failure)
        elif failure is None and not self.is_healthy:
            LOG.warning("journal: can write again")
        self.is_healthy = failure is None

    def _note_damaged(self, entry: Entry) -> None:
        if entry.is_damaged:
            return
        entry.is_damaged = True
        self.damaged += 1
        segment = entry.segment
        if segment is not None and not segment.is_reported:
            segment.is_reported = True
            LOG.warning("journal: %s: a damaged record; more are only counted", os.path.basename(segment.path))

    def _wake_in(self, seconds: float) -> None:
        """See to it that the worker is sent, soon; after a failure once a second."""
        if self._timer is None and not self._is_writing and not self._is_closing:
            delay = seconds if self.is_healthy else RETRY_S
            self._timer = asyncio.get_running_loop().call_later(delay, self._send)


def _place_of(entry: Entry) -> Place:
    """Where a record on disk is."""
    assert entry.segment is not None
    return Place(entry.number, entry.segment.path, entry.segment.mark, entry.offset)
