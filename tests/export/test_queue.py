"""The queue's rules, before a client that the test answers and with time that the test holds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.concurrency import START
from processor.export.export import CHUNK_OVERHEAD_BYTES, Attempt, LossReason, Outcome, Refused
from processor.export.queue import PROBE_UNSUPPORTED_S, Queue
from processor.signals import Signal

Run = Callable[[Callable[[Queue], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def attempts() -> list[Attempt]:
    return []


@pytest.fixture
def run(client: Any, time: Any, tools: Any, attempts: list[Attempt]) -> Callable[..., None]:
    """Runs a scenario with a started queue, without jitter; checks the identity of S25 after each attempt."""

    def run(scenario: Callable[[Queue], Coroutine[Any, Any, None]], *, start: bool = True, **limits: Any) -> None:
        async def main() -> None:
            queue = Queue(
                client,
                tools.limits(**limits),
                clock=time.clock,
                worked=time.worked,
                sleep=time.sleep,
                random=lambda: 0.5,
                split=tools.split,
                observe=lambda outcome, _: (attempts.append(outcome), tools.assert_balanced(queue)),
            )
            if start:
                queue.start()
                await tools.turns()
            await scenario(queue)
            await queue.close()
            tools.assert_balanced(queue)
            assert 0 == queue.used_bytes == queue.ledger.counts[Signal.TRACES].queued

        asyncio.run(main())

    return run


def test_leaves_at_once(run: Any, client: Any, tools: Any) -> None:
    """With a free slot a chunk is on its way after two turns of the loop, and BATCH_MAX_DELAY is 0 by default (S27)."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns(2)
        assert [(Signal.TRACES, b"a")] == client.requests
        assert 1 == queue.in_flight

    run(scenario)


def test_same_turn_goes_together(run: Any, client: Any, tools: Any) -> None:
    """Chunks that are offered in one turn of the loop share a request, and wake one slot, not four."""

    async def scenario(queue: Queue) -> None:
        for body in (b"a", b"b", b"c", b"d", b"e"):
            queue.offer(tools.chunk(body))
        await tools.turns()
        assert [b"abcde"] == [body for _, body in client.requests]

    run(scenario)


def test_slots_work_side_by_side(run: Any, client: Any, tools: Any) -> None:
    """As many requests are under way as there are slots; then chunks gather, and leave joined by the next (S27)."""

    async def scenario(queue: Queue) -> None:
        for number in range(START + 3):
            queue.offer(tools.chunk(bytes([97 + number])))
            await tools.turns()
        assert START == queue.in_flight == client.open_count
        await client.answer()
        assert b"efg" == client.requests[-1][1]

    run(scenario)


def test_more_than_a_batch_uses_more_slots(run: Any, client: Any, tools: Any) -> None:
    """What is more than one request holds goes out through several slots at once, each batch within its limits."""

    async def scenario(queue: Queue) -> None:
        for number in range(10):
            queue.offer(tools.chunk(bytes([97 + number])))
        await tools.turns()
        assert [b"abc", b"def", b"ghi", b"j"] == [body for _, body in client.requests]

    run(scenario, batch_max_bytes=3)


def test_signals_have_their_own_requests(run: Any, client: Any, tools: Any) -> None:
    """Spans, metrics and logs never share a request, and all leave, the signal that came first before the others."""

    async def scenario(queue: Queue) -> None:
        for signal in (Signal.TRACES, Signal.LOGS, Signal.TRACES, Signal.METRICS):
            queue.offer(tools.chunk(signal.value.encode(), signal=signal))
        await tools.turns()
        assert [
            (Signal.TRACES, b"tracestraces"),
            (Signal.LOGS, b"logs"),
            (Signal.METRICS, b"metrics"),
        ] == client.requests

    run(scenario)


