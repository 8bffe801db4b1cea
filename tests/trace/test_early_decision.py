"""A span whose carried keys are all decided does not wait for its trace (S14)."""

from __future__ import annotations

from typing import Any

import pytest
from craft import REMOTE_PARENT, request, span
from engine import Engine, Left, Setup, by_name

U, V, S = {"user.id": "u"}, {"user.id": "v"}, {"session.id": "s"}
WEAK = {"gen_ai.user.id": "w"}
TENANT = Setup(baggage=("tenant",))


def leaves_at_once(setup: Setup, *requests: bytes) -> dict[str, dict[str, Any]]:
    """What has left after the requests, no time having passed."""
    engine = Engine(setup)
    left: list[Left] = []
    for body in requests:
        left += engine.deliver(body)
    return by_name(left)


def test_all_strong_values_on_the_span() -> None:
    """S14: with both ids on the span itself nothing waits."""
    assert {"span-1-2": U | S} == leaves_at_once(Setup(), request(span(2, 1, U | S)))


def test_all_strong_values_on_the_chain() -> None:
    """S14: with one id on the span and the other on its parent both leave, the parent's own parent being unknown."""
    left = leaves_at_once(Setup(), request(span(3, 2, U)), request(span(2, 1, S | V)))
    assert {"span-1-3": U | S, "span-1-2": V | S} == left


def test_descendants_of_a_decided_span_follow() -> None:
    """S14: spans below one that is decided early are decided, too, those that come later included."""
    left = leaves_at_once(Setup(), request(span(4, 3), span(3, 2)), request(span(2, 1, U | S)), request(span(5, 4)))
    assert dict.fromkeys(("span-1-2", "span-1-3", "span-1-4", "span-1-5"), U | S) == left


@pytest.mark.parametrize(
    ("setup", "attributes"),
    [
        (Setup(), U),
        (Setup(), S | WEAK),
        (Setup(), S | {"user.id": ""}),
        (Setup(), S | {"user.id": 5}),
        (TENANT, U | S),
        (Setup(baggage=("langfuse",)), U | S),
        (Setup(baggage=("a.*",)), U | S | {"a.b": "c"}),
    ],
)
def test_what_is_not_decided(setup: Setup, attributes: dict[str, Any]) -> None:
    """S14: with a key missing, a fallback value or a `*` key on the list, only a root decides."""
    assert {} == leaves_at_once(setup, request(span(2, 1, attributes)))


def test_listed_keys_count() -> None:
    """S14: an exact listed key is one of those that must be known."""
    assert 1 == len(leaves_at_once(TENANT, request(span(2, 1, U | S | {"tenant": "t"}))))


def test_a_root_decides_whatever_is_missing() -> None:
    """S14: at a root nothing waits, a root that has a remote parent included."""
    assert {"span-1-1": {}} == leaves_at_once(TENANT, request(span(1)))
    assert {"span-1-2": {}} == leaves_at_once(TENANT, request(span(2, 1, flags=REMOTE_PARENT)))


def test_early_and_late_say_the_same() -> None:
    """S18: what is decided early is what the whole chain says."""
    spans = [span(1, 0, {"user.id": "x", "session.id": "y"}), span(2, 1, U), span(3, 2, S), span(4, 3)]
    together = leaves_at_once(Setup(), request(*spans))
    upwards = leaves_at_once(Setup(), *[request(each) for each in reversed(spans)])
    assert together == upwards
    assert U | S == together["span-1-4"]


def test_a_broken_chain_does_not_count() -> None:
    """S14: a value beyond a gap is no value on the known, unbroken chain."""
    left = leaves_at_once(Setup(), request(span(4, 3, U), span(2, 1, S)))
    assert {} == left
