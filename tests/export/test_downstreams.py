"""Several downstreams as one (S27): each for itself, none to the harm of another."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from processor.errors import TransientError, Unsupported
from processor.export.downstreams import Downstreams
from processor.export.export import CHUNK_OVERHEAD_BYTES, LossReason
from processor.export.queue import PROBE_UNSUPPORTED_S, Queue
from processor.header_names import HeaderNames
from processor.origin import Origin
from processor.signals import Signal

MEMORY = 10_000


class Rig:
    """Two downstreams, `well` and `dead`, before clients that the test answers."""

    def __init__(self, time: Any, tools: Any, names: tuple[str, ...] = ("well", "dead"), **limits: Any) -> None:
        self.tools = tools
        self.others_bytes = 0
        self.clients = {name: tools.AnsweredClient() for name in names}
        self.queues = {
            name: Queue(
                client,
                tools.limits(**limits),
                name=name,
                forwards=HeaderNames((f"x-{name}",)),
                clock=time.clock,
                sleep=time.sleep,
                random=lambda: 0.5,
                split=tools.split,
            )
            for name, client in self.clients.items()
        }
        self.downstreams = Downstreams(self.queues, MEMORY, lambda: self.others_bytes)

    def offer(self, size: int = 1, **parts: Any) -> Any:
        chunk = self.tools.chunk(b"x" * (size - CHUNK_OVERHEAD_BYTES if size > 1 else 1), **parts)
        self.downstreams.offer(chunk)
        return chunk

    async def fail(self, name: str = "dead") -> None:
        """A request fails; from now on its downstream is away."""
        self.offer()
        await self.tools.turns()
        await self.clients[name].answer(TransientError("down"))

    async def answer_all(self, name: str = "well") -> None:
        while self.clients[name].open_count:
            await self.clients[name].answer()

    def check(self) -> None:
        for queue in self.queues.values():
            self.tools.assert_balanced(queue)


@pytest.fixture
def run(time: Any, tools: Any) -> Callable[..., None]:
    """Runs a scenario with a rig that is started, and closed at the end."""

    def run(scenario: Callable[[Rig], Coroutine[Any, Any, None]], **parts: Any) -> None:
        async def main() -> None:
            rig = Rig(time, tools, **parts)
            rig.downstreams.start()
            await tools.turns()
            await scenario(rig)
            rig.check()
            await rig.downstreams.close()
            rig.check()
            assert 0 == rig.downstreams.used_bytes
            assert all(client.is_closed for client in rig.clients.values())

        asyncio.run(main())

    return run


def spans(queue: Queue) -> Any:
    return queue.ledger.counts[Signal.TRACES]


def test_each_gets_everything(run: Any, tools: Any) -> None:
    """A chunk goes to every downstream, its bytes shared, and each accounts for it itself."""

    async def scenario(rig: Rig) -> None:
        chunk = rig.offer(items=3)
        await tools.turns()
        assert {id(chunk.body)} == {id(body) for client in rig.clients.values() for _, body in client.requests}
        await rig.answer_all()
        assert (3, 0) == (spans(rig.queues["well"]).exported, spans(rig.queues["well"]).queued)
        assert (0, 3) == (spans(rig.queues["dead"]).exported, spans(rig.queues["dead"]).queued)

    run(scenario)


def test_a_dead_one_delays_nobody(run: Any, tools: Any, time: Any) -> None:
    """While one is away the other gets each chunk in the same turns as ever, and is available."""

    async def scenario(rig: Rig) -> None:
        await rig.fail()
        await rig.answer_all()
        for number in range(20):
            rig.offer()
            await tools.turns(4)
            assert 1 == rig.clients["well"].open_count
            await rig.answer_all()
            assert number + 2 == spans(rig.queues["well"]).exported
        assert rig.downstreams.is_available
        assert [True, False] == [queue.is_available for queue in rig.queues.values()]
        assert 21 == spans(rig.queues["dead"]).queued

    run(scenario)


def test_a_full_one_loses_its_oldest(run: Any, tools: Any, caplog: Any) -> None:
    """Beyond its share a dead downstream loses its oldest, counted and said; the other loses nothing, none is refused."""

    async def scenario(rig: Rig) -> None:
        await rig.fail()
        await rig.answer_all()
        for _ in range(20):
            rig.offer(1000)
            await tools.turns()
            await rig.answer_all()
            assert MEMORY // 2 >= rig.queues["dead"].used_bytes
            assert 0 <= rig.downstreams.room_beside(1000)
        assert 21 == spans(rig.queues["well"]).exported
        assert {} == tools.lost(rig.queues["well"])
        # The very first one and all but the last five of 1,000 bytes.
        assert {LossReason.QUEUE_FULL: 1 + 15} == tools.lost(rig.queues["dead"])
        assert 5 == spans(rig.queues["dead"]).queued

    run(scenario)
    assert 2 >= len([line for line in caplog.messages if "downstream=dead reason=queue_full" in line]) >= 1
    assert not [line for line in caplog.messages if "downstream=well reason" in line]


def test_what_is_lost_is_the_oldest(run: Any, time: Any, tools: Any) -> None:
    """Of batches that are to be sent again and chunks that wait, the one that came first goes first."""

    async def scenario(rig: Rig) -> None:
        for size in (600, 700):
            rig.offer(size, items=size)
            await tools.turns()
            await time.advance(0.1)
        await rig.clients["dead"].answer(TransientError("down"), 1)
        await rig.clients["dead"].answer(TransientError("down"))
        rig.offer(800, items=800)
        queue = rig.queues["dead"]
        lost = []
        for _ in range(3):
            queue.shed(queue.used_bytes - 1)
            lost.append(tools.lost(queue)[LossReason.QUEUE_FULL])
        assert [600, 600 + 700, 600 + 700 + 800] == lost
        rig.queues["well"].shed(0)

    run(scenario)


def test_when_all_are_full_nobody_loses(run: Any, tools: Any) -> None:
    """With every downstream away there is no room, so requests are refused; what comes all the same is kept."""

    async def scenario(rig: Rig) -> None:
        await rig.fail()
        await rig.clients["well"].answer(TransientError("down"))
        while rig.downstreams.room_beside(1000 - CHUNK_OVERHEAD_BYTES) >= 0:
            rig.offer(1000)
        assert MEMORY >= rig.downstreams.used_bytes >= MEMORY - 2 * 1000
        for _ in range(3):
            rig.offer(1000)  # held spans that are released
        assert [{}, {}] == [tools.lost(queue) for queue in rig.queues.values()]

    run(scenario)


def test_shares_follow_what_else_is_kept(run: Any, tools: Any) -> None:
    """The shares are of what the trees leave; what else is kept may grow to where the least full still has room."""

    async def scenario(rig: Rig) -> None:
        await rig.fail()
        await rig.answer_all()
        rig.others_bytes = MEMORY - 4000
        for _ in range(10):
            rig.offer(1000)
            await tools.turns()
            await rig.answer_all()
        assert 2000 == rig.queues["dead"].used_bytes
        assert MEMORY - 2 * 500 == rig.downstreams.room_beside(500 - CHUNK_OVERHEAD_BYTES)

    run(scenario)


def test_one_alone_never_loses_for_room(run: Any, tools: Any) -> None:
    """With a single downstream nothing is lost for room: requests are refused in time (S17)."""

    async def scenario(rig: Rig) -> None:
        await rig.fail()
        for _ in range(20):
            rig.offer(1000)
        assert {} == tools.lost(rig.queues["dead"])
        assert 0 > rig.downstreams.room_beside(0)

    run(scenario, names=("dead",))


@pytest.mark.parametrize("signal", [Signal.METRICS, Signal.LOGS])
def test_unsupported_by_one(run: Any, time: Any, tools: Any, signal: Signal) -> None:
    """A signal is taken while one downstream takes it; whoever does not loses it for itself, but for a probe (S31)."""

    async def scenario(rig: Rig) -> None:
        rig.offer(signal=signal)
        await tools.turns()
        await rig.clients["dead"].answer(Unsupported("404"))
        assert rig.downstreams.takes(signal)
        for _ in range(3):
            rig.offer(signal=signal)
            await tools.turns()
            await rig.answer_all()
        assert {LossReason.UNSUPPORTED: 4} == tools.lost(rig.queues["dead"], signal)
        assert 4 == rig.queues["well"].ledger.counts[signal].exported
        await time.advance(PROBE_UNSUPPORTED_S)
        rig.offer(signal=signal)
        await tools.turns()
        assert 1 == rig.clients["dead"].open_count
        await rig.clients["dead"].answer(Unsupported("404"))
        await rig.answer_all()
        rig.offer(signal=signal)
        await tools.turns()
        await rig.clients["well"].answer(Unsupported("404"))
        assert not rig.downstreams.takes(signal)

    run(scenario)


def test_each_sees_its_own_headers(run: Any, tools: Any) -> None:
    """S28: what one downstream forwards is not shown to another."""

    async def scenario(rig: Rig) -> None:
        rig.offer(origin=Origin((("x-dead", "1"), ("x-well", "2"))))
        await tools.turns()
        assert [(("x-well", "2"),)] == rig.clients["well"].headers
        assert [(("x-dead", "1"),)] == rig.clients["dead"].headers

    run(scenario)


def test_drains_side_by_side(run: Any, time: Any, tools: Any) -> None:
    """S29: the deadline is for all at once; what a dead one still has is lost{shutdown} there alone."""

    async def scenario(rig: Rig) -> None:
        rig.offer(items=2)
        await tools.turns()
        draining = asyncio.create_task(rig.downstreams.drain(time.now + 10.0))
        await tools.turns()
        await rig.answer_all()
        await time.advance(9.9)
        assert not draining.done()
        await time.advance(0.1)
        await draining
        assert [{}, {LossReason.SHUTDOWN: 2}] == [tools.lost(queue) for queue in rig.queues.values()]
        assert 2 == spans(rig.queues["well"]).exported

    run(scenario)


def test_the_hop_header_is_everybodys(run: Any, tools: Any) -> None:
    """S30: every client says which processes the spans came through."""

    async def scenario(rig: Rig) -> None:
        rig.downstreams.mark("a,b")
        assert ["a,b", "a,b"] == [client.hop for client in rig.clients.values()]

    run(scenario)
