"""Senders' headers in the queue (S28): each request has those of its chunks, and chunks that differ never share one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from processor.errors import BatchTooLarge, TransientError
from processor.export.concurrency import START
from processor.export.export import LossReason, Outcome
from processor.export.queue import Queue
from processor.header_names import HeaderNames
from processor.origin import Origin
from processor.signals import Signal

FORWARDS = HeaderNames(("authorization",))
ANN = Origin((("authorization", "Basic hunter-ann"), ("x-other", "1")))
BOB = Origin((("authorization", "Basic hunter-bob"),))
ANN_ELSEWHERE = Origin((("authorization", "Basic hunter-ann"), ("x-other", "2")))
OF = {"a": ANN, "b": BOB, "A": ANN_ELSEWHERE}
SEEN = {name: origin.headers[:1] for name, origin in OF.items()}


@pytest.fixture
def run(client: Any, time: Any, tools: Any) -> Callable[..., None]:
    """Runs a scenario with a started queue whose downstream is to see `authorization`."""

    def run(scenario: Callable[[Queue], Coroutine[Any, Any, None]], **limits: Any) -> None:
        async def main() -> None:
            queue = Queue(
                client,
                tools.limits(**limits),
                forwards=FORWARDS,
                clock=time.clock,
                sleep=time.sleep,
                random=lambda: 0.5,
                split=tools.split,
            )
            queue.start()
            await scenario(queue)
            await queue.close()
            tools.assert_balanced(queue)

        asyncio.run(main())

    return run


def offer(queue: Queue, tools: Any, names: str) -> None:
    for name in names:
        queue.offer(tools.chunk(name.encode(), origin=OF[name]))


def sent(client: Any) -> list[tuple[bytes, Any]]:
    return [(body, headers) for (_, body), headers in zip(client.requests, client.headers, strict=True)]


def test_different_headers_never_share_a_request(run: Any, client: Any, tools: Any) -> None:
    """Chunks with other headers go apart; those that agree on what this downstream sees go together."""

    async def scenario(queue: Queue) -> None:
        offer(queue, tools, "abAba")
        queue.offer(tools.chunk(b"-"))
        await tools.turns()
        assert [(b"aAa", SEEN["a"]), (b"bb", SEEN["b"]), (b"-", ())] == sent(client)

    run(scenario)


def test_signals_and_headers(run: Any, client: Any, tools: Any) -> None:
    """Metrics and logs are kept apart in the same way (S31)."""

    async def scenario(queue: Queue) -> None:
        for signal in Signal:
            for name in "ab":
                queue.offer(tools.chunk(name.encode(), signal=signal, origin=OF[name]))
        await tools.turns()
        for _ in range(2):
            await client.answer()
        assert [(signal, name) for signal in Signal for name in (b"a", b"b")] == client.requests
        assert [SEEN["a"], SEEN["b"]] * 3 == client.headers

    run(scenario)


def test_the_oldest_goes_first(run: Any, client: Any, time: Any, tools: Any) -> None:
    """One sender with much to send does not keep the others back: whoever has waited longest is next."""

    async def scenario(queue: Queue) -> None:
        for _ in range(START):
            offer(queue, tools, "a")
            await tools.turns()
        for names in ("aaa", "b", "A", "aab"):
            await time.advance(0.1)
            offer(queue, tools, names)
        for _ in range(5):
            await client.answer()
        assert [b"aa", b"aA", b"bb", b"aa"] == [body for body, _ in sent(client)[START:]]

    run(scenario, batch_max_bytes=2)


def test_headers_stay_with_a_batch(run: Any, client: Any, time: Any, tools: Any) -> None:
    """What is sent again, and what is divided, goes with the headers that it came with."""

    async def scenario(queue: Queue) -> None:
        for name in "ab":
            queue.offer(tools.chunk(tools.spans(4), items=4, origin=OF[name]))
        await tools.turns()
        await client.answer(TransientError("down"))
        await client.answer(BatchTooLarge("413"))
        await time.advance(2.0)
        while client.open_count:
            await client.answer()
        of_bob = [len(tools.span_ids(body)) for body, headers in sent(client) if headers == SEEN["b"]]
        assert [4, 2, 2] == of_bob
        assert [4, 4] == [len(tools.span_ids(body)) for body, headers in sent(client) if headers == SEEN["a"]]
        assert 8 == queue.ledger.counts[Signal.TRACES].exported

    run(scenario)


def test_no_value_is_logged(run: Any, client: Any, time: Any, tools: Any, caplog: Any) -> None:
    """Neither failures nor partial successes nor losses show a header's value, though the downstream quotes it."""
    caplog.set_level("DEBUG")

    async def scenario(queue: Queue) -> None:
        quotes = "who is Basic hunter-ann, or hunter-ann?"
        for answer in (Outcome(1, quotes), ValueError("hunter"), BatchTooLarge("413"), TransientError(quotes)):
            offer(queue, tools, "a")
            await tools.turns()
            await client.answer(answer)
        assert {LossReason.REJECTED, LossReason.FAULT, LossReason.TOO_LARGE} == set(tools.lost(queue))

    run(scenario)
    assert caplog.messages
    assert "who is ****, or ****?" in caplog.text
    assert "hunter" not in caplog.text


def test_what_is_sent_leaves_nothing_behind(run: Any, client: Any, tools: Any) -> None:
    """A sender's credentials are kept no longer than its chunks: no line is left over when it is empty."""

    async def scenario(queue: Queue) -> None:
        offer(queue, tools, "ab")
        await tools.turns()
        await client.answer()
        await client.answer()
        assert {} == queue._backlog._lines._lines

    run(scenario)


def test_more_requests_while_they_succeed(run: Any, client: Any, tools: Any) -> None:
    """Requests side by side grow while they succeed and chunks wait, and halve when the downstream fails (E10)."""

    async def scenario(queue: Queue) -> None:
        for _ in range(200):
            queue.offer(tools.chunk(b"x"))
        await tools.turns()
        seen = [queue.in_flight]
        for _ in range(60):
            await client.answer()
            seen.append(queue.in_flight)
        assert [4, 5, 6, 7, 8] == sorted(set(seen))
        assert seen == sorted(seen)
        assert 8 == queue.concurrency == queue.in_flight
        for _ in range(8):
            await client.answer(TransientError("down"))
        assert 4 == queue.concurrency  # one round, however many fail in it
        assert 0 == queue.in_flight

    run(scenario, batch_max_bytes=1)


def test_fewer_requests_after_failures(run: Any, client: Any, time: Any, tools: Any) -> None:
    """After an outage of several rounds few requests go side by side, then more with each round of successes."""

    async def scenario(queue: Queue) -> None:
        for _ in range(100):
            queue.offer(tools.chunk(b"x"))
        await tools.turns()
        for _ in range(START):
            await client.answer(TransientError("down"))
        for wait_s in (1.0, 1.5):
            await time.advance(wait_s)
            await client.answer(TransientError("down"))
        assert 1 == queue.concurrency
        await time.advance(2.25)
        seen = []
        for _ in range(12):
            await client.answer()
            seen.append(queue.in_flight)
        assert [2, 2, 2, 3, 3, 3] == seen[:6]

    run(scenario, batch_max_bytes=1)
