"""One trace: its tree as far as it is known, and what is remembered of it afterwards.

A trace is *open* while it has nodes, *frozen* when only its span ids are kept, by the context that they share
(8 bytes a span), and *bare* when only what its spans agreed on is kept. A late span opens it again.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.attributes.labels import Labeller
from processor.span import DECIDED, EMITTED, PLACEHOLDER, RECEIVED, Context, Group, Span

NO_GROUP: Final = Group(b"", b"", b"", [])
NO_NODES: Final[dict[bytes, Span]] = {}  # of a trace that is not open; never written to
_REMEMBERED: Final = RECEIVED | DECIDED | EMITTED


class Frozen:
    """Ids of released spans, joined, and the context they share."""

    __slots__ = ("context", "ids")

    def __init__(self, context: Context, ids: bytes) -> None:
        self.context = context
        self.ids = ids


@mypyc_attr(acyclic=True)
class Trace:
    """The state of one trace; the trace buffer alone may touch it.

    `held`: received and not emitted. `undecided`: received and not decided, emitted or not. `wake`: the tick at which
    it is looked at, 0 for none. `touched_s`: when its last span came. `said` and `conflicts`: the strong own values seen (S12). `cost`: estimated
    bytes. `pendings`: pending spans that stand in for spans that have not come. `rested_s`: when its last span left; `is_queued`: it waits to be forgotten,
    `labeller`: of the variables configuration in force when it began (S24). `queued_s` is what `rested_s` was when it took its place.
    """

    __slots__ = (
        "conflicts", "cost", "frozen", "has_root", "held", "is_queued", "is_thawed", "key", "labeller",
        "nodes", "pendings", "queued_s", "rested_s", "said", "touched_s", "undecided", "wake",
    )  # fmt: skip

    def __init__(self, key: bytes, empty: Context) -> None:
        self.key = key
        self.nodes: dict[bytes, Span] = {}
        self.frozen: list[Frozen] | None = None
        self.said = empty
        self.conflicts: set[bytes] | None = None
        self.held: i64 = 0
        self.undecided: i64 = 0
        self.wake: i64 = 0
        self.cost: i64 = 0
        self.touched_s = 0.0
        self.rested_s = 0.0
        self.queued_s = 0.0
        self.pendings: i64 = 0
        self.has_root = False
        self.labeller: Labeller | None = None
        self.is_queued = False
        self.is_thawed = False

    def freeze(self) -> i64:
        """Keep only ids by context, of a trace with every span decided and emitted; how many ids."""
        by_context: dict[Context, list[bytes]] = {}
        for span_id, span in self.nodes.items():
            if len(span_id) == 8 and span.state != PLACEHOLDER:
                same = by_context.get(span.context)
                if same is None:
                    by_context[span.context] = [span_id]
                else:
                    same.append(span_id)
        self.unlink()
        count: i64 = 0
        frozen: list[Frozen] = []
        for context, ids in by_context.items():
            count += len(ids)
            frozen.append(Frozen(context, b"".join(ids)))
        self.frozen = frozen
        return count

    @property
    def is_open(self) -> bool:
        """Whether it has nodes to add to."""
        return self.nodes is not NO_NODES

    def thaw(self) -> i64:
        """Open a frozen or bare trace again; how many nodes."""
        count: i64 = 0
        self.nodes = {}
        for frozen in self.frozen or ():
            ids = frozen.ids
            for start in range(0, len(ids), 8):
                span_id = ids[start : start + 8]
                span = Span(b"", span_id, b"", NO_GROUP, frozen.context)
                span.state = _REMEMBERED
                self.nodes[span_id] = span
                count += 1
        self.frozen = None
        self.is_thawed = True
        return count

    def unlink(self) -> None:
        """Let go of the nodes, link by link: a long chain freed at once would overflow the C stack, a cycle never."""
        for span in self.nodes.values():
            span.first_child = None
            span.next_sibling = None
        self.nodes = NO_NODES
