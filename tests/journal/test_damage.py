"""F10: whatever happens to the files, the journal opens, and loses only what was damaged."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from journals import bodies_at, crash, fill, open_at, segments, unsettled

from processor.journal.journal import JournalProblem
from processor.journal.record import PREFIX_BYTES
from processor.journal.recovery import Recovery

BODIES = [bytes([65 + number]) * (300 + 97 * number) for number in range(6)]


@pytest.fixture
def written(folder: Path) -> Path:
    """A folder with one segment of six items, each in a commit of its own, and nothing settled."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, *BODIES)
        await journal.close()

    asyncio.run(main())
    return folder


def starts() -> list[int]:
    """Where each record begins, and where the last one ends."""
    at = [0]
    for body in BODIES:
        at.append(at[-1] + PREFIX_BYTES + len(b"head") + len(body))
    return at


def change(path: Path, at: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(content)


def test_the_tail_cut_off_anywhere(written: Path) -> None:
    """Cut at any byte, the commits before the cut are whole, and the one that it hits is not there."""
    (path,) = segments(written)
    content = path.read_bytes()
    ends = starts()[1:]
    for size in [*range(0, len(content), 7), *ends, *(end - 1 for end in ends)]:
        path.write_bytes(content[:size])
        recovery = Recovery()
        recovery.read(str(written))
        assert sum(end <= size for end in ends) == len(recovery.recovered()), size
        assert 0 == recovery.damaged


@pytest.mark.parametrize("which", range(6))
def test_a_flipped_byte_anywhere(written: Path, which: int, caplog: pytest.LogCaptureFixture) -> None:
    """A byte flipped in fields, head or body costs that record alone, counted once and warned of."""
    (path,) = segments(written)
    start, end = starts()[which : which + 2]
    content = path.read_bytes()
    rest = [body for body in BODIES if body != BODIES[which]]
    for at in [*range(start, start + PREFIX_BYTES + 6), end - 1]:
        caplog.clear()
        change(path, at, bytes([content[at] ^ 0x41]))
        found, damaged = bodies_at(written)
        assert rest == [body for body in found if body is not None], at
        assert 1 == damaged
        assert "damaged" in caplog.text
        for other in segments(written)[1:]:
            other.unlink()
        path.write_bytes(content)


@pytest.mark.parametrize("start", [0, 512, 1024])
def test_zeroed_bytes_anywhere(written: Path, start: int) -> None:
    """A page of zeros costs the records that it touches."""
    (path,) = segments(written)
    change(path, start, bytes(512))
    at = starts()
    hit = {which for which in range(6) if at[which] < start + 512 and start < at[which + 1]}
    found, damaged = bodies_at(written)
    assert [body for which, body in enumerate(BODIES) if which not in hit] == [body for body in found if body]
    assert 1 <= damaged <= len(hit)


@pytest.mark.usefixtures("small")
def test_a_deleted_segment(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A segment that is missing between others costs what was in it, counted and warned of."""
    contents = [bytes([number]) * 3000 for number in range(5)]

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, *contents)
        await journal.close()

    asyncio.run(main())
    assert 5 == len(segments(folder))
    segments(folder)[2].unlink()
    assert ([contents[0], contents[1], contents[3], contents[4]], 1) == bodies_at(folder)
    assert "1 segments before it are missing" in caplog.text


def test_garbage_in_the_folder(written: Path) -> None:
    """Files that are none of the journal's stay; one that is named like a segment is a damaged one."""
    (path,) = segments(written)
    (written / "notes.txt").write_text("mine")
    (written / "0000000007-x.v1").write_bytes(b"y")
    garbage = written / ("0000000002-" + "0" * 13 + "999-" + "ab" * 8 + ".v1")
    garbage.write_bytes(os.urandom(5000))
    found, damaged = bodies_at(written)
    assert (BODIES, 1) == (found, damaged)
    assert "mine" == (written / "notes.txt").read_text()
    assert path.exists()


def test_a_lost_record_of_what_is_settled_brings_back(written: Path) -> None:
    """Damage to what says that items are done makes duplicates, never a loss."""

    async def main() -> None:
        journal = open_at(written)
        for item in journal.recovered():
            journal.settle(item.number)
        await journal.commit()
        crash(journal)

    first = segments(written)[0].read_bytes()
    asyncio.run(main())
    (last,) = segments(written)[-1:]
    change(last, PREFIX_BYTES, b"\xff")
    assert ([], 1) == bodies_at(written)  # the items' own segment had been deleted already

    last.unlink()
    (written / f"0000000001-0000000000000001-{first[:8].hex()}.v1").write_bytes(first)
    assert (BODIES, 0) == bodies_at(written)


def test_what_moved_to_a_damaged_record_is_where_it_was(folder: Path) -> None:
    """A move out of an item does not count where something is missing of its commit."""

    async def main() -> None:
        journal = open_at(folder)
        held, _ = await fill(journal, b"held", b"pins the segment")
        journal.append(1, b"head", [b"ready"], 1)
        journal.move(held)
        await journal.commit()
        crash(journal)
        (path,) = segments(folder)
        content = path.read_bytes()
        at = content.index(b"ready") - 6
        change(path, at, bytes([content[at] ^ 0x41]))
        again = open_at(folder)
        assert held in unsettled(again.recovered())
        assert 1 == again.damaged
        await again.close()

    asyncio.run(main())


def test_a_forged_record_in_a_body(folder: Path) -> None:
    """Bytes of a sender that look like a record of another segment are none, though damage makes the search see them."""

    async def main() -> None:
        journal = open_at(folder)
        numbers = await fill(journal, b"first", b"second")
        journal.settle(numbers[0])
        await journal.commit()
        crash(journal)
        forged = segments(folder)[0].read_bytes()  # whole records, one of which settles
        second = open_at(folder)
        await fill(second, forged, b"last")
        crash(second)
        (path,) = segments(folder)[-1:]
        first = path.read_bytes()[PREFIX_BYTES]
        change(path, PREFIX_BYTES, bytes([first ^ 0x41]))  # the head before the forged records
        third = open_at(folder)
        assert [b"second", b"last"] == [await third.read(item.number) for item in third.recovered()]
        await third.close()

    asyncio.run(main())


def test_a_damaged_body_is_told_once(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A damaged body is no body, each time; it is counted once, and a segment's damage logged once."""

    async def main() -> None:
        journal = open_at(folder)
        numbers = await fill(journal, b"one", b"two", b"three")
        (path,) = segments(folder)
        for body in (b"one", b"two"):
            change(path, path.read_bytes().index(body), b"x")
        for _ in range(2):
            assert [None, None, b"three"] == [await journal.read(number) for number in numbers]
        assert 2 == journal.damaged
        assert 3 == journal.live_items
        await journal.close()

    asyncio.run(main())
    assert 1 == len([record for record in caplog.records if record.levelno == logging.WARNING])


def test_a_segment_that_vanishes_while_it_is_used(written: Path) -> None:
    """A file that somebody deleted is damage, not the end."""

    async def main() -> None:
        journal = open_at(written)
        (path,) = segments(written)
        path.unlink()
        items = journal.recovered()
        assert [None] * 6 == [await journal.read(item.number) for item in items]
        assert 6 == journal.damaged
        for item in items:
            journal.settle(item.number)
        await journal.commit()
        await journal.close()

    asyncio.run(main())
    assert ([], 0) == bodies_at(written)


def test_a_disk_that_does_not_give_a_segment(written: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What the disk cannot read is damaged, counted and warned of, and the journal opens."""
    with mock.patch.object(os, "pread", side_effect=OSError(errno.EIO, "I/O error")):
        journal = open_at(written)
    assert ([], 1) == (journal.recovered(), journal.damaged)
    assert "cannot be read: I/O error" in caplog.text
    crash(journal)


def test_a_segment_that_may_not_be_read_is_no_damage(written: Path) -> None:
    """Where the system denies a file that may be read another time, the journal does not open, and deletes nothing."""
    (path,) = segments(written)
    denied = mock.patch.object(os, "pread", side_effect=OSError(errno.EACCES, "Permission denied"))
    with denied, pytest.raises(JournalProblem) as caught:
        open_at(written)
    assert f"cannot read {written}: Permission denied; name another" == str(caught.value)
    assert (BODIES, 0) == bodies_at(written)
    assert path in segments(written)


@pytest.mark.parametrize("bodies", [(220_000, 400), (1, 20_000)], ids=["large", "small"])
def test_opening_reads_no_bodies(folder: Path, bodies: tuple[int, int], monkeypatch: Any) -> None:
    """Opening reads some KiB at each record's start, and takes well under a second for 88 MB or 20,000 items."""
    size, count = bodies

    async def main() -> None:
        journal = open_at(folder, 1 << 30)
        for _ in range(count):
            journal.append(1, b"h" * 40, [bytes(size)], 512)
            if journal._buffer.size_bytes > 1 << 20:
                await journal.commit()
        await journal.close()

    asyncio.run(main())
    read: list[int] = []
    pread: Callable[[int, int, int], bytes] = os.pread

    def count_bytes(file: int, size: int, offset: int) -> bytes:
        content = pread(file, size, offset)
        read.append(len(content))
        return content

    monkeypatch.setattr(os, "pread", count_bytes)
    recovery = Recovery()
    started = time.process_time()
    recovery.read(str(folder))
    assert time.process_time() - started < 1
    assert count == len(recovery.recovered())
    assert sum(read) < count * min(size + 200, 20_000)
