"""What waits on disk alone, before a store that the test holds and with time that the test holds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

import pytest

from processor.errors import ComeBackLater
from processor.export.export import CHUNK_OVERHEAD_BYTES, Chunk, LossReason
from processor.export.overflow import Overflow, Stored
from processor.export.queue import Queue
from processor.origin import NO_ORIGIN
from processor.signals import Signal


class HeldStore:
    """Bodies by number, None for a damaged one; `failures` reads fail first."""

    def __init__(self) -> None:
        self.bodies: dict[int, bytes | None] = {}
        self.settled: list[int] = []
        self.failures = 0

    def settle(self, name: str, numbers: Iterable[int]) -> None:
        self.settled += numbers

    def divide(self, name: str, number: int) -> None:
        raise AssertionError("nothing here is divided")

    async def load(self, number: int) -> bytes | None:
        if self.failures:
            self.failures -= 1
            raise ComeBackLater("not now", 2)
        return self.bodies[number]

    def chunk(self, number: int) -> Chunk:
        body = b"%d" % number
        self.bodies[number] = body
        return Chunk(Signal.TRACES, body, 1, NO_ORIGIN, number)


Run = Callable[[Callable[[Overflow], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def run(client: Any, time: Any, tools: Any, store: HeldStore) -> Run:
    """Runs a scenario with room for one chunk in memory, checking the identity of S25 at its end."""

    def run(scenario: Callable[[Overflow], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            queue = Queue(client, tools.limits(), clock=time.clock, sleep=time.sleep, store=store)
            queue.start()
            share = CHUNK_OVERHEAD_BYTES + 1
            await scenario(Overflow(queue, store, share, clock=time.clock, sleep=time.sleep))
            await queue.close()
            tools.assert_balanced(queue)

        asyncio.run(main())

    return run


def test_order(run: Run, store: HeldStore, client: Any, tools: Any) -> None:
    """What waits on disk is loaded as soon as there is room, in the order of arrival (S27)."""

    async def scenario(overflow: Overflow) -> None:
        for number in (1, 2, 3):
            overflow.offer(store.chunk(number))
        assert 2 == len(overflow) == overflow.queue.ledger.counts[Signal.TRACES].journaled
        for _ in range(3):
            await tools.turns()
            await client.answer()
        await tools.turns()
        assert [b"1", b"2", b"3"] == [body for _, body in client.requests]
        assert [1, 2, 3] == store.settled

    run(scenario)


def test_shed(run: Run, store: HeldStore) -> None:
    """The oldest that are on disk alone are lost, counted and settled, and no more than is wanted (S27)."""

    async def scenario(overflow: Overflow) -> None:
        for number in (1, 2, 3):
            overflow.offer(store.chunk(number))
        overflow.shed(1)
        assert [2] == store.settled
        assert 1 == len(overflow)
        assert 1 == overflow.queue.ledger.counts[Signal.TRACES].lost[LossReason.QUEUE_FULL]

    run(scenario)


def test_damaged(run: Run, store: HeldStore, tools: Any) -> None:
    """A recovered chunk that is damaged is lost with its reason, and settled (F10)."""

    async def scenario(overflow: Overflow) -> None:
        store.bodies[7] = None
        overflow.recover(Stored(Signal.TRACES, 1, 1, NO_ORIGIN, 7, 0.0))
        overflow.start()
        await tools.turns()
        counts = overflow.queue.ledger.counts[Signal.TRACES]
        assert (1, 1, 0) == (counts.recovered, counts.lost[LossReason.DAMAGED], counts.journaled)
        assert [7] == store.settled

    run(scenario)


def test_read_again(run: Run, store: HeldStore, client: Any, time: Any, tools: Any) -> None:
    """What cannot be read now is tried again a second later, and nothing is lost (F11)."""

    async def scenario(overflow: Overflow) -> None:
        store.failures = 1
        chunk = store.chunk(1)
        overflow.recover(Stored(Signal.TRACES, 1, 1, NO_ORIGIN, 1, time.clock()))
        overflow.start()
        await tools.turns()
        assert not client.requests
        await time.advance(1.0)
        assert [(Signal.TRACES, chunk.body)] == client.requests
        await client.answer()

    run(scenario)
