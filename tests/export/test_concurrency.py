"""How many requests may be under way: grows with success, halves with failure."""

from __future__ import annotations

from processor.export.concurrency import MOST, START, Concurrency


def test_grows_by_one_a_round() -> None:
    """After as many successes as there are requests, with more waiting, there may be one more, up to the most (E10)."""
    made = Concurrency()
    successes = 0
    grown = {}
    while made.bound < MOST and successes < 1000:
        made.succeed(True)
        successes += 1
        grown.setdefault(made.bound, successes)
    assert list(range(START, MOST + 1)) == list(grown)
    assert START <= grown[START + 1] <= START + 2
    assert sum(range(START, MOST)) <= successes <= sum(range(START, MOST)) + MOST
    made.succeed(True)
    assert MOST == made.bound


def test_does_not_grow_without_need() -> None:
    """Successes while nothing waits, or with slots free, change nothing."""
    made = Concurrency()
    for _ in range(100):
        made.succeed(False)
    assert START == made.bound


def test_halves_down_to_one() -> None:
    """Each failed round halves it; one request may always go."""
    made = Concurrency()
    bounds = []
    for _ in range(5):
        made.fail()
        bounds.append(made.bound)
    assert [START // 2, 1, 1, 1, 1] == bounds
