"""The files, in the worker thread: commits are written to the end of the tail segment, dead segments deleted.

Every call blocks. One thread at a time may call; it sees only what it is handed. Must not know which items live.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from processor.journal.index import Segment, new_segment
from processor.journal.journal import Failure, JournalFailed, Sync, failed
from processor.journal.record import PREFIX_BYTES, UNCHECKED, Draft, decode_fields, encode_commit, is_whole

_IOV_MAX: Final = 1024  # pieces that the system takes in one call
_FILE_MODE: Final = 0o600
# A record that cannot be read for one of these never will be; other errors may pass.
GONE: Final = (errno.EIO, errno.ENOENT)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record is."""

    number: int
    path: str
    mark: bytes
    offset: int


@dataclass(frozen=True, slots=True)
class Job:
    """One turn of the worker: delete, then write a commit, with what is carried out of segments before they go.

    `room_bytes`: what may be on disk beside what is there. `first`: the lowest number that is still free.
    """

    dead: Sequence[Segment]
    carried: Sequence[Place]
    drafts: Sequence[Draft]
    first: int
    room_bytes: int


@dataclass(slots=True)
class Result:
    """What became of a job: what was deleted; where the commit is, record by record; what could not be copied."""

    deleted: int = 0
    segment: Segment | None = None
    places: Sequence[tuple[int, int]] = ()
    end: int = 0
    damaged: Sequence[int] = ()
    failure: JournalFailed | None = None


class Tail:
    """The segment that is written to. A new one begins where a commit would pass `segment_bytes`, and at opening."""

    def __init__(self, directory: str, sequence: int, segment_bytes: int, sync: Sync) -> None:
        self._directory = directory
        self._sequence = sequence
        self._segment_bytes = segment_bytes
        self._sync = sync
        self._file: int | None = None
        self._segment: Segment | None = None
        self._end = 0
        self._is_torn = False

    def run(self, job: Job) -> Result:
        """Do a job. Never raises for what the disk does: the result says it, and nothing of the commit is left."""
        result = Result()
        room = job.room_bytes
        try:
            for segment in job.dead:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(segment.path)
                result.deleted += 1
                room += segment.size
            self._write(job, room, result)
        except OSError as error:
            result.failure = failed(error)
        except JournalFailed as failure:
            result.failure = failure
        return result

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            os.close(self._file)
        self._file = None

    def _write(self, job: Job, room: int, result: Result) -> None:
        drafts, result.damaged = load_all(job.carried)
        drafts += job.drafts
        size = sum(draft.size for draft in drafts)
        if not drafts:
            return
        if size > room:
            raise JournalFailed(Failure.OVER_SIZE, f"{size} bytes do not fit, {max(room, 0)} are free")
        file, segment = self._open(size, job.first)
        if self._is_torn:
            os.ftruncate(file, self._end)
        self._is_torn = True
        try:
            write_all(file, encode_commit(drafts, segment.mark, self._sync is not Sync.OFF), self._end)
            if self._sync is Sync.FULL:
                os.fdatasync(file)
        except OSError:
            with contextlib.suppress(OSError):  # if it cannot be cut now, it is before the next commit, or at opening
                os.ftruncate(file, self._end)
            raise
        self._is_torn = False
        result.places = _places(drafts, self._end)
        self._end += size
        result.segment, result.end = segment, self._end

    def _open(self, size: int, first: int) -> tuple[int, Segment]:
        """The segment that takes a commit of so many bytes."""
        fits = not self._end or self._end + size <= self._segment_bytes
        if self._file is not None and self._segment is not None and fits:
            return self._file, self._segment
        segment = new_segment(self._directory, self._sequence, first)
        file = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
        try:
            if self._sync is Sync.FULL:
                sync_directory(self._directory)
        except OSError:
            os.close(file)
            raise
        self.close()
        self._file, self._segment, self._end, self._is_torn = file, segment, 0, False
        self._sequence += 1
        return file, segment


def _places(drafts: Sequence[Draft], at: int) -> list[tuple[int, int]]:
    """The number of each record, and where it begins."""
    places = []
    for draft in drafts:
        places.append((draft.number, at))
        at += draft.size
    return places


def write_all(file: int, pieces: Sequence[bytes], offset: int) -> None:
    """Write all pieces from an offset on: the one place that writes. Raises `OSError`."""
    for start in range(0, len(pieces), _IOV_MAX):
        some = pieces[start : start + _IOV_MAX]
        size = sum(map(len, some))
        written = os.pwritev(file, some, offset)
        if written < size:  # rare: what is left of a full disk
            rest = memoryview(b"".join(some))
            while written < size:
                written += os.pwrite(file, rest[written:], offset + written)
        offset += size


def sync_directory(directory: str) -> None:
    """Have the names of new files in it on disk. Raises `OSError`."""
    handle = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def load_all(places: Sequence[Place]) -> tuple[list[Draft], tuple[int, ...]]:
    """The records that can be written again, and the numbers of damaged ones. What cannot be read now is left out."""
    drafts = []
    damaged = []
    for place in places:
        try:
            draft = load(place)
        except OSError as error:
            if error.errno not in GONE:
                continue
            draft = None
        if draft is not None:
            drafts.append(draft)
        else:
            damaged.append(place.number)
    return drafts, tuple(damaged)


def load(place: Place) -> Draft | None:
    """A record as it can be written again, its body unseen; None where it is damaged. Raises `OSError`."""
    file = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        prefix = os.pread(file, PREFIX_BYTES, place.offset)
        record = decode_fields(prefix, place.mark)
        if record is None or record.number != place.number:
            return None
        content = os.pread(file, record.size - PREFIX_BYTES, place.offset + PREFIX_BYTES)
    finally:
        os.close(file)
    head, body = content[: record.head_size], content[record.head_size :]
    if len(body) != record.body_size or not is_whole(prefix, head):
        return None
    flags = record.flags & UNCHECKED
    return Draft(record.number, record.kind, record.parts, head, [body], record.body_size, record.body_check, flags)


def read_body(place: Place) -> bytes | None:
    """The body of a record; None where it is damaged. Raises `OSError`."""
    file = os.open(place.path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        record = decode_fields(os.pread(file, PREFIX_BYTES, place.offset), place.mark)
        if record is None or record.number != place.number:
            return None
        body = os.pread(file, record.body_size, place.offset + PREFIX_BYTES + record.head_size)
    finally:
        os.close(file)
    return body if record.is_body(body) else None
