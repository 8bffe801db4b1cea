"""F11: a disk that is full, read-only or failing: nothing is acknowledged that is not held, and it recovers by itself."""

from __future__ import annotations

import asyncio
import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
from journals import bodies, bodies_at, crash, disk_bytes, failing_disk, fill, open_at, segments, until

from processor.journal import tail
from processor.journal.journal import Failure, JournalFailed, Sync

FAILURES = {
    errno.ENOSPC: Failure.NO_SPACE,
    errno.EDQUOT: Failure.NO_SPACE,
    errno.EFBIG: Failure.NO_SPACE,
    errno.EROFS: Failure.READ_ONLY,
    errno.EIO: Failure.IO_ERROR,
}


@pytest.fixture
def file_limit() -> Iterator[int]:
    """No file of this process may grow over so many bytes: the system itself ends a write halfway."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = 20_000
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    yield limit
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("code", FAILURES)
@pytest.mark.parametrize("after_bytes", [0, 30, 1 << 20])
def test_a_failed_commit_is_not_acknowledged(
    folder: Path, code: int, after_bytes: int, caplog: pytest.LogCaptureFixture
) -> None:
    """A failed commit raises, says so at once, leaves nothing on disk, and is tried again with the next one, in order."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, b"a")
        size = disk_bytes(folder)
        with failing_disk(code, after_bytes):
            for body in (b"b", b"c"):
                journal.append(1, b"", [body], 1)
                with pytest.raises(JournalFailed) as caught:
                    await journal.commit()
                assert FAILURES[code] is caught.value.failure
                assert not journal.is_healthy
                assert size == disk_bytes(folder)
        await fill(journal, b"d")
        assert journal.is_healthy
        crash(journal)

    asyncio.run(main())
    assert 1 == sum("cannot write" in message for message in caplog.messages)
    assert 1 == sum("can write again" in message for message in caplog.messages)
    assert ([b"a", b"b", b"c", b"d"], 0) == bodies_at(folder)


def test_what_cannot_be_cut_off_now_is_later(folder: Path) -> None:
    """Where the torn end cannot be cut off either, it is no item for a restart, nor under what is written next."""

    async def main(is_written_later: bool) -> None:
        journal = open_at(folder)
        await fill(journal, b"a")
        with failing_disk(errno.EIO, 70), mock.patch.object(os, "ftruncate", side_effect=OSError(errno.EIO, "no")):
            journal.append(1, b"", [b"b" * 1000], 1)
            with pytest.raises(JournalFailed):
                await journal.commit()
        if is_written_later:
            await journal.commit()
        crash(journal)

    asyncio.run(main(False))
    assert ([b"a"], 0) == bodies_at(folder)
    asyncio.run(main(True))
    assert ([b"a", b"a", b"b" * 1000], 0) == bodies_at(folder)


