"""Pending spans give real spans' places early, end no wait, and never wait (S5)."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from craft import pending, request, span
from engine import Engine, Setup, by_name
from opentelemetry.proto.trace.v1.trace_pb2 import Span

U, V, S = {"user.id": "u"}, {"user.id": "v"}, {"session.id": "s"}
WEAK = {"gen_ai.user.id": "w"}
NO_FILL = Setup(fill="none")


def own(each: Span) -> dict[str, Any]:
    """What a pending span has anyway."""
    return {
        "logfire.span_type": "pending_span",
        "logfire.pending_parent_id": next(
            pair.value.string_value for pair in each.attributes if pair.key.endswith("parent_id")
        ),
    }


def run(setup: Setup, bodies: list[bytes]) -> dict[str, dict[str, Any]]:
    """What leaves of requests that come a second apart, and after MAX_WAIT."""
    engine = Engine(setup)
    left = []
    for index, body in enumerate(bodies):
        left += engine.deliver(body, float(index))
    return by_name(left + engine.advance(400.0))


def test_it_leaves_at_once() -> None:
    """S5: a pending span never waits, and is counted among the released as decided."""
    engine = Engine(NO_FILL)
    assert ["span-1-9"] == [each.span.name for each in engine.deliver(request(pending(9, 2, 1)))]
    assert {"decided": 1} == engine.reasons


def test_it_ends_no_wait() -> None:
    """S5, S14: a pending root decides nothing: its child waits for the real one."""
    engine = Engine(NO_FILL)
    engine.deliver(request(pending(9, 1, 0, U | S)))
    assert [] == engine.deliver(request(span(2, 1)))
    assert {"span-1-1": V, "span-1-2": V} == by_name(engine.deliver(request(span(1, 0, V))))


CHAIN = [pending(9, 1, 0, U), pending(8, 2, 1, S), span(3, 2, WEAK), span(4, 3)]


@pytest.mark.parametrize("batching", ["in one request", "in four"])
def test_all_orders_without_the_real_spans(batching: str) -> None:
    """S5, S18: a chain of pending spans serves those that are given up, whatever came first."""
    for order in itertools.permutations(CHAIN):
        bodies = [request(*order)] if batching == "in one request" else [request(each) for each in order]
        left = run(NO_FILL, bodies)
        assert [WEAK | U | S, U | S] == [left["span-1-3"], left["span-1-4"]]


REAL = [pending(9, 1, 0, U), pending(8, 2, 1, U), span(3, 2), span(2, 1, S), span(1, 0, V)]


@pytest.mark.parametrize("batching", ["in one request", "in five"])
def test_all_orders_with_the_real_spans(batching: str) -> None:
    """S5, S18: where the real spans come their values count alone, whatever came first."""
    for order in itertools.permutations(REAL):
        bodies = [request(*order)] if batching == "in one request" else [request(each) for each in order]
        left = run(NO_FILL, bodies)
        assert [V, V | S, V | S] == [left[f"span-1-{number}"] for number in (1, 2, 3)]


def test_real_span_without_the_value() -> None:
    """S5: a value that only the pending span had does not count once the real one is there."""
    left = run(NO_FILL, [request(pending(9, 2, 1, U)), request(span(3, 2), span(2, 1))])
    assert {} == left["span-1-3"]


def test_twin_inherits_at_the_real_place() -> None:
    """S5: a pending span gets what its real span would get: of the chain above it, and its resource's."""
    twin = pending(9, 2, 1)
    left = run(NO_FILL, [request(span(1, 0, U)), request(twin, resource=S)])
    assert own(twin) | U | S == left["span-1-9"]


def test_twin_is_no_orphan_where_its_chain_reaches_a_root() -> None:
    """S5, S12: what a trace agrees on is not written on a pending span whose real span would not get it."""
    twin = pending(9, 3, 1)
    left = run(Setup(), [request(span(1), span(2, 1, U)), request(twin), request(span(3, 1))])
    assert [own(twin), {}] == [left["span-1-9"], left["span-1-3"]]


def test_twin_that_is_an_orphan() -> None:
    """S5, S12: a pending span whose chain breaks takes what the trace agrees on by then."""
    twin = pending(9, 3, 7)
    left = run(Setup(), [request(span(1, 0, U)), request(twin)])
    assert own(twin) | U | {"span_processor.derived": ["user.id"]} == left["span-1-9"]


def test_two_pending_spans_of_one() -> None:
    """S5, S13: of several pending spans of one real span the first received counts."""
    left = run(NO_FILL, [request(pending(9, 2, 0, U)), request(pending(8, 2, 0, V)), request(span(3, 2))])
    assert U == left["span-1-3"]


def test_missing_values_are_counted_once() -> None:
    """S5: of a pending span and its real one only the real one counts as left without a user."""
    engine = Engine(NO_FILL)
    engine.deliver(request(pending(9, 1, 0), span(1)))
    assert 1 == engine.pipeline.buffer.releases.missing["user_id", "no_value"]


def test_remembered_as_long_as_anything() -> None:
    """S5, S16: a pending span of a long-running root serves spans that come minutes after it."""
    engine = Engine(Setup(fill="none", max_wait_s=60.0, remember_for_s=600.0))
    engine.deliver(request(pending(9, 1, 0, U)), 0.0)
    engine.advance(50.0)
    engine.deliver(request(span(2, 1)), 50.0)
    engine.advance(100.0)
    engine.deliver(request(span(3, 1)), 100.0)
    assert {"span-1-2": U} == by_name(engine.advance(110.1))
    assert {"span-1-3": U} == by_name(engine.advance(160.1))
