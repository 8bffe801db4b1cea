"""What is not on disk yet: items, and what is settled or moved, in the order in which it came.

What a job takes stays here until it is on disk, so that after a failure the next job takes all of it again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from processor.journal.index import Entry
from processor.journal.record import MOVES, SETTLES, Draft, Settled, encode_settled


@dataclass(frozen=True, slots=True)
class Taken:
    """What goes with one job: so many of each, all that had come by a turn."""

    drafts: int
    settled: int
    moved: int
    turn: int


class Buffer:
    """Turns count what came: what came by turn n is on disk when `done` is at least n."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.turn = 0
        self.done = 0
        self._drafts: list[Draft] = []
        self._settled: list[Settled] = []
        self._moved: list[Settled] = []

    def add(self, draft: Draft) -> None:
        """An item."""
        self._drafts.append(draft)
        self.size_bytes += draft.size
        self.turn += 1

    def add_settled(self, settled: Settled) -> None:
        """What is done."""
        self._settled.append(settled)
        self.turn += 1

    def add_moved(self, settled: Settled) -> None:
        """What is done once it is on disk."""
        self._moved.append(settled)
        self.turn += 1

    def take(self, number: int, carried: Iterable[Entry]) -> tuple[Taken, list[Draft]]:
        """How much there is, and all of it as records; what is settled and moved has numbers from `number` on.

        With it goes what is done of items that are carried forward, for what said so may be deleted.
        """
        drafts = self._drafts.copy()
        settled: list[Settled] = [(entry.number, entry.settled_parts()) for entry in carried if entry.flags]
        settled += self._settled
        if settled:
            drafts.append(_settled_draft(number, SETTLES, settled))
            number += 1
        if self._moved:
            drafts.append(_settled_draft(number, MOVES, self._moved))
        return Taken(len(self._drafts), len(self._settled), len(self._moved), self.turn), drafts

    def drop(self, taken: Taken) -> list[Settled]:
        """It is on disk; what is done by that."""
        moved = self._moved[: taken.moved]
        self.size_bytes -= sum(draft.size for draft in self._drafts[: taken.drafts])
        del self._drafts[: taken.drafts], self._settled[: taken.settled], self._moved[: taken.moved]
        self.done = taken.turn
        return moved


def _settled_draft(number: int, kind: int, settled: list[Settled]) -> Draft:
    return Draft(number, kind, 1, encode_settled(settled), (), 0)