def test_offered_before_start(run: Any, client: Any, tools: Any) -> None:
    """What is offered before the start waits for it."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        assert [] == client.requests
        queue.start()
        await tools.turns()
        assert [(Signal.TRACES, b"a")] == client.requests

    run(scenario, start=False)


def test_batch_max_delay(run: Any, client: Any, time: Any, tools: Any) -> None:
    """With BATCH_MAX_DELAY chunks gather while slots are free, until the oldest waited so long or the batch is full."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await time.advance(0.3)
        queue.offer(tools.chunk(b"b"))
        await time.advance(0.19)
        assert [] == client.requests
        await time.advance(0.01)
        assert [b"ab"] == [body for _, body in client.requests]
        for body in (b"cc", b"dd"):
            queue.offer(tools.chunk(body))
        await tools.turns()
        assert b"ccdd" == client.requests[-1][1]

    run(scenario, batch_max_delay_s=0.5, batch_max_bytes=4)


def test_chunks_gather_in_a_busy_process(run: Any, client: Any, time: Any, tools: Any) -> None:
    """In a process that is never idle chunks gather since the last request started: until the time is over, whatever is
    answered meanwhile, or the batch is full (S27).
    """

    async def scenario(queue: Queue) -> None:
        for body in (b"a", b"b"):
            queue.offer(tools.chunk(body))
            await time.advance(1 / 64)
        for body in (b"c", b"d"):
            queue.offer(tools.chunk(body))
            await tools.turns()
        assert [b"a", b"b", b"c"] == [body for _, body in client.requests]
        for _ in range(3):
            await client.answer()
        await time.advance(1 / 128)
        queue.offer(tools.chunk(b"e"))
        await tools.turns()
        assert 0 == queue.in_flight
        await time.advance(1 / 128)
        assert b"de" == client.requests[-1][1]
        for body in (b"ff", b"gg"):
            queue.offer(tools.chunk(body))
            await tools.turns()
        assert (b"ffgg", 2) == (client.requests[-1][1], queue.in_flight)

    time.busy = 1.0
    run(scenario, gather_s=1 / 64, batch_max_bytes=4)


def test_nothing_gathers_in_an_idle_process(run: Any, client: Any, tools: Any) -> None:
    """Where there is nothing else to do, each leaves at once, beside those under way (S27)."""

    async def scenario(queue: Queue) -> None:
        for body in (b"a", b"b", b"c"):
            queue.offer(tools.chunk(body))
            await tools.turns()
        assert [b"a", b"b", b"c"] == [body for _, body in client.requests]

    run(scenario, gather_s=1 / 64)


def test_what_gathers_leaves_when_draining(run: Any, client: Any, time: Any, tools: Any) -> None:
    """At the end nothing waits for company (S29)."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await time.advance(1 / 64)
        for body in (b"b", b"c"):
            queue.offer(tools.chunk(body))
            await tools.turns()
        assert [b"a", b"b"] == [body for _, body in client.requests]
        draining = asyncio.create_task(queue.drain(time.now + 1))
        await tools.turns()
        assert [b"a", b"b", b"c"] == [body for _, body in client.requests]
        for _ in range(3):
            await client.answer()
        await draining

    time.busy = 1.0
    run(scenario, gather_s=1 / 64)


def test_exported(run: Any, client: Any, time: Any, tools: Any, attempts: list[Attempt]) -> None:
    """In flight counts as queued; an acknowledgement makes it exported in one step (S25)."""

    async def scenario(queue: Queue) -> None:
        counts = queue.ledger.counts[Signal.TRACES]
        queue.offer(tools.chunk(b"abc", items=7))
        await tools.turns()
        assert (7, 7, 0) == (counts.accepted, counts.queued, counts.exported)
        assert 3 + CHUNK_OVERHEAD_BYTES == queue.used_bytes
        await client.answer()
        assert (7, 0, 7) == (counts.accepted, counts.queued, counts.exported)
        assert 0 == queue.used_bytes

    run(scenario)
    assert [Attempt.SUCCESS] == attempts


def test_partial_success(run: Any, client: Any, tools: Any, attempts: list[Attempt], caplog: Any) -> None:
    """Rejected spans are lost{rejected}, the rest exported, with one attempt and one warning a window (E3, F6)."""

    async def scenario(queue: Queue) -> None:
        for _ in range(3):
            queue.offer(tools.chunk(b"abc", items=7))
            await tools.turns()
            await client.answer(Outcome(3, "no\nthanks"))
        assert ({LossReason.REJECTED: 9}, 12) == (tools.lost(queue), queue.ledger.counts[Signal.TRACES].exported)

    run(scenario)
    assert [Attempt.SUCCESS] * 3 == attempts
    assert ["partial success: downstream=otlp signal=traces rejected=3 message=no\\nthanks"] == caplog.messages


def test_partial_success_beyond_the_batch(run: Any, client: Any, tools: Any) -> None:
    """A downstream that rejects more than it was sent cannot upset the accounting."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"abc", items=7))
        await tools.turns()
        await client.answer(Outcome(99))
        assert {LossReason.REJECTED: 7} == tools.lost(queue)

    run(scenario)


