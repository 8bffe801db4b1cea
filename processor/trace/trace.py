"""One trace: its tree as far as it is known, and what is remembered of it afterwards.

A trace is *open* while it has nodes, *frozen* when only its span ids are kept, by the context that they share
(8 bytes a span), and *bare* when only what its spans agreed on is kept. A late span opens it again.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i32, i64, mypyc_attr

from processor.attributes.contexts import Contexts
from processor.attributes.labels import Labeller
from processor.span import DECIDED, EMITTED, PLACEHOLDER, RECEIVED, Context, Group, Span

NO_GROUP: Final = Group(b"", b"", b"", [])
NO_NODES: Final[dict[bytes, Span]] = {}  # of a trace that is not open; never written to
_REMEMBERED: Final = RECEIVED | DECIDED | EMITTED


@mypyc_attr(acyclic=True)
class Frozen:
    """Ids of released spans, joined, and the context they share; `more` are those with other contexts."""

    __slots__ = ("context", "ids", "more")

    def __init__(self, context: Context, ids: bytes, more: Frozen | None) -> None:
        self.context = context
        self.ids = ids
        self.more = more


@mypyc_attr(acyclic=True)
class Trace:
    """The state of one trace; the trace buffer alone may touch it.

    Counts of spans: `held` (received and not emitted), `undecided` (settled and not decided, emitted or not),
    `placeholders` (named as parents, not received), `pendings` (placeholders for which a pending span stands in).
    `wake`: the tick at which it is looked at, 0 for none. `touched_s`: when its last span came; `rested_s`: when its
    last span left; `is_queued`: it waits to be forgotten, and `queued_s` is what `rested_s` was when it took its
    place. `said` and `conflicts`: the strong own values seen (S12). `shared`: the context of all decided spans,
    unless `is_mixed`. `is_linked`: nodes have links to cut. `labeller`: of the variables configuration in force when
    it began (S24). `cost`: estimated bytes.
    """

    __slots__ = (
        "conflicts", "cost", "frozen", "has_root", "has_twins", "held", "is_crowded", "is_forgotten", "is_linked",
        "is_mixed", "is_queued", "is_thawed", "key", "labeller", "nodes", "passing", "pendings", "placeholders",
        "queued_s", "rested_s", "said", "shared", "touched_s", "undecided", "wake",
    )  # fmt: skip

    def __init__(self, key: bytes, empty: Context) -> None:
        self.key = key
        self.nodes: dict[bytes, Span] = {}
        self.frozen: Frozen | None = None
        self.said = empty
        self.conflicts: set[bytes] | None = None
        self.labeller: Labeller | None = None
        self.shared: Context | None = None
        self.touched_s = 0.0
        self.rested_s = 0.0
        self.queued_s = 0.0
        self.wake: i64 = 0
        self.cost: i64 = 0
        self.held: i32 = 0
        self.undecided: i32 = 0
        self.placeholders: i32 = 0
        self.pendings: i32 = 0
        self.passing: i32 = 0
        self.has_root = False
        self.has_twins = False
        self.is_crowded = False
        self.is_forgotten = False
        self.is_linked = False
        self.is_mixed = False
        self.is_queued = False
        self.is_thawed = False

    def __del__(self) -> None:
        """Whoever lets go of it last: its chains are never left to be freed at once."""
        self.unlink()
        self.melt()

    @property
    def is_open(self) -> bool:
        """Whether it has nodes to add to."""
        return self.nodes is not NO_NODES

    def share(self, context: Context) -> None:
        """A span was decided with this context."""
        if self.shared is None:
            self.shared = context
        else:
            self.is_mixed = True

    def hear(self, own: Context, contexts: Contexts) -> None:
        """Remember what a span says, for the orphans of the trace (S12)."""
        if own is self.said:
            return
        conflicts = self.conflicts if self.conflicts is not None else set()
        self.said = contexts.agree(self.said, own, conflicts)
        if conflicts:
            self.conflicts = conflicts

    def freeze(self) -> i64:
        """Keep only ids by context, of a trace with every span decided and emitted; how many ids."""
        shared = self.shared
        count: i64 = len(self.nodes)
        if shared is not None and not (self.is_mixed or self.has_twins or self.placeholders):
            self.frozen = Frozen(shared, b"".join(self.nodes), None)
        else:
            count = self._freeze_mixed()
        self.unlink()
        return count

    def thaw(self) -> i64:
        """Open a frozen or bare trace again; how many nodes."""
        count: i64 = 0
        self.nodes = {}
        self.is_mixed = True
        frozen = self.frozen
        while frozen is not None:
            count += self.recall(frozen.context, frozen.ids)
            frozen = frozen.more
        self.melt()
        self.is_thawed = True
        return count

    def recall(self, context: Context, ids: bytes) -> i64:
        """Nodes for spans that have left with this context, unless they are known; how many."""
        before: i64 = len(self.nodes)
        for start in range(0, len(ids), 8):
            span_id = ids[start : start + 8]
            if span_id not in self.nodes:
                span = Span(b"", span_id, b"", NO_GROUP, context)
                span.state = _REMEMBERED
                self.nodes[span_id] = span
        return len(self.nodes) - before

    def melt(self) -> None:
        """Let go of the frozen ids, one by one: thousands of contexts freed at once would overflow the C stack."""
        frozen = self.frozen
        self.frozen = None
        while frozen is not None:
            more = frozen.more
            frozen.more = None
            frozen = more

    def unlink(self) -> None:
        """Let go of the nodes, link by link: a long chain freed at once would overflow the C stack, a cycle never."""
        if self.is_linked:
            for span in self.nodes.values():
                span.first_child = None
                span.next_sibling = None
            self.is_linked = False
        self.nodes = NO_NODES

    def _freeze_mixed(self) -> i64:
        by_context: dict[Context, list[bytes]] = {}
        for span_id, span in self.nodes.items():
            if len(span_id) == 8 and span.state != PLACEHOLDER:
                by_context.setdefault(span.context, []).append(span_id)
        count: i64 = 0
        for context, ids in by_context.items():
            count += len(ids)
            self.frozen = Frozen(context, b"".join(ids), self.frozen)
        return count
