"""How long requests to a downstream took, by how they ended: plain counts in buckets.

Only the queue writes, by `observe`; telemetry reads.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

from processor.export.export import Attempt

# Upper bounds in seconds, inclusive: those that semantic conventions give for durations of requests.
DURATION_BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)


class Durations:
    """`counts` by outcome and bucket, the last for what is above all bounds; `total_s`: their sums."""

    def __init__(self) -> None:
        self.counts = {outcome: [0] * (len(DURATION_BOUNDS_S) + 1) for outcome in Attempt}
        self.total_s = dict.fromkeys(Attempt, 0.0)

    def observe(self, outcome: Attempt, duration_s: float) -> None:
        """One attempt has ended."""
        self.counts[outcome][bisect_left(DURATION_BOUNDS_S, duration_s)] += 1
        self.total_s[outcome] += duration_s