def test_partial_success_of_metrics(run: Any, client: Any, tools: Any) -> None:
    """Rejected data points are warned of; the relayed request itself is delivered."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"abc", signal=Signal.METRICS))
        await tools.turns()
        await client.answer(Outcome(50, "half of it"))
        assert ({}, 1) == (tools.lost(queue, Signal.METRICS), queue.ledger.counts[Signal.METRICS].exported)

    run(scenario)


def test_transient_failure_is_retried(run: Any, client: Any, time: Any, tools: Any, attempts: list[Attempt]) -> None:
    """A batch that failed transiently goes again after the backoff, and is still queued meanwhile (E1, E2)."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        await client.answer(TransientError("down"))
        assert (0, 1, False) == (queue.in_flight, queue.ledger.counts[Signal.TRACES].queued, queue.is_available)
        await time.advance(0.99)
        assert 1 == len(client.requests)
        await time.advance(0.01)
        assert [b"a", b"a"] == [body for _, body in client.requests]
        await client.answer()
        assert (1, True) == (queue.ledger.counts[Signal.TRACES].exported, queue.is_available)

    run(scenario)
    assert [Attempt.TRANSIENT, Attempt.SUCCESS] == attempts


def test_no_attempt_before_the_downstream_allows(run: Any, client: Any, time: Any, tools: Any) -> None:
    """Nothing goes out before the wait that was asked for, neither fresh chunks nor after a late success (F4)."""

    async def scenario(queue: Queue) -> None:
        for body in (b"a", b"b"):
            queue.offer(tools.chunk(body))
            await tools.turns()
        await client.answer(TransientError("busy", 2.0))
        await client.answer()
        queue.offer(tools.chunk(b"c"))
        await time.advance(1.999)
        assert 2 == len(client.requests)
        await time.advance(0.001)
        assert 3 == len(client.requests)

    run(scenario)


def test_one_probe_then_all(run: Any, client: Any, time: Any, tools: Any) -> None:
    """While the downstream is away one request at a time probes; its success lets more go again."""

    async def scenario(queue: Queue) -> None:
        for number in range(START):
            queue.offer(tools.chunk(bytes([97 + number])))
            await tools.turns()
        for _ in range(START):
            await client.answer(TransientError("down"))
        await time.advance(1.0)
        assert 1 == client.open_count
        await client.answer(TransientError("down"))
        await time.advance(1.0)
        assert 0 == client.open_count
        await time.advance(0.5)
        assert 1 == client.open_count
        await client.answer()
        assert 2 == client.open_count

    run(scenario)


def test_backoff_does_not_hold_slots(run: Any, client: Any, time: Any, tools: Any) -> None:
    """Chunks that come during an outage join batches, and the outage ends with one success, not one a batch."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        await client.answer(TransientError("down"))
        for _ in range(100):
            queue.offer(tools.chunk(b"b"))
        await time.advance(1.0)
        await client.answer()
        assert [b"a", b"a", b"b" * 100] == [body for _, body in client.requests]

    run(scenario)


def test_a_bad_batch_does_not_keep_others_back(run: Any, client: Any, time: Any, tools: Any) -> None:
    """A batch that always fails transiently lets others probe after its second failure: no head-of-line blocking."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"bad"))
        await tools.turns()
        await client.answer(TransientError("timeout"))
        queue.offer(tools.chunk(b"good"))
        await time.advance(1.0)
        await client.answer(TransientError("timeout"))
        await time.advance(1.5)
        assert [b"bad", b"bad", b"good"] == [body for _, body in client.requests]
        await client.answer()
        assert b"bad" == client.requests[-1][1]

    run(scenario)


