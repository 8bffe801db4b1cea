"""Which traces are known, what they cost, and when they are forgotten (S16, S17).

A trace whose spans have all left rests: first with its span ids, at least MAX_WAIT; then bare, with what its spans
agreed on; then it is forgotten, by age or when there are too many. Nothing here ever drops a span.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mypy_extensions import i64

from processor.span import PLACEHOLDER, Context, Span
from processor.trace.settings import TreeSettings
from processor.trace.trace import NO_GROUP, NO_NODES, Trace

# Estimated cost in bytes beside a span's own, measured as resident memory (`make bench`, rows "held"):
SPAN_COST: Final = 230  # a held span: record, id, place in the tree, its share of the trace
NODE_COST: Final = 200  # a span that has left and whose node is kept
ID_COST: Final = 8
TRACE_COST: Final = 400


class Memory:
    """All known traces by key. `cost`: estimated bytes of everything in them. `forgotten` counts traces by reason."""

    __slots__ = ("_bare", "_resting", "cost", "forgotten", "remember_traces", "traces")

    def __init__(self, settings: TreeSettings) -> None:
        self.traces: dict[bytes, Trace] = {}
        self.cost: i64 = 0
        self.forgotten: dict[str, int] = {"age": 0, "count": 0, "memory": 0}
        self.remember_traces = settings.remember_traces
        self._resting: deque[Trace] = deque()
        self._bare: deque[Trace] = deque()

    def put(self, trace: Trace) -> None:
        """Know a new trace."""
        self.traces[trace.key] = trace
        self._charge(trace, TRACE_COST)

    def hold(self, trace: Trace, span: Span) -> None:
        """A span has come."""
        self._charge(trace, len(span.raw) + span.group.share + SPAN_COST)

    def expect(self, trace: Trace, span_id: bytes, empty: Context) -> Span:
        """A node for a span that was named as a parent and has not come."""
        node = Span(b"", span_id, b"", NO_GROUP, empty)
        node.state = PLACEHOLDER
        trace.nodes[span_id] = node
        trace.placeholders += 1
        self._charge(trace, NODE_COST)
        return node

    def arrive(self, trace: Trace) -> None:
        """A span has come that had been named."""
        self._charge(trace, -NODE_COST)

    def pass_through(self, trace: Trace, count: i64) -> None:
        """Spans have come and left at once; their nodes stay."""
        self._charge(trace, count * NODE_COST)

    def let_go(self, trace: Trace, span: Span) -> None:
        """A span has left; its node stays."""
        self._charge(trace, NODE_COST - SPAN_COST - len(span.raw) - span.group.share)

    def thaw(self, trace: Trace) -> None:
        """Open a trace again for a late span."""
        self._hold_contexts(trace, -1)
        count = trace.thaw()
        self._charge(trace, count * (NODE_COST - ID_COST))

    def recall(self, trace: Trace, context: Context, ids: bytes) -> None:
        """Nodes for spans that left in a process before this one."""
        trace.is_mixed = True
        self._charge(trace, trace.recall(context, ids) * NODE_COST)

    def rest(self, trace: Trace, now_s: float) -> None:
        """Nothing of the trace is held: it may be forgotten from now on.

        Frozen at once unless it was opened again before.
        """
        if trace.is_forgotten:
            return
        trace.rested_s = now_s
        if trace.undecided == 0 and trace.pendings == 0 and trace.is_open and not trace.is_thawed:
            count = trace.freeze()
            self._charge(trace, TRACE_COST + count * ID_COST - trace.cost)
            self._hold_contexts(trace, 1)
        if not trace.is_queued:
            trace.is_queued = True
            trace.queued_s = now_s
            self._resting.append(trace)
            if len(self._resting) + len(self._bare) > self.remember_traces:
                self._forget_one("count")

    def forget(self, now_s: float, settings: TreeSettings) -> None:
        """Let traces grow bare, and forget them, by age."""
        while True:
            trace = self._oldest(self._resting)
            if trace is None or trace.queued_s + settings.max_wait_s > now_s:
                break
            self._resting.popleft()
            self._strip(trace)
            self._bare.append(trace)
        while True:
            trace = self._oldest(self._bare)
            if trace is None or trace.queued_s + settings.remember_for_s > now_s:
                break
            self._bare.popleft()
            self._drop(trace, "age")

    def forget_for_room(self, wanted_cost: i64) -> None:
        """Forget resting traces, oldest first, until the cost is down to `wanted_cost` or nothing rests."""
        while self.cost > wanted_cost and self._forget_one("memory"):
            pass

    def _oldest(self, queue: deque[Trace]) -> Trace | None:
        """The trace at the front that really rests; those that were touched since go to the back, those held leave."""
        while queue:
            trace = queue[0]
            if trace.held or trace.passing:
                queue.popleft()
                trace.is_queued = False
            elif trace.rested_s > trace.queued_s:
                queue.popleft()
                trace.queued_s = trace.rested_s
                self._resting.append(trace)
            else:
                return trace
        return None

    def _forget_one(self, reason: str) -> bool:
        """Forget the trace that has rested longest; False if none does."""
        for queue in (self._bare, self._resting):
            trace = self._oldest(queue)
            if trace is not None:
                queue.popleft()
                self._drop(trace, reason)
                return True
        return False

    def _strip(self, trace: Trace) -> None:
        """Keep only what the trace's spans agreed on."""
        if trace.is_open:
            trace.unlink()
        self._hold_contexts(trace, -1)
        trace.melt()
        trace.undecided = 0
        trace.pendings = 0
        trace.placeholders = 0
        trace.has_twins = False
        trace.shared = None
        trace.is_thawed = False
        trace.nodes = NO_NODES
        self._charge(trace, TRACE_COST - trace.cost)

    def _drop(self, trace: Trace, reason: str) -> None:
        self._strip(trace)
        self._charge(trace, -trace.cost)
        trace.is_queued = False
        trace.is_forgotten = True
        del self.traces[trace.key]
        self.forgotten[reason] += 1

    def _hold_contexts(self, trace: Trace, holders: i64) -> None:
        """Count the contexts of a frozen trace, each once however many traces share it."""
        frozen = trace.frozen
        while frozen is not None:
            context = frozen.context
            before = context.holders
            context.holders += holders
            if before == 0 or context.holders == 0:
                self.cost += holders * context.cost
            frozen = frozen.more

    def _charge(self, trace: Trace, cost: i64) -> None:
        trace.cost += cost
        self.cost += cost
