"""When the downstream may be tried again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.export.retry import Backoff, Circuit


@pytest.mark.parametrize(
    ("failures", "shortest_s", "middle_s"),
    [(1, 0.5, 1.0), (2, 0.75, 1.5), (3, 1.125, 2.25), (5, 2.5, 5.0), (10_000, 2.5, 5.0)],
)
def test_backoff(failures: int, shortest_s: float, middle_s: float) -> None:
    """Waits begin at 1 s, grow by half to 5 s, and vary by half either way (E2)."""
    assert pytest.approx(shortest_s) == Backoff().wait_s(failures, 0.0)
    assert pytest.approx(middle_s) == Backoff().wait_s(failures, 0.5)


@given(failures=st.integers(1, 10_000), draw=st.floats(0, 1, exclude_max=True))
def test_backoff_bounds(failures: int, draw: float) -> None:
    """No wait is under 0.5 s or over 7.5 s, so that a recovered downstream is found within 10 s (F3)."""
    assert 0.5 <= Backoff().wait_s(failures, draw) <= 7.5


def circuit() -> Circuit:
    return Circuit(Backoff(), lambda: 0.5)


def test_new_circuit_is_ready() -> None:
    """Before anything failed every request may start."""
    assert circuit().is_ready
    assert circuit().not_before < -1e9


def test_failure_waits_and_one_probes() -> None:
    """After a failure nothing starts before the backoff is over, then one request probes, and its success ends it."""
    c = circuit()
    c.fail(c.begin(), 100.0, None)
    assert (False, 101.0) == (c.is_ready, c.not_before)
    probe = c.begin()
    assert c.is_probing
    c.succeed(probe)
    assert (True, False) == (c.is_ready, c.is_probing)


def test_failed_probe_waits_longer() -> None:
    """Each probe that fails makes the wait longer; a success starts anew."""
    c = circuit()
    c.fail(c.begin(), 100.0, None)
    c.fail(c.begin(), 101.0, None)
    assert 102.5 == c.not_before
    c.succeed(c.begin())
    c.fail(c.begin(), 200.0, None)
    assert 201.0 == c.not_before


@pytest.mark.parametrize(("asked_s", "until"), [(0.0, 101.0), (0.2, 101.0), (7.0, 107.0)])
def test_downstream_asks_for_a_delay(asked_s: float, until: float) -> None:
    """The wait is never shorter than the downstream asked for (F4)."""
    c = circuit()
    c.fail(c.begin(), 100.0, asked_s)
    assert until == c.not_before


def test_requests_of_one_round_count_once() -> None:
    """Four requests that fail together are one failure; the longest delay that any of them brings is obeyed."""
    c = circuit()
    tickets = [c.begin() for _ in range(4)]
    for ticket, asked_s in zip(tickets, (None, 3.0, None, 2.0), strict=True):
        c.fail(ticket, 100.0, asked_s)
    assert 103.0 == c.not_before
    c.fail(c.begin(), 103.0, None)
    assert 104.5 == c.not_before  # the second failure, not the fifth


def test_late_success_does_not_shorten_the_wait() -> None:
    """A success of a request that was under way at the failure says nothing of after it."""
    c = circuit()
    first, second = c.begin(), c.begin()
    c.fail(first, 100.0, 2.0)
    c.succeed(second)
    assert (False, 102.0) == (c.is_ready, c.not_before)


def test_late_failure_still_asks_for_its_delay() -> None:
    """A late failure with a delay is obeyed even after another probe succeeded (F4)."""
    c = circuit()
    first, second = c.begin(), c.begin()
    c.fail(first, 100.0, None)
    c.succeed(c.begin())
    c.fail(second, 101.5, 4.0)
    assert (True, 105.5) == (c.is_ready, c.not_before)
