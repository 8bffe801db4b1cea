"""How long a span waits, by a clock that the test holds (S15), and what comes too late (S16, S18)."""

from __future__ import annotations

import pytest
from craft import request, span
from engine import Engine, Left, Setup, by_name

U, S = {"user.id": "u"}, {"session.id": "s"}
NO_FILL = Setup(fill="none")
TICK_S = 1.0  # of MAX_WAIT 300: a deadline is rounded down to a tick


def names(left: list[Left]) -> list[str]:
    """The names of what left."""
    return sorted(each.span.name for each in left)


def test_nothing_leaves_before_its_time() -> None:
    """S15: a span without its parent is held for MAX_WAIT, less a tick at most, and then given up at once."""
    engine = Engine(NO_FILL)
    assert [] == engine.deliver(request(span(2, 1)), 1000.4)
    for at_s in (1000.4, 1000.5, 1100.0, 1200.0, 1300.4 - TICK_S):
        assert [] == engine.advance(at_s)
    assert 1 == engine.pipeline.held
    assert ["span-1-2"] == names(engine.advance(1300.4))
    assert {"max_wait": 1} == engine.reasons
    assert 0 == engine.pipeline.held


def test_each_span_waits_from_its_own_arrival() -> None:
    """S15: of one trace's spans each has its own deadline."""
    engine = Engine(NO_FILL)
    for index in range(5):
        engine.deliver(request(span(10 + index, 1)), 10.5 * index)
    left = [names(engine.advance(300.0 + 10.5 * index)) for index in range(5)]
    assert [[f"span-1-{10 + index}"] for index in range(5)] == left


@pytest.mark.parametrize("max_wait_s", [0.0, 0.01, 1.0, 60.0, 86_400.0])
def test_any_max_wait(max_wait_s: float) -> None:
    """S15: whatever MAX_WAIT is, a span is gone when it has passed, and not long before."""
    engine = Engine(Setup(max_wait_s=max_wait_s, remember_for_s=1e9))
    engine.deliver(request(span(2, 1)), 50.0)
    early = engine.advance(50.0 + max_wait_s * 0.9)
    late = engine.advance(50.0 + max_wait_s + 0.002)
    assert (0, 1) == (len(early), len(late)) or max_wait_s < 0.1
    assert 1 == len(early + late)


def test_clock_that_jumps_forward() -> None:
    """S15: after a jump of an hour everything that waits is given up once, and what comes then waits as usual."""
    engine = Engine(NO_FILL)
    for index in range(100):
        engine.deliver(request(span(2, 1, trace=1 + index)), float(index))
    assert 100 == len(engine.advance(3700.0))
    assert [] == engine.advance(3700.0)
    assert [] == engine.deliver(request(span(3, 1, trace=200)), 3700.0)
    assert [] == engine.advance(3998.0)
    assert 1 == len(engine.advance(4000.0))


def test_clock_that_stands_still() -> None:
    """S15: without time nothing is given up, however often the time is told."""
    engine = Engine(NO_FILL)
    engine.deliver(request(span(2, 1)), 7.0)
    assert [[]] * 100 == [engine.advance(7.0) for _ in range(100)]


def test_late_parent_in_time() -> None:
    """S14: a parent that comes a second before the deadline decides its children at once."""
    engine = Engine(NO_FILL)
    engine.deliver(request(span(3, 2), span(2, 1)), 0.0)
    left = by_name(engine.deliver(request(span(1, 0, U)), 298.0))
    assert {"span-1-1": U, "span-1-2": U, "span-1-3": U} == left
    assert [] == engine.advance(10_000.0)


def test_parent_after_the_deadline() -> None:
    """S15, S16: a parent that comes too late leaves alone; spans that come after it inherit through the spans that
    were given up.
    """
    engine = Engine(NO_FILL)
    engine.deliver(request(span(3, 2), span(2, 1)), 0.0)
    assert ["span-1-2", "span-1-3"] == names(engine.advance(301.0))
    assert {"span-1-1": U} == by_name(engine.deliver(request(span(1, 0, U)), 400.0))
    assert {"span-1-4": U} == by_name(engine.deliver(request(span(4, 3)), 401.0))


def test_late_child_of_a_decided_span() -> None:
    """S16: a span that comes within MAX_WAIT after its parents were released inherits at once."""
    engine = Engine(NO_FILL)
    engine.deliver(request(span(1, 0, U), span(2, 1, S)), 0.0)
    engine.advance(299.0)
    assert {"span-1-3": U | S} == by_name(engine.deliver(request(span(3, 2)), 299.0))


def test_late_child_of_a_given_up_span() -> None:
    """S16: the ids and contexts of given-up spans are remembered for MAX_WAIT after their release, not after their
    arrival.
    """
    engine = Engine(NO_FILL)
    engine.deliver(request(span(2, 1, U)), 0.0)
    engine.advance(301.0)
    assert [] == engine.deliver(request(span(3, 2)), 595.0)
    assert {"span-1-3": U} == by_name(engine.advance(900.0))


def test_given_up_spans_leave_with_what_their_chain_says() -> None:
    """S12, S15: a span that is given up takes what the known part of its chain says, however late the parts came."""
    engine = Engine(Setup(fill="none", baggage=("tenant",)))
    engine.deliver(request(span(4, 3)), 0.0)
    engine.deliver(request(span(2, 1, U)), 100.0)
    engine.deliver(request(span(3, 2, S)), 200.0)
    assert {"span-1-4": U | S} == by_name(engine.advance(301.0))
    assert {"span-1-2": U} == by_name(engine.advance(401.0))
    assert {"span-1-3": U | S} == by_name(engine.advance(501.0))


def test_values_after_the_deadline_do_not_count() -> None:
    """S18: what a given-up span gets depends on what came by its deadline, not on what comes after."""
    engine = Engine()
    engine.deliver(request(span(2, 1)), 0.0)
    left = by_name(engine.advance(301.0))
    engine.deliver(request(span(5, 0, U)), 302.0)
    assert {"span-1-2": {}} == left


@pytest.mark.parametrize("step", [1, 7, 2000])
def test_many_deadlines_in_small_steps(step: int) -> None:
    """S15: a thousand traces whose time has come are given up in steps, each span once."""
    engine = Engine(NO_FILL, step=step)
    for index in range(1000):
        engine.deliver(request(span(2, 1, trace=1 + index), span(3, 2, trace=1 + index)), index / 100)
    assert 2000 == len(engine.advance(400.0))
    assert {"max_wait": 2000} == engine.reasons


def test_credentials_keep_traces_apart() -> None:
    """The words: traces of different credentials never meet, whatever their ids."""
    engine = Engine()
    engine.deliver(request(span(2, 1), span(3, 9)), 0.0, key_prefix=b"a")
    assert {"span-1-1": U} == by_name(engine.deliver(request(span(1, 0, U)), 1.0, key_prefix=b"b"))
    assert {"span-1-2": {}, "span-1-3": {}} == by_name(engine.advance(400.0))
