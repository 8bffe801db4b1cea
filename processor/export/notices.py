"""What the export says in the log of one downstream: few lines, whatever happens.

When the downstream comes and goes at most a pair of lines in two seconds; for each reason of loss, and for partial
successes, one line in ten seconds, losses with the sum since the last. Never a body, never a header's value.
"""

from __future__ import annotations

import logging
import traceback

from processor.export.answers import printable
from processor.export.export import LossReason
from processor.signals import Signal

_STATE_PERIOD_S = 2.0
_WINDOW_S = 10.0


class Notices:
    """The log lines of the downstream `name`, rate-limited by the time that the caller gives. The queue's own."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._log = logging.getLogger("processor.export")
        self._down_at = float("-inf")
        self._is_down = False
        self._lost: dict[LossReason, int] = dict.fromkeys(LossReason, 0)
        self._said_at: dict[object, float] = {}

    def unavailable(self, now: float, wait_s: float, cause: str) -> None:
        """A request failed transiently; the next goes in `wait_s`."""
        if now - self._down_at >= _STATE_PERIOD_S:
            self._is_down, self._down_at = True, now
            line = "downstream unavailable, will retry: downstream=%s retry_in_s=%.1f cause=%s"
            self._log.warning(line, self._name, wait_s, printable(cause))

    def recovered(self) -> None:
        """The downstream answered again. Said only where its absence was."""
        if self._is_down:
            self._is_down = False
            self._log.info("downstream available again: downstream=%s", self._name)

    def lost(self, now: float, reason: LossReason, items: int, detail: str = "") -> None:
        """Items were given up."""
        self._lost[reason] += items
        if items and self._may_say(now, reason):
            total, self._lost[reason] = self._lost[reason], 0
            line = "lost: downstream=%s reason=%s items=%d meaning=%s detail=%s"
            self._log.warning(line, self._name, reason.label, total, reason.description, printable(detail))

    def partial_success(self, now: float, signal: Signal, rejected: int, message: str) -> None:
        """The downstream took a request and had something to say of it (E3)."""
        if self._may_say(now, signal):
            line = "partial success: downstream=%s signal=%s rejected=%d message=%s"
            self._log.warning(line, self._name, signal.value, rejected, printable(message))

    def unsupported(self, signal: Signal, again_in_s: float) -> None:
        """The downstream does not take a signal. Once a probe, and probes are minutes apart."""
        line = "downstream does not take signal: downstream=%s signal=%s again_in_s=%.0f"
        self._log.warning(line, self._name, signal.value, again_in_s)

    def fault(self, now: float, error: Exception) -> None:
        """The client raised what it must not raise; said with its place in the code, without its text."""
        if self._may_say(now, type(error)):
            place = traceback.extract_tb(error.__traceback__)[-1:]
            where = f"{place[0].filename}:{place[0].lineno}" if place else "unknown"
            self._log.error("export fault: downstream=%s error=%s at=%s", self._name, type(error).__name__, where)

    def _may_say(self, now: float, subject: object) -> bool:
        if now - self._said_at.get(subject, float("-inf")) < _WINDOW_S:
            return False
        self._said_at[subject] = now
        return True
