"""The real OpenTelemetry exporters of Python, all signals over both transports, against the listeners."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import grpc
import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogs
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetrics
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcTraces
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogs
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetrics
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpTraces
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from processor.errors import ComeBackLater, MalformedRequest, UnsupportedSignal
from processor.receive.receive import Answer
from processor.signals import Signal


def make_spans() -> Any:
    memory = InMemorySpanExporter()
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(memory))
    with provider.get_tracer("test").start_as_current_span("a.name"):
        pass
    return memory.get_finished_spans()


def make_metrics() -> Any:
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("test").create_counter("a.name").add(1)
    return reader.get_metrics_data()


def make_logs() -> Any:
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(shutdown_on_exit=False)
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    provider.get_logger("test").emit(LogRecord(timestamp=1, severity_number=SeverityNumber.INFO, body="a.name"))
    return memory.get_finished_logs()


MAKE: dict[Signal, Callable[[], Any]] = {
    Signal.TRACES: make_spans,
    Signal.METRICS: make_metrics,
    Signal.LOGS: make_logs,
}
GRPC: dict[Signal, Any] = {Signal.TRACES: GrpcTraces, Signal.METRICS: GrpcMetrics, Signal.LOGS: GrpcLogs}
HTTP: dict[Signal, Any] = {Signal.TRACES: HttpTraces, Signal.METRICS: HttpMetrics, Signal.LOGS: HttpLogs}
NAME_OF: dict[Signal, Callable[[bytes], str]] = {
    Signal.TRACES: lambda body: (
        ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans[0].name
    ),
    Signal.METRICS: lambda body: (
        ExportMetricsServiceRequest.FromString(body).resource_metrics[0].scope_metrics[0].metrics[0].name
    ),
    Signal.LOGS: lambda body: (
        ExportLogsServiceRequest.FromString(body).resource_logs[0].scope_logs[0].log_records[0].body.string_value
    ),
}


@pytest.fixture
def exporter() -> Iterator[Callable[..., Any]]:
    """Make an exporter that is shut down when the test is over."""
    made = []

    def exporter(kind: Any, **options: Any) -> Any:
        made.append(kind(**options))
        return made[-1]

    yield exporter
    for one in made:
        one.shutdown()


@pytest.mark.parametrize("compression", [None, grpc.Compression.Gzip, grpc.Compression.Deflate])
@pytest.mark.parametrize("signal", Signal)
def test_grpc_exporters_are_understood(
    grpc_listener: Any, recorder: Any, exporter: Any, signal: Signal, compression: grpc.Compression | None
):
    """R4, R5, R20: every signal and compression of the SDK's gRPC exporter is a success."""
    options = {"endpoint": grpc_listener.address, "insecure": True, "compression": compression}
    result = exporter(GRPC[signal], **options).export(MAKE[signal]())
    assert "SUCCESS" == result.name
    [request] = recorder.requests
    assert (signal, "grpc", "a.name") == (request.signal, request.transport, NAME_OF[signal](request.body))


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("signal", Signal)
def test_http_exporters_are_understood(
    http_listener: Any, recorder: Any, exporter: Any, signal: Signal, compression: Compression
):
    """R2, R3, R5, R20: every signal and compression of the SDK's HTTP exporter is a success."""
    endpoint = f"http://{http_listener.address}/{signal.http_path}"
    result = exporter(HTTP[signal], endpoint=endpoint, compression=compression).export(MAKE[signal]())
    assert "SUCCESS" == result.name
    [request] = recorder.requests
    assert (signal, "http/protobuf", "a.name") == (request.signal, request.transport, NAME_OF[signal](request.body))


def test_the_grpc_exporter_comes_back_when_it_was_told_to(grpc_listener: Any, recorder: Any, exporter: Any):
    """S26, R26: after UNAVAILABLE with RetryInfo of 1 s the SDK tries again after 1 s, and succeeds."""
    recorder.outcomes = [ComeBackLater("full", 1), Answer()]
    began = time.monotonic()
    result = exporter(GrpcTraces, endpoint=grpc_listener.address, insecure=True).export(make_spans())
    took_s = time.monotonic() - began
    assert ("SUCCESS", 2) == (result.name, len(recorder.requests))
    # Without a hint it waits 0.8 to 1.2 s at random; with it, exactly one and what a request takes.
    assert 1.0 <= took_s < 5.0


@pytest.mark.parametrize("error", [MalformedRequest("x"), UnsupportedSignal("x")])
def test_exporters_give_up_on_final_errors(
    grpc_listener: Any, http_listener: Any, recorder: Any, exporter: Any, error: Exception, caplog: Any
):
    """R24, S31: a final error is tried once."""
    caplog.set_level(logging.CRITICAL)
    recorder.outcomes = [error]
    over_grpc = exporter(GrpcTraces, endpoint=grpc_listener.address, insecure=True)
    over_http = exporter(HttpTraces, endpoint=f"http://{http_listener.address}/v1/traces")
    assert ["FAILURE", "FAILURE"] == [over_grpc.export(make_spans()).name, over_http.export(make_spans()).name]
    assert 2 == len(recorder.requests)


def test_exporters_take_a_partial_success_for_a_success(
    grpc_listener: Any, http_listener: Any, recorder: Any, exporter: Any
):
    """R22: rejected spans are not sent again."""
    recorder.outcomes = [Answer(1, "why")]
    over_grpc = exporter(GrpcTraces, endpoint=grpc_listener.address, insecure=True)
    over_http = exporter(HttpTraces, endpoint=f"http://{http_listener.address}/v1/traces")
    assert ["SUCCESS", "SUCCESS"] == [over_grpc.export(make_spans()).name, over_http.export(make_spans()).name]
    assert 2 == len(recorder.requests)
