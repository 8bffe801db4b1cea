"""What one downstream has still to get: chunks in their lines, batches to be sent again, and how each leaves.

Every way out is one call here that moves the ledger in the same step and says what is worth a log line. Time is a
parameter, and nothing waits. Must not know slots, the circuit or the client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection

from processor.export.batch import Batch, Limits, Lines, Split, halve
from processor.export.export import Chunk, LossReason, Outcome, Store
from processor.export.headers import conceal
from processor.export.ledger import Ledger
from processor.export.notices import Notices
from processor.header_names import HeaderNames
from processor.signals import Signal

# A backend may say "too large" and mean a quota. After so many single items under 64 KiB, which no backend finds too
# large, were refused in a row with no success between, small batches are lost whole rather than taken apart.
_VAIN_SPLITS = 8
_SMALL_BYTES = 64 * 1024


class Backlog:
    """Chunks and batches that wait for the downstream `name`. Belongs to the queue.

    `forwards`: which headers of senders go out with their chunks. `store` hears which chunks are done with.
    `on_settled` is called after items have left.
    """

    def __init__(
        self,
        name: str,
        limits: Limits,
        forwards: HeaderNames,
        split: Split,
        store: Store,
        on_settled: Callable[[], None],
    ) -> None:
        self._name = name
        self._store = store
        self.ledger = Ledger()
        self.notices = Notices(name)
        self._gathers = limits.batch_max_delay_s > 0
        self._max_age_s = float("inf") if limits.max_age_s is None else limits.max_age_s
        self._nothing_expires_before = float("-inf")  # so that most calls of `expire` end at a comparison
        self._split = split
        self._on_settled = on_settled
        self._lines = Lines(limits, forwards)
        self._retries: deque[Batch] = deque()
        self._vain_splits = 0

    def __bool__(self) -> bool:
        return len(self._lines) > 0 or len(self._retries) > 0

    def add(self, chunk: Chunk, now: float) -> None:
        """A chunk joins its line; its items are accepted."""
        self.ledger.accept(chunk)
        self._lines.add(chunk, now)

    def load(self, chunk: Chunk, since: float) -> None:
        """A chunk that was on disk alone joins its line."""
        self.ledger.load(chunk)
        self._lines.add(chunk, since)
        self._nothing_expires_before = min(self._nothing_expires_before, since + self._max_age_s)

    def unload(self) -> None:
        """Let go of everything that is on disk, too."""
        for batch in self._take_retries(lambda batch: all(batch.numbers)):
            self.ledger.unload(batch.signal, batch.items, batch.cost_bytes)
        for chunk in self._lines.take_kept():
            self.ledger.unload(chunk.signal, chunk.items, chunk.cost_bytes)

    def refuse(self, chunk: Chunk, reason: LossReason, now: float) -> None:
        """A chunk that cannot wait: accepted, for it was acknowledged, and lost in the same step."""
        self.ledger.accept(chunk)
        self._lose_all([], [chunk], reason, now)

    def shed(self, wanted_bytes: int, now: float) -> None:
        """Give up the oldest parts until no more than so many bytes are held, or nothing waits (S27)."""
        excess = self.ledger.queued_bytes - wanted_bytes
        batches: list[Batch] = []
        chunks: list[Chunk] = []
        while excess > 0 and self:
            batch = min(self._retries, key=lambda batch: batch.since, default=None)
            if batch is not None and not (self._lines and self._lines.oldest() < batch.since):
                self._retries.remove(batch)
                batches.append(batch)
                excess -= batch.cost_bytes
            else:
                chunks.append(self._lines.take_oldest())
                excess -= chunks[-1].cost_bytes
        if batches or chunks:
            self._lose_all(batches, chunks, LossReason.QUEUE_FULL, now)

    def ripens_at(self, not_before: float) -> float:
        """When the next batch may leave; only when something waits. `not_before`: until then chunks gather.

        Neither a full batch nor one to be sent again gathers any more.
        """
        if self._retries or self._lines.is_full():
            return float("-inf")
        return max(not_before, self._lines.ripens_at()) if self._gathers else not_before

    def expires_at(self) -> float:
        """When the oldest part will be too old; infinity when nothing waits."""
        oldest = min((batch.since for batch in self._retries), default=float("inf"))
        return (min(oldest, self._lines.oldest()) if self._lines else oldest) + self._max_age_s

    def take(self, is_probe: bool) -> Batch:
        """The next batch; only when something waits.

        Batches to be sent again go first. But a probe that failed twice lets fresh chunks probe in its stead, so that
        one bad batch, say one on which the downstream times out, cannot keep all others back.
        """
        if not self._retries:
            return self._lines.take()
        is_stubborn = is_probe and self._retries[0].attempts > 1
        return self._lines.take() if is_stubborn and self._lines else self._retries.popleft()

    def put_back(self, batch: Batch) -> None:
        """A batch that was taken waits again, behind the others that failed."""
        self._retries.append(batch)
        self._nothing_expires_before = min(self._nothing_expires_before, batch.since + self._max_age_s)

    def export(self, batch: Batch, outcome: Outcome, now: float) -> None:
        """Delivered, but for what the downstream rejected (E3).

        Of a relayed request of metrics or logs OTLP rejects data points, which are not the items counted here.
        """
        self._vain_splits = 0
        self.ledger.export(batch, outcome.rejected if batch.signal is Signal.TRACES else 0)
        if outcome.rejected or outcome.message:
            message = conceal(outcome.message, batch.headers)
            self.notices.partial_success(now, batch.signal, outcome.rejected, message)
        self._store.settle(self._name, batch.numbers)
        self._on_settled()

    def lose(self, batch: Batch, reason: LossReason, now: float, detail: str = "") -> None:
        """A batch is given up."""
        self.ledger.lose(batch, reason)
        self.notices.lost(now, reason, batch.items, detail)
        self._store.settle(self._name, batch.numbers)
        self._on_settled()

    def divide(self, batch: Batch, reason: LossReason, now: float, detail: str) -> None:
        """Two halves wait, before anything else (S27); what cannot be divided is lost for the reason.

        Where that is its size a chunk is divided, too; else only chunks from others, for they may be of other senders.
        """
        is_large = reason is LossReason.TOO_LARGE
        is_small = is_large and len(batch.body) < _SMALL_BYTES
        is_vain = self._vain_splits >= _VAIN_SPLITS if is_small else not is_large and len(batch.parts) == 1
        halves = None if is_vain else self._halve(batch, now)
        if halves is None:
            self._vain_splits += is_small
            self.lose(batch, reason, now, detail)
        else:
            self.ledger.divide(batch, halves)
            if len(batch.parts) == 1:
                self._store.divide(self._name, batch.parts[0].number)
            self._retries.extendleft(reversed(halves))
            self._nothing_expires_before = min(self._nothing_expires_before, batch.since + self._max_age_s)

    def expire(self, now: float) -> None:
        """Give up what is too old (QUEUE_MAX_AGE)."""
        if now < self._nothing_expires_before:
            return
        # The same sum as in `expires_at`, so that a timer set to it finds something to do.
        batches = self._take_retries(lambda batch: batch.since + self._max_age_s <= now)
        self._lose_all(batches, self._lines.take_expired(now, self._max_age_s), LossReason.TOO_OLD, now)
        self._nothing_expires_before = min(self.expires_at(), now + self._max_age_s)

    def drop(self, signals: Collection[Signal], reason: LossReason, now: float) -> None:
        """Give up everything of these signals."""
        batches = self._take_retries(lambda batch: batch.signal in signals)
        chunks = [chunk for signal in signals for chunk in self._lines.take_all(signal)]
        self._lose_all(batches, chunks, reason, now)

    def _halve(self, batch: Batch, now: float) -> tuple[Batch, Batch] | None:
        try:
            return halve(batch, self._split)
        except Exception as error:  # whatever a body holds, the slot that sent it lives on
            self.notices.fault(now, error)
            return None

    def _take_retries(self, is_meant: Callable[[Batch], bool]) -> list[Batch]:
        taken = [batch for batch in self._retries if is_meant(batch)]
        if taken:
            self._retries = deque(batch for batch in self._retries if not is_meant(batch))
        return taken

    def _lose_all(self, batches: list[Batch], chunks: list[Chunk], reason: LossReason, now: float) -> None:
        """Give up many at once, in one log line."""
        for batch in batches:
            self.ledger.lose(batch, reason)
        self.ledger.lose_chunks(chunks, reason)
        items = sum(batch.items for batch in batches) + sum(chunk.items for chunk in chunks)
        self.notices.lost(now, reason, items)
        self._store.settle(self._name, [number for batch in batches for number in batch.numbers])
        self._store.settle(self._name, [chunk.number for chunk in chunks])
        self._on_settled()
