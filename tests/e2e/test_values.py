"""An invalid value: dropped, counted on its span, told to log and sender, and never shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from messages import attributes, call_grpc, call_http, make_request, make_span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

TOO_LONG = "s3cret" * 33 + "abc"  # 201 characters
LONGEST = "ü" * 200


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_user_id_of_201_characters(transport: str, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S6, S7, S8: a user id of 201 characters is dropped, counted and warned of without the value; 200 are fine."""
    to = backend().start()
    processor = run(**to.settings)

    def send(trace_id: bytes, user: str) -> ExportTraceServiceResponse:
        root = make_span(trace_id, 1, user__id=user, session__id="s")
        root.dropped_attributes_count = 2
        body = make_request(make_span(trace_id, 2, 1), root)
        if transport == "grpc":
            return ExportTraceServiceResponse.FromString(call_grpc(processor.grpc_port, body)[1])
        return ExportTraceServiceResponse.FromString(call_http(processor.http_port, body)[2])

    partial = send(b"a" * 16, TOO_LONG).partial_success
    assert partial.rejected_spans == 0
    assert "user.id" in partial.error_message
    assert "longer" in partial.error_message
    assert ExportTraceServiceResponse() == send(b"b" * 16, TOO_LONG)  # told at most once in ten seconds
    assert ExportTraceServiceResponse() == send(b"c" * 16, LONGEST)

    spans = {(span.trace_id[:1], span.span_id[-1]): span for span in to.collect(6)}
    for trace in (b"a", b"b"):
        assert {"session.id": "s"} == attributes(spans[trace, 1]) == attributes(spans[trace, 2])
        assert (3, 0) == tuple(spans[trace, number].dropped_attributes_count for number in (1, 2))
    assert [{"user.id": LONGEST, "session.id": "s"}] * 2 == [attributes(spans[b"c", number]) for number in (1, 2)]
    assert spans[b"c", 1].dropped_attributes_count == 2

    warnings = [line["message"] for line in processor.log if line["level"] == "warning"]
    assert 2 == len(warnings)
    for message in (*warnings, partial.error_message, str(processor.status())):
        assert "s3cret" not in message
    assert all("user.id" in message and "length=201" in message for message in warnings)
    assert {"user_id": {"too_long": 2}} == processor.status()["values"]["dropped"]
