"""Bytes that stop too early, at every offset, of a request and of a span alone (S9)."""

from __future__ import annotations

import pytest
import wires
from compare import replay
from craft import enclose, span
from engine import Engine, Setup, spans_of
from lean import Lean
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oracle import Delivery
from rich_request import rich_request

from processor.errors import MalformedRequest

ORDERS = {"ascending": wires.ascending, "descending": wires.descending, "shuffled": wires.shuffled(3)}
SETUP = Setup(baggage=("langfuse", "tenant"))
BEFORE, AFTER = (span(7, 0, {"user.id": "u"}).SerializeToString(), span(8, 7).SerializeToString())


@pytest.fixture(params=list(ORDERS.values()), ids=list(ORDERS))
def body(request: pytest.FixtureRequest) -> bytes:
    """The rich request in one field order."""
    return wires.reorder(rich_request(), ExportTraceServiceRequest.DESCRIPTOR, request.param)


def test_truncated_requests(body: bytes) -> None:
    """S9: a request cut anywhere is refused whole, or, where upb still reads one, is the shorter request that upb
    reads.
    """
    lean = Lean()
    refused = 0
    for end in range(len(body)):
        cut = body[:end]
        if lean.parses(cut):
            replay(SETUP, [Delivery(0.0, cut), 1000.0])
            continue
        refused += 1
        with pytest.raises(MalformedRequest):
            Engine(SETUP).deliver(cut)
    assert len(body) * 9 // 10 < refused < len(body)


def test_truncated_spans(body: bytes) -> None:
    """S9: a span cut anywhere is rejected alone, or, where upb still reads a span with ids, is taken as upb reads
    it.
    """
    lean = Lean()
    for whole in spans_of(body):
        for end in range(len(whole.raw)):
            cut = whole.raw[:end]
            assert_alone(cut, lean.takes_span(cut))


def assert_alone(raw: bytes, taken: bool) -> None:
    """Between two good spans, which leave in any case, a span is taken or rejected."""
    engine = Engine(SETUP)
    left = engine.deliver(enclose([BEFORE, raw, AFTER]))
    left += engine.advance(1000.0)
    assert int(not taken) == sum(engine.rejected.values())
    assert 2 + int(taken) == len(left)
    assert {"u"} == {each.attributes.get("user.id") for each in left if each.span.name in ("span-1-7", "span-1-8")}
