"""FILL=trace: spans without a user or session id wait for their trace to have a root and be quiet (S12)."""

from __future__ import annotations

import pytest
from craft import request, span
from engine import Engine, Setup, by_name

TRACE = Setup(fill="trace", trace_quiet_s=10.0, max_wait_s=60.0)
U, V, S = {"user.id": "u"}, {"user.id": "v"}, {"session.id": "s"}
BOTH = U | S
ALL_FILLED = BOTH | {"span_processor.derived": ["session.id", "user.id"]}
USER_FILLED = U | {"span_processor.derived": ["user.id"]}


def test_quiet_is_counted_from_the_last_span() -> None:
    """S12: a trace whose root has come is let go when it has been quiet for TRACE_QUIET, not before."""
    engine = Engine(TRACE)
    engine.deliver(request(span(1)), 0.0)
    for at_s in (5.0, 12.0, 19.0):
        assert [] == engine.advance(at_s)
        engine.deliver(request(span(10 + int(at_s), 1)), at_s)
    assert [] == engine.advance(28.5)
    assert 4 == len(engine.advance(29.1))
    assert {"decided": 4} == engine.reasons


def test_ancestors_and_siblings_are_filled() -> None:
    """S12: what one span says all spans without it get: its ancestors and siblings, too."""
    engine = Engine(TRACE)
    assert {"span-1-3": BOTH} == by_name(
        engine.deliver(request(span(1), span(2, 1), span(3, 2, BOTH), span(4, 1)), 0.0)
    )
    assert dict.fromkeys(("span-1-1", "span-1-2", "span-1-4"), ALL_FILLED) == by_name(engine.advance(11.0))


def test_spans_with_both_ids_do_not_wait() -> None:
    """S12: a span that has both ids, its own, inherited or of its resource, is released as ever."""
    engine = Engine(TRACE)
    left = engine.deliver(request(span(1, 0, BOTH), span(2, 1)), 0.0)
    left += engine.deliver(request(span(1, trace=2), resource=BOTH), 0.0)
    assert {"span-1-1": BOTH, "span-1-2": BOTH, "span-2-1": BOTH} == by_name(left)


def test_fallback_values_are_values() -> None:
    """S1, S12: a fallback user id is a user id: with a session id beside it the span does not wait."""
    left = Engine(TRACE).deliver(request(span(1, 0, S | {"gen_ai.user.id": "w"})), 0.0)
    assert {"span-1-1": S | {"gen_ai.user.id": "w", "user.id": "w"}} == by_name(left)


def test_conflict_leaves_blank() -> None:
    """S12: where the trace does not agree on the user, only the session is filled."""
    engine = Engine(TRACE)
    engine.deliver(request(span(1), span(2, 1, U | S), span(3, 1, V)), 0.0)
    left = by_name(engine.advance(11.0))
    assert {
        "span-1-1": S | {"span_processor.derived": ["session.id"]},
        "span-1-3": V | S | {"span_processor.derived": ["session.id"]},
    } == left


def test_without_a_root() -> None:
    """S12, S15: a trace without a root is not let go for being quiet; its spans wait for MAX_WAIT."""
    engine = Engine(TRACE)
    engine.deliver(request(span(2, 1, U), span(3, 2)), 0.0)
    assert [] == engine.advance(11.0) + engine.advance(58.0)
    assert {"span-1-2": U, "span-1-3": U} == by_name(engine.advance(60.1))
    assert {"max_wait": 2} == engine.reasons


def test_orphans_beside_a_root() -> None:
    """S12, S15: when the trace is quiet its decided spans go; those whose parents are missing wait for MAX_WAIT."""
    engine = Engine(TRACE)
    engine.deliver(request(span(1), span(3, 2)), 0.0)
    engine.deliver(request(span(4, 1, U)), 1.0)
    assert {"span-1-1": USER_FILLED, "span-1-4": U} == by_name(engine.advance(12.0))
    assert {"span-1-3": USER_FILLED} == by_name(engine.advance(60.1))


def test_at_most_max_wait() -> None:
    """S12, S15: a trace that is never quiet lets each span go after MAX_WAIT."""
    engine = Engine(TRACE)
    left = []
    for index in range(100):
        engine.deliver(request(span(1 + index, min(index, 1))), float(index))
        left.append(len(engine.advance(float(index))))
    assert 0 == sum(left[:59])
    assert 40 == sum(left)
    assert {"max_wait": 1} == engine.reasons


def test_root_that_comes_late() -> None:
    """S12: a root that comes after the trace was quiet starts the quiet time anew."""
    engine = Engine(TRACE)
    engine.deliver(request(span(2, 1)), 0.0)
    assert [] == engine.advance(15.0)
    engine.deliver(request(span(1)), 20.0)
    assert [] == engine.advance(29.0)
    assert 2 == len(engine.advance(30.1))


def test_after_release() -> None:
    """S12, S16: a span that comes after its trace was let go waits for quiet of its own; a filled value never became
    context.
    """
    engine = Engine(TRACE)
    engine.deliver(request(span(1), span(2, 1, BOTH)), 0.0)
    assert {"span-1-1": ALL_FILLED} == by_name(engine.advance(11.0))
    assert [] == engine.deliver(request(span(3, 1)), 12.0)
    assert [] == engine.advance(21.0)
    assert {"span-1-3": ALL_FILLED} == by_name(engine.advance(22.1))


@pytest.mark.parametrize("quiet_s", [0.0, 0.5, 59.0, 100.0])
def test_any_quiet_time(quiet_s: float) -> None:
    """S12: whatever TRACE_QUIET is, a span waits for it, and for MAX_WAIT at most."""
    engine = Engine(Setup(fill="trace", trace_quiet_s=quiet_s, max_wait_s=60.0))
    left = engine.deliver(request(span(1)), 100.0)
    deadline_s = 100.0 + min(quiet_s, 60.0)
    before = engine.advance(deadline_s - max(quiet_s * 0.1, 0.01)) if quiet_s else []
    after = engine.advance(deadline_s + 0.01)
    assert ([], [], 1) == (left, before, len(after))


def test_shutdown() -> None:
    """S12, S18: at a shutdown decided spans are filled, too."""
    engine = Engine(TRACE)
    engine.deliver(request(span(1), span(2, 1, U)), 0.0)
    assert {"span-1-1": USER_FILLED, "span-1-2": U} == by_name(engine.release_all())
    assert {"shutdown": 2} == engine.reasons
