"""The journal's contract: what is committed is there after a restart, what is settled is not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from journals import bodies_at, crash, disk_bytes, fill, open_at, segments, unsettled, until

from processor.journal import tail
from processor.journal.journal import Item, Sync


@pytest.mark.parametrize("sync", Sync)
def test_a_committed_item_survives_a_crash(folder: Path, sync: Sync) -> None:
    """S25: what a commit was awaited for is there after a crash, head, parts and body, in every mode."""

    async def main() -> None:
        journal = open_at(folder, sync=sync)
        assert [] == journal.recovered()
        number = journal.append(7, b"head", [b"bo", b"dy"], 3)
        await journal.commit()
        crash(journal)
        again = open_at(folder, sync=sync)
        assert [Item(number, 7, b"head", 4, 3, None)] == again.recovered()
        assert [] == again.recovered()
        assert b"body" == await again.read(number)
        await again.close()

    asyncio.run(main())


def test_what_is_not_committed_is_not_promised(folder: Path) -> None:
    """An item that nobody committed is gone after a crash, and kept by an orderly end."""

    async def main() -> None:
        journal = open_at(folder)
        journal.append(1, b"", [b"a"], 1)
        crash(journal)
        journal = open_at(folder)
        assert 0 == journal.live_items
        journal.append(1, b"", [b"b"], 1)
        await journal.close()

    asyncio.run(main())
    assert ([b"b"], 0) == bodies_at(folder)


def test_settled_parts_do_not_come_back(folder: Path) -> None:
    """Parts that are settled, and committed, are not among the unsettled ones of a restart; a dead item is not at all."""

    async def main() -> None:
        journal = open_at(folder)
        first, second, third = await fill(journal, b"a", b"b", b"c", parts=3)
        journal.settle(first)
        journal.settle(second, [0, 2, 99, -1])
        journal.settle(third, [1])
        journal.settle(third, [0, 1, 2])
        journal.settle(12345)
        assert 1 == journal.live_items
        await journal.commit()
        crash(journal)
        again = open_at(folder)
        assert {second: {1}} == unsettled(again.recovered())
        await again.close()

    asyncio.run(main())


def test_a_move_counts_with_its_commit(folder: Path) -> None:
    """What is moved is unsettled until the commit that holds it is on disk."""

    async def main() -> None:
        journal = open_at(folder)
        (held,) = await fill(journal, b"held", parts=2)
        ready = journal.append(2, b"", [b"ready"], 1)
        journal.move(held, [0, -1, 2, 1 << 40])
        journal.move(held, [1])
        journal.move(12345)
        assert 2 == journal.live_items
        await journal.commit()
        assert 1 == journal.live_items
        crash(journal)
        again = open_at(folder)
        assert {ready: {0}} == unsettled(again.recovered())
        await again.close()

    asyncio.run(main())


def test_an_item_beside_a_commit_of_moves(folder: Path) -> None:
    """What is appended while a commit of moves is written is no part of it: its body is its own all the time."""

    async def main() -> None:
        journal = open_at(folder)
        (held,) = await fill(journal, b"held")
        journal.move(held)
        moving = asyncio.ensure_future(journal.commit())
        await asyncio.sleep(0)
        number = journal.append(1, b"", [b"late"], 1)
        await moving
        assert b"late" == await journal.read(number)
        await journal.close()

    asyncio.run(main())


def test_numbers_grow_for_ever(folder: Path) -> None:
    """A number is never given twice, though what had it was settled and deleted before the restart."""

    async def main() -> None:
        numbers: list[int] = []
        for _ in range(4):
            journal = open_at(folder)
            for number in await fill(journal, b"a", b"b"):
                journal.settle(number)
                numbers.append(number)
            await journal.close()
        assert sorted(set(numbers)) == numbers

    asyncio.run(main())


def test_reads_what_is_not_written_yet(folder: Path) -> None:
    """The body of a buffered item is read from memory; of a settled or unknown one there is none."""

    async def main() -> None:
        journal = open_at(folder)
        number = journal.append(1, b"", [b"a", b"b"], 1)
        assert b"ab" == await journal.read(number)
        journal.settle(number)
        assert await journal.read(number) is None
        assert await journal.read(99) is None
        assert 0 == journal.damaged
        await journal.close()

    asyncio.run(main())
    assert ([], 0) == bodies_at(folder)


def test_an_item_of_many_pieces(folder: Path) -> None:
    """More pieces than one call of the system takes are written in order, small ones and large ones."""
    pieces = [bytes([number % 251]) * 5000 for number in range(2500)]

    async def main() -> None:
        journal = open_at(folder)
        journal.append(1, b"", pieces, 1)
        journal.append(1, b"", [piece[:3] for piece in pieces], 1)
        await journal.close()

    asyncio.run(main())
    assert ([b"".join(pieces), b"".join(piece[:3] for piece in pieces)], 0) == bodies_at(folder)


@pytest.mark.parametrize(("kind", "parts"), [(0, 1), (255, 1), (1, 0), (1, 1 << 32)])
def test_refuses_what_is_no_item(folder: Path, kind: int, parts: int) -> None:
    """Kinds of the journal's own, and items without parts, are the caller's mistake."""
    journal = open_at(folder)
    with pytest.raises(ValueError, match="no item"):
        journal.append(kind, b"", [b"a"], parts)
    crash(journal)


def test_commits_gather(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one write is under way all others gather in the next: 64 concurrent commits are two writes."""
    writes = []
    write_all = tail.write_all

    def count(*arguments: Any) -> None:
        writes.append(1)
        write_all(*arguments)

    monkeypatch.setattr(tail, "write_all", count)

    async def main() -> None:
        journal = open_at(folder)

        async def accept(number: int) -> None:
            journal.append(1, b"", [b"%d" % number], 1)
            await journal.commit()

        await asyncio.gather(*(accept(number) for number in range(64)))
        await journal.commit()  # all is there: no write
        await journal.close()

    asyncio.run(main())
    assert 2 == len(writes)
    assert ([b"%d" % number for number in range(64)], 0) == bodies_at(folder)


def test_a_cancelled_commit_harms_no_other(folder: Path) -> None:
    """Whoever stops waiting takes nothing from those who wait for the same write."""

    async def main() -> None:
        journal = open_at(folder)
        journal.append(1, b"", [b"a"], 1)
        first, second = asyncio.create_task(journal.commit()), asyncio.create_task(journal.commit())
        await asyncio.sleep(0)
        first.cancel()
        await second
        await journal.close()

    asyncio.run(main())
    assert ([b"a"], 0) == bodies_at(folder)


@pytest.mark.usefixtures("quick")
def test_what_is_settled_is_written_without_a_commit(folder: Path) -> None:
    """Duplicates after a kill are bounded: what is settled is on disk soon, though no request comes."""

    async def main() -> None:
        journal = open_at(folder)
        numbers = await fill(journal, b"a", b"b")
        before = disk_bytes(folder)
        journal.settle(numbers[0])
        await until(lambda: disk_bytes(folder) > before)
        crash(journal)

    asyncio.run(main())
    assert ([b"b"], 0) == bodies_at(folder)


def test_nothing_is_open_to_others(folder: Path) -> None:
    """The folder is 0700, every file in it 0600."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, b"a")
        await journal.close()

    asyncio.run(main())
    assert 0o700 == folder.stat().st_mode & 0o777
    assert {0o600} == {path.stat().st_mode & 0o777 for path in folder.iterdir()}
    assert 1 == len(segments(folder))
