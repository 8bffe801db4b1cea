"""What is remembered of traces that have left, for how long, and what it costs (S16, S17)."""

from __future__ import annotations

import random

import pytest
from craft import pending, request, span
from engine import Engine, Setup, by_name

from processor.trace.trace import NO_NODES

U, S = {"user.id": "u"}, {"session.id": "s"}
WEAK = {"gen_ai.user.id": "w"}
FILLED = {"user.id": "u", "span_processor.derived": ["user.id"]}


def is_remembered(engine: Engine, trace: int, at_s: float) -> bool:
    """Whether a late child of the trace's span 1 is decided at once."""
    return len(engine.deliver(request(span(99, 1, trace=trace)), at_s)) == 1


def test_least_recently_used_goes_first() -> None:
    """S16: of four traces where three are remembered the one that was touched longest ago is forgotten."""
    engine = Engine(Setup(remember_traces=3))
    for trace in (1, 2, 3):
        engine.deliver(request(span(1, 0, U, trace=trace)), float(trace))
    assert is_remembered(engine, 1, 4.0)
    engine.deliver(request(span(1, 0, U, trace=4)), 5.0)
    engine.advance(6.0)
    assert [True, False, True, True] == [is_remembered(engine, trace, 7.0) for trace in (1, 2, 3, 4)]


def test_nothing_that_waits_is_forgotten() -> None:
    """S16, S17: however few traces are remembered, all that wait are given up in their time, with what they know."""
    engine = Engine(Setup(remember_traces=1, fill="none"))
    for trace in range(1, 51):
        engine.deliver(request(span(2, 1, U, trace=trace), span(3, 2, trace=trace)), trace / 10)
        engine.deliver(request(span(1, 0, S, trace=100 + trace)), trace / 10)
    left = engine.advance(400.0)
    assert [U] * 100 == [each.attributes for each in left]


def test_forgetting_a_trace_forgets_no_newer_one() -> None:
    """S14, S16: a trace that is forgotten while its request is still worked on takes nothing with it when spans of it come again."""
    engine = Engine(Setup(remember_traces=1, fill="none"))
    engine.deliver(request(*[span(number, number - 1, trace=trace) for number in (1, 2) for trace in (1, 2)]), 0.0)
    assert [] == engine.deliver(request(span(5, 4, trace=1), span(5, 4, trace=2)), 1.0)
    for trace in (10, 11, 12):
        engine.deliver(request(span(1, trace=trace)), 2.0)
    left = by_name(engine.deliver(request(span(4, 0, U, trace=1), span(4, 0, U, trace=2)), 3.0))
    assert dict.fromkeys(("span-1-4", "span-1-5", "span-2-4", "span-2-5"), U) == left


@pytest.mark.parametrize(("late_s", "expected"), [(299.0, U), (601.0, {})])
def test_remembered_by_age(late_s: float, expected: dict[str, str]) -> None:
    """S16: a late span inherits within MAX_WAIT, and is a stranger after REMEMBER_FOR."""
    engine = Engine()
    engine.deliver(request(span(1, 0, U)), 0.0)
    engine.advance(late_s)
    left = engine.deliver(request(span(2, 1)), late_s) + engine.advance(late_s + 301.0)
    assert {"span-1-2": expected} == by_name(left)


def test_agreed_context_outlives_ids() -> None:
    """S16, S12: between MAX_WAIT and REMEMBER_FOR a late span waits, and then takes what its trace agreed on, as a
    filled value.
    """
    engine = Engine()
    engine.deliver(request(span(1, 0, U), span(2, 1, WEAK)), 0.0)
    engine.advance(400.0)
    assert [] == engine.deliver(request(span(3, 2)), 400.0)
    assert {"span-1-3": FILLED} == by_name(engine.advance(701.0))


def test_conflict_outlives_ids() -> None:
    """S16, S12: that a trace did not agree is remembered, too."""
    engine = Engine()
    engine.deliver(request(span(1, 0, U), span(2, 1, {"user.id": "v"})), 0.0)
    engine.advance(400.0)
    engine.deliver(request(span(3, 2)), 400.0)
    assert {"span-1-3": {}} == by_name(engine.advance(701.0))


def test_late_span_keeps_the_trace_known() -> None:
    """S16: each late span is a use: a trace that goes on for an hour, a span every four minutes, is never forgotten."""
    engine = Engine(Setup(fill="none"))
    engine.deliver(request(span(1, 0, U)), 0.0)
    for index in range(2, 20):
        at_s = 240.0 * index
        engine.advance(at_s - 240.0)
        assert {f"span-1-{index}": U} == by_name(engine.deliver(request(span(index, index - 1)), at_s - 240.0))


def test_contexts_of_late_spans() -> None:
    """S16: each remembered span has its own context, own values, fallback values and conflicts included."""
    engine = Engine()
    engine.deliver(request(span(1, 0, U), span(2, 1, {"user.id": "v"}), span(3, 1, S), span(4, 1)), 0.0)
    late = [span(10 + parent, parent) for parent in (1, 2, 3, 4)]
    left = by_name(engine.deliver(request(*late), 100.0))
    assert [U, {"user.id": "v"}, U | S, U] == [left[f"span-1-{10 + parent}"] for parent in (1, 2, 3, 4)]


def test_fallback_values_of_late_spans() -> None:
    """S16, S1: a remembered fallback value is still one."""
    engine = Engine()
    engine.deliver(request(span(1, 0, WEAK), span(2, 1)), 0.0)
    left = by_name(engine.deliver(request(span(3, 2), span(4, 2, U)), 100.0))
    assert {"span-1-3": {"user.id": "w"}, "span-1-4": U} == left


