"""Ticks: when a trace is looked at (S15)."""

from __future__ import annotations

import pytest

from processor.attributes.contexts import Contexts
from processor.trace.trace import Trace
from processor.trace.waits import Waits


def make_trace(name: bytes) -> Trace:
    """A trace of nothing."""
    return Trace(name, Contexts(frozenset()).empty)


def wait(waits: Waits, trace: Trace, until_s: float) -> None:
    """Look at the trace when a time has come."""
    waits.ensure(trace, waits.tick(until_s))


@pytest.mark.parametrize("start_s", [0.0, 0.7, 1000.4, 1e9 + 0.3])
@pytest.mark.parametrize("tick_s", [0.001, 0.2, 1.0, 12.0])
def test_rounded_down_to_a_tick(start_s: float, tick_s: float) -> None:
    """S15: a trace is taken when its time has come, and not more than a tick before."""
    waits = Waits(tick_s)
    assert [] == waits.take_due(start_s)
    for after in (3.0, 10.5, 299.9):
        until_s = start_s + after * tick_s
        trace = make_trace(b"t")
        wait(waits, trace, until_s)
        assert [] == waits.take_due(until_s - tick_s * 1.001)
        assert [trace] == waits.take_due(until_s + tick_s * 0.001)


def test_the_first_time_may_be_a_deadline() -> None:
    """S15: ticks before the first time that was asked for are ticks like any others."""
    waits = Waits(1.0)
    trace = make_trace(b"t")
    wait(waits, trace, 1300.4)
    for now_s in (1000.4, 1298.0, 1299.0, 1299.3):
        assert [] == waits.take_due(now_s)
    assert [trace] == waits.take_due(1300.4)


def test_in_the_order_of_time() -> None:
    """Traces are taken earliest first, those of one tick as they came, and each once."""
    waits = Waits(1.0)
    waits.take_due(0.0)
    traces = [make_trace(bytes([number])) for number in range(4)]
    for trace, until_s in zip(traces, (9.0, 3.0, 7.0, 3.5), strict=True):
        wait(waits, trace, until_s)
    assert traces[1] is waits.first()
    assert [traces[index] for index in (1, 3, 2, 0)] == waits.take_due(100.0)
    assert [] == waits.take_due(100.0)
    assert waits.first() is None


def test_the_earlier_time_counts() -> None:
    """A trace waits for one time only: the earliest that was asked for."""
    waits = Waits(1.0)
    waits.take_due(0.0)
    trace = make_trace(b"t")
    for until_s in (50.0, 20.0, 90.0):
        wait(waits, trace, until_s)
    assert [] == waits.take_due(18.9)
    assert [trace] == waits.take_due(20.0)
    assert [] == waits.take_due(100.0)


def test_a_removed_trace_is_not_looked_at() -> None:
    """A trace that was removed is not taken, may be removed twice, and may wait again."""
    waits = Waits(1.0)
    waits.take_due(0.0)
    trace = make_trace(b"t")
    wait(waits, trace, 5.0)
    waits.remove(trace)
    waits.remove(trace)
    assert [] == waits.take_due(10.0)
    wait(waits, trace, 15.0)
    assert [trace] == waits.take_due(15.0)