def test_too_old(run: Any, client: Any, time: Any, tools: Any) -> None:
    """What could not be delivered within QUEUE_MAX_AGE is lost{too_old}, batches and waiting chunks alike."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a", items=2))
        await tools.turns()
        await client.answer(TransientError("later", 3600.0))
        await time.advance(5.0)
        queue.offer(tools.chunk(b"b", items=3))
        await time.advance(24.999)
        assert {} == tools.lost(queue)
        await time.advance(0.001)
        assert {LossReason.TOO_OLD: 2} == tools.lost(queue)
        await time.advance(5.0)
        assert ({LossReason.TOO_OLD: 5}, 0) == (tools.lost(queue), queue.used_bytes)

    run(scenario, max_age_s=30.0)


def test_too_old_after_its_attempt(run: Any, client: Any, time: Any, tools: Any) -> None:
    """A batch that grew too old during its attempt is not tried again."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a", items=2))
        await time.advance(31.0)
        await client.answer(TransientError("down"))
        assert {LossReason.TOO_OLD: 2} == tools.lost(queue)

    run(scenario, max_age_s=30.0)


def test_no_age_limit(run: Any, client: Any, time: Any, tools: Any) -> None:
    """Without QUEUE_MAX_AGE, as with a journal, nothing is ever too old."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        await client.answer(TransientError("down", 3600.0))
        await time.advance(3600.0)
        await client.answer()
        assert 1 == queue.ledger.counts[Signal.TRACES].exported

    run(scenario, max_age_s=None)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (Refused(LossReason.INVALID, "INVALID_ARGUMENT"), LossReason.INVALID),
        (Refused(LossReason.UNAUTHENTICATED, "HTTP 401"), LossReason.UNAUTHENTICATED),
        (PermanentError("never"), LossReason.REFUSED),
        (Unsupported("UNIMPLEMENTED"), LossReason.UNSUPPORTED),
        (RuntimeError("a defect"), LossReason.FAULT),
    ],
)
def test_permanent_failure(run: Any, client: Any, tools: Any, error: Exception, reason: LossReason) -> None:
    """A refusal for good costs one attempt and is lost with its reason; others flow on (E1, F5)."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a", items=2))
        await tools.turns()
        await client.answer(error)
        assert {reason: 2} == tools.lost(queue)
        queue.offer(tools.chunk(b"b", items=3))
        await tools.turns()
        await client.answer()
        assert 3 == queue.ledger.counts[Signal.TRACES].exported
        assert 2 == len(client.requests)

    run(scenario)


