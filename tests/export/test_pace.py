"""How soon one request may follow another."""

from __future__ import annotations

import pytest

from processor.export.pace import Pace


@pytest.mark.parametrize(("busy", "waits_s"), [(0.0, 0.0), (0.25, 0.0025), (1.0, 0.01), (3.0, 0.01)])
def test_the_busier_the_longer(busy: float, waits_s: float) -> None:
    """The next may start after that share of the most in which the process works; never later than the most."""
    pace = Pace(0.01)
    for now in (100.0, 100.04, 100.08):
        pace.begin(now, now * busy)
    assert pace.not_before == pytest.approx(100.08 + waits_s)


def test_a_few_at_once_are_no_load() -> None:
    """After a pause, requests at once, with work in between, hardly wait: three signals of one application, say."""
    pace = Pace(0.01)
    pace.begin(100.0, 50.0)
    for number in range(1, 4):
        pace.begin(100.0 + number * 0.0002, 50.0 + number * 0.0002)
    assert pace.not_before - 100.0006 == pytest.approx(0.0006)


def test_load_shows_after_a_pause() -> None:
    """What was before the last request counts no more once the most time is over."""
    pace = Pace(0.01)
    pace.begin(100.0, 50.0)
    pace.begin(160.0, 50.1)
    assert pace.not_before < 160.0001
    pace.begin(160.01, 50.11)
    assert pace.not_before == pytest.approx(160.02)


def test_no_pace() -> None:
    """Where chunks are not to gather, the next may start at once."""
    pace = Pace(0.0)
    pace.begin(100.0, 50.0)
    pace.begin(100.0, 51.0)
    assert pace.not_before < 100.0
