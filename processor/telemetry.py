"""What the processor says about itself: warnings about dropped values (S8), rate limits, the accounting (S25).

One closed list of reasons each, kept where the reason arises; here they are counted and told. Never a value out of
a span.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from processor.attributes.reading import Drop
from processor.attributes.validate import REASONS

LOG: Final = logging.getLogger("processor")

_WINDOW_S: Final = 10.0
_FIRST: Final = 10
_THEN_ONE_IN: Final = 100
_MAX_SUBJECTS: Final = 100  # keys come from the settings, but for prefixes: there a sender invents them


class RateLimit:
    """By default the first 10 in 10 s for each subject, then one in 100 (0: none until the window is over).

    More subjects than a sender needs share one rate.
    """

    def __init__(self, first: int = _FIRST, window_s: float = _WINDOW_S, then_one_in: int = _THEN_ONE_IN) -> None:
        self._first = first
        self._window_s = window_s
        self._then_one_in = then_one_in
        self._seen: dict[tuple[str, ...], tuple[float, int]] = {}

    def allows(self, subject: tuple[str, ...], now_s: float) -> bool:
        """Whether to speak of the subject now."""
        if subject not in self._seen and len(self._seen) >= _MAX_SUBJECTS:
            self._forget(now_s)
            if len(self._seen) >= _MAX_SUBJECTS:
                subject = ()
        since, count = self._seen.get(subject, (now_s, 0))
        if now_s - since >= self._window_s:
            since, count = now_s, 0
        self._seen[subject] = (since, count + 1)
        if count < self._first or not self._then_one_in:
            return count < self._first
        return (count - self._first) % self._then_one_in == self._then_one_in - 1

    def _forget(self, now_s: float) -> None:
        """Subjects whose window is over begin anew anyway."""
        self._seen = {subject: seen for subject, seen in self._seen.items() if now_s - seen[0] < self._window_s}


class Warnings:
    """Dropped values: counted, logged and told to the sender. `dropped` counts by (key group, reason)."""

    def __init__(self, warn_sender: bool) -> None:
        self.dropped: dict[tuple[str, str], int] = {}
        self._warn_sender = warn_sender
        self._limit = RateLimit()
        self._told: dict[str, float] = {}

    def note(self, drops: Iterable[Drop], now_s: float) -> str:
        """Count and log; the message for the sender's partial_success, or "" (at most one in 10 s a reason)."""
        told: dict[tuple[str, str], None] = {}
        for drop in drops:
            subject = (drop.group, drop.reason)
            self.dropped[subject] = self.dropped.get(subject, 0) + 1
            key = escape(drop.key)
            if self._limit.allows((key, drop.reason), now_s):
                LOG.warning(
                    "dropped an invalid value: key=%s reason=%s type=%s length=%d meaning=%s",
                    key, drop.reason, drop.type, drop.length, REASONS[drop.reason],
                )  # fmt: skip
            if self._may_tell(drop.reason, now_s, told):
                told[(key, drop.reason)] = None
        for _, reason in told:
            self._told[reason] = now_s
        if not told:
            return ""
        return "dropped invalid values: " + ", ".join(f"{key} ({REASONS[reason]})" for key, reason in list(told)[:20])

    def _may_tell(self, reason: str, now_s: float, told: dict[tuple[str, str], None]) -> bool:
        if not self._warn_sender:
            return False
        last = self._told.get(reason)
        return last is None or now_s - last >= _WINDOW_S


def escape(key: bytes) -> str:
    """Text out of a span as it may stand in a log line: printable, at most 100 characters."""
    text = key.decode("utf-8", "replace")[:100]
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@dataclass(frozen=True, slots=True)
class Accounting:
    """S25 in one snapshot: `accepted + recovered = exported + lost + held + queued + journaled`, in spans."""

    accepted: int
    exported: int
    lost: dict[str, int]
    held: int
    queued: int
    recovered: int = 0
    journaled: int = 0

    def numbers(self) -> dict[str, int]:
        """The terms of the identity by name, `lost` in one sum."""
        return {
            "accepted": self.accepted,
            "recovered": self.recovered,
            "exported": self.exported,
            "lost": sum(self.lost.values()),
            "held": self.held,
            "queued": self.queued,
            "journaled": self.journaled,
        }

    @property
    def is_balanced(self) -> bool:
        """Whether the identity holds."""
        out = self.exported + sum(self.lost.values()) + self.held + self.queued + self.journaled
        return self.accepted + self.recovered == out