def test_permanent_answer_ends_an_outage(run: Any, client: Any, time: Any, tools: Any) -> None:
    """A refusal is an answer: the downstream is there again."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        await client.answer(TransientError("down"))
        await time.advance(1.0)
        await client.answer(PermanentError("never"))
        assert queue.is_available

    run(scenario)


def test_a_bad_chunk_is_lost_alone(time: Any, tools: Any) -> None:
    """S9, S27: chunks that gathered and are refused for what one of them holds are sent again apart; that one is lost."""

    async def main() -> None:
        refusal = Refused(LossReason.INVALID, "INVALID_ARGUMENT")
        taker = tools.AnsweredClient(lambda _, body: refusal if b"bad" in body else Outcome())
        queue = Queue(taker, tools.limits(), clock=time.clock, sleep=time.sleep, split=tools.split)
        for body in (b"one", b"two", b"bad", b"four"):
            queue.offer(tools.chunk(body))
        queue.start()
        await tools.turns(100)
        assert ({LossReason.INVALID: 1}, 3, 0) == (
            tools.lost(queue),
            queue.ledger.counts[Signal.TRACES].exported,
            queue.used_bytes,
        )
        delivered = b"".join(body for _, body in taker.requests if b"bad" not in body)
        assert sorted(b"onetwofour") == sorted(delivered)
        tools.assert_balanced(queue)
        await queue.close()

    asyncio.run(main())


def test_a_stranger_is_not_divided(time: Any, tools: Any) -> None:
    """What is refused for who sends it is refused once (E1)."""

    async def main() -> None:
        refusal = Refused(LossReason.UNAUTHENTICATED, "HTTP 401")
        taker = tools.AnsweredClient(lambda _, __: refusal)
        queue = Queue(taker, tools.limits(), clock=time.clock, sleep=time.sleep, split=tools.split)
        for body in (b"one", b"two"):
            queue.offer(tools.chunk(body))
        queue.start()
        await tools.turns(100)
        assert ({LossReason.UNAUTHENTICATED: 2}, 1) == (tools.lost(queue), len(taker.requests))
        await queue.close()

    asyncio.run(main())


def limited(tools: Any, most_spans: int) -> Callable[[Signal, bytes], Outcome | Exception]:
    return lambda _, body: BatchTooLarge("413") if len(tools.span_ids(body)) > most_spans else Outcome()


@pytest.mark.parametrize("most_spans", [1, 3, 100])
def test_halving(time: Any, tools: Any, most_spans: int) -> None:
    """A batch that is too large goes in halves, by chunks and then by spans, until it passes; nothing is lost (S27)."""

    async def main() -> None:
        taker = tools.AnsweredClient(limited(tools, most_spans))
        queue = Queue(taker, tools.limits(), clock=time.clock, sleep=time.sleep, split=tools.split)
        for count in (13, 1, 50):
            queue.offer(tools.chunk(tools.spans(count), items=count))
        queue.start()
        await tools.turns(3000)
        assert ({}, 64, 0) == (tools.lost(queue), queue.ledger.counts[Signal.TRACES].exported, queue.used_bytes)
        delivered = [ids for _, body in taker.requests if len(ids := tools.span_ids(body)) <= most_spans]
        expected = sorted([*range(13), *range(1), *range(50)])
        assert expected == sorted(number for ids in delivered for number in ids)
        tools.assert_balanced(queue)
        await queue.close()

    asyncio.run(main())


def test_one_span_too_large(time: Any, tools: Any) -> None:
    """A single span that is too large is lost{too_large}, alone."""

    async def main() -> None:
        taker = tools.AnsweredClient(lambda _, body: BatchTooLarge("413") if len(body) > 300 else Outcome())
        queue = Queue(taker, tools.limits(), clock=time.clock, sleep=time.sleep, split=tools.split)
        queue.offer(tools.chunk(tools.spans(4, name_bytes=20), items=4))
        queue.offer(tools.chunk(tools.spans(1, name_bytes=1000), items=1))
        queue.offer(tools.chunk(tools.spans(4, name_bytes=20), items=4))
        queue.start()
        await tools.turns(300)
        assert ({LossReason.TOO_LARGE: 1}, 8) == (tools.lost(queue), queue.ledger.counts[Signal.TRACES].exported)
        await queue.close()

    asyncio.run(main())


def test_quota_is_not_hammered(time: Any, tools: Any) -> None:
    """A downstream that finds everything too large means something else: dividing stops after a few vain attempts."""

    async def main() -> None:
        taker = tools.AnsweredClient(lambda *_: BatchTooLarge("RESOURCE_EXHAUSTED"))
        queue = Queue(taker, tools.limits(), clock=time.clock, sleep=time.sleep, split=tools.split)
        queue.offer(tools.chunk(tools.spans(1000), items=1000))
        queue.start()
        await tools.turns(3000)
        assert {LossReason.TOO_LARGE: 1000} == tools.lost(queue)
        assert len(taker.requests) < 50
        await queue.close()

    asyncio.run(main())


def test_broken_splitter(run: Any, client: Any, time: Any, tools: Any) -> None:
    """A body that the splitter chokes on is lost{too_large}; the slots live on."""

    async def scenario(queue: Queue) -> None:
        for _ in range(START + 1):
            queue.offer(tools.chunk(b"\xff\xff", items=2))
            await tools.turns()
            await client.answer(BatchTooLarge("413"))
        assert {LossReason.TOO_LARGE: 2 * (START + 1)} == tools.lost(queue)

    run(scenario)


def test_unsupported_signal(run: Any, client: Any, time: Any, tools: Any) -> None:
    """After the first "unsupported" for metrics senders are told, and one request probes every 5 min; what others take
    is lost{unsupported} here (S31).
    """

    async def scenario(queue: Queue) -> None:
        metrics = tools.chunk(b"m", signal=Signal.METRICS)
        queue.offer(metrics)
        await tools.turns()
        await client.answer(Unsupported("UNIMPLEMENTED"))
        assert frozenset({Signal.METRICS}) == queue.unsupported
        assert [False, True, True] == [queue.takes(s) for s in (Signal.METRICS, Signal.TRACES, Signal.LOGS)]
        await time.advance(PROBE_UNSUPPORTED_S - 0.001)
        assert not queue.takes(Signal.METRICS)
        await time.advance(0.001)
        assert queue.takes(Signal.METRICS)
        queue.offer(metrics)
        assert not queue.takes(Signal.METRICS)
        queue.offer(metrics)
        assert {LossReason.UNSUPPORTED: 2} == tools.lost(queue, Signal.METRICS)
        await tools.turns()
        await client.answer()
        assert queue.takes(Signal.METRICS)
        assert frozenset() == queue.unsupported
        assert 1 == queue.ledger.counts[Signal.METRICS].exported
        assert {LossReason.UNSUPPORTED: 2} == tools.lost(queue, Signal.METRICS)

    run(scenario)


def test_unsupported_drops_what_waits(run: Any, client: Any, time: Any, tools: Any) -> None:
    """What waits of an unsupported signal to be sent again is lost{unsupported} too; spans stay (S31)."""

    async def scenario(queue: Queue) -> None:
        for signal in (Signal.METRICS, Signal.TRACES):
            queue.offer(tools.chunk(b"x", signal=signal))
            await tools.turns()
        queue.offer(tools.chunk(b"x", signal=Signal.METRICS))
        await tools.turns()
        await client.answer(TransientError("down"))
        await client.answer(TransientError("down"))
        await client.answer(Unsupported("HTTP 404"))
        assert {LossReason.UNSUPPORTED: 2} == tools.lost(queue, Signal.METRICS)
        assert 1 == queue.ledger.counts[Signal.TRACES].queued

    run(scenario)


def test_unsupported_traces_are_never_turned_away(run: Any, client: Any, tools: Any) -> None:
    """Spans are the processor's own business: a batch that is not taken is lost, and senders are not turned away."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"t"))
        await tools.turns()
        await client.answer(Unsupported("UNIMPLEMENTED"))
        assert queue.takes(Signal.TRACES)
        assert {LossReason.UNSUPPORTED: 1} == tools.lost(queue)

    run(scenario)


