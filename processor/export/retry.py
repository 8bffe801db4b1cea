"""When the downstream may be tried again: exponential backoff, and one circuit for the whole downstream.

The circuit in a picture: `ready` lets every slot send. A transient failure makes it `waiting`: nothing is sent
before a time that obeys the backoff and whatever the downstream asked for. Then it is `probing`: one request
goes, and its answer either makes the circuit ready again or starts a longer wait.

    ready ──failure──▶ waiting ──time──▶ probing ──any answer──▶ ready
                          ▲                 └──failure──▶ (waiting, longer)

The alternative, a backoff for every batch, blocks the slots one by one with batches that will all fail alike, and
then sends as many requests to a struggling downstream as there are slots. Sans-I/O: time is a parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits with jitter (E2): 1 s, × 1.5, ± 50 %.

    The cap is lower than the 30 s of the Collector, whose ten consumers each wait on their own and so make one attempt
    in 3 s at the cap; one probe in 5 s is gentler, and finds a recovered downstream within 10 s (F3).
    """

    start_s: float = 1.0
    factor: float = 1.5
    jitter: float = 0.5
    cap_s: float = 5.0

    def wait_s(self, failures: int, draw: float) -> float:
        """The wait after so many failures in a row (1 or more); `draw` is random in [0, 1)."""
        exponent = min(failures - 1, 64)  # far over any cap, far under a float's range
        return min(self.start_s * self.factor**exponent, self.cap_s) * (1 + self.jitter * (2 * draw - 1))


class Circuit:
    """Whether a request may start now. Only the queue may touch it.

    Requests in flight at a failure belong to an earlier round: their successes do not shorten the wait that the
    downstream asked for, and their failures do not lengthen the backoff a second time.
    """

    def __init__(self, backoff: Backoff, random: Callable[[], float]) -> None:
        self._backoff = backoff
        self._random = random
        self._round = 0
        self._failures = 0
        self._not_before = float("-inf")
        self._is_probing = False

    @property
    def is_ready(self) -> bool:
        """Whether the last answer was one: nothing failed since."""
        return self._failures == 0

    @property
    def is_probing(self) -> bool:
        """Whether a single request is out to find out."""
        return self._is_probing

    @property
    def not_before(self) -> float:
        """The earliest time at which a request may start, if nothing probes."""
        return self._not_before

    def begin(self) -> int:
        """Note that a request starts; returns its ticket. Only from `not_before` on, and when nothing probes."""
        self._is_probing = not self.is_ready
        return self._round

    def succeed(self, ticket: int) -> None:
        """The downstream answered (a refusal is an answer too)."""
        if ticket == self._round:
            self._failures = 0
            self._is_probing = False

    def fail(self, ticket: int, now: float, retry_after_s: float | None) -> bool:
        """The downstream did not take it; no request starts before its delay and the backoff are over (F4).

        Whether this is the first failure of its round.
        """
        asked = retry_after_s or 0.0
        is_first = ticket == self._round
        if is_first:
            self._round += 1
            self._failures += 1
            self._is_probing = False
            asked = max(asked, self._backoff.wait_s(self._failures, self._random()))
        self._not_before = max(self._not_before, now + asked)
        return is_first
