"""The trace buffer: a state machine of one owner that holds spans until it is known whose they are.

    arrives:   C (parent B)      B (parent A)        A (root, user.id=u1)
    tree:      [B]               [A]                 A            [X] named as a parent, not received
                └─ C held         └─ B held          ├─ decided: A, then B, then C: context {user.id: u1}
                                      └─ C held      └─ emitted in that order

A span's `context` always holds what its known, unbroken chain says, nearest first. It is decided when the chain reaches a root, or when all carried keys are
known (S14); deciding a span decides the spans below it, through a work list that is worked off in bounded pieces.
What is never decided is given up after MAX_WAIT (S15). Everything is iterative, and O(1) a span but for the keys that it lacks: a node is
visited once when it is decided, and once for each key that comes from above before that.

Rules: S10 to S18. No I/O; time is a parameter, in seconds of a monotonic clock. Call `add`, then `work` until it is False,
then `take`; and `advance` from time to time.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from mypy_extensions import i32, i64

from processor.attributes.contexts import Contexts
from processor.attributes.labels import Labeller
from processor.span import DECIDED, EMITTED, IS_ROOT, PLACEHOLDER, RECEIVED, Context, Group, Own, Span
from processor.trace.memory import Memory
from processor.trace.trace import NO_GROUP, Trace
from processor.trace.waits import Waits

# Why a span left (metric span_processor.spans.released).
BY_DECISION: Final = "decided"
BY_MAX_WAIT: Final = "max_wait"
BY_MEMORY: Final = "memory"
BY_TRACE_SIZE: Final = "trace_size"
BY_SHUTDOWN: Final = "shutdown"

FILL_NONE: Final = 0
FILL_ORPHANS: Final = 1
FILL_TRACE: Final = 2


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """How trees are held. Times in seconds; `fill` is one of FILL_*."""

    roots_any: bool = False
    fill: int = FILL_ORPHANS
    trace_quiet_s: float = 10.0
    max_wait_s: float = 300.0
    remember_traces: int = 100_000
    remember_for_s: float = 600.0
    max_spans_per_trace: int = 32_000


class Released:
    """Spans that leave for one reason, in order, and what each is to be given: its context, and what was filled in."""

    __slots__ = ("contexts", "reason", "spans")

    def __init__(self, reason: str) -> None:
        self.reason = reason
        self.spans: list[Span] = []
        self.contexts: list[Context] = []


class Buffer:
    """All traces. `labeller`: what new traces are labelled by, None for not at all. `held`: spans received and not yet taken. `missing` counts spans that left without a value, by (key group, reason)."""

    def __init__(self, settings: TreeSettings, contexts: Contexts) -> None:
        self.settings = settings
        self.contexts = contexts
        self.memory = Memory(settings)
        shortest = settings.max_wait_s
        if settings.fill == FILL_TRACE:
            shortest = min(shortest, settings.trace_quiet_s * 10)
        self.waits = Waits(max(shortest / 300, 0.001))
        self.labeller: Labeller | None = None
        self.held: i64 = 0
        self.missing: dict[tuple[str, str], int] = {}
        self.releases: list[Released] = []
        self._roots_any = settings.roots_any
        self._early = len(contexts.required) > 0
        # Work list: below each of these spans, from this child on, contexts may have changed.
        self._below: list[Span] = []
        self._from: list[Span | None] = []
        self._traces: list[Trace] = []
        self._due: deque[Trace] = deque()
        self._crowded: list[Trace] = []
        self._twins = 0
        self._now_s = 0.0

    def open(self, key: bytes, now_s: float) -> Trace:
        """The trace of a key, ready for `add`."""
        trace = self.memory.get(key)
        if trace is None:
            trace = Trace(key, self.contexts.empty)
            trace.labeller = self.labeller
            self.memory.put(trace)
        trace.touched_s = now_s
        self._now_s = now_s
        return trace

    def add(self, trace: Trace, span: Span, is_root: bool, now_s: float) -> None:
        """Take a span into its trace. `is_root`: it is one whatever its flags say (Langfuse's app roots)."""
        if not trace.is_open:
            self.memory.thaw(trace)
        own = span.own
        if own is not None:
            if own.pending_parent is not None:
                self._add_pending(trace, span, own)
                return
            if own.context.values:
                self._hear(trace, own.context)
        self.memory.hold(trace, span)
        self._place(trace, span)
        trace.undecided += 1
        if is_root or self._is_root(span):
            trace.has_root = True
            span.state |= IS_ROOT
            self._decide(trace, span, span.context, now_s)
        else:
            self._attach(trace, span, now_s)
        if not span.state & EMITTED:
            self._hold(trace, span, now_s)

    def close(self, trace: Trace) -> None:
        """No more spans of this trace for now: where everything is decided and gone, keep only ids."""
        if trace.held == 0:
            self.waits.remove(trace)
            self.memory.rest(trace, self._now_s)

    def work(self, max_spans: i64) -> bool:
        """Carry contexts down to at most about `max_spans` spans; False when nothing is left to do."""
        below = self._below
        while below and max_spans > 0:
            span = below.pop()
            child = self._from.pop()
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
        while self._crowded and not below:
            self.release(self._crowded.pop(), BY_TRACE_SIZE)
        return self.has_work

    def advance(self, now_s: float, max_spans: i64) -> bool:
        """Give up what has waited long enough, at most about `max_spans` spans; True if there is more to give up now."""
        self._now_s = now_s
        if self.work(max_spans):
            return True
        self._due.extend(self.waits.take_due(now_s))
        while self._due and max_spans > 0:
            trace = self._due.popleft()
            max_spans -= len(trace.nodes) + 1
            self._look(trace, now_s)
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
            max_spans -= len(trace.nodes)
            self.release(trace, reason)
        return True

    def make_room(self, wanted_cost: i64, may_release: bool) -> None:
        """Forget resting traces, oldest first; if that is not enough and allowed, release the trace due first, and so on (S17)."""
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

    def waiting(self, since_s: float, now_s: float, max_spans: i64) -> dict[Group, int]:
        """Held spans that have waited at least `since_s`, by resource and scope; looks at no more than about `max_spans` (S15)."""
        latest: i64 = self.waits.tick(now_s + self.settings.max_wait_s - since_s)
        found: dict[Group, int] = {}
        for trace in self.waits.waiting():
            if max_spans <= 0:
                break
            max_spans -= len(trace.nodes)
            for span in trace.nodes.values():
                if not span.state & (DECIDED | EMITTED) and span.state != PLACEHOLDER and i64(span.due) <= latest:
                    found[span.group] = found.get(span.group, 0) + 1
        return found

    @property
    def has_work(self) -> bool:
        """Whether `work` has something to do."""
        return len(self._below) > 0 or len(self._crowded) > 0

    def take(self) -> list[Released]:
        """What is to leave now, in order. The taker lets go of the spans' bytes (`forget_bytes`)."""
        releases = self.releases
        self.releases = []
        return releases

    # ---- placing

    def _is_root(self, span: Span) -> bool:
        if not span.parent_id:
            return True
        return not self._roots_any and (span.has_remote_parent or span.is_entry)

    def _place(self, trace: Trace, span: Span) -> None:
        """Make the span the node of its id. Of several with one id the first stays (S13); others are kept beside it."""
        nodes = trace.nodes
        known = nodes.get(span.span_id)
        if known is None:
            nodes[span.span_id] = span
        elif known.state == PLACEHOLDER:
            span.first_child = known.first_child
            known.first_child = None
            span.span_id = known.span_id  # the key of the node already: one object for the id, not two
            nodes[span.span_id] = span
            self.memory.arrive(trace)
            if known.own is not None:
                trace.pendings -= 1
        else:
            self._twins += 1
            nodes[b"%b#%d" % (span.span_id, self._twins)] = span

    def _attach(self, trace: Trace, span: Span, now_s: float) -> None:
        """Hang the span below its parent, and take over what is known above."""
        parent = self._node(trace, span.parent_id)
        span.parent_id = parent.span_id  # one object for the id, not two
        span.next_sibling = parent.first_child
        parent.first_child = span
        context = self.contexts.overlay(parent.context, span.context)
        if parent.state & DECIDED or (self._early and context.is_complete):
            self._decide(trace, span, context, now_s)
            return
        span.context = context
        if span.first_child is not None and context.values:
            self._push(trace, span, span.first_child)

    def _node(self, trace: Trace, span_id: bytes) -> Span:
        """The node of an id, a placeholder where the span has not come."""
        node = trace.nodes.get(span_id)
        if node is None:
            node = Span(b"", span_id, b"", NO_GROUP, self.contexts.empty)
            node.state = PLACEHOLDER
            trace.nodes[span_id] = node
            self.memory.expect(trace)
        return node

    def _hold(self, trace: Trace, span: Span, now_s: float) -> None:
        """Count a span as held and see to it that it is not held for ever."""
        settings = self.settings
        self.held += 1
        trace.held += 1
        tick = self.waits.tick(now_s + settings.max_wait_s)
        span.due = i32(tick)
        if settings.fill == FILL_TRACE:
            tick = min(tick, self.waits.tick(now_s + settings.trace_quiet_s))
        self.waits.ensure(trace, tick)
        if trace.held == settings.max_spans_per_trace + 1:
            self._crowded.append(trace)  # released when contexts have been carried down

    # ---- deciding

    def _push(self, trace: Trace, span: Span, child: Span) -> None:
        self._below.append(span)
        self._from.append(child)
        self._traces.append(trace)

    def _decide(self, trace: Trace, span: Span, context: Context, now_s: float) -> None:
        """The span's context is final: let it go, and have the spans below it decided."""
        span.context = context
        span.state |= DECIDED
        trace.undecided -= 1
        if not span.state & EMITTED:
            written = self._with_defaults(span, context)
            if not self._waits_for_trace(written):
                self._emit(trace, span, written, BY_DECISION)
        if span.first_child is not None:
            self._push(trace, span, span.first_child)

    def _descend(self, trace: Trace, span: Span, child: Span) -> None:
        """Hand the context of `span` to an undecided child."""
        context = self.contexts.overlay(span.context, child.context)
        if span.state & DECIDED or (self._early and context.is_complete):
            was_held = not child.state & EMITTED
            self._decide(trace, child, context, 0.0)
            if was_held and child.state & EMITTED:
                self._let_go(trace)
        elif context is not child.context:
            child.context = context
            if child.first_child is not None:
                self._push(trace, child, child.first_child)

    def _let_go(self, trace: Trace) -> None:
        self.held -= 1
        trace.held -= 1

    def _waits_for_trace(self, context: Context) -> bool:
        """Under FILL=trace a span without a user or session id waits for its trace (S12)."""
        return self.settings.fill == FILL_TRACE and (context.lacks_user or context.lacks_session) != 0

    def _emit(self, trace: Trace, span: Span, context: Context, reason: str) -> None:
        """Put a span among the releases; `context` is what is to be written on it."""
        span.state |= EMITTED
        if context.lacks_user or context.lacks_session:
            self._count_missing(trace, span, context, reason)
        if not self.releases or self.releases[-1].reason != reason:
            self.releases.append(Released(reason))
        labeller = trace.labeller
        if labeller is not None:
            context = labeller.apply(trace.key[-16:], span, context)
        released = self.releases[-1]
        released.spans.append(span)
        released.contexts.append(context)
        self.memory.let_go(trace, span)

    # ---- giving up

    def _look(self, trace: Trace, now_s: float) -> None:
        """A trace whose tick has come: give up what is due, come back for the rest."""
        settings = self.settings
        self._give_up(trace, self.waits.tick(now_s), BY_MAX_WAIT)
        if settings.fill == FILL_TRACE and trace.held:
            if trace.has_root and trace.touched_s + settings.trace_quiet_s <= now_s:
                self._fill_decided(trace)
            elif trace.has_root:
                self.waits.ensure(trace, self.waits.tick(trace.touched_s + settings.trace_quiet_s))
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
            self._emit(trace, span, self._last_context(trace, span, above), reason)
            self._let_go(trace)
        if later:
            self.waits.ensure(trace, later)

    def _fill_decided(self, trace: Trace) -> None:
        """FILL=trace: the trace has a root and is quiet, so the decided spans go with what it agrees on."""
        for span in trace.nodes.values():
            if span.state & DECIDED and not span.state & EMITTED:
                self._emit(trace, span, self._filled(trace, span, span.context), BY_DECISION)
                self._let_go(trace)

    def _last_context(self, trace: Trace, span: Span, above: dict[bytes, Context]) -> Context:
        """What a span gets that is given up: its known chain, pending spans on it (S5), its resource, its trace (S12)."""
        context = span.context
        if trace.pendings and not span.state & DECIDED:
            context = self.contexts.overlay(self._above(trace, span.parent_id, above), context)
        return self._filled(trace, span, context)

    def _with_defaults(self, span: Span, context: Context) -> Context:
        """The values of the span's resource where its context has none (S3)."""
        defaults = span.group.defaults
        return context if defaults is None else self.contexts.fill(context, defaults)

    def _filled(self, trace: Trace, span: Span, context: Context) -> Context:
        """What the trace agrees on, after the span's resource, where the settings want it (S12)."""
        context = self._with_defaults(span, context)
        if self.settings.fill == FILL_NONE or not (trace.said.values or trace.conflicts):
            return context
        return self.contexts.give_up(context, trace.said, trace.conflicts or set())

    def _count_missing(self, trace: Trace, span: Span, context: Context, reason: str) -> None:
        own = span.own
        if own is not None and own.pending_parent is not None:
            return
        for lacks, key, group in (
            (context.lacks_user, b"user.id", "user_id"),
            (context.lacks_session, b"session.id", "session_id"),
        ):
            if lacks:
                why = self._why_missing(trace, span, key, reason)
                self.missing[(group, why)] = self.missing.get((group, why), 0) + 1

    def _why_missing(self, trace: Trace, span: Span, key: bytes, reason: str) -> str:
        if reason == BY_DECISION:
            return "no_value"
        if trace.conflicts and key in trace.conflicts:
            return "conflict"
        if reason != BY_MAX_WAIT:
            return "memory"
        return "max_wait" if span.state & DECIDED else "orphan"

    def _hear(self, trace: Trace, own: Context) -> None:
        """Remember what a span says, for the orphans of its trace (S12)."""
        if own is trace.said:
            return
        conflicts = trace.conflicts if trace.conflicts is not None else set()
        trace.said = self.contexts.agree(trace.said, own, conflicts)
        if conflicts:
            trace.conflicts = conflicts

    # ---- pending spans (S5)

    def _add_pending(self, trace: Trace, span: Span, own: Own) -> None:
        """A pending span leaves at once; until the real span comes, its place in the tree and its values serve the given-up."""
        self.memory.hold(trace, span)
        real = self._node(trace, span.parent_id)
        if real.state == PLACEHOLDER:
            if real.own is None:
                trace.pendings += 1
                real.own = own
            above = own.pending_parent or b""
        else:
            above = span.parent_id
        context = self.contexts.overlay(self._above(trace, above, {}), own.context)
        if self._reaches_root(trace, above):
            context = self._with_defaults(span, context)
        else:
            context = self._filled(trace, span, context)
        self._emit(trace, span, context, BY_DECISION)

    def _reaches_root(self, trace: Trace, span_id: bytes) -> bool:
        """Whether the chain from `span_id` upwards, pending spans standing in, ends at a decided span or a root."""
        for _ in range(len(trace.nodes) + 1):
            if not span_id:
                return True
            node = trace.nodes.get(span_id)
            if node is None or (node.state == PLACEHOLDER and node.own is None):
                return False
            span_id = _parent_of(node)
        return False

    def _above(self, trace: Trace, span_id: bytes, above: dict[bytes, Context]) -> Context:
        """What the chain from `span_id` upwards says, pending spans standing in for those that have not come.

        `above` remembers answers, so that a round over a whole trace is O(spans).
        """
        path: list[bytes] = []
        on_path: set[bytes] = set()
        while span_id and span_id not in above and span_id not in on_path:
            node = trace.nodes.get(span_id)
            if node is None:
                break
            path.append(span_id)
            on_path.add(span_id)
            span_id = _parent_of(node)
        context = above.get(span_id, self.contexts.empty)
        for step in reversed(path):
            node = trace.nodes[step]
            own = node.own
            mine = own.context if node.state == PLACEHOLDER and own is not None else node.context
            context = self.contexts.overlay(context, mine)
            above[step] = context
        return context


def _parent_of(node: Span) -> bytes:
    """The id of a node's parent; of a span that has not come, what its pending span says, or b""."""
    if node.state & DECIDED:
        return b""  # its context is final: nothing above counts
    if node.state != PLACEHOLDER:
        return node.parent_id
    own = node.own
    return (own.pending_parent or b"") if own is not None else b""


def forget_bytes(span: Span) -> None:
    """Let go of what a span that has left no longer needs; its id and context stay in the tree."""
    span.raw = b""
    span.own = None
    span.group = NO_GROUP
