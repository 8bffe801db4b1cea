"""Takes responsibility for requests: drives the pipeline, hands what is released to the downstreams, answers.

The one place where the sans-I/O pipeline meets the event loop. Everything runs on one loop: between two awaits
nothing else touches the trees, so every span is at all times held, queued, journaled, exported or lost (S25).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from processor.attributes.reading import Drop
from processor.errors import ComeBackLater, MalformedRequest, UnsupportedSignal
from processor.export.downstreams import Downstreams
from processor.export.ledger import Counts
from processor.keeping import Keeping
from processor.origin import Origins
from processor.pipeline import STEP, Pipeline
from processor.receive.receive import Answer, Request
from processor.signals import HOP_HEADER, Signal
from processor.telemetry import Accounting, RateLimit, Warnings
from processor.trace.settings import BY_SHUTDOWN

LOG: Final = logging.getLogger("processor")

LANGFUSE_HEADER: Final = "x-langfuse-sdk-name"
# The headers of a request that matter to us, besides those that are forwarded; listeners pass on no others.
WANTED_HEADERS: Final = (LANGFUSE_HEADER,)
# How often waiting traces are looked at: far below a tick of MAX_WAIT, and nothing when nothing waits.
_TICK_S: Final = 0.1


class Intake:
    """The receiver behind the listeners. `keeping` keeps what was acknowledged; `on_drops` hears of dropped values.

    `accepted` counts spans by transport, `unsupported` requests of signals that the downstream does not take.
    `on_traces` is called after each request of traces, `on_hops` with the hop header of a request that came through
    other processors, `on_worked_off` with a task of its own that is over.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        downstreams: Downstreams,
        origins: Origins,
        warnings: Warnings,
        keeping: Keeping,
        on_drops: Callable[[Sequence[Drop]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.pipeline = pipeline
        self.downstreams = downstreams
        self.origins = origins
        self.keeping = keeping
        self.refused: dict[str, int] = {"memory": 0, "journal": 0}
        self.accepted: dict[str, int] = {}
        self.unsupported: dict[Signal, int] = {}
        self._warnings = warnings
        self._on_drops = on_drops
        self.on_hops: Callable[[str], None] = lambda path: None
        self.on_traces: Callable[[], None] = lambda: None
        self.on_worked_off: Callable[[asyncio.Task[None]], None] = lambda task: None
        self._clock = clock
        self._pump: asyncio.Task[None] | None = None
        self._refused_bytes: int | None = None  # size of the last request that was refused, until one like it fits
        self._limit = RateLimit(first=1, then_one_in=0)

    @property
    def is_full(self) -> bool:
        """Whether a request like the last one that was refused for want of room would be refused again."""
        size_bytes = self._refused_bytes
        if size_bytes is None:
            return False
        try:
            self.keeping.check(size_bytes)
        except ComeBackLater:
            return True
        room = self._room_beside(size_bytes)
        # Where trees can be let go of, the next request makes room by itself.
        return room < 0 or (self.pipeline.cost > room and not self._can_let_go)

    @property
    def _can_let_go(self) -> bool:
        """Whether letting go of the oldest makes room: while a downstream takes spans, or the disk does; else it would
        only move them to the queues.
        """
        return self.downstreams.is_available or bool(self.downstreams.overflows)

    async def take(self, request: Request) -> Answer:
        """Take a request, or raise `MalformedRequest`, `UnsupportedSignal` or `ComeBackLater` (S25, S26, S31)."""
        hops = request.headers.get(HOP_HEADER)
        if hops is not None:
            self.on_hops(hops)
        self._make_room(len(request.body))
        if request.signal is not Signal.TRACES:
            return await self._relay(request)
        now_s = self._clock()
        pipeline = self.pipeline
        try:
            scan = pipeline.scan(request.body, self.origins.of(request.headers))
            while scan.step(STEP):
                await asyncio.sleep(0)
        except MalformedRequest:
            pipeline.count_malformed({"request": 1})
            raise
        pipeline.count_malformed(scan.rejected)
        is_langfuse = LANGFUSE_HEADER in request.headers
        index = 0
        while index < len(scan.spans):
            start, index = index, pipeline.ingest(scan, index, is_langfuse, now_s)
            self.accepted[request.transport] = self.accepted.get(request.transport, 0) + index - start
            self._flush(is_langfuse)
            if index < len(scan.spans):
                await asyncio.sleep(0)
        if pipeline.has_work:
            self._start_pump()
        self.on_traces()
        answer = self._answer(scan.rejected, now_s)
        await self._commit()
        return answer

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
            await asyncio.wait([self._pump])
        while self.pipeline.release_all(BY_SHUTDOWN, STEP):
            self._flush()
            await asyncio.sleep(0)
        self._flush()

    def flush_recovered(self) -> None:
        """Hand on what the trees let go of while they take spans back, and keep the memory limit."""
        self._flush()
        self.pipeline.make_room(self._room_beside(0), True)
        self._flush()

    def accounting(self) -> dict[str, Accounting]:
        """Where every accepted span is for each downstream, in this instant."""
        queues = self.downstreams.queues.items()
        return {name: self._account(queue.ledger.counts[Signal.TRACES]) for name, queue in queues}

    def _account(self, counts: Counts) -> Accounting:
        lost = {reason.label: number for reason, number in counts.lost.items() if number}
        pipeline = self.pipeline
        return Accounting(
            pipeline.accepted, counts.exported, lost, pipeline.held, counts.queued,
            pipeline.recovered + counts.recovered, counts.journaled,
        )  # fmt: skip

    async def _relay(self, request: Request) -> Answer:
        """Metrics and logs pass as they are (S31)."""
        if not self.downstreams.takes(request.signal):
            self.unsupported[request.signal] = self.unsupported.get(request.signal, 0) + 1
            raise UnsupportedSignal(f"no downstream takes {request.signal.value}")
        if request.body:
            origin = self.origins.of(request.headers)
            self.downstreams.offer(self.keeping.keep(request.signal, request.body, 1, origin))
            await self._commit()
        return _DONE

    async def _commit(self) -> None:
        """What cannot be kept is not acknowledged: it is delivered all the same, and its sender sends it again."""
        try:
            await self.keeping.commit()
        except ComeBackLater:
            self.refused["journal"] += 1
            raise

    def _flush(self, is_langfuse: bool = False) -> None:
        """Hand what the pipeline released to the downstreams, kept together with what is still held."""
        for body, count, origin in self.pipeline.take_chunks():
            self.downstreams.offer(self.keeping.keep(Signal.TRACES, body, count, origin))
        self.keeping.follow(is_langfuse)

    def _start_pump(self) -> None:
        if self._pump is None or self._pump.done():
            self._pump = asyncio.create_task(self._work_off())
            self._pump.add_done_callback(self.on_worked_off)

    async def _work_off(self) -> None:
        while True:
            more = self.pipeline.work(STEP)
            self._flush()
            if not more:
                return
            await asyncio.sleep(0)

    def _make_room(self, size_bytes: int) -> None:
        """Refuse what does not fit; before that forget what can be forgotten and let go of what waits (S17)."""
        downstreams = self.downstreams
        try:
            excess = self.keeping.check(size_bytes)
        except ComeBackLater:
            self._note_refusal("journal", size_bytes)
            raise
        if excess:
            downstreams.shed_stored(excess)
        room = self._room_beside(size_bytes)
        if room < 0:
            self._refuse(size_bytes)
        if self.pipeline.cost > room:
            self.pipeline.make_room(room, self._can_let_go)
            self._flush()
            if self.pipeline.cost > self._room_beside(size_bytes):
                self._refuse(size_bytes)
        if self._refused_bytes is not None and not self.is_full:
            self._refused_bytes = None

    def _room_beside(self, size_bytes: int) -> int:
        """What trees may take beside a request of so many bytes."""
        return self.downstreams.room_beside(size_bytes) - self.keeping.cost_bytes

    def _note_refusal(self, reason: str, size_bytes: int) -> None:
        self.refused[reason] += 1
        self._refused_bytes = size_bytes
        if self._limit.allows((reason,), self._clock()):
            LOG.warning(
                "requests are refused, there is no room: reason=%s trees_bytes=%d queue_bytes=%d refused=%d",
                reason, self.pipeline.cost, self.downstreams.used_bytes, self.refused[reason],
            )  # fmt: skip

    def _refuse(self, size_bytes: int) -> None:
        self._note_refusal("memory", size_bytes)
        raise ComeBackLater(
            "the memory limit is reached; the downstream is behind", 1 if self.downstreams.is_available else 2
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
