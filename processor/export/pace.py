"""How soon one request may follow another: the busier the process is, the longer chunks gather for the next.

Fewer, larger requests cost both sides less, which counts where there is much to do; where there is little, nothing
waits for it. Sans-I/O: time is a parameter. Must not know what a request carries.
"""

from __future__ import annotations


class Pace:
    """When the next request may start. Only the queue may touch it.

    `most_s`: how long after the last one it may have to wait, in a process that is never idle; the share of that time
    in which the process worked, in one that is. `not_before`: by the clock of `begin`.
    """

    __slots__ = ("_most_s", "_since", "_worked_s", "not_before")

    def __init__(self, most_s: float) -> None:
        self.not_before = float("-inf")
        self._most_s = most_s
        self._since = float("-inf")
        self._worked_s = 0.0

    def begin(self, now: float, worked_s: float) -> None:
        """A request starts. `worked_s`: the seconds that the process has worked so far.

        How busy it is shows over `most_s` at least, so that a few requests at once do not look like load.
        """
        if not self._most_s:
            return
        elapsed_s = max(now - self._since, self._most_s)
        self.not_before = now + self._most_s * min((worked_s - self._worked_s) / elapsed_s, 1.0)
        if now - self._since >= self._most_s:
            self._since, self._worked_s = now, worked_s