def test_drain_waits_for_success(run: Any, client: Any, time: Any, tools: Any) -> None:
    """Draining sends what gathers at once, goes on retrying, and ends as soon as all is delivered (S29)."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        draining = asyncio.create_task(queue.drain(time.now + 10.0))
        await tools.turns()
        await client.answer(TransientError("down"))
        await time.advance(1.0)
        await client.answer()
        assert draining.done()
        assert 1 == queue.ledger.counts[Signal.TRACES].exported

    run(scenario, batch_max_delay_s=60.0)


def test_drain_gives_up_at_the_deadline(run: Any, client: Any, time: Any, tools: Any) -> None:
    """At the deadline what waits and what is in flight is lost{shutdown}, and so is what comes after (S29)."""

    async def scenario(queue: Queue) -> None:
        for items in (1, 2, 4, 8, 16):
            queue.offer(tools.chunk(b"a", items=items))
            await tools.turns()
        await client.answer(TransientError("down"))
        draining = asyncio.create_task(queue.drain(time.now + 10.0))
        await time.advance(9.999)
        assert not draining.done()
        await time.advance(0.001)
        await draining
        assert {LossReason.SHUTDOWN: 31} == tools.lost(queue)
        queue.offer(tools.chunk(b"a", items=32))
        assert {LossReason.SHUTDOWN: 63} == tools.lost(queue)

    run(scenario)


def test_shutdown_says_all_that_is_lost(run: Any, client: Any, tools: Any, caplog: Any) -> None:
    """What the end costs is one line with the whole sum: in flight, to be sent again and waiting (E11)."""

    async def scenario(queue: Queue) -> None:
        for items in (1, 2, 4, 8, 16, 32):
            queue.offer(tools.chunk(b"a", items=items))
            await tools.turns()
        await client.answer(TransientError("down"))

    run(scenario)
    assert "lost: downstream=otlp reason=shutdown items=63" in caplog.messages[-1]


def test_drain_of_nothing_is_over_at_once(run: Any, time: Any) -> None:
    """An empty queue drains without waiting, even past the deadline; closing twice is fine."""

    async def scenario(queue: Queue) -> None:
        await queue.drain(time.now + 1e9)
        await queue.drain(time.now - 1.0)
        await queue.close()

    run(scenario)


def test_close_closes_the_client(run: Any, client: Any, tools: Any) -> None:
    """Closing lets go of the client, and counts what is left as lost{shutdown}."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a", items=3))
        await tools.turns()
        await queue.close()
        assert ({LossReason.SHUTDOWN: 3}, True) == (tools.lost(queue), client.is_closed)

    run(scenario)


