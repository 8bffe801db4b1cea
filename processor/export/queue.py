"""The queue before one downstream: what waits, slots that send, retries that obey the downstream.

    offer ──▶ backlog ──take──▶ slot ──▶ client ──▶ exported, or lost with a reason
                 ▲                │
                 └── put back ────┘ transient: the circuit holds every slot; too large: two halves

Rules:
- A free slot takes what waits in the next turn of the loop; what comes in the same turn goes along. While all slots
  are busy chunks gather, up to a batch (S27). One wake-up is under way at a time: no task and no wake-up a chunk.
- The busier the process, the longer it is from one request to the next (`pace.py`).
- A batch is of one signal and of one set of senders' headers, those that this downstream is to see (S28).
- How many slots may send adapts to the downstream (`concurrency.py`).
- Chunks refused together for what they hold are sent again apart.
- A transient failure holds the whole downstream by its circuit (`retry.py`), since all slots would fail alike, and no
  batch keeps a slot while it waits.
- Items move by synchronous calls of the backlog only: the identity of S25 holds at every instant.

Everything runs on one event loop, and only the methods here touch the state. Must not know protocols or trees.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from random import random as draw

from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.backlog import Backlog
from processor.export.batch import Batch, Limits, Split
from processor.export.concurrency import MOST, Concurrency
from processor.export.export import Attempt, Chunk, Client, LossReason, NoStore, Outcome, Refused, Store
from processor.export.headers import conceal
from processor.export.ledger import Ledger
from processor.export.pace import Pace
from processor.export.retry import Backoff, Circuit
from processor.exporters import ONLY
from processor.header_names import NO_NAMES, HeaderNames
from processor.signals import Signal

# Refusals that may be one chunk's alone: it must not take its neighbours along (S9).
_OF_CONTENT = frozenset((LossReason.INVALID, LossReason.REFUSED))
# How long senders are told of an unsupported signal before one request tries again (S31).
PROBE_UNSUPPORTED_S = 300.0


def _split_nothing(_body: bytes) -> None:
    return None


def _observe_nothing(_outcome: Attempt, _duration_s: float) -> None:
    return None


class Queue:
    """What was accepted for one downstream and is not yet settled.

    `name`: the downstream's, for log lines. `forwards`: which headers of senders it is to see. `split` halves a body
    of spans, or gives None. `observe` hears of every attempt's outcome and seconds. `clock` is monotonic; `worked`
    says for how many seconds the loop's thread has worked; `random` draws from [0, 1). `store` keeps chunks on disk,
    too; `on_room` is called after items have left.
    """

    def __init__(
        self,
        client: Client,
        limits: Limits,
        *,
        name: str = ONLY,
        forwards: HeaderNames = NO_NAMES,
        clock: Callable[[], float] = time.monotonic,
        worked: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        random: Callable[[], float] = draw,
        split: Split = _split_nothing,
        store: Store | None = None,
        observe: Callable[[Attempt, float], None] = _observe_nothing,
    ) -> None:
        self._client = client
        self._clock = clock
        self._sleep = sleep
        self._observe = observe
        self._circuit = Circuit(Backoff(), random)
        self._concurrency = Concurrency()
        self._pace = Pace(limits.gather_s)
        self._worked = worked
        self.name = name
        self.on_room: Callable[[], None] = lambda: None
        self._backlog = Backlog(name, limits, forwards, split, store or NoStore(), self._note_settled)
        self._in_flight = 0
        self._unsupported: dict[Signal, float] = {}  # and when the next probe may go
        self._slots: list[asyncio.Task[None]] = []
        self._resting: list[asyncio.Future[None]] = []  # slots with nothing to do
        self._is_waking = False
        self._timer: asyncio.Task[None] | None = None
        self._timer_at = 0.0
        self._settled = asyncio.Event()
        self._is_draining = False
        self._is_stopped = False

    @property
    def ledger(self) -> Ledger:
        """The accounting, to be read at any time."""
        return self._backlog.ledger

    @property
    def used_bytes(self) -> int:
        """What the queue holds, in flight included: bodies and the measured overhead of each chunk."""
        return self._backlog.ledger.queued_bytes

    @property
    def in_flight(self) -> int:
        """Requests under way."""
        return self._in_flight

    @property
    def is_available(self) -> bool:
        """Whether the downstream answered when it was last asked."""
        return self._circuit.is_ready

    @property
    def unsupported(self) -> frozenset[Signal]:
        """The signals, of metrics and logs, that the downstream said it does not take (S31)."""
        return frozenset(self._unsupported)

    @property
    def concurrency(self) -> int:
        """How many requests may be under way."""
        return self._concurrency.bound

    def takes(self, signal: Signal) -> bool:
        """Whether a chunk of this signal would go out: of an unsupported one only a probe every five minutes (S31)."""
        return self._unsupported.get(signal, float("-inf")) <= self._clock()

    def offer(self, chunk: Chunk) -> None:
        """Take responsibility for a chunk, full or not; never blocks.

        What comes after the end, or is of a signal that the downstream does not take, is lost at once, counted.
        """
        now = self._clock()
        reason = self._why_not(chunk.signal, now)
        if reason is None:
            self._backlog.add(chunk, now)
            self._wake(now)
        else:
            self._backlog.refuse(chunk, reason, now)

    def load(self, chunk: Chunk, since: float) -> None:
        """A chunk that was on disk alone, and arrived at `since`, is in memory again; not after the end."""
        self._backlog.load(chunk, since)
        if self._why_not(chunk.signal, self._clock()) is LossReason.UNSUPPORTED:
            self._backlog.drop((chunk.signal,), LossReason.UNSUPPORTED, self._clock())
        self._wake(self._clock())

    def mark(self, hop: str) -> None:
        """Send these process ids in the hop header from now on (S30)."""
        self._client.hop = hop

    @property
    def is_stopped(self) -> bool:
        """Whether nothing is sent any more."""
        return self._is_stopped

    def shed(self, wanted_bytes: int) -> None:
        """Lose the oldest of what waits, until no more than so many bytes are held: lost{queue_full} (S27).

        What is in flight stays, so more may be held afterwards.
        """
        self._backlog.shed(wanted_bytes, self._clock())

    def start(self) -> None:
        """Start the slots in the running loop. What was offered before waits until now."""
        self._slots = [asyncio.create_task(self._run_slot()) for _ in range(MOST)]

    async def drain(self, deadline: float) -> None:
        """Send what is left, with retries, until the deadline by the queue's clock.

        The rest stays where it is on disk, or is lost{shutdown}.
        """
        self._is_draining = True
        self._wake(self._clock())
        while (self._backlog or self._in_flight) and (left := deadline - self._clock()) > 0:
            self._settled.clear()
            await _first_of(self._settled.wait(), self._sleep(left))
        await self._stop()

    async def close(self) -> None:
        """Stop at once, as if the deadline of `drain` were over, and let go of the client. May be called twice."""
        await self._stop()
        await self._client.close()

    async def _stop(self) -> None:
        self._is_stopped = True
        tasks = [*self._slots, *([self._timer] if self._timer else [])]
        self._slots, self._timer = [], None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._backlog.unload()
        self._backlog.drop(tuple(Signal), LossReason.SHUTDOWN, self._clock())

    # Slots: tasks that send one batch after another, and rest in between.

    async def _run_slot(self) -> None:
        while True:
            batch = self._next()
            if batch is None:
                await self._rest()
                continue
            ticket = self._circuit.begin()
            self._in_flight += 1
            self._pace.begin(self._clock(), self._worked())
            if self._backlog:
                self._wake(self._clock())  # what is left is another slot's
            await self._attempt(batch, ticket)

    async def _rest(self) -> None:
        woken = asyncio.get_running_loop().create_future()
        self._resting.append(woken)
        await woken
        self._is_waking = False

    def _wake(self, now: float) -> None:
        """Let a resting slot look, if there is something for it now; else see to it that one looks in time."""
        if self._resting and not self._is_waking and self._is_due(now):
            self._is_waking = True
            self._resting.pop().set_result(None)

    def _next(self) -> Batch | None:
        """The batch that goes now, if one does."""
        if not self._backlog:
            return None
        now = self._clock()
        self._backlog.expire(now)
        return self._backlog.take(is_probe=not self._circuit.is_ready) if self._is_due(now) else None

    def _is_due(self, now: float) -> bool:
        """Whether a request may start now; if only later, sets the timer.

        While one probes, or as many are under way as may be, the end of one decides.
        """
        if not self._backlog or self._circuit.is_probing or self._in_flight >= self._concurrency.bound:
            return False
        due_at = self._circuit.not_before
        if not self._is_draining:
            due_at = max(due_at, self._backlog.ripens_at(self._pace.not_before))
        if due_at <= now:
            return True
        self._set_timer(min(due_at, self._backlog.expires_at()))
        return False

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            if self._timer_at <= at:
                return
            self._timer.cancel()
        self._timer_at = at
        self._timer = asyncio.get_running_loop().create_task(self._ring(at))

    async def _ring(self, at: float) -> None:
        while (left := at - self._clock()) > 0:
            await self._sleep(left)
        self._timer = None
        now = self._clock()
        self._backlog.expire(now)
        self._wake(now)

    # Attempts: what was sent, and what becomes of it.

    async def _attempt(self, batch: Batch, ticket: int) -> None:
        batch.attempts += 1
        started = self._clock()
        result: Outcome | Exception
        try:
            result = await self._client.send(batch.signal, batch.body, batch.headers)
        except asyncio.CancelledError:
            self._backlog.put_back(batch)
            raise
        except Exception as error:  # a slot outlives whatever a client raises
            result = error
        finally:
            is_short = bool(self._backlog) and self._in_flight >= self._concurrency.bound
            self._in_flight -= 1
        now = self._clock()
        outcome = self._settle(batch, ticket, result, now)
        if outcome is Attempt.SUCCESS:
            self._concurrency.succeed(is_short)
        self.ledger.attempts[outcome] += 1
        self.ledger.durations.observe(outcome, now - started)
        self._observe(outcome, now - started)

    def _settle(self, batch: Batch, ticket: int, result: Outcome | Exception, now: float) -> Attempt:
        """One transition for every way in which an attempt can end."""
        if isinstance(result, TransientError):
            self._postpone(batch, ticket, result, now)
            return Attempt.TRANSIENT
        if not self._circuit.is_ready:
            self._close_circuit(ticket)
        if isinstance(result, Outcome):
            if self._unsupported:
                self._unsupported.pop(batch.signal, None)
            self._backlog.export(batch, result, now)
            return Attempt.SUCCESS
        if isinstance(result, BatchTooLarge):
            self._backlog.divide(batch, LossReason.TOO_LARGE, now, str(result))
            return Attempt.TOO_LARGE
        if isinstance(result, Unsupported):
            self._give_up_signal(batch, result, now)
            return Attempt.UNSUPPORTED
        self._give_up(batch, result, now)
        return Attempt.PERMANENT

    def _postpone(self, batch: Batch, ticket: int, error: TransientError, now: float) -> None:
        if self._circuit.fail(ticket, now, error.retry_after_s):
            self._concurrency.fail()
        self._backlog.notices.unavailable(now, self._circuit.not_before - now, conceal(str(error), batch.headers))
        self._backlog.put_back(batch)
        self._backlog.expire(now)

    def _close_circuit(self, ticket: int) -> None:
        self._circuit.succeed(ticket)
        if self._circuit.is_ready:
            self._backlog.notices.recovered()

    def _give_up_signal(self, batch: Batch, error: Unsupported, now: float) -> None:
        """Lost; of metrics and logs with everything that waits, and senders are told from now on (S31)."""
        self._backlog.lose(batch, LossReason.UNSUPPORTED, now, str(error))
        if batch.signal is not Signal.TRACES:
            self._unsupported[batch.signal] = now + PROBE_UNSUPPORTED_S
            self._backlog.notices.unsupported(batch.signal, PROBE_UNSUPPORTED_S)
            self._backlog.drop((batch.signal,), LossReason.UNSUPPORTED, now)

    def _give_up(self, batch: Batch, error: Exception, now: float) -> None:
        if isinstance(error, PermanentError):
            reason = error.reason if isinstance(error, Refused) else LossReason.REFUSED
            give_up = self._backlog.divide if reason in _OF_CONTENT else self._backlog.lose
            give_up(batch, reason, now, str(error))
            return
        self._backlog.notices.fault(now, error)
        self._backlog.lose(batch, LossReason.FAULT, now)

    def _why_not(self, signal: Signal, now: float) -> LossReason | None:
        """Why a chunk cannot wait, if it cannot; of an unsupported signal the next probe can."""
        if self._is_stopped:
            return LossReason.SHUTDOWN
        if signal in self._unsupported:
            if not self.takes(signal):
                return LossReason.UNSUPPORTED
            self._unsupported[signal] = now + PROBE_UNSUPPORTED_S
        return None

    def _note_settled(self) -> None:
        if not self._backlog:
            self._settled.set()
        self.on_room()


async def _first_of(*awaitables: Awaitable[object]) -> None:
    """Wait until one is done, and cancel the others."""
    tasks = [asyncio.ensure_future(awaitable) for awaitable in awaitables]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
