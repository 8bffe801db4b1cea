"""How long held spans waited: plain counts in buckets, one step a span that is let go.

Waits come in ticks, as the tree keeps them (`waits.py`): a wait of n ticks took between n - 1 and n + 1 of them. Spans
that left at once never come here; those that waited only for the rest of their request count as 0 ticks.
"""

from __future__ import annotations

from math import floor
from typing import Final

from mypy_extensions import i64

# Upper bounds in seconds, inclusive. A tick is a second at the default MAX_WAIT: below that there is nothing to tell.
HOLD_BOUNDS_S: Final[tuple[float, ...]] = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)


class Holds:
    """Spans that were held and have left: `counts` by bucket, the last for what is above all bounds."""

    __slots__ = ("_bounds", "_ticks", "counts", "tick_s")

    def __init__(self, tick_s: float) -> None:
        self.tick_s = tick_s
        self.counts = [0] * (len(HOLD_BOUNDS_S) + 1)
        self._bounds = [floor(bound_s / tick_s) for bound_s in HOLD_BOUNDS_S]
        self._ticks: i64 = 0

    @property
    def total_s(self) -> float:
        """The seconds that all of them waited together."""
        return int(self._ticks) * self.tick_s

    def add(self, ticks: i64) -> None:
        """A span has left that waited for so many ticks."""
        if ticks > 0:  # time is each request's own, and may be a little behind another's
            self._ticks += ticks
        bounds = self._bounds
        index: i64 = 0
        while index < len(bounds) and ticks > bounds[index]:
            index += 1
        self.counts[index] += 1
