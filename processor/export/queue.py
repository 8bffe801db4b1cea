"""The queue before one downstream: bounded memory, a few slots that send, retries that obey the downstream.

    offer ──▶ lines (a chunk each request) ──take, join──▶ slot ──▶ client ──▶ exported, or lost with a reason
                                                            │ transient: back to `retries`, the circuit waits
                                                            │ too large: two halves to the front of `retries`

Rules:
- A free slot takes what waits in the next turn of the loop; what comes in the same turn goes along. While all slots
  are busy chunks gather, up to a batch (S27). One wake-up is under way at a time: no task and no wake-up a chunk.
- A transient failure holds the whole downstream by its circuit (`retry.py`), since all slots would fail alike; one
  request probes. A probe that failed twice lets fresh chunks probe in its stead, so that one bad batch, say one that
  the downstream times out on, cannot keep the rest back.
- Every transition of items is one synchronous call of the ledger: the identity of S25 holds at every instant.

Everything runs on one event loop, and only the methods here touch the state. Must not know protocols or trees.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from random import random as draw
from typing import Any

from processor.errors import BatchTooLarge, TransientError, Unsupported
from processor.export.batch import CHUNK_OVERHEAD_BYTES, Batch, Limits, Lines, Split, halve
from processor.export.export import Attempt, Chunk, Client, LossReason, Outcome, Refused
from processor.export.ledger import Ledger
from processor.export.notices import Notices
from processor.export.retry import Backoff, Circuit
from processor.signals import Signal

# Concurrent requests (facts E10, section 9). Two hide the round trip; four also hide one slow answer; more only take
# memory, for chunks gather into larger batches by themselves.
SLOTS = 4
# How long senders are told of an unsupported signal before one request tries again (S31).
_PROBE_UNSUPPORTED_S = 300.0
# A backend may say "too large" and mean a quota. After so many single items under 64 KiB, which no backend finds too
# large, were refused in a row with no success between, small batches are lost whole rather than taken apart.
_VAIN_SPLITS = 8
_SMALL_BYTES = 64 * 1024


def _cannot_split(_body: bytes) -> None:
    return None


def _observe_nothing(_outcome: Attempt, _duration_s: float) -> None:
    return None


class Queue:
    """What was accepted for one downstream and is not yet settled.

    `split` halves a body of spans; it may return None. `observe` hears of every attempt's outcome and seconds.
    `clock` is monotonic; `random` draws from [0, 1).
    """

    def __init__(
        self,
        client: Client,
        limits: Limits,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = draw,
        split: Split = _cannot_split,
        observe: Callable[[Attempt, float], None] = _observe_nothing,
    ) -> None:
        self.ledger = Ledger()
        self._client = client
        self._limits = limits
        self._clock = clock
        self._sleep = sleep
        self._split = split
        self._observe = observe
        self._circuit = Circuit(Backoff(), random)
        self._notices = Notices()
        self._lines = Lines(limits)
        self._retries: deque[Batch] = deque()
        self._in_flight = 0
        self._unsupported: dict[Signal, float] = {}  # and when the next probe may go
        self._vain_splits = 0
        self._slots: list[asyncio.Task[None]] = []
        self._resting: list[asyncio.Future[None]] = []  # of slots with nothing to do
        self._is_waking = False
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._emptied = asyncio.Event()
        self._is_draining = False
        self._is_stopped = False

    # --- for whoever accepts requests

    @property
    def used_bytes(self) -> int:
        """What the queue holds, in flight included: bodies and the measured overhead of each chunk."""
        return self.ledger.queued_bytes

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    @property
    def is_available(self) -> bool:
        """Whether the downstream answered last time it was asked."""
        return self._circuit.is_ready

    @property
    def unsupported(self) -> frozenset[Signal]:
        """The signals that the downstream said it does not take (S31): of metrics and logs only."""
        return frozenset(self._unsupported)

    def has_room(self, size_bytes: int) -> bool:
        """Whether a chunk of so many bytes fits. To be asked before the request is acknowledged."""
        return self.used_bytes + size_bytes + CHUNK_OVERHEAD_BYTES <= self._limits.capacity_bytes

    def takes(self, signal: Signal) -> bool:
        """Whether a request of this signal should be accepted; every five minutes one, as a probe (S31)."""
        probe_at = self._unsupported.get(signal)
        if probe_at is None:
            return True
        now = self._clock()
        if now < probe_at:
            return False
        self._unsupported[signal] = now + _PROBE_UNSUPPORTED_S
        return True

    def offer(self, chunk: Chunk) -> None:
        """Take responsibility for a chunk, full or not; never blocks. After the end it is lost at once, counted."""
        self.ledger.accept(chunk)
        if self._is_stopped:
            self.ledger.lose_chunks([chunk], LossReason.SHUTDOWN)
            return
        self._lines.add(chunk, self._clock())
        self._wake()

    # --- start and stop

    def start(self) -> None:
        """Start the slots in the running loop. What was offered before waits until now."""
        self._slots = [asyncio.create_task(self._run_slot()) for _ in range(SLOTS)]

    async def drain(self, deadline: float) -> None:
        """Send what is left, with retries, until the deadline by the queue's clock; the rest is lost{shutdown}."""
        self._is_draining = True
        self._wake()
        while self._has_work() and (left := deadline - self._clock()) > 0:
            self._emptied.clear()
            await _first_of(self._emptied.wait(), self._pause(left))
        await self._stop()

    async def close(self) -> None:
        """Stop at once, count what is left as lost{shutdown}, and let go of the client. May be called twice."""
        await self._stop()
        await self._client.close()

    async def _stop(self) -> None:
        self._is_stopped = True
        tasks = [*self._slots, *([self._timer] if self._timer else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._slots, self._timer = [], None
        left = list(self._retries)
        self._retries.clear()
        for batch in left:
            self._lose(batch, LossReason.SHUTDOWN)
        for signal in Signal:
            self._lose_chunks(self._lines.take_all(signal), LossReason.SHUTDOWN)

    # --- slots

    async def _run_slot(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                await self._rest()
                continue
            self._wake()  # what is left is another slot's
            await self._attempt(batch)

    async def _rest(self) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._resting.append(woken)
        await woken
        self._is_waking = False

    def _wake(self) -> None:
        """Let a resting slot look, if there is something for it now; else see to it that it is looked at in time."""
        if self._is_waking or not self._resting or not self._has_waiting():
            return
        now = self._clock()
        due_at = self._due_at(now)
        if due_at is None:
            return
        if due_at > now:
            self._set_timer(due_at)
            return
        self._is_waking = True
        self._resting.pop().set_result(None)

    def _next(self) -> Batch | None:
        """The batch that goes now, if any does."""
        if not self._has_waiting():
            return None
        now = self._clock()
        self._expire(now)
        due_at = self._due_at(now)
        if due_at is None or due_at > now:
            if due_at is not None:
                self._set_timer(due_at)
            return None
        return self._pick()

    def _pick(self) -> Batch:
        if not self._retries:
            return self._lines.take()
        is_stubborn = not self._circuit.is_ready and self._retries[0].attempts > 1
        return self._lines.take() if is_stubborn and self._lines else self._retries.popleft()

    async def _attempt(self, batch: Batch) -> None:
        ticket = self._circuit.begin()
        batch.attempts += 1
        self._in_flight += 1
        started = self._clock()
        result: Outcome | Exception
        try:
            result = await self._client.send(batch.signal, batch.body)
        except asyncio.CancelledError:
            self._retries.appendleft(batch)
            raise
        except Exception as error:  # a slot outlives whatever a client raises
            result = error
        finally:
            self._in_flight -= 1
        now = self._clock()
        outcome = self._settle(batch, ticket, result, now)
        self.ledger.attempts[outcome] += 1
        self._observe(outcome, now - started)

    # --- what became of an attempt

    def _settle(self, batch: Batch, ticket: int, result: Outcome | Exception, now: float) -> Attempt:
        if isinstance(result, TransientError):
            return self._postpone(batch, ticket, result, now)
        if not self._circuit.is_ready:
            self._circuit.succeed(ticket)
            if self._circuit.is_ready:
                self._notices.recovered()
        if isinstance(result, Outcome):
            return self._acknowledge(batch, result, now)
        if isinstance(result, BatchTooLarge):
            return self._divide(batch, result, now)
        if isinstance(result, Unsupported):
            return self._give_up_signal(batch, result, now)
        return self._give_up(batch, result, now)

    def _acknowledge(self, batch: Batch, outcome: Outcome, now: float) -> Attempt:
        """Delivered. Of a relayed request of metrics or logs OTLP rejects data points, which are not its items."""
        self._vain_splits = 0
        if self._unsupported:
            self._unsupported.pop(batch.signal, None)
        if outcome.rejected or outcome.message:
            self._notices.partial_success(now, batch.signal, outcome.rejected, outcome.message)
        self.ledger.export(batch, outcome.rejected if batch.signal is Signal.TRACES else 0)
        self._note_settled()
        return Attempt.SUCCESS

    def _postpone(self, batch: Batch, ticket: int, error: TransientError, now: float) -> Attempt:
        self._circuit.fail(ticket, now, error.retry_after_s)
        self._notices.unavailable(now, self._circuit.wait_s(now), str(error))
        self._retries.append(batch)
        self._expire(now)
        return Attempt.TRANSIENT

    def _divide(self, batch: Batch, error: BatchTooLarge, now: float) -> Attempt:
        """Two halves go on, before anything else (S27); what cannot be divided is lost."""
        is_small = len(batch.body) < _SMALL_BYTES
        halves = None if is_small and self._vain_splits >= _VAIN_SPLITS else self._halve(batch, now)
        if halves is None:
            self._vain_splits += is_small
            self._lose(batch, LossReason.TOO_LARGE, str(error))
        else:
            self.ledger.divide(batch, halves)
            self._retries.extendleft(reversed(halves))
        return Attempt.TOO_LARGE

    def _halve(self, batch: Batch, now: float) -> tuple[Batch, Batch] | None:
        try:
            return halve(batch, self._split)
        except Exception as error:  # a slot outlives a body that cannot be read
            self._notices.fault(now, error)
            return None

    def _give_up_signal(self, batch: Batch, error: Unsupported, now: float) -> Attempt:
        """Lost, and of metrics and logs with everything that waits; senders are told from now on (S31)."""
        signal = batch.signal
        self._lose(batch, LossReason.UNSUPPORTED, str(error))
        if signal is not Signal.TRACES:
            self._unsupported[signal] = now + _PROBE_UNSUPPORTED_S
            self._notices.unsupported(signal, _PROBE_UNSUPPORTED_S)
            for other in [other for other in self._retries if other.signal is signal]:
                self._retries.remove(other)
                self._lose(other, LossReason.UNSUPPORTED)
            self._lose_chunks(self._lines.take_all(signal), LossReason.UNSUPPORTED)
        return Attempt.UNSUPPORTED

    def _give_up(self, batch: Batch, error: Exception, now: float) -> Attempt:
        if isinstance(error, Refused):
            reason = error.reason
        else:
            reason = LossReason.FAULT
            self._notices.fault(now, error)
        self._lose(batch, reason, str(error) if isinstance(error, Refused) else "")
        return Attempt.PERMANENT

    def _expire(self, now: float) -> None:
        """Give up what is too old (QUEUE_MAX_AGE)."""
        if self._limits.max_age_s is None:
            return
        than = now - self._limits.max_age_s
        for batch in [batch for batch in self._retries if batch.since <= than]:
            self._retries.remove(batch)
            self._lose(batch, LossReason.TOO_OLD)
        oldest = self._lines.oldest()
        if oldest is not None and oldest <= than:
            self._lose_chunks(self._lines.take_older(than), LossReason.TOO_OLD)

    def _lose(self, batch: Batch, reason: LossReason, detail: str = "") -> None:
        self.ledger.lose(batch, reason)
        self._notices.lost(self._clock(), reason, batch.items, detail)
        self._note_settled()

    def _lose_chunks(self, chunks: list[Chunk], reason: LossReason) -> None:
        self.ledger.lose_chunks(chunks, reason)
        self._notices.lost(self._clock(), reason, sum(chunk.items for chunk in chunks))
        self._note_settled()