def histories() -> dict[str, list[bytes]]:
    """Requests of many kinds of traces."""
    rng = random.Random(5)
    tree = [
        span(number, rng.randrange(number), U if number % 7 == 0 else (), trace=number % 5 + 1)
        for number in range(1, 200)
    ]
    return {
        "decided": [request(span(1, 0, U), span(2, 1))],
        "orphan": [request(span(2, 1, U))],
        "parents later": [request(span(3, 2)), request(span(2, 1)), request(span(1))],
        "twins": [request(span(2, 1), span(2, 1), span(1, 0, U), span(2, 1, U)), request(span(2, 1))],
        "circle": [request(span(1, 2), span(2, 1), span(3, 3))],
        "pending": [request(pending(9, 2, 1, U)), request(span(3, 2)), request(pending(8, 3, 2))],
        "pending, then real": [request(pending(9, 2, 1, U)), request(span(2, 1)), request(span(1))],
        "random": [request(*tree[start : start + 20]) for start in range(0, len(tree), 20)],
    }  # fmt: skip


@pytest.mark.parametrize(
    "setup",
    [Setup(), Setup(fill="trace"), Setup(remember_traces=1), Setup(max_spans_per_trace=3)],
    ids=["", "trace", "1", "3"],
)
@pytest.mark.parametrize("name", histories())
def test_nothing_is_left_in_the_end(name: str, setup: Setup) -> None:
    """S17: when everything is forgotten the cost is back to nothing, whatever happened, twins, circles and late spans
    included.
    """
    engine = Engine(setup)
    count = 0
    for round_s in (0.0, 200.0, 550.0):
        for index, body in enumerate(histories()[name]):
            count += len(engine.deliver(body, round_s + index))
            count += len(engine.advance(round_s + index + 0.5))
    for at_s in (1000.0, 2000.0, 3000.0):
        count += len(engine.advance(at_s))
    assert engine.pipeline.accepted == count
    assert (0, 0) == (engine.pipeline.held, engine.cost)


def test_cost_follows_what_is_held() -> None:
    """S17: the cost counts at least the bytes that are held, falls when they leave, and is small for what is
    remembered.
    """
    engine = Engine()
    body = request(*[span(number, 1, {"a": "x" * 500}) for number in range(2, 202)])
    engine.deliver(body, 0.0)
    held = engine.cost
    assert len(body) <= held
    engine.deliver(request(span(1)), 1.0)
    assert 200 * 100 > engine.cost > 0
    assert held > engine.cost


def test_room_by_forgetting() -> None:
    """S17: for room resting traces are forgotten first, the oldest first, and nothing that waits is let go while that
    is enough.
    """
    engine = Engine()
    for trace in range(1, 11):
        engine.deliver(request(span(1, 0, U, trace=trace)), float(trace))
    engine.deliver(request(span(2, 1, trace=50)), 20.0)
    before = engine.cost
    engine.pipeline.make_room(before // 2, True)
    assert [] == engine.take()
    assert before // 2 >= engine.cost
    assert [False, True] == [is_remembered(engine, trace, 21.0) for trace in (1, 10)]


def test_room_by_release() -> None:
    """S17: then the trace that waits longest is released under S12, counted as `memory`; nothing is dropped."""
    engine = Engine()
    for trace in range(1, 11):
        engine.deliver(request(span(2, 1, U, trace=trace), span(3, 9, trace=trace)), float(trace))
    before = engine.cost
    engine.pipeline.make_room(before * 3 // 4, True)
    left = engine.take()
    released = sorted({each.span.trace_id[-1] for each in left})
    assert [1, 2, 3, 4][: len(released)] == released
    assert {"memory": 2 * len(released)} == engine.reasons
    assert [U, FILLED] * (len(left) // 2) == [each.attributes for each in left]
    engine.pipeline.make_room(0, True)
    assert 20 == len(left) + len(engine.take())
    assert (0, 0) == (engine.pipeline.held, engine.cost)


def test_no_room_for_what_is_on_its_way() -> None:
    """S5, S17: a trace one of whose spans is still on its way through is not forgotten for room, a pending span included."""
    engine = Engine(Setup(fill="none"))
    pipeline = engine.pipeline
    engine.deliver(request(span(1, 0, U, trace=7)))
    engine.deliver(request(*[span(number, 1, trace=8) for number in range(2, 5000)]))
    scan = pipeline.scan(request(span(1, trace=8), pending(90, 80, 1, trace=7)))
    while scan.step(2000):
        pass
    assert 2 == pipeline.ingest(scan, 0, False, 1.0)
    assert pipeline.has_work
    pipeline.make_room(0, True)
    while pipeline.work(2000):
        pass
    left = engine.take()
    assert 5000 == len(left)
    assert ["u"] == [each.attributes.get("user.id") for each in left if each.span.trace_id[-1] == 7]
    assert {} == NO_NODES


def test_no_room_without_release() -> None:
    """S17: where only forgetting is allowed nothing that waits leaves."""
    engine = Engine()
    engine.deliver(request(span(1, trace=1)), 0.0)
    engine.deliver(request(span(2, 1, trace=2)), 0.0)
    engine.pipeline.make_room(0, False)
    assert [] == engine.take()
    assert 1 == engine.pipeline.held
    assert not is_remembered(engine, 1, 1.0)
