"""The queue under any sequence of events: nothing is lost unseen, nothing taken is sent twice, memory is bounded."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.concurrency import MOST
from processor.export.export import CHUNK_OVERHEAD_BYTES, Outcome
from processor.export.queue import Queue
from processor.signals import Signal

CAPACITY_BYTES = 5000

answers = st.one_of(
    st.builds(Outcome, st.integers(0, 5)),
    st.builds(TransientError, st.just("down"), st.sampled_from([None, 0.0, 2.0, 100.0])),
    st.builds(PermanentError, st.just("never")),
    st.builds(BatchTooLarge, st.just("413")),
    st.builds(Unsupported, st.just("404")),
    st.builds(RuntimeError, st.just("defect")),
)
events = st.one_of(
    st.tuples(st.just("offer"), st.integers(1, 900), st.sampled_from(Signal)),
    st.tuples(st.just("answer"), st.integers(0, MOST - 1), answers),
    st.tuples(st.just("advance"), st.sampled_from([0.0, 0.5, 1.0, 10.0, 301.0]), st.none()),
)


def halves(body: bytes) -> tuple[bytes, bytes, int, int]:
    """One byte is one item."""
    middle = len(body) // 2
    return body[:middle], body[middle:], middle, len(body) - middle


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    script=st.lists(events, max_size=60),
    batch_max_bytes=st.sampled_from([100, 1000, 10_000]),
    delay_s=st.sampled_from([0.0, 0.7]),
    drains=st.booleans(),
)
def test_any_sequence(tools: Any, script: Any, batch_max_bytes: int, delay_s: float, drains: bool) -> None:
    """After every event of any sequence S25 holds and memory is bounded (S17); in the end all is exported or lost."""

    async def main() -> None:
        time, client = tools.HeldTime(), tools.AnsweredClient()
        limits = tools.limits(batch_max_bytes=batch_max_bytes, batch_max_delay_s=delay_s, max_age_s=300.0)
        queue = Queue(client, limits, clock=time.clock, sleep=time.sleep, random=lambda: 0.5, split=halves)
        queue.start()
        divisions = 0
        for event, number, what in script:
            if event == "offer" and queue.used_bytes + number + CHUNK_OVERHEAD_BYTES <= CAPACITY_BYTES:
                body = bytes([number % 251]) * number
                queue.offer(tools.chunk(body, number if what is Signal.TRACES else 1, what))
                await tools.turns(4)
            elif event == "answer" and client.open_count > number:
                divisions += isinstance(what, BatchTooLarge)
                await client.answer(what, number)
            elif event == "advance":
                await time.advance(number)
            check(queue, divisions)
        if drains:
            draining = asyncio.create_task(queue.drain(time.now + 20.0))
            await time.advance(20.0)
            await draining
        await queue.close()
        tools.assert_balanced(queue)
        assert [0, 0, 0] == [counts.queued for counts in queue.ledger.counts.values()]
        assert 0 == queue.used_bytes

    def check(queue: Queue, divisions: int) -> None:
        tools.assert_balanced(queue)
        assert 0 <= queue.in_flight <= MOST
        # A division adds the overhead of one more piece.
        assert 0 <= queue.used_bytes <= CAPACITY_BYTES + divisions * CHUNK_OVERHEAD_BYTES

    asyncio.run(main())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sizes=st.lists(st.integers(1, 40), min_size=1, max_size=30),
    fates=st.lists(st.sampled_from(["take", "take", "down", "large"]), max_size=60),
    batch_max_bytes=st.sampled_from([1, 30, 10_000]),
)
def test_everything_arrives_once(tools: Any, sizes: list[int], fates: list[str], batch_max_bytes: int) -> None:
    """Whatever fails on the way, the downstream takes every item exactly once, if it only recovers (F3)."""

    async def main() -> None:
        time, client = tools.HeldTime(), tools.AnsweredClient()
        limits = tools.limits(batch_max_bytes=batch_max_bytes, max_age_s=None)
        queue = Queue(client, limits, clock=time.clock, sleep=time.sleep, random=lambda: 0.5, split=halves)
        queue.start()
        taken: Counter[int] = Counter()
        offered: Counter[int] = Counter()
        for number, size in enumerate(sizes):
            queue.offer(tools.chunk(bytes([number]) * size, size))
            offered[number] = size
            await tools.turns(3)
        remaining = iter(fates)
        while queue.used_bytes:
            if not client.open_count:
                await time.advance(7.5)
            body = client.open_body
            fate = next(remaining, "take")
            if fate == "take":
                taken.update(body)
            too_large = fate == "large" and len(body) > 1
            await client.answer(TransientError("x") if fate == "down" else BatchTooLarge("413") if too_large else None)
            if fate == "large" and not too_large:
                taken.update(body)
        assert offered == taken
        assert sum(sizes) == queue.ledger.counts[Signal.TRACES].exported
        await queue.close()

    asyncio.run(main())
