"""The files beneath: what a commit leaves behind where it could not be undone, and what is copied."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from unittest import mock

import pytest
from journals import failing_disk

from processor.journal.index import new_segment
from processor.journal.journal import Failure, Sync
from processor.journal.record import FIRST, UNCHECKED, Draft
from processor.journal.tail import Job, Place, Result, Tail, load


@pytest.fixture
def tail(tmp_path: Path) -> Tail:
    return Tail(str(tmp_path), 1, 1 << 20, Sync.NORMAL)


def job(*bodies: bytes) -> Job:
    return Job([], [], [Draft(at + 1, 1, 1, b"", [body], len(body)) for at, body in enumerate(bodies)], 9, 1 << 20)


def test_nothing_of_a_failed_commit_is_behind_a_shorter_one(tail: Tail, tmp_path: Path) -> None:
    """What could not be cut off when it failed is cut off before the next commit, which may be shorter."""
    with failing_disk(errno.EIO, 900), mock.patch.object(os, "ftruncate", side_effect=OSError(errno.EIO, "no")):
        assert Failure.IO_ERROR is getattr(tail.run(job(b"a" * 1000)).failure, "failure", None)
    (path,) = tmp_path.iterdir()
    assert 900 == path.stat().st_size
    result = tail.run(job(b"b"))
    assert (None, path.stat().st_size) == (result.failure, result.end)
    tail.close()


@pytest.mark.parametrize("sync", [Sync.NORMAL, Sync.OFF])
def test_a_copy_is_no_first_record(tmp_path: Path, sync: Sync) -> None:
    """A record that began its commit does not begin the one that it is copied with; a missing checksum stays missing."""
    tail = Tail(str(tmp_path), 1, 1 << 20, sync)
    result = tail.run(job(b"a"))
    assert result.segment is not None
    draft = load(Place(1, result.segment.path, result.segment.mark, 0))
    assert draft is not None
    assert 0 == draft.flags & FIRST
    assert (sync is Sync.OFF) == bool(draft.flags & UNCHECKED)
    tail.close()


def test_what_cannot_be_read_now_is_not_damaged(tail: Tail) -> None:
    """A copy that fails for want of a file handle is left for later; one whose file is gone is damaged."""
    segment = tail.run(job(b"a")).segment
    assert segment is not None
    place = Place(1, segment.path, segment.mark, 0)
    with mock.patch.object(os, "open", side_effect=OSError(errno.EMFILE, "too many")):
        assert Result() == tail.run(Job([], [place], [], 9, 1 << 20))
    os.unlink(segment.path)
    assert Result(damaged=(1,)) == tail.run(Job([], [place], [], 9, 1 << 20))
    tail.close()


def test_deleting_twice(tail: Tail, tmp_path: Path) -> None:
    """A dead segment that somebody else deleted is as good as deleted."""
    result = tail.run(Job([new_segment(str(tmp_path), 1, 1)], [], [], 1, 0))
    assert Result(deleted=1) == result
