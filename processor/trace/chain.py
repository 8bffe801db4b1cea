"""Chains of parents that lead through pending spans (S5), which stand in for spans that have not come.

Only where a trace has such stand-ins does anybody walk upwards; elsewhere a span's `context` holds what its chain says.
"""

from __future__ import annotations

from processor.attributes.contexts import Contexts
from processor.span import DECIDED, PLACEHOLDER, Context, Own, Span
from processor.trace.memory import Memory
from processor.trace.trace import Trace


def parent_of(node: Span) -> bytes:
    """The id of a node's parent; of a span that has not come, what its pending span says, or b""."""
    if node.state & DECIDED:
        return b""  # its context is final: nothing above counts
    if node.state != PLACEHOLDER:
        return node.parent_id
    own = node.own
    return (own.pending_parent or b"") if own is not None else b""


def reaches_root(trace: Trace, span_id: bytes) -> bool:
    """Whether the chain from `span_id` upwards, pending spans standing in, ends at a decided span or a root."""
    for _ in range(len(trace.nodes) + 1):
        if not span_id:
            return True
        node = trace.nodes.get(span_id)
        if node is None or (node.state == PLACEHOLDER and node.own is None):
            return False
        span_id = parent_of(node)
    return False


def context_above(contexts: Contexts, trace: Trace, span_id: bytes, known: dict[bytes, Context]) -> Context:
    """What the chain from `span_id` upwards says, pending spans standing in.

    `known` remembers answers, so that a round over a whole trace is O(spans).
    """
    path: list[bytes] = []
    on_path: set[bytes] = set()
    while span_id and span_id not in known and span_id not in on_path:
        node = trace.nodes.get(span_id)
        if node is None:
            break
        path.append(span_id)
        on_path.add(span_id)
        span_id = parent_of(node)
    is_circle = span_id in on_path
    context = known.get(span_id, contexts.empty)
    for step in reversed(path):
        node = trace.nodes[step]
        own = node.own
        mine = own.context if node.state == PLACEHOLDER and own is not None else node.context
        context = contexts.overlay(context, mine)
        if not is_circle:  # each span of a circle sees another part of it
            known[step] = context
    return context


def stand_in(trace: Trace, span: Span, own: Own, memory: Memory, contexts: Contexts) -> None:
    """Until the real span comes, a pending span's place and values serve the given-up; of several the first."""
    real = trace.nodes.get(span.parent_id)
    if real is None:
        real = memory.expect(trace, span.parent_id, contexts.empty)
    if real.state == PLACEHOLDER and real.own is None:
        trace.pendings += 1
        real.own = own


def context_of_pending(contexts: Contexts, trace: Trace, span: Span, own: Own) -> tuple[Context, bool]:
    """What a pending span's chain says, and whether it ends at a decided span or a root."""
    real = trace.nodes.get(span.parent_id)
    above = span.parent_id
    if real is None or real.state == PLACEHOLDER:
        above = own.pending_parent or b""
    context = contexts.overlay(context_above(contexts, trace, above, {}), own.context)
    return context, reaches_root(trace, above)
