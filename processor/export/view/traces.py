"""Which spans the view prints together, and when: state of one owner, time as a parameter, bounded.

    observed ──▶ waits with its trace ──▶ Batch (2 s after the root, at once when given up, early where room is short)

What was printed is remembered as `Ancestor`s, so that it can still be told from where a later span of the trace has its
values. Knows neither bytes nor text.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from processor.export.view.span import Ancestor, Shown

DELAY_S: Final = 2.0
# A trace whose root does not come is shown when it has been quiet for this long.
QUIET_S: Final = 30.0

_DECIDED: Final = "decided"


@dataclass(frozen=True, slots=True)
class Limits:
    """How much is kept; over it, what there is of a trace is printed early, and what was printed is forgotten.

    `spans` is over all traces, printed ones included: measured 1.4 KiB each while they wait, 0.5 KiB after.
    """

    traces: int = 1000
    spans_per_trace: int = 5000
    spans: int = 20_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Spans of a trace to be printed together. `known`: all known spans of the trace, these included.

    `reasons`: why spans were given up, if any were. `is_addition`: others of the trace were printed before.
    """

    trace_id: bytes
    spans: Sequence[Shown]
    known: Mapping[bytes, Ancestor]
    reasons: Sequence[str]
    is_addition: bool


class _Trace:
    """The spans of one trace that are not printed yet, and what is known of all.

    `standins`: the ids that a pending span stands for, the real one not having come (S5).
    """

    __slots__ = ("changed_s", "due_s", "fresh", "has_root", "is_printed", "known", "reasons", "standins")

    def __init__(self) -> None:
        self.fresh: list[Shown] = []
        self.known: dict[bytes, Ancestor] = {}
        self.standins: set[bytes] = set()
        self.reasons: set[str] = set()
        self.has_root = False
        self.is_printed = False
        self.due_s: float | None = None
        self.changed_s = 0.0

    @property
    def size(self) -> int:
        """Spans kept, waiting or remembered."""
        return max(len(self.known), len(self.fresh))

    def add(self, span: Shown, reason: str) -> None:
        """One more span. Of several with one id the first is the ancestor (S13), but a real one before a stand-in."""
        span_id = span.span_id
        is_real_known = span_id in self.known and span_id not in self.standins
        if span.is_pending:
            if is_real_known or span_id in self.standins:
                return
            self.standins.add(span_id)
        else:
            self.standins.discard(span_id)
            self.has_root = self.has_root or span.is_root
        if not is_real_known:
            self.known[span_id] = span.above
        self.fresh.append(span)
        if reason != _DECIDED:
            self.reasons.add(reason)

    def plan(self, now_s: float) -> None:
        """Decide when to print what has come since the last time."""
        self.changed_s = now_s
        if self.reasons:
            self.due_s = now_s
        elif self.has_root and self.due_s is None:
            self.due_s = now_s + DELAY_S

    def is_due(self, now_s: float) -> bool:
        """Whether it is to be printed now."""
        return now_s >= (self.due_s if self.due_s is not None else self.changed_s + QUIET_S)

    def take(self, trace_id: bytes, max_known: int) -> Batch:
        """What is to be printed; from here on it is known only."""
        spans = [span for span in self.fresh if not span.is_pending or span.span_id in self.standins]
        batch = Batch(trace_id, spans, self.known, sorted(self.reasons), self.is_printed)
        if len(self.known) >= max_known:
            self.known = {}
            self.standins = set()
        self.fresh = []
        self.reasons = set()
        self.due_s = None
        self.is_printed = self.is_printed or bool(spans)
        return batch


class Traces:
    """All traces of the view."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._traces: dict[bytes, _Trace] = {}  # the one that changed last stands last
        self._waiting: dict[bytes, _Trace] = {}
        self._changed: dict[bytes, _Trace] = {}
        self._size = 0

    def add(self, trace_id: bytes, span: Shown, reason: str) -> list[Batch]:
        """Take a span in; what has to be printed at once to make room."""
        trace = self._traces.pop(trace_id, None) or _Trace()
        self._traces[trace_id] = trace
        before = trace.size
        trace.add(span, reason)
        self._size += trace.size - before
        if trace.fresh:
            self._waiting[trace_id] = self._changed[trace_id] = trace
        early = [self._take(trace_id)] if len(trace.fresh) >= self._limits.spans_per_trace else []
        while len(self._traces) > self._limits.traces or self._size > self._limits.spans:
            early += self._forget(next(iter(self._traces)))
        return early

    def take_due(self, now_s: float, max_spans: int) -> tuple[list[Batch], bool]:
        """What is to be printed now, at most about `max_spans` spans, and whether there is more."""
        for trace in self._changed.values():
            trace.plan(now_s)
        self._changed.clear()
        due = [trace_id for trace_id, trace in self._waiting.items() if trace.is_due(now_s)]
        batches = []
        while due and max_spans > 0:
            batches.append(self._take(due.pop(0)))
            max_spans -= len(batches[-1].spans)
        return batches, bool(due)

    def take_all(self) -> list[Batch]:
        """Everything that waits."""
        return [self._take(trace_id) for trace_id in list(self._waiting)]

    def _take(self, trace_id: bytes) -> Batch:
        trace = self._waiting.pop(trace_id)
        self._changed.pop(trace_id, None)
        before = trace.size
        batch = trace.take(trace_id, self._limits.spans_per_trace)
        self._size += trace.size - before
        return batch

    def _forget(self, trace_id: bytes) -> list[Batch]:
        """Let go of a trace; what of it was not printed yet."""
        batches = [self._take(trace_id)] if trace_id in self._waiting else []
        self._size -= self._traces.pop(trace_id).size
        return batches
