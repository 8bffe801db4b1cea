"""How values are written (S11, S22): behind the span's own bytes, only what it lacks, to the byte."""

from __future__ import annotations

import pytest
import wires
from craft import key_value, request, span
from engine import Engine, Setup
from opentelemetry.proto.trace.v1.trace_pb2 import Span

U, S = {"user.id": "u"}, {"session.id": "s"}
DERIVED = "span_processor.derived"


def written(*spans: Span, setup: Setup | None = None) -> list[bytes]:
    """The bytes of all spans after MAX_WAIT, by span id."""
    engine = Engine(setup)
    left = engine.deliver(request(*spans)) + engine.advance(1000.0)
    return [each.raw for each in sorted(left, key=lambda each: each.span.span_id)]


def encoded(key: str, value: object) -> bytes:
    """An attribute of a span."""
    return wires.field(9, key_value(key, value).SerializeToString())


def test_nothing_to_write() -> None:
    """S11: a span that lacks nothing leaves as the bytes that it came as, in the order that it came in."""
    spans = [span(1, 0, U), span(2, 1, {"b": 1, "user.id": "v", "a": 2})]
    assert [each.SerializeToString() for each in spans] == written(*spans)


def test_one_value() -> None:
    """S11: an inherited value is one attribute behind the span's bytes."""
    child = span(2, 1, {"a": 1})
    assert child.SerializeToString() + encoded("user.id", "u") == written(span(1, 0, U), child)[1]


def test_only_what_is_missing() -> None:
    """S11: keys that the span has are not written again."""
    child = span(2, 1, S)
    assert (
        child.SerializeToString() + encoded("user.id", "u")
        == written(span(1, 0, U | {"session.id": "other"}), child)[1]
    )


def test_types_stay() -> None:
    """S11: a carried key that the span has as an array is not written as a string."""
    setup = Setup(baggage=("tenant",))
    child = span(2, 1, {"tenant": ["a", "b"]})
    assert child.SerializeToString() == written(span(1, 0, {"tenant": "c"}), child, setup=setup)[1]


def test_cut_and_written() -> None:
    """S7, S11: a cut value leaves everything else where it was; the drop count is replaced, the inherited value
    appended.
    """
    bad = encoded("user.id", 5)
    before, after = span(2, 1, {"a": 1}).SerializeToString(), encoded("b", 2)
    left = Engine().deliver(request(span(1, 0, U), before + bad + after))
    assert before + after + wires.field(10, 1) + encoded("user.id", "u") == left[1].raw


def test_drop_count_grows() -> None:
    """S7: an existing count grows by the number of cut attributes."""
    child = span(2, 1, [("user.id", 5), ("user.id", 6)], dropped_attributes_count=7)
    assert 9 == Span.FromString(written(span(1), child)[1]).dropped_attributes_count


@pytest.mark.parametrize("value", ["u", "", "x" * 200, "ü" * 200, "a\x00b"])
def test_values_of_any_length(value: str) -> None:
    """S11: lengths of one and two bytes are written right; an empty value is not handed down."""
    child = span(2, 1)
    expected = child.SerializeToString() + (encoded("user.id", value) if value else b"")
    assert expected == written(span(1, 0, {"enduser.id": value}), child)[1]


def test_filled_keys_are_named() -> None:
    """S22: keys that the trace filled in are named in one array; inherited ones are not."""
    spans = [span(1, 0, U | S), span(2, 9), span(3, 9, U)]
    assert (
        spans[1].SerializeToString()
        + encoded("user.id", "u")
        + encoded("session.id", "s")
        + encoded(DERIVED, ["session.id", "user.id"])
        == written(*spans)[1]
    )
    assert (
        spans[2].SerializeToString() + encoded("session.id", "s") + encoded(DERIVED, ["session.id"])
        == written(*spans)[2]
    )


def test_computed_values_are_replaced() -> None:
    """S22: what an earlier processor computed is no own value: it gives way to an inherited one, uncounted, and is no
    longer named.
    """
    child = span(2, 1, {"user.id": "old", "a": 1, DERIVED: ["user.id"]})
    assert span(2, 1, {"a": 1}).SerializeToString() + encoded("user.id", "u") == written(span(1, 0, U), child)[1]


def test_computed_values_that_stay() -> None:
    """S22: computed values that nothing replaces stay named."""
    child = span(2, 1, {"user.id": "old", "session.id": "old", DERIVED: ["session.id", "user.id"]})
    expected = (
        span(2, 1, {"session.id": "old"}).SerializeToString()
        + encoded("user.id", "u")
        + encoded(DERIVED, ["session.id"])
    )
    assert expected == written(span(1, 0, U), child)[1]
    assert [child.SerializeToString()] == written(child)


def test_computed_values_are_replaced_by_computed_ones() -> None:
    """S12, S22: an orphan whose value an earlier processor computed takes what its trace agrees on, and it is named
    again.
    """
    child = span(2, 9, {"user.id": "old", DERIVED: ["user.id"]})
    assert (
        span(2, 9).SerializeToString() + encoded("user.id", "u") + encoded(DERIVED, ["user.id"])
        == written(span(1, 0, U), child)[1]
    )


def test_computed_values_are_not_carried() -> None:
    """S22: nobody inherits a computed value, and it makes no conflict."""
    spans = [span(1, 0, {"user.id": "old", DERIVED: ["user.id"]}), span(2, 1), span(3, 9), span(4, 0, U)]
    left = written(*spans)
    assert spans[1].SerializeToString() == left[1]
    assert spans[2].SerializeToString() + encoded("user.id", "u") + encoded(DERIVED, ["user.id"]) == left[2]


def test_resource_values_are_no_fills() -> None:
    """S3, S22: a resource's value is written where nothing else is known, and is not named as computed."""
    engine = Engine()
    left = engine.deliver(request(span(1), resource=U))
    assert [span(1).SerializeToString() + encoded("user.id", "u")] == [each.raw for each in left]
