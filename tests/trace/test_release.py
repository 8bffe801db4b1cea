"""Early release: too many spans of a trace (S17), shutdown (S29); what is counted when spans leave."""

from __future__ import annotations

import pytest
from craft import pending, request, span
from engine import Engine, Setup, by_name

U, S = {"user.id": "u"}, {"session.id": "s"}
FILLED = {"user.id": "u", "span_processor.derived": ["user.id"]}


@pytest.mark.parametrize("batch", [1, 3, 50])
def test_held_spans_of_a_trace_are_bounded(batch: int) -> None:
    """S17: of a trace never more than MAX_SPANS_PER_TRACE spans stay held between requests; each leaves once, counted
    by reason.
    """
    engine = Engine(Setup(max_spans_per_trace=10, fill="none"))
    spans = [span(number, 1) for number in range(2, 102)]
    left = []
    for start in range(0, 100, batch):
        left += engine.deliver(request(*spans[start : start + batch]))
        assert 10 >= engine.pipeline.held
    assert 90 <= len(left)
    assert {"trace_size": len(left)} == dict(engine.pipeline.released)
    left += engine.advance(400.0)
    assert 100 == len({each.span.span_id for each in left}) == len(left)


@pytest.mark.parametrize("is_first", [True, False])
def test_pending_spans_do_not_lift_the_bound(is_first: bool) -> None:
    """S5, S17: a pending span, which is not held, neither fills nor opens the bound."""
    engine = Engine(Setup(max_spans_per_trace=3, fill="none"))
    engine.deliver(request(*[span(number, 1) for number in (2, 3, 4)]))
    last = [pending(90, 80, 1), span(5, 1)]
    engine.deliver(request(*(last if is_first else reversed(last))))
    for number in range(6, 30):
        engine.deliver(request(span(number, 1)))
        assert 3 >= engine.pipeline.held


def test_other_traces_are_not_touched() -> None:
    """S17: a large trace releases itself alone."""
    engine = Engine(Setup(max_spans_per_trace=5))
    engine.deliver(request(span(2, 1, trace=2)))
    left = engine.deliver(request(*[span(number, 1) for number in range(2, 10)]))
    assert {1} == {each.span.trace_id[-1] for each in left}
    assert 1 <= engine.pipeline.held


def test_trace_that_is_too_large_leaves_under_s12() -> None:
    """S12, S17: released early, spans take what their chain says, then what the trace agrees on."""
    engine = Engine(Setup(max_spans_per_trace=3))
    left = by_name(engine.deliver(request(span(3, 2), span(4, 9), span(2, 1, U), span(5, 9))))
    assert {"span-1-2": U, "span-1-3": U, "span-1-4": FILLED, "span-1-5": FILLED} == left


def test_after_an_early_release_late_spans_inherit() -> None:
    """S16, S17: spans that were released early are remembered as any others."""
    engine = Engine(Setup(max_spans_per_trace=2, fill="none"))
    assert 3 == len(engine.deliver(request(span(2, 1, S), span(3, 2), span(4, 2))))
    left = by_name(engine.deliver(request(span(1, 0, U), span(5, 3)), 1.0))
    assert {"span-1-1": U, "span-1-5": U | S} == left


def test_decided_spans_do_not_count() -> None:
    """S14, S17: what leaves at once is not held, however large the trace."""
    engine = Engine(Setup(max_spans_per_trace=5))
    spans = [span(1, 0, U), *[span(number, 1) for number in range(2, 1000)]]
    assert 999 == len(engine.deliver(request(*spans)))
    assert {"decided": 999} == engine.reasons


@pytest.mark.parametrize("step", [1, 10, 2000])
def test_shutdown(step: int) -> None:
    """S29, S12: at a shutdown everything that is held leaves, in steps, each span once, filled from its trace."""
    engine = Engine(step=step)
    for trace in range(1, 101):
        engine.deliver(request(span(2, 1, trace=trace), span(3, 9, U, trace=trace)))
    left = engine.release_all("shutdown")
    assert {"shutdown": 200} == engine.reasons
    assert [FILLED, U] * 100 == [
        each.attributes for each in sorted(left, key=lambda each: each.span.trace_id + each.span.span_id)
    ]
    assert 0 == engine.pipeline.held
    assert [] == engine.release_all("shutdown") + engine.advance(1000.0)


def test_nothing_to_release() -> None:
    """Releasing, working and telling the time without spans does nothing."""
    engine = Engine()
    assert [] == engine.release_all() + engine.advance(0.0) + engine.advance(1e9) + engine.take()
    assert not engine.pipeline.work(1)


def test_counts_always_add_up() -> None:
    """S25: at any time what was accepted has left or is held."""
    engine = Engine(Setup(max_spans_per_trace=4))
    left = 0
    for number in range(2, 200):
        left += len(engine.deliver(request(span(number, number * 7 % 50, trace=number % 3 + 1)), number * 3.0))
        left += len(engine.advance(number * 3.0))
        assert engine.pipeline.accepted == left + engine.pipeline.held
        assert sum(engine.pipeline.released.values()) == left


def missing(engine: Engine) -> dict[tuple[str, str], int]:
    """Spans that left without a value, by key group and reason."""
    return dict(engine.pipeline.buffer.releases.missing)


def test_why_values_are_missing() -> None:
    """S12: spans that leave without a user are counted by why: none was known, the chain broke, the trace disagreed,
    no room.
    """
    engine = Engine()
    engine.deliver(request(span(1, 0, S)))
    assert {("user_id", "no_value"): 1} == missing(engine)
    engine = Engine()
    engine.deliver(request(span(2, 1, S)))
    engine.advance(400.0)
    assert {("user_id", "orphan"): 1} == missing(engine)
    engine = Engine()
    engine.deliver(request(span(2, 1, S), span(3, 0, U | S), span(4, 0, {"user.id": "v"} | S)))
    engine.advance(400.0)
    assert {("user_id", "conflict"): 1} == missing(engine)
    engine = Engine(Setup(max_spans_per_trace=1))
    engine.deliver(request(span(2, 1, S), span(3, 1, S)))
    assert {("user_id", "memory"): 2} == missing(engine)


def test_what_is_inherited_and_filled_is_counted() -> None:
    """S11, S12: values written on spans that did not have them are counted by key group, inherited and filled apart."""
    engine = Engine(Setup(baggage=("tenant",)))
    engine.deliver(request(span(1, 0, U | S | {"tenant": "t"}), span(2, 1, U), span(3, 1)))
    assert {"user_id": 1, "session_id": 2, "baggage": 2} == engine.pipeline.inherited()
    engine.deliver(request(span(9, 8)))
    engine.advance(400.0)
    assert {"user_id": 1, "session_id": 2, "baggage": 2} == engine.pipeline.inherited()
    assert {"user_id": 1, "session_id": 1, "baggage": 1} == engine.pipeline.writer.filled()


def test_spans_that_say_the_same_are_given_and_counted_alike() -> None:
    """S11: what is written on the first of many equal spans is written on all of them, each is counted, and where
    something is cut it is cut from each.
    """
    engine = Engine()
    left = []
    for trace in range(1, 6):
        hollow = span(3, 1, {"session.id": ""}, trace=trace)
        left += engine.deliver(request(span(1, 0, U | S, trace=trace), span(2, 1, U, trace=trace), hollow))
    assert [U | S] * 15 == [dict(each.attributes) for each in left]
    assert {"user_id": 5, "session_id": 10, "baggage": 0} == engine.pipeline.inherited()
