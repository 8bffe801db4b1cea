"""Follows the spans that are held, so that somebody may keep them elsewhere: who came, who left, what is known of
their traces.

    hold ──▶ fresh ──take──▶ kept at a place ──leave──▶ left: places to be given up
                               └ while a trace has one: the contexts of its spans that have left, as records

A place is a number of whoever keeps them, never 0. A trace's records are of no use once it holds no span any more
(`closed`). No I/O; only the trace buffer and the pipeline may touch it.
"""

from __future__ import annotations

from processor.attributes.known import Known, store_known
from processor.span import DECIDED, EMITTED, Context, Span
from processor.trace.trace import Trace


class _Kept:
    """What was not yet taken of a trace that has kept spans: `ids` by context, and the agreement as it was taken."""

    __slots__ = ("conflicts", "ids", "said")

    def __init__(self) -> None:
        self.ids: dict[Context, list[bytes]] = {}
        self.said: Context | None = None
        self.conflicts = 0

    def add(self, trace: Trace, span: Span) -> None:
        if trace.nodes.get(span.span_id) is span:  # of several with one id the first gives the context (S13)
            self.ids.setdefault(span.context, []).append(span.span_id)


class Keeper:
    """`places` of the spans that are kept; `left` and `closed` since they were last taken."""

    __slots__ = ("_fresh", "_traces", "closed", "left", "places", "touched")

    def __init__(self) -> None:
        self.places: dict[Span, int] = {}
        self.left: list[int] = []
        self.closed: list[bytes] = []
        self.touched: dict[Trace, None] = {}
        self._fresh: list[tuple[Trace, Span]] = []
        self._traces: dict[Trace, _Kept] = {}

    def followed(self) -> set[bytes]:
        """The keys of the traces that have kept spans."""
        return {trace.key for trace in self._traces}

    def hold(self, trace: Trace, span: Span) -> None:
        """A span is held from now on."""
        if span in self.places:  # it came from where it is kept
            self._keep(trace)
        else:
            self._fresh.append((trace, span))

    def decide(self, trace: Trace, span: Span) -> None:
        """A span that has left, or leaves now, has its final context."""
        kept = self._traces.get(trace)
        if kept is not None:
            kept.add(trace, span)
            self.touched[trace] = None

    def leave(self, span: Span) -> None:
        """A span has left."""
        place = self.places.pop(span, 0)
        if place:
            self.left.append(place)

    def close(self, trace: Trace) -> None:
        """No span of the trace is held any more."""
        if self._traces.pop(trace, None) is not None:
            self.touched.pop(trace, None)
            self.closed.append(trace.key)

    def take_fresh(self) -> list[Span]:
        """The spans of one request that came since the last call and are still held, in order of arrival.

        Their traces are followed from now on.
        """
        fresh = self._fresh
        if not fresh:
            return []
        self._fresh = []
        held: list[Span] = []
        for trace, span in reversed(fresh):  # they were settled backwards
            if not span.state & EMITTED:
                held.append(span)
                self._keep(trace)
                self.touched[trace] = None
        return held

    def take_known(self) -> list[tuple[bytes, bytes]]:
        """Key and record of each followed trace of which more is known than at the last call."""
        records: list[tuple[bytes, bytes]] = []
        for trace in self.touched:
            kept = self._traces[trace]
            conflicts = trace.conflicts if trace.conflicts is not None else set()
            if not kept.ids and kept.said is trace.said and kept.conflicts == len(conflicts):
                continue
            known = Known(trace.key, trace.said, conflicts)
            known.ids = [(context, b"".join(ids)) for context, ids in kept.ids.items()]
            records.append((trace.key, store_known(known)))
            kept.ids = {}
            kept.said = trace.said
            kept.conflicts = len(conflicts)
        self.touched.clear()
        return records

    def _keep(self, trace: Trace) -> None:
        """Follow a trace, beginning with what is known of it now."""
        if trace in self._traces:
            return
        kept = _Kept()
        for span in trace.nodes.values():
            if span.state & DECIDED and span.state & EMITTED:
                kept.add(trace, span)
        self._traces[trace] = kept
