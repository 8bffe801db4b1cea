"""Any sequence of events, beside a model: what was committed and not settled is there after a crash at any byte."""

from __future__ import annotations

import asyncio
import copy
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from journals import Unsettled, crash, disk_bytes, failing_disk, open_at, segments, unsettled

from processor.journal.journal import Item, JournalFailed
from processor.journal.store import Journal

MAX_BYTES = 1 << 20

pick = st.integers(0, 1 << 16)
some = st.none() | st.lists(st.integers(0, 4), max_size=3)
large, tiny = st.integers(500, 3000), st.integers(0, 50)
none = st.none()
# Mostly whole items that come and go, so that segments fill, a few items pin them, and what lives is carried forward.
events = st.sampled_from(
    [
        *[("append", large, st.integers(1, 4))] * 4, ("append", tiny, st.integers(1, 4)),
        *[("settle", pick, none)] * 4, ("settle", pick, some), ("move", pick, some), *[("commit", none, none)] * 6,
        ("fail", st.integers(0, 4000), none), ("crash", st.floats(0, 1), none),
    ]
).flatmap(lambda event: st.tuples(st.just(event[0]), *event[1:]))  # fmt: skip


class Model:
    """What the journal holds now, and what a restart must find at least and at most."""

    def __init__(self) -> None:
        self.now: Unsettled = {}
        self.durable: Unsettled = {}
        self.settled: Unsettled = {}  # since the last commit: may be gone already
        self.moves: list[tuple[int, set[int]]] = []
        self.before: Unsettled = {}  # `durable` and `settled` as they were before the last commit
        self.settled_before: Unsettled = {}
        self.contents: dict[int, tuple[int, bytes, bytes]] = {}

    def drop(self, number: int, gone: set[int]) -> None:
        if number in self.now:
            self.now[number] -= gone
            if not self.now[number]:
                del self.now[number]

    def commit(self) -> None:
        for number, gone in self.moves:
            self.drop(number, gone)
        self.moves = []
        self.before, self.settled_before = self.durable, self.settled
        self.durable, self.settled = copy.deepcopy(self.now), {}

    def check(self, items: list[Item], is_whole: bool) -> None:
        """Against what a crash left; the last commit was cut short unless it `is_whole`."""
        found = unsettled(items)
        at_most, settled = self.durable, [self.settled]
        if not is_whole:
            at_most, settled = self.before, [self.settled, self.settled_before]
        at_least = {
            number: each.difference(*(gone.get(number, ()) for gone in settled)) for number, each in at_most.items()
        }
        for number, each in at_least.items():
            assert each <= found.get(number, set())
        for number, each in found.items():
            assert each <= at_most.get(number, set())
        for item in items:
            kind, head, body = self.contents[item.number]
            assert (kind, head, len(body)) == (item.kind, item.head, item.body_size)
        self.now, self.durable, self.settled, self.moves = found, copy.deepcopy(found), {}, []


async def run(folder: Path, script: list[tuple[str, int, int]]) -> None:
    model = Model()
    journal = open_at(folder, MAX_BYTES)
    sizes: dict[Path, int] = {}  # before the last commit

    async def commit() -> None:
        nonlocal sizes
        if journal._buffer.turn == journal._buffer.done:
            return
        now = sizes_of(folder)
        try:
            await journal.commit()
        except JournalFailed:
            sizes = sizes_of(folder)  # the commit before is on disk whole
            raise
        sizes = now
        model.commit()

    for event, value, more in script:
        numbers = list(model.now)
        number = numbers[value % len(numbers)] if event in ("settle", "move") and numbers else 0
        gone = set(range(5)) if more is None else set(more) if isinstance(more, list) else set()
        if event == "append":
            kind, head, body = 1 + more, b"h%d" % value, bytes([value % 256]) * value
            number = journal.append(kind, head, [body[:7], body[7:]], more)
            model.now[number] = set(range(more))
            model.contents[number] = kind, head, body
        elif event == "settle":
            journal.settle(number, more)
            model.settled.setdefault(number, set()).update(gone & model.now.get(number, set()))
            model.drop(number, gone)
        elif event == "move":
            journal.move(number, more)
            model.moves.append((number, gone))
        elif event == "fail":
            with failing_disk(after_bytes=value):
                try:
                    await commit()
                    assert journal.is_healthy
                except JournalFailed:
                    assert not journal.is_healthy
        elif event == "commit":
            await commit()
            assert journal.is_healthy
        else:
            crash(journal)
            is_whole = cut(folder, sizes, value)
            journal = open_at(folder, MAX_BYTES)
            model.check(journal.recovered(), is_whole)
            assert 0 == journal.damaged
            sizes = sizes_of(folder)
        await check_now(journal, model, folder)
    await commit()
    await check_now(journal, model, folder)
    await journal.close()
    again = open_at(folder, MAX_BYTES)
    assert model.now == unsettled(again.recovered())
    assert 0 == again.damaged
    await check_now(again, model, folder)
    await again.close()


def sizes_of(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_size for path in segments(folder)}


def cut(folder: Path, sizes: dict[Path, int], share: float) -> bool:
    """Cut the last commit short, at a share of its bytes; whether all of it is still there."""
    last = segments(folder)[-1:]
    if not last:
        return True
    size = last[0].stat().st_size
    start = min(sizes.get(last[0], 0), size)
    end = start + int((size - start) * share)
    with last[0].open("r+b") as file:
        file.truncate(end)
    return end == size


async def check_now(journal: Journal, model: Model, folder: Path) -> None:
    """The running journal agrees with the model, and with the disk."""
    assert len(model.now) == journal.live_items
    for number in list(model.now)[:3]:
        assert model.contents[number][2] == await journal.read(number)
    assert disk_bytes(folder) == journal._index.disk_bytes


@pytest.mark.usefixtures("small")
@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(events, min_size=20, max_size=80))
@example([("append", 3000, 2), ("commit", None, None)] * 8 + [("settle", 1, None)] * 6 + [("commit", None, None)] * 6)
def test_any_sequence(script: list[tuple[str, int, int]]) -> None:
    """S25, F8, F11: append, settle, move, commit, a failing disk and a crash at any byte, in any order."""
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "journal", script))
