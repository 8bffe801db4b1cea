"""How long held spans waited, in buckets, by a clock that the test holds."""

from __future__ import annotations

import pytest
from craft import request, span
from engine import Engine, Setup

from processor.trace.holds import HOLD_BOUNDS_S, Holds

ZERO = [0] * (len(HOLD_BOUNDS_S) + 1)


def counted(engine: Engine) -> dict[float, int]:
    """Spans by the upper bound of their bucket, without the empty ones."""
    holds = engine.pipeline.buffer.waits.holds
    bounds = (*HOLD_BOUNDS_S, float("inf"))
    return {bound: count for bound, count in zip(bounds, holds.counts, strict=True) if count}


@pytest.mark.parametrize(
    ("ticks", "bucket"), [(-1, 0), (0, 0), (1, 0), (2, 1), (3, 2), (5, 2), (6, 3), (300, 7), (301, 8), (5000, 10)]
)
def test_a_wait_is_in_the_bucket_that_it_reaches(ticks: int, bucket: int) -> None:
    """Upper bounds are inclusive; what is above all of them has a bucket too; no wait is shorter than none."""
    holds = Holds(1.0)
    holds.add(ticks)
    assert [int(index == bucket) for index in range(len(ZERO))] == holds.counts
    assert max(ticks, 0) == holds.total_s


@pytest.mark.parametrize(("tick_s", "ticks", "bucket"), [(0.2, 5, 0), (0.2, 6, 1), (12.0, 0, 0), (12.0, 1, 4)])
def test_bounds_are_seconds_whatever_a_tick_is(tick_s: float, ticks: int, bucket: int) -> None:
    """Buckets are in seconds, and so is the sum."""
    holds = Holds(tick_s)
    holds.add(ticks)
    assert 1 == holds.counts[bucket]
    assert tick_s * ticks == pytest.approx(holds.total_s)


def test_spans_that_leave_at_once_are_not_counted() -> None:
    """A root, and children of one that is known, do not wait."""
    engine = Engine()
    engine.deliver(request(span(2, 1), span(1)), 0.0)
    engine.deliver(request(span(3, 2)), 50.0)
    assert ZERO == engine.pipeline.buffer.waits.holds.counts


def test_spans_that_wait_for_the_rest_of_their_request_have_not_waited_long() -> None:
    """A child that comes behind its parent in one request is held for that long, and in the first bucket."""
    engine = Engine()
    engine.deliver(request(span(1), span(2, 1)), 0.0)
    assert ({1.0: 1}, 0.0) == (counted(engine), engine.pipeline.buffer.waits.holds.total_s)


def test_a_span_that_waits_for_its_parent_is_counted_when_that_comes() -> None:
    """Each held span is counted once, by its own wait, to the tick of a second."""
    engine = Engine()
    engine.deliver(request(span(3, 1)), 0.0)
    engine.deliver(request(span(4, 1), span(5, 4)), 18.0)
    assert {} == counted(engine)
    engine.deliver(request(span(1)), 22.0)
    assert {5.0: 2, 30.0: 1} == counted(engine)
    assert 22.0 + 4.0 + 4.0 == engine.pipeline.buffer.waits.holds.total_s


def test_a_span_that_is_given_up_has_waited_for_max_wait() -> None:
    """S15: what is given up is counted with MAX_WAIT."""
    engine = Engine(Setup(max_wait_s=60.0))
    engine.deliver(request(span(2, 1)), 0.0)
    engine.advance(60.0)
    assert {60.0: 1} == counted(engine)
