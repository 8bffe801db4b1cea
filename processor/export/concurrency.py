"""How many requests to one downstream may be under way: more while they succeed and chunks wait, fewer when they fail.

As TCP does it: one more for each full round of successes, half of it for each round that ends in a transient failure.
So a downstream that is slow but well gets more requests side by side, and one that is overloaded comes back to few,
without a setting that would be wrong for one of them. Sans-I/O. Must not know what a request carries.
"""

from __future__ import annotations

from typing import Final

# Two hide the round trip, four also hide one slow answer.
START: Final = 4
# More only take memory, up to BATCH_MAX_SIZE each, for chunks gather into larger batches by themselves.
MOST: Final = 8


class Concurrency:
    """The bound on requests under way, 1 to `MOST`. Only the queue may touch it."""

    __slots__ = ("_bound",)

    def __init__(self) -> None:
        self._bound = float(START)

    @property
    def bound(self) -> int:
        """So many requests may be under way."""
        return int(self._bound)

    def succeed(self, is_short: bool) -> None:
        """A request was answered. `is_short`: there were as many as there may be, and more waited."""
        if is_short:
            self._bound = min(self._bound + 1 / self._bound, float(MOST))

    def fail(self) -> None:
        """The downstream failed transiently, as it had not before in this round."""
        self._bound = max(self._bound / 2, 1.0)
