"""When the intake is full: from a refusal for memory until a request like that would be taken."""

from __future__ import annotations

import asyncio
import logging

import pytest
from craft import request, span

from processor.errors import ComeBackLater, TransientError
from processor.export.batch import Limits
from processor.export.downstreams import Downstreams
from processor.export.export import Outcome
from processor.export.queue import Queue
from processor.header_names import NO_NAMES
from processor.intake import Intake
from processor.keeping import InMemory
from processor.origin import Headers, Origins
from processor.pipeline_settings import build_pipeline
from processor.receive.receive import Request
from processor.settings import Settings
from processor.signals import Signal
from processor.telemetry import Warnings

KiB = 1024


class Backend:
    """A downstream that is away until `is_there`."""

    hop = ""
    is_there = False

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        if not self.is_there:
            raise TransientError("away")
        return Outcome()

    async def close(self) -> None:
        """Nothing to let go of."""


class Small:
    """An intake with so much memory, before a downstream that is away; time passes where the queue sleeps."""

    def __init__(self, memory_bytes: int) -> None:
        self.now = 0.0
        self.backend = Backend()
        limits = Limits(max_age_s=None)
        self.queue = Queue(self.backend, limits, clock=lambda: self.now, sleep=self._sleep)
        downstreams = Downstreams({"otlp": self.queue}, memory_bytes, lambda: self.pipeline.cost)
        origins = Origins(NO_NAMES, NO_NAMES, b"", lambda: None)
        self.pipeline = build_pipeline(Settings())
        self.intake = Intake(
            self.pipeline, downstreams, origins, Warnings(False), InMemory(), clock=lambda: self.now
        )  # fmt: skip

    async def take(self, body: bytes) -> bool:
        """Whether a request was taken."""
        try:
            await self.intake.take(Request(Signal.TRACES, body, "grpc"))
        except ComeBackLater:
            return False
        finally:
            await self.turn()
        return True

    async def turn(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def _sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


def waiting(trace: int) -> bytes:
    """A span of 1 KiB whose parent does not come."""
    return request(span(2, 1, {"text": "x" * KiB}, trace=trace))


def whole(trace: int) -> bytes:
    """A root of 1 KiB."""
    return request(span(1, 0, {"text": "x" * KiB}, trace=trace))


def test_a_full_queue(caplog: pytest.LogCaptureFixture) -> None:
    """S26: full from the refusal on, said once, until the downstream has taken what is queued."""

    async def run() -> None:
        small = Small(20 * KiB)
        assert not small.intake.is_full
        trace = 0
        while await small.take(whole(trace := trace + 1)):
            assert not small.intake.is_full
            assert trace < 30
        assert small.intake.is_full
        assert not await small.take(whole(99))
        small.backend.is_there = True
        small.queue.start()
        await small.turn()
        assert not small.intake.is_full
        assert await small.take(whole(100))
        await small.queue.close()

    with caplog.at_level(logging.WARNING, "processor"):
        asyncio.run(run())
    (line,) = caplog.messages
    assert line.startswith("requests are refused, there is no room: reason=memory trees_bytes=")
    assert line.endswith(" refused=1")


def test_full_trees() -> None:
    """S17: trees that cannot be let go of, as the downstream is away, are full; when it is back, room can be made."""

    async def run() -> None:
        small = Small(20 * KiB)
        small.queue.start()
        assert await small.take(whole(99))
        assert not small.queue.is_available
        trace = 0
        while await small.take(waiting(trace := trace + 1)):
            assert trace < 30
        assert small.intake.is_full
        small.backend.is_there = True
        await small.turn()
        assert not small.intake.is_full
        for trace in range(100, 105):  # what is let go of is in the queue first, for a turn
            assert await small.take(waiting(trace)) or await small.take(waiting(trace))
        assert small.pipeline.released["memory"] > 0
        await small.queue.close()

    asyncio.run(run())
