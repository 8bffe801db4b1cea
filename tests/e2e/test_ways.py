"""A trace of the real SDK through every pair of transport in and protocol out."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import grpc
import pytest
from messages import assert_named, call_http, write_json
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import (
    BatchSpanProcessor,
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
    SpanProcessor,
)
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

NAMES = ("answer", "retrieve", "embed", "generate")


class JsonExporter(SpanExporter):
    """What the SDK for Python lacks: its own encoding of spans, sent as OTLP/JSON."""

    def __init__(self, port: int) -> None:
        self._port = port

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        status, _, body = call_http(self._port, write_json(encode_spans(spans)), content_type="application/json")
        assert (200, b"{}") == (status, body)
        return SpanExportResult.SUCCESS


def at_once(exporter: SpanExporter) -> SpanProcessor:
    """Every span in a request of its own as it ends: children before their parents."""
    return SimpleSpanProcessor(exporter)


def together(exporter: SpanExporter) -> SpanProcessor:
    """All spans in one request at the end."""
    return BatchSpanProcessor(exporter)


TRANSPORTS: dict[str, tuple[Callable[[Any], SpanExporter], Callable[[SpanExporter], SpanProcessor]]] = {
    "grpc": (lambda p: GrpcExporter(endpoint=p.grpc_endpoint), at_once),
    "grpc gzip": (lambda p: GrpcExporter(endpoint=p.grpc_endpoint, compression=grpc.Compression.Gzip), together),
    "grpc deflate": (lambda p: GrpcExporter(endpoint=p.grpc_endpoint, compression=grpc.Compression.Deflate), at_once),
    "http": (lambda p: HttpExporter(endpoint=f"{p.http_endpoint}/v1/traces"), at_once),
    "http gzip": (
        lambda p: HttpExporter(endpoint=f"{p.http_endpoint}/v1/traces", compression=Compression.Gzip),
        together,
    ),
    "http deflate": (
        lambda p: HttpExporter(endpoint=f"{p.http_endpoint}/any/v1/traces", compression=Compression.Deflate),
        at_once,
    ),
    "json": (lambda p: JsonExporter(p.http_port), together),
}


def send_trace(span_processor: SpanProcessor, user: str) -> ExportTraceServiceRequest:
    """A trace as an application makes it, with user and session on its root alone; what the SDK encodes of it."""
    provider = TracerProvider(resource=Resource.create({"service.name": "shop"}))
    provider.add_span_processor(span_processor)
    memory = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("checkout", "1.2")
    with tracer.start_as_current_span("answer", attributes={"user.id": user, "session.id": "s-1"}):
        with tracer.start_as_current_span("retrieve"), tracer.start_as_current_span("embed"):
            pass
        with tracer.start_as_current_span("generate", kind=trace.SpanKind.CLIENT, attributes={"gen_ai.system": "x"}):
            pass
    provider.shutdown()
    return encode_spans(memory.get_finished_spans())


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_trace_of_the_sdk_is_named(transport: str, way: Any) -> None:
    """S10, S11: whatever the transport and the downstream's protocol, every span is named, and else as it was sent."""
    exporter, span_processor = TRANSPORTS[transport]
    user = f"user-{secrets.token_hex(4)}"
    sent = send_trace(span_processor(exporter(way.processor)), user)
    trace_id = sent.resource_spans[0].scope_spans[0].spans[0].trace_id
    spans = way.backend.collect(len(NAMES), trace_id)
    assert sorted(NAMES) == sorted(span.name for span in spans)
    assert_named([sent], way.backend.requests(), {"user.id": user, "session.id": "s-1"})


def test_the_downstream_sees_who_sends(way: Any) -> None:
    """E9, S30: requests carry the product's name and the id of the process that they came through."""
    send_trace(TRANSPORTS["http"][1](TRANSPORTS["http"][0](way.processor)), "u")
    received = way.backend.received[-1]
    assert received.headers["user-agent"].startswith("span-processor/")
    assert len(received.headers["x-span-processor-hop"]) == 32


def test_the_shared_processors_lose_nothing(way: Any) -> None:
    """S25: what was accepted is exported, or counted."""
    send_trace(TRANSPORTS["grpc"][1](TRANSPORTS["grpc"][0](way.processor)), "u")
    accounting = way.processor.accounting()
    assert accounting["accepted"] >= len(NAMES)
    assert {} == accounting["lost"]
