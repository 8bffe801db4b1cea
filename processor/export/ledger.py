"""The accounting of one downstream: plain numbers that only move in single steps.

After every call, for each signal: accepted + recovered = exported + lost + queued + journaled (S25); what is in flight
is queued, what is on disk alone is journaled.
Only the queue writes; telemetry and `/status` read. Must not know how anything is sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from processor.export.batch import Batch
from processor.export.durations import Durations
from processor.export.export import Attempt, Chunk, LossReason
from processor.signals import Signal


@dataclass(slots=True)
class Counts:
    """Items of one signal: spans, or relayed requests of metrics and logs."""

    accepted: int = 0
    recovered: int = 0
    exported: int = 0
    queued: int = 0
    journaled: int = 0
    lost: dict[LossReason, int] = field(default_factory=lambda: dict.fromkeys(LossReason, 0))

    @property
    def is_balanced(self) -> bool:
        """The identity of S25."""
        out = self.exported + sum(self.lost.values()) + self.queued + self.journaled
        return self.accepted + self.recovered == out


class Ledger:
    """Counts by signal, attempts by outcome and how long they took, and the bytes that the queue holds."""

    def __init__(self) -> None:
        self.counts = {signal: Counts() for signal in Signal}
        self.attempts = dict.fromkeys(Attempt, 0)
        self.durations = Durations()
        self.queued_bytes = 0

    def accept(self, chunk: Chunk) -> None:
        """The queue takes responsibility for a chunk."""
        counts = self.counts[chunk.signal]
        counts.accepted += chunk.items
        counts.queued += chunk.items
        self.queued_bytes += chunk.cost_bytes

    def shelve(self, signal: Signal, items: int, is_recovered: bool = False) -> None:
        """The queue takes responsibility for a chunk that is on disk alone, of this process or one before it."""
        counts = self.counts[signal]
        if is_recovered:
            counts.recovered += items
        else:
            counts.accepted += items
        counts.journaled += items

    def load(self, chunk: Chunk) -> None:
        """A chunk that was on disk alone is in memory again."""
        counts = self.counts[chunk.signal]
        counts.journaled -= chunk.items
        counts.queued += chunk.items
        self.queued_bytes += chunk.cost_bytes

    def unload(self, signal: Signal, items: int, cost_bytes: int) -> None:
        """What was in memory is on disk alone."""
        counts = self.counts[signal]
        counts.queued -= items
        counts.journaled += items
        self.queued_bytes -= cost_bytes

    def lose_stored(self, signal: Signal, items: int, reason: LossReason) -> None:
        """What was on disk alone is given up."""
        counts = self.counts[signal]
        counts.journaled -= items
        counts.lost[reason] += items

    def export(self, batch: Batch, rejected: int) -> None:
        """The downstream acknowledged a batch, but for the `rejected` items (partial_success)."""
        counts = self.counts[batch.signal]
        lost = min(rejected, batch.items)
        counts.queued -= batch.items
        counts.exported += batch.items - lost
        if lost:
            counts.lost[LossReason.REJECTED] += lost
        self.queued_bytes -= batch.cost_bytes

    def lose(self, batch: Batch, reason: LossReason) -> None:
        """A batch is given up."""
        self._lose(batch.signal, batch.items, batch.cost_bytes, reason)

    def lose_chunks(self, chunks: Iterable[Chunk], reason: LossReason) -> None:
        """Chunks are given up before they became a batch."""
        for chunk in chunks:
            self._lose(chunk.signal, chunk.items, chunk.cost_bytes, reason)

    def divide(self, batch: Batch, halves: tuple[Batch, Batch]) -> None:
        """A batch became two, which may weigh more: both carry the resource that their spans share."""
        self.queued_bytes += halves[0].cost_bytes + halves[1].cost_bytes - batch.cost_bytes

    def _lose(self, signal: Signal, items: int, cost_bytes: int, reason: LossReason) -> None:
        counts = self.counts[signal]
        counts.queued -= items
        counts.lost[reason] += items
        self.queued_bytes -= cost_bytes
