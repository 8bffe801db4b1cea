"""Which traces are to be looked at when: ticks, not timers.

Time is cut into ticks; a tick has a set of traces, a trace is in at most one. Adding and removing are O(1), and
nothing ever looks at a trace before its tick. A deadline is rounded down to its tick, so a span waits at most as long
as it may, and at most one tick less.
"""

from __future__ import annotations

from math import floor

from mypy_extensions import i64

from processor.span import DECIDED, EMITTED, PLACEHOLDER, Group
from processor.trace.holds import Holds
from processor.trace.trace import Trace


class Waits:
    """Traces by tick.

    `tick_s` is the length of a tick in seconds; ticks are counted from `start_s`, set by the first look. `holds` counts
    the waits that are over.
    """

    __slots__ = ("by_tick", "holds", "start_s", "tick_s")

    def __init__(self, tick_s: float) -> None:
        self.tick_s = tick_s
        self.start_s = -1.0
        self.holds = Holds(tick_s)
        self.by_tick: dict[int, dict[Trace, None]] = {}

    def begin(self, now_s: float) -> None:
        """Count ticks from the first time there is, so that they stay small numbers."""
        if self.start_s < 0:
            self.start_s = now_s - now_s % self.tick_s

    def tick(self, at_s: float) -> i64:
        """The tick of a time; never 0, which says "none"."""
        return floor((at_s - self.start_s) / self.tick_s) + 1

    def ensure(self, trace: Trace, tick: i64) -> None:
        """Look at the trace at `tick` or earlier."""
        if trace.wake and trace.wake <= tick:
            return
        self.remove(trace)
        trace.wake = tick
        traces = self.by_tick.get(tick)
        if traces is None:
            self.by_tick[tick] = {trace: None}
        else:
            traces[trace] = None

    def remove(self, trace: Trace) -> None:
        """Do not look at the trace any more."""
        if not trace.wake:
            return
        traces = self.by_tick.get(trace.wake)
        if traces is not None:
            traces.pop(trace, None)
            if not traces:
                del self.by_tick[trace.wake]
        trace.wake = 0

    def take_due(self, now_s: float) -> list[Trace]:
        """The traces whose tick has come, earliest first; they are no longer waiting."""
        now = self.tick(now_s)
        due = sorted([tick for tick in self.by_tick if tick <= now])
        taken: list[Trace] = []
        for tick in due:
            for trace in self.by_tick.pop(tick):
                trace.wake = 0
                taken.append(trace)
        return taken

    def spans_due(self, latest: i64, max_spans: i64) -> dict[Group, int]:
        """Undecided spans that are due at the tick `latest` or before, by group; looks at about `max_spans` at most."""
        found: dict[Group, int] = {}
        for tick in sorted(self.by_tick):
            for trace in self.by_tick[tick]:
                if max_spans <= 0:
                    return found
                max_spans -= len(trace.nodes)
                for span in trace.nodes.values():
                    if span.state != PLACEHOLDER and not span.state & (DECIDED | EMITTED) and i64(span.due) <= latest:
                        found[span.group] = found.get(span.group, 0) + 1
        return found

    def first(self) -> Trace | None:
        """The trace that would be looked at next."""
        if not self.by_tick:
            return None
        return next(iter(self.by_tick[min(self.by_tick)]))
