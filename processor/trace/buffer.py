"""The trace buffer: a state machine of one owner that holds spans until it is known whose they are.

    arrives:   C (parent B)      B (parent A)        A (root, user.id=u1)
    tree:      [B]               [A]                 A            [X] named as a parent, not received
                └─ C held         └─ B held          ├─ decided: A, then B, then C: context {user.id: u1}
                                      └─ C held      └─ emitted in that order

A span's `context` always holds what its known, unbroken chain says, nearest first. It is decided when the chain reaches
a root, or when all carried keys are known (S14); deciding a span decides the spans below it, through a work list that
is worked off in bounded pieces. What is never decided is given up after MAX_WAIT (S15). Everything is iterative, and
O(1) a span but for the keys that it lacks: a node is visited once when it is decided, and once for each key that comes
from above before that.

Rules: S10 to S18. No I/O; time is a parameter, in seconds of a monotonic clock. For the spans of a request: `open`
their traces, `place` all, `settle` all, `work`, `close`; then `take` what leaves. And `advance` from time to time.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from mypy_extensions import i32, i64, u8

from processor.attributes.contexts import Contexts
from processor.attributes.labels import Labeller
from processor.span import DECIDED, EMITTED, IS_ENTRY, IS_ROOT, PLACEHOLDER, Context, Group, Own, Span
from processor.trace.chain import context_above, context_of_pending, stand_in
from processor.trace.keeper import Keeper
from processor.trace.memory import Memory
from processor.trace.releases import Released, Releases
from processor.trace.settings import (
    BY_DECISION,
    BY_MAX_WAIT,
    BY_MEMORY,
    BY_TRACE_SIZE,
    FILL_NONE,
    FILL_TRACE,
    TreeSettings,
)
from processor.trace.trace import Trace
from processor.trace.waits import Waits

# Ticks are kept in 32 bits a span: at this length they last for 248 days.
_LEAST_TICK_S: Final = 0.01


class Buffer:
    """All traces. `labeller`: what new traces are labelled by; `keeper`: follows what is held; None for not at all."""

    def __init__(self, settings: TreeSettings, contexts: Contexts) -> None:
        self.settings = settings
        self.contexts = contexts
        self.memory = Memory(settings)
        shortest = settings.max_wait_s
        if settings.fill == FILL_TRACE:
            shortest = min(shortest, settings.trace_quiet_s * 10)
        self.waits = Waits(max(shortest / 300, _LEAST_TICK_S))
        self.labeller: Labeller | None = None
        self.keeper: Keeper | None = None
        self.releases = Releases()
        self._fills_traces = settings.fill == FILL_TRACE
        self._root_bits: u8 = IS_ROOT if settings.roots_any else IS_ROOT | IS_ENTRY
        self._max_spans: i32 = i32(settings.max_spans_per_trace)
        # Work list: below each of these spans, from this child on, contexts may have changed.
        self._below: list[Span] = []
        self._from: list[Span] = []
        self._traces: list[Trace] = []
        self._due: deque[Trace] = deque()
        self._crowded: list[Trace] = []
        self._pendings: list[tuple[Trace, Span, Own]] = []
        self._twins = 0
        self._now_s = -1.0
        self._due_tick: i64 = 0
        self._wake_tick: i64 = 0

    # ---- spans come

    def open(self, key: bytes, now_s: float) -> Trace:
        """The trace of a key, ready for `place`."""
        trace = self.memory.traces.get(key)
        if trace is None:
            trace = Trace(key, self.contexts.empty)
            trace.labeller = self.labeller
            self.memory.put(trace)
        elif not trace.is_open:
            self.memory.thaw(trace)
        trace.touched_s = now_s
        if now_s != self._now_s:
            self._set_now(now_s)
        return trace

    def place(self, trace: Trace, spans: list[Span]) -> None:
        """Make spans the nodes of their ids. Of several with one id the first stays (S13), others stand beside."""
        nodes = trace.nodes
        for span in spans:
            own = span.own
            if own is not None:
                if own.pending_parent is not None:
                    continue
                if own.context.values:
                    trace.hear(own.context, self.contexts)
            known = nodes.setdefault(span.span_id, span)
            if known is not span:
                if known.state == PLACEHOLDER:
                    self._fulfil(trace, span, known)
                else:
                    self._twins += 1
                    trace.has_twins = True
                    nodes[b"%b#%d" % (span.span_id, self._twins)] = span

    def settle(self, trace: Trace, spans: list[Span]) -> None:
        """Decide placed spans, last first, or hold them below their parents. The order changes nothing but speed."""
        nodes = trace.nodes
        passed: i64 = 0
        for span in reversed(spans):
            own = span.own
            if own is not None and own.pending_parent is not None:
                self._pendings.append((trace, span, own))
                trace.passing += 1
                continue
            if not span.parent_id or span.state & self._root_bits:
                span.state |= IS_ROOT
                trace.has_root = True
                self._decide(trace, span, span.context)
            else:
                parent = nodes.get(span.parent_id)
                if parent is None or not parent.state & DECIDED:
                    self._attach(trace, span, parent)
                elif own is None:
                    self._decide(trace, span, parent.context)
                else:
                    self._decide(trace, span, self.contexts.overlay(parent.context, span.context))
            if span.state & EMITTED:
                passed += 1
            else:
                self._hold(trace, span)
        self.memory.pass_through(trace, passed)

    def close(self, trace: Trace) -> None:
        """No more spans of this trace for now: where everything is decided and gone, keep only ids."""
        if trace.held == 0 and trace.passing == 0:
            self.waits.remove(trace)
            if self.keeper is not None:
                self.keeper.close(trace)
            self.memory.rest(trace, self._now_s)

    # ---- contexts go down, spans leave

    def work(self, max_spans: i64) -> bool:
        """Carry contexts down to at most about `max_spans` spans; False when nothing is left to do."""
        below = self._below
        while below and max_spans > 0:
            span = below.pop()
            child: Span | None = self._from.pop()
            trace = self._traces.pop()
            while child is not None and max_spans > 0:
                max_spans -= 1
                if not child.state & DECIDED:
                    self._descend(trace, span, child)
                child = child.next_sibling
            if child is not None:
                self._push(trace, span, child)
            elif trace.held == 0:
                self.close(trace)
        if not below:
            self._pass_pendings()
            while self._crowded:
                crowded = self._crowded.pop()
                crowded.is_crowded = False
                self.release(crowded, BY_TRACE_SIZE)
        return self.has_work

    @property
    def has_work(self) -> bool:
        """Whether `work` has something to do."""
        return len(self._below) > 0 or len(self._crowded) > 0 or len(self._pendings) > 0

    def advance(self, now_s: float, max_spans: i64) -> bool:
        """Give up what has waited long enough, about `max_spans` spans at most; True if there is more now."""
        self._set_now(now_s)
        if self.work(max_spans):
            return True
        self._due.extend(self.waits.take_due(now_s))
        while self._due and max_spans > 0:
            trace = self._due.popleft()
            max_spans -= len(trace.nodes) + 1
            self._look(trace)
        if not self._due:
            self.memory.forget(now_s, self.settings)
        return len(self._due) > 0

    def release(self, trace: Trace, reason: str) -> None:
        """Let go of all held spans of a trace at once, under S12."""
        self._give_up(trace, 0, reason)
        self.close(trace)

    def release_all(self, reason: str, max_spans: i64) -> bool:
        """Let go of held traces, at most about `max_spans` spans; False when nothing is held."""
        if self.work(max_spans):
            return True
        while max_spans > 0:
            trace = self._due.pop() if self._due else self.waits.first()
            if trace is None:
                return False
            self.waits.remove(trace)
            max_spans -= len(trace.nodes) + 1
            self.release(trace, reason)
        return True

    def make_room(self, wanted_cost: i64, may_release: bool) -> None:
        """Forget resting traces, oldest first; if that is not enough and allowed, release those due first (S17)."""
        memory = self.memory
        memory.forget_for_room(wanted_cost)
        may_release = may_release and not self.has_work
        while may_release and memory.cost > wanted_cost:
            trace = self.waits.first()
            if trace is None:
                return
            self.waits.remove(trace)
            self.release(trace, BY_MEMORY)
            memory.forget_for_room(wanted_cost)

    def take(self) -> list[Released]:
        """What is to leave now, in order. The taker lets go of the spans' bytes (`forget_bytes`)."""
        return self.releases.take()

    def waiting(self, since_s: float, now_s: float, max_spans: i64) -> dict[Group, int]:
        """Held spans that have waited at least `since_s`, by resource and scope (S15)."""
        return self.waits.spans_due(self.waits.tick(now_s + self.settings.max_wait_s - since_s), max_spans)

    # ---- placing

    def _set_now(self, now_s: float) -> None:
        self._now_s = now_s
        self.waits.begin(now_s)
        self._due_tick = self.waits.tick(now_s + self.settings.max_wait_s)
        self._wake_tick = self._due_tick
        if self._fills_traces:
            self._wake_tick = min(self._due_tick, self.waits.tick(now_s + self.settings.trace_quiet_s))

    def _fulfil(self, trace: Trace, span: Span, placeholder: Span) -> None:
        """A span comes that was named as a parent."""
        span.first_child = placeholder.first_child
        placeholder.first_child = None
        span.span_id = placeholder.span_id  # the key of the node already: one object for the id, not two
        trace.nodes[span.span_id] = span
        trace.placeholders -= 1
        self.memory.arrive(trace)
        if placeholder.own is not None:
            trace.pendings -= 1

    def _attach(self, trace: Trace, span: Span, parent: Span | None) -> None:
        """Hang the span below its undecided parent, and take over what is known above."""
        if parent is None:
            parent = self.memory.expect(trace, span.parent_id, self.contexts.empty)
        span.parent_id = parent.span_id  # one object for the id, not two
        span.next_sibling = parent.first_child
        parent.first_child = span
        trace.is_linked = True
        context = self.contexts.overlay(parent.context, span.context)
        if context.is_complete:
            self._decide(trace, span, context)
            return
        trace.undecided += 1
        span.context = context
        if span.first_child is not None and context.values:
            self._push(trace, span, span.first_child)

    def _hold(self, trace: Trace, span: Span) -> None:
        """Count a span as held and see to it that it is not held for ever."""
        self.memory.hold(trace, span)
        if self.keeper is not None:
            self.keeper.hold(trace, span)
        trace.held += 1
        span.due = i32(self._due_tick)
        self.waits.ensure(trace, self._wake_tick)
        if trace.held > self._max_spans and not trace.is_crowded:
            trace.is_crowded = True
            self._crowded.append(trace)  # released when contexts have been carried down

    # ---- deciding

    def _push(self, trace: Trace, span: Span, child: Span) -> None:
        self._below.append(span)
        self._from.append(child)
        self._traces.append(trace)

    def _decide(self, trace: Trace, span: Span, context: Context) -> None:
        """The span's context is final: let it go, and have the spans below it decided."""
        span.context = context
        state: u8 = span.state | DECIDED
        span.state = state
        if context is not trace.shared:
            trace.share(context)
        if not state & EMITTED:
            defaults = span.group.defaults
            written = context if defaults is None else self.contexts.fill(context, defaults)  # S3
            if not self._fills_traces or not written.lacks:
                self.releases.add(trace, span, written, BY_DECISION)
        if self.keeper is not None and span.state & EMITTED:
            self.keeper.decide(trace, span)
        if span.first_child is not None:
            self._push(trace, span, span.first_child)

    def _descend(self, trace: Trace, span: Span, child: Span) -> None:
        """Hand the context of `span` to an undecided child."""
        context = self.contexts.overlay(span.context, child.context)
        if span.state & DECIDED or context.is_complete:
            was_held = not child.state & EMITTED
            trace.undecided -= 1
            self._decide(trace, child, context)
            if was_held and child.state & EMITTED:
                self._let_go(trace, child)
        elif context is not child.context:
            child.context = context
            if child.first_child is not None:
                self._push(trace, child, child.first_child)

    def _let_go(self, trace: Trace, span: Span) -> None:
        """A held span has been emitted."""
        self.memory.let_go(trace, span)
        self.waits.holds.add(self._due_tick - i64(span.due))
        if self.keeper is not None:
            self.keeper.leave(span)
        trace.held -= 1

    def _with_defaults(self, span: Span, context: Context) -> Context:
        """The values of the span's resource where its context has none (S3)."""
        defaults = span.group.defaults
        return context if defaults is None else self.contexts.fill(context, defaults)

    def _pass_pendings(self) -> None:
        """Pending spans (S5) leave at once, with what is known when all others of their request are settled."""
        pendings = self._pendings
        if not pendings:
            return
        self._pendings = []
        for trace, span, own in reversed(pendings):  # they were settled backwards
            stand_in(trace, span, own, self.memory, self.contexts)
        for trace, span, own in pendings:
            context, is_known = context_of_pending(self.contexts, trace, span, own)
            context = self._with_defaults(span, context) if is_known else self._filled(trace, span, context)
            self.releases.add(trace, span, context, BY_DECISION)
            trace.passing -= 1
            self.close(trace)

    # ---- giving up

    def _look(self, trace: Trace) -> None:
        """A trace whose tick has come: give up what is due, come back for the rest."""
        now_s = self._now_s
        self._give_up(trace, self.waits.tick(now_s), BY_MAX_WAIT)
        if self._fills_traces and trace.held and trace.has_root:
            quiet_at_s = trace.touched_s + self.settings.trace_quiet_s
            if quiet_at_s <= now_s:
                self._fill_decided(trace)
            else:
                self.waits.ensure(trace, self.waits.tick(quiet_at_s))
        self.close(trace)

    def _give_up(self, trace: Trace, tick: i64, reason: str) -> None:
        """Emit the held spans due at `tick` (0: all) with what is known now (S12)."""
        above: dict[bytes, Context] = {}
        later: i64 = 0
        for span in trace.nodes.values():
            if span.state == PLACEHOLDER or span.state & EMITTED:
                continue
            due: i64 = i64(span.due)
            if tick and due > tick:
                if not later or due < later:
                    later = due
                continue
            self.releases.add(trace, span, self._last_context(trace, span, above), reason)
            self._let_go(trace, span)
        if later:
            self.waits.ensure(trace, later)

    def _fill_decided(self, trace: Trace) -> None:
        """FILL=trace: the trace has a root and is quiet, so the decided spans go with what it agrees on."""
        for span in trace.nodes.values():
            if span.state & DECIDED and not span.state & EMITTED:
                self.releases.add(trace, span, self._filled(trace, span, span.context), BY_DECISION)
                self._let_go(trace, span)

    def _last_context(self, trace: Trace, span: Span, above: dict[bytes, Context]) -> Context:
        """What a given-up span gets: its known chain, pending spans on it (S5), its resource, its trace (S12)."""
        context = span.context
        if trace.pendings and not span.state & DECIDED:
            context = self.contexts.overlay(context_above(self.contexts, trace, span.parent_id, above), context)
        return self._filled(trace, span, context)

    def _filled(self, trace: Trace, span: Span, context: Context) -> Context:
        """What the trace agrees on, after the span's resource, where the settings want it (S12)."""
        context = self._with_defaults(span, context)
        if self.settings.fill == FILL_NONE or not (trace.said.values or trace.conflicts):
            return context
        return self.contexts.give_up(context, trace.said, trace.conflicts or set())