def test_log_is_quiet(run: Any, client: Any, time: Any, tools: Any, caplog: Any) -> None:
    """An outage of minutes and thousands of refusals are a few lines, without a body or a header (E1)."""
    caplog.set_level(logging.DEBUG, "processor.export")

    async def scenario(queue: Queue) -> None:
        for _ in range(200):
            queue.offer(tools.chunk(b"hunter2", items=2))
            await tools.turns(4)
            await client.answer(Refused(LossReason.INVALID, "HTTP 400"))
        queue.offer(tools.chunk(b"hunter2"))
        await tools.turns()
        await client.answer(TransientError("connection\nrefused"))
        for _ in range(3):
            await time.advance(7.5)
            await client.answer(TransientError("connection\nrefused"))
        await time.advance(7.5)
        await client.answer()
        queue.offer(tools.chunk(b"x", items=2))
        await tools.turns()
        await client.answer(Refused(LossReason.INVALID, "HTTP 400"))

    run(scenario)
    assert [
        "lost: downstream=otlp reason=invalid items=2 meaning=the downstream found the request invalid detail=HTTP 400",
        "downstream unavailable, will retry: downstream=otlp retry_in_s=1.0 cause=connection\\nrefused",
        "downstream unavailable, will retry: downstream=otlp retry_in_s=1.5 cause=connection\\nrefused",
        "downstream unavailable, will retry: downstream=otlp retry_in_s=2.2 cause=connection\\nrefused",
        "downstream unavailable, will retry: downstream=otlp retry_in_s=3.4 cause=connection\\nrefused",
        "downstream available again: downstream=otlp",
        "lost: downstream=otlp reason=invalid items=400 meaning=the downstream found the request invalid detail=HTTP 400",
    ] == caplog.messages


def test_fault_is_said_without_its_text(run: Any, client: Any, tools: Any, caplog: Any) -> None:
    """A defect is logged by type and place; its text may quote what must not be logged."""

    async def scenario(queue: Queue) -> None:
        queue.offer(tools.chunk(b"a"))
        await tools.turns()
        await client.answer(ValueError("hunter2"))

    run(scenario)
    assert "export fault: downstream=otlp error=ValueError at=" in caplog.text
    assert "hunter2" not in caplog.text
