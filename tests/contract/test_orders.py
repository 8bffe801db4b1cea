"""Order does not matter (S18): five spans in all 120 orders, in one request and in five."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from craft import pending, request, span
from engine import Engine, Left, Setup
from opentelemetry.proto.trace.v1.trace_pb2 import Span

# A root with a user, its child with a session, a grandchild without, one with a user of its own, one with a fallback
# value only.
DECIDED = [
    span(1, 0, {"user.id": "u", "a": 1}),
    span(2, 1, {"session.id": "s"}),
    span(3, 2),
    span(4, 3, {"langfuse.user.id": "v", "user.id": 5}),
    span(5, 4, {"gen_ai.user.id": "w", "session.id": ""}),
]
# Two chains whose parents never come, and a span that says whose the trace is.
ORPHANS = [
    span(2, 1, {"session.id": "s"}),
    span(3, 2),
    span(4, 9, {"gen_ai.user.id": "w"}),
    span(5, 4),
    span(6, 0, {"enduser.id": "u"}),
]
# Two users: nobody can tell whose the orphans are.
CONFLICT = [
    span(2, 1),
    span(3, 2, {"user.id": "u"}),
    span(4, 9),
    span(5, 4, {"gen_ai.user.id": "w"}),
    span(6, 0, {"user.id": "v"}),
]
# A circle of three, a span below it, a span that is its own parent.
CIRCLE = [
    span(1, 3, {"user.id": "u"}),
    span(2, 1),
    span(3, 2, {"user.id": "v"}),
    span(4, 2, {"session.id": "s"}),
    span(5, 5),
]
# A pending span, which leaves before it can know, stands in for span 2, which never comes.
WITH_PENDING = [
    span(1, 0, {"user.id": "u"}),
    pending(9, 2, 1, {"session.id": "s"}),
    span(3, 2),
    span(4, 3, {"user.id": "v"}),
    span(5, 3),
]
SETS = {"decided": DECIDED, "orphans": ORPHANS, "conflict": CONFLICT, "circle": CIRCLE, "pending": WITH_PENDING}
SETUPS = {
    "orphans": Setup(),
    "none": Setup(fill="none"),
    "trace": Setup(fill="trace"),
    "early": Setup(baggage=("langfuse",)),
}
IN_ONE, IN_FIVE = "in one request", "in five"


def leave(setup: Setup, spans: Sequence[Span], batching: str) -> dict[str, Left]:
    """All spans by name after MAX_WAIT, each there once."""
    engine = Engine(setup)
    batches = [spans] if batching == IN_ONE else [[each] for each in spans]
    left: list[Left] = []
    for index, batch in enumerate(batches):
        left += engine.deliver(request(*batch), float(index))
    left += engine.advance(400.0)
    assert len(spans) == len(left)
    assert engine.pipeline.held == 0
    return {each.span.name: each for each in left}


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
@pytest.mark.parametrize("spans", SETS.values(), ids=SETS.keys())
def test_all_orders(spans: list[Span], setup: Setup) -> None:
    """S18: all 120 orders, in one request and in five, give every span the same attributes, once, and leave its other
    bytes as they were.
    """
    leave_at_once = {each.name for each in spans if "pending_span" in str(each)}
    expected = {name: sorted_attributes(each) for name, each in leave(setup, spans, IN_ONE).items()}
    for order in itertools.permutations(spans):
        for batching in (IN_ONE, IN_FIVE):
            for name, each in leave(setup, order, batching).items():
                assert name in leave_at_once or expected[name] == sorted_attributes(each)


def sorted_attributes(left: Left) -> list[bytes]:
    """A span's attributes, whatever their order."""
    return sorted(each.SerializeToString(deterministic=True) for each in left.span.attributes)


@pytest.mark.parametrize("spans", SETS.values(), ids=SETS.keys())
def test_bytes_that_came_in_go_out(spans: list[Span]) -> None:
    """S11: where nothing is cut, a span's bytes are what came in with attributes appended."""
    left = leave(Setup(), spans, IN_FIVE)
    whole = [each for each in spans if not {("user.id", 5), ("session.id", "")} & _said(each)]
    assert [True for _ in whole] == [left[each.name].raw.startswith(each.SerializeToString()) for each in whole]


def _said(each: Span) -> set[tuple[str, object]]:
    return {(pair.key, pair.value.int_value or pair.value.string_value) for pair in each.attributes}
