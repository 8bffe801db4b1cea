"""What is on disk: segments go when nothing in them lives, what lives long is carried forward, and all of it is bounded."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest
from journals import PATIENCE_S, bodies_at, crash, disk_bytes, fill, open_at, segments, unsettled, until

from processor.journal import store
from processor.journal.journal import JournalFailed
from processor.journal.tail import Place, read_body

pytestmark = pytest.mark.usefixtures("small")
SEGMENT_BYTES = 4096
MAX_BYTES = 64 << 10


def test_a_segment_goes_when_nothing_in_it_lives(folder: Path) -> None:
    """The oldest segment is deleted with the commit after its last item was settled; a later one waits for it."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        numbers = await fill(journal, *[b"a" * 3000] * 3)
        first, second, third = segments(folder)
        journal.settle(numbers[1])
        await journal.commit()
        assert [first, second, third] == segments(folder)
        journal.settle(numbers[0])
        await journal.commit()
        assert [third] == segments(folder)
        await journal.close()

    asyncio.run(main())


def test_what_is_done_makes_room_at_once(folder: Path) -> None:
    """S26: a full journal takes items again as soon as old ones are settled, before the worker has deleted a file."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        numbers: list[int] = []
        while journal.has_room(3000):
            numbers += await fill(journal, b"a" * 3000)
        for number in numbers[:2]:
            journal.settle(number)
        on_disk = segments(folder)
        assert journal.has_room(3000)
        assert on_disk == segments(folder)
        await fill(journal, b"a" * 3000)
        assert disk_bytes(folder) == journal.used_bytes <= MAX_BYTES
        await journal.close()

    asyncio.run(main())


def test_a_long_held_item_cannot_fill_the_disk(folder: Path) -> None:
    """One item that lives on while a thousand times the journal's size passes is carried along, with its settled parts."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        held = journal.append(9, b"held head", [b"held" * 200], 5)
        await journal.commit()
        journal.settle(held, [1, 3])
        for round_ in range(300):
            (number,) = await fill(journal, b"x" * 1000)
            journal.settle(number)
            assert disk_bytes(folder) == journal.used_bytes <= 2 * 1000 + 4 * SEGMENT_BYTES, round_
        assert b"held" * 200 == await journal.read(held)
        crash(journal)
        again = open_at(folder, MAX_BYTES)
        (item,) = [item for item in again.recovered() if item.number == held]
        assert (9, b"held head", 800, frozenset({0, 2, 4})) == (item.kind, item.head, item.body_size, item.unsettled)
        assert b"held" * 200 == await again.read(held)
        await again.close()

    asyncio.run(main())


def test_what_is_on_disk_stays_within_twice_what_lives(folder: Path) -> None:
    """Where every segment is pinned by an item that lives, garbage is at most half, but for two segments."""

    async def main() -> None:
        journal = open_at(folder, 1 << 20)
        live: list[int] = []
        for round_ in range(200):
            numbers = await fill(journal, b"l" * 500, b"g" * 1500, b"g" * 900)
            live.append(numbers[0])
            for number in numbers[1:]:
                journal.settle(number)
            if len(live) > 30:
                journal.settle(live.pop(0))
            bound = 2 * len(live) * 560 + 4 * SEGMENT_BYTES
            assert journal.used_bytes <= bound, round_
        assert [b"l" * 500] * 30 == [await journal.read(number) for number in live]
        crash(journal)
        again = open_at(folder, 1 << 20)
        assert set(live) <= set(unsettled(again.recovered()))
        await again.close()

    asyncio.run(main())


def test_a_damaged_record_is_not_carried(folder: Path) -> None:
    """What is damaged where it lies is counted when it would be carried, and does not hold up what is beside it."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        bad, good = await fill(journal, b"bad" * 100, b"good" * 100)
        (path,) = segments(folder)
        content = bytearray(path.read_bytes())
        content[20] ^= 1
        path.write_bytes(content)
        for _ in range(30):
            (number,) = await fill(journal, b"x" * 1000)
            journal.settle(number)
        assert path not in segments(folder)
        assert 1 == journal.damaged
        assert await journal.read(bad) is None
        assert b"good" * 100 == await journal.read(good)
        await journal.close()

    asyncio.run(main())


def test_a_body_is_read_where_it_went(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An item that is carried while it is read is found where it is then, and is not taken for damaged."""
    carried = threading.Event()

    def read_late(place: Place) -> bytes | None:
        assert carried.wait(PATIENCE_S)
        return read_body(place)

    monkeypatch.setattr(store, "read_body", read_late)

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        (held,) = await fill(journal, b"held" * 100)
        reading = asyncio.create_task(journal.read(held))
        (path,) = segments(folder)
        while path.exists():
            (number,) = await fill(journal, b"x" * 1000)
            journal.settle(number)
        carried.set()
        assert b"held" * 100 == await reading
        assert 0 == journal.damaged
        await journal.close()

    asyncio.run(main())


def test_what_is_too_large_to_be_carried_stays(folder: Path) -> None:
    """Where a pinned item does not fit behind the others it stays where it is, and commits pass until there is no room."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        (held,) = await fill(journal, b"h" * 20_000)
        while journal.has_room(1100):
            (number,) = await fill(journal, b"x" * 1000)
            journal.settle(number)
            await journal.commit()
        assert journal.is_healthy
        assert disk_bytes(folder) <= MAX_BYTES
        journal.settle(held)
        await journal.commit()
        assert journal.used_bytes < 2 * SEGMENT_BYTES
        await journal.close()

    asyncio.run(main())


def test_the_journal_is_never_over_its_size(folder: Path) -> None:
    """JOURNAL_MAX_SIZE bounds what is on disk, whatever is appended, and what has room is taken."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        live: list[int] = []
        refused = 0
        for _ in range(300):
            if journal.has_room(1100):
                live += await fill(journal, b"x" * 1000)
            else:
                refused += 1
                for number in live[1:5]:
                    journal.settle(number)
                del live[1:5]
                await journal.commit()
            assert disk_bytes(folder) <= MAX_BYTES
        assert 10 < refused < 250
        assert journal.is_healthy
        await journal.close()

    asyncio.run(main())
    found, damaged = bodies_at(folder, MAX_BYTES)
    assert {b"x" * 1000} == set(found)
    assert 0 == damaged


def test_space_returns_by_itself(folder: Path, monkeypatch: Any) -> None:
    """What is settled while no request comes is deleted soon, and what pins segments is carried forward."""
    monkeypatch.setattr("processor.journal.store.SETTLE_S", 0.0)

    async def main() -> None:
        journal = open_at(folder, 1 << 20)
        numbers = await fill(journal, *[b"x" * 1000] * 60)
        for number in numbers[1:]:
            journal.settle(number)
        await until(lambda: journal.used_bytes <= 2 * 1100 + 3 * SEGMENT_BYTES)
        assert b"x" * 1000 == await journal.read(numbers[0])
        await journal.close()

    asyncio.run(main())


def test_an_item_larger_than_a_segment(folder: Path) -> None:
    """An item of any size that has room is taken, in a segment of its own."""

    async def main() -> None:
        journal = open_at(folder, MAX_BYTES)
        await fill(journal, b"a" * 100, b"b" * 40_000, b"c" * 100)
        assert 3 == len(segments(folder))
        assert not journal.has_room(30_000)
        with pytest.raises(JournalFailed):
            await fill(journal, b"d" * 30_000)
        crash(journal)

    asyncio.run(main())
    assert ([b"a" * 100, b"b" * 40_000, b"c" * 100], 0) == bodies_at(folder, MAX_BYTES)
