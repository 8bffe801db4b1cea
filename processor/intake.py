"""Takes responsibility for requests: drives the pipeline, hands what is released to the queue, answers.

The one place where the sans-I/O pipeline meets the event loop. Everything runs on one loop: between two awaits
nothing else touches the trees, so every span is at all times held, queued, exported or lost (S25).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from processor.attributes.reading import Drop
from processor.errors import ComeBackLater, MalformedRequest, UnsupportedSignal
from processor.export.export import Chunk
from processor.export.queue import Queue
from processor.pipeline import STEP, Pipeline
from processor.receive.receive import Answer, Request
from processor.signals import HOP_HEADER, Signal
from processor.telemetry import Accounting, RateLimit, Warnings
from processor.trace.settings import BY_SHUTDOWN

LOG: Final = logging.getLogger("processor")

LANGFUSE_HEADER: Final = "x-langfuse-sdk-name"
# The headers of a request that matter to us; listeners pass on no others.
WANTED_HEADERS: Final = (LANGFUSE_HEADER,)
# How often waiting traces are looked at: far below a tick of MAX_WAIT, and nothing when nothing waits.
_TICK_S: Final = 0.1


class Intake:
    """The receiver behind the listeners. `memory_bytes` bounds trees and queue together (S17); `on_drops` hears of
    dropped values.

    `accepted` counts spans by transport, `unsupported` requests of signals that the downstream does not take.
    `on_traces` is called after each request of traces, `on_hops` with the hop header of a request that came through
    other processors.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        queue: Queue,
        warnings: Warnings,
        memory_bytes: int,
        on_drops: Callable[[Sequence[Drop]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pipeline = pipeline
        self.queue = queue
        self.refused: dict[str, int] = {"memory": 0}
        self.accepted: dict[str, int] = {}
        self.unsupported: dict[Signal, int] = {}
        self._warnings = warnings
        self._memory_bytes = memory_bytes
        self._on_drops = on_drops
        self.on_hops: Callable[[str], None] = lambda path: None
        self.on_traces: Callable[[], None] = lambda: None
        self._clock = clock
        self._pump: asyncio.Task[None] | None = None
        self._refused_bytes: int | None = None  # size of the last request that was refused, until one like it fits
        self._limit = RateLimit(first=1, then_one_in=0)

    @property
    def is_full(self) -> bool:
        """Whether a request like the last one that was refused for memory would be refused again."""
        size_bytes = self._refused_bytes
        if size_bytes is None:
            return False
        if not self.queue.has_room(size_bytes):
            return True
        # While the downstream takes spans, the next request makes room by itself.
        is_over = self.pipeline.cost + self.queue.used_bytes + size_bytes > self._memory_bytes
        return is_over and not self.queue.is_available

    async def take(self, request: Request) -> Answer:
        """Take a request, or raise `MalformedRequest`, `UnsupportedSignal` or `ComeBackLater` (S25, S26, S31)."""
        hops = request.headers.get(HOP_HEADER)
        if hops is not None:
            self.on_hops(hops)
        self._make_room(len(request.body))
        if request.signal is not Signal.TRACES:
            return self._relay(request)
        now_s = self._clock()
        pipeline = self.pipeline
        try:
            scan = pipeline.scan(request.body)
            while scan.step(STEP):
                await asyncio.sleep(0)
        except MalformedRequest:
            pipeline.count_malformed({"request": 1})
            raise
        pipeline.count_malformed(scan.rejected)
        is_langfuse = LANGFUSE_HEADER in request.headers
        index = 0
        while index < len(scan.spans):
            start, index = index, pipeline.ingest(scan, index, b"", is_langfuse, now_s)
            self.accepted[request.transport] = self.accepted.get(request.transport, 0) + index - start
            self._flush()
            if index < len(scan.spans):
                await asyncio.sleep(0)
        if pipeline.has_work:
            self._start_pump()
        self.on_traces()
        return self._answer(scan.rejected, now_s)

    async def tick_forever(self) -> None:
        """Give up what has waited too long, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            while self.pipeline.advance(self._clock(), STEP):
                self._flush()
                await asyncio.sleep(0)
            self._flush()

    async def release_all(self) -> None:
        """Let go of everything that is held (S29)."""
        if self._pump is not None:
            await self._pump
        while self.pipeline.release_all(BY_SHUTDOWN, STEP):
            self._flush()
            await asyncio.sleep(0)
        self._flush()

    def accounting(self) -> Accounting:
        """Where every accepted span is, in this instant."""
        counts = self.queue.ledger.counts[Signal.TRACES]
        lost = {reason.label: number for reason, number in counts.lost.items() if number}
        return Accounting(self.pipeline.accepted, counts.exported, lost, self.pipeline.held, counts.queued)

    def _relay(self, request: Request) -> Answer:
        """Metrics and logs pass as they are (S31)."""
        if not self.queue.takes(request.signal):
            self.unsupported[request.signal] = self.unsupported.get(request.signal, 0) + 1
            raise UnsupportedSignal(f"the downstream does not take {request.signal.value}")
        if request.body:
            self.queue.offer(Chunk(request.signal, request.body, 1))
        return Answer()

    def _flush(self) -> None:
        """Hand what the pipeline released to the queue."""
        for body, count in self.pipeline.take_chunks():
            self.queue.offer(Chunk(Signal.TRACES, body, count))

    def _start_pump(self) -> None:
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work_off())

    async def _work_off(self) -> None:
        while True:
            more = self.pipeline.work(STEP)
            self._flush()
            if not more:
                return
            await asyncio.sleep(0)

    def _make_room(self, size_bytes: int) -> None:
        """Refuse what does not fit; before that forget what can be forgotten and let go of what waits (S17)."""
        if not self.queue.has_room(size_bytes):
            self._refuse(size_bytes)
        room = self._memory_bytes - self.queue.used_bytes - size_bytes
        if self.pipeline.cost > room:
            # While the downstream takes spans, letting go of the oldest makes room; else it would only move them to
            # the queue.
            self.pipeline.make_room(room, self.queue.is_available)
            self._flush()
            if self.pipeline.cost + self.queue.used_bytes + size_bytes > self._memory_bytes:
                self._refuse(size_bytes)
        if self._refused_bytes is not None and not self.is_full:
            self._refused_bytes = None

    def _refuse(self, size_bytes: int) -> None:
        self.refused["memory"] += 1
        self._refused_bytes = size_bytes
        if self._limit.allows(("memory",), self._clock()):
            LOG.warning(
                "memory is full, requests are refused: trees_bytes=%d queue_bytes=%d limit_bytes=%d refused=%d",
                self.pipeline.cost, self.queue.used_bytes, self._memory_bytes, self.refused["memory"],
            )  # fmt: skip
        raise ComeBackLater(
            "the memory limit is reached; the downstream is behind", 1 if self.queue.is_available else 2
        )

    def _answer(self, rejected: dict[str, int], now_s: float) -> Answer:
        """Say what was rejected and what was dropped (S8, S9)."""
        messages = []
        if rejected:
            reasons = ", ".join(f"{count} with {reason}" for reason, count in rejected.items())
            messages.append(f"rejected malformed spans: {reasons}")
        drops = self.pipeline.take_drops()
        if drops and self._on_drops is not None:
            self._on_drops(drops)
        if drops and (warning := self._warnings.note(drops, now_s)):
            messages.append(warning)
        return Answer(sum(rejected.values()), "; ".join(messages)) if messages else _DONE


_DONE: Final = Answer()