def test_a_disk_that_fills(folder: Path, file_limit: int) -> None:
    """Where the system takes part of a commit and no more, it is NO_SPACE, and a new segment takes it afterwards."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, b"a" * 15_000)
        journal.append(1, b"", [b"b" * 15_000], 1)
        with pytest.raises(JournalFailed) as caught:
            await journal.commit()
        assert Failure.NO_SPACE is caught.value.failure
        assert 15_000 < disk_bytes(folder) < file_limit
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        await journal.commit()
        crash(journal)

    asyncio.run(main())
    assert ([b"a" * 15_000, b"b" * 15_000], 0) == bodies_at(folder)


@pytest.mark.usefixtures("quick")
def test_it_recovers_without_a_commit(folder: Path) -> None:
    """What failed is tried again by itself, once a second, and the journal is healthy then."""

    async def main() -> None:
        journal = open_at(folder)
        with failing_disk():
            journal.append(1, b"", [b"a"], 1)
            with pytest.raises(JournalFailed):
                await journal.commit()
        await until(lambda: journal.is_healthy)
        crash(journal)

    asyncio.run(main())
    assert ([b"a"], 0) == bodies_at(folder)


@pytest.mark.usefixtures("small")
def test_a_full_disk_can_be_emptied(folder: Path) -> None:
    """Segments in which nothing lives are deleted while nothing can be written."""

    async def main() -> None:
        journal = open_at(folder)
        numbers = await fill(journal, *(b"%d" % number * 3000 for number in range(4)))
        with failing_disk():
            for number in numbers[:3]:
                journal.settle(number)
            with pytest.raises(JournalFailed):
                await journal.commit()
            assert 1 == len(segments(folder))
            assert disk_bytes(folder) == journal.used_bytes
        await journal.close()

    asyncio.run(main())
    assert ([b"3" * 3000], 0) == bodies_at(folder)


def test_a_failing_sync_is_a_failure(folder: Path) -> None:
    """Under `full` a commit whose data the disk did not take is written anew, and acknowledged only then."""

    async def main() -> None:
        journal = open_at(folder, sync=Sync.FULL)
        with mock.patch.object(tail.os, "fdatasync", side_effect=OSError(errno.EIO, "no")):
            journal.append(1, b"", [b"a"], 1)
            with pytest.raises(JournalFailed) as caught:
                await journal.commit()
            assert Failure.IO_ERROR is caught.value.failure
        assert 0 == disk_bytes(folder)
        await journal.close()

    asyncio.run(main())
    assert ([b"a"], 0) == bodies_at(folder)


def test_no_new_segment(folder: Path) -> None:
    """Where no file can be made the commit fails, and passes once one can be, in every mode."""

    async def main() -> None:
        journal = open_at(folder, sync=Sync.FULL)
        for name in ("open", "fsync"):
            with mock.patch.object(tail.os, name, side_effect=OSError(errno.EROFS, "no")):
                journal.append(1, b"", [name.encode()], 1)
                with pytest.raises(JournalFailed) as caught:
                    await journal.commit()
                assert Failure.READ_ONLY is caught.value.failure
        await journal.close()

    asyncio.run(main())
    assert ([b"open", b"fsync"], 0) == bodies_at(folder)


def test_more_than_the_journal_may_take(folder: Path) -> None:
    """JOURNAL_MAX_SIZE: what does not fit is OVER_SIZE, stays in memory, and is written when something was settled."""

    async def main() -> None:
        journal = open_at(folder, 1 << 20)
        numbers = await fill(journal, *[b"a" * 300_000] * 2)
        assert not journal.has_room(300_000)
        assert journal.has_room(100_000)
        journal.append(1, b"", [b"b" * 500_000], 1)
        with pytest.raises(JournalFailed) as caught:
            await journal.commit()
        assert Failure.OVER_SIZE is caught.value.failure
        assert disk_bytes(folder) <= journal.max_bytes < journal.used_bytes
        journal.settle(numbers[0])
        await journal.commit()
        assert journal.is_healthy
        assert disk_bytes(folder) == journal.used_bytes <= journal.max_bytes
        await journal.close()

    asyncio.run(main())
    assert ([b"a" * 300_000, b"b" * 500_000], 0) == bodies_at(folder)


def test_closing_says_what_is_not_on_disk(folder: Path) -> None:
    """An end on a full disk raises, and lets go of the folder all the same."""

    async def main() -> None:
        journal = open_at(folder)
        with failing_disk():
            journal.append(1, b"", [b"a"], 1)
            with pytest.raises(JournalFailed):
                await journal.close()
        again = open_at(folder)
        assert [] == await bodies(again)
        await again.close()

    asyncio.run(main())


def test_a_body_that_cannot_be_read_now(folder: Path) -> None:
    """Too many open files are no damage: the body is there later."""

    async def main() -> None:
        journal = open_at(folder)
        (number,) = await fill(journal, b"a")
        many = mock.patch.object(tail.os, "open", side_effect=OSError(errno.EMFILE, "too many"))
        with many, pytest.raises(JournalFailed, match="too many"):
            await journal.read(number)
        with mock.patch.object(tail.os, "pread", side_effect=OSError(errno.EIO, "no")):
            assert await journal.read(number) is None
        assert (b"a", 1) == (await journal.read(number), journal.damaged)
        await journal.close()

    asyncio.run(main())
