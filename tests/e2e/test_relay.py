"""Metrics and logs of the real SDK, which knows of nothing but OTEL_EXPORTER_OTLP_ENDPOINT."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import pytest
from backends import Received
from google.protobuf import json_format
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as GrpcLogExporter
from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as GrpcMetricExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as HttpLogExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as HttpMetricExporter
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.resources import Resource
from running import eventually


def make_metrics(mark: str) -> Any:
    """What a meter of the SDK collected."""
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], Resource.create({"service.name": mark}))
    meter = provider.get_meter("checkout", "1")
    meter.create_counter("orders").add(3, {"user.id": "not ours to touch"})
    meter.create_histogram("latency", "s").record(0.25)
    collected = reader.get_metrics_data()
    provider.shutdown()
    return collected


def make_logs(mark: str) -> Any:
    """What a logger of the SDK emitted."""
    memory = InMemoryLogRecordExporter()
    provider = LoggerProvider(Resource.create({"service.name": mark}))
    provider.add_log_record_processor(SimpleLogRecordProcessor(memory))
    record = LogRecord(
        timestamp=5, severity_number=SeverityNumber.WARN, body={"text": "hello"}, attributes={"session.id": "s"}
    )
    provider.get_logger("checkout").emit(record)
    collected = memory.get_finished_logs()
    provider.shutdown()
    return collected


SIGNALS: dict[str, tuple[Callable[[str], Any], dict[str, Callable[[], Any]]]] = {
    "metrics": (make_metrics, {"grpc": GrpcMetricExporter, "http": HttpMetricExporter}),
    "logs": (make_logs, {"grpc": GrpcLogExporter, "http": HttpLogExporter}),
}
REQUESTS = {"metrics": ExportMetricsServiceRequest, "logs": ExportLogsServiceRequest}


def export(exporter: Any, telemetry: Any) -> None:
    """One export, which succeeds."""
    assert exporter.export(telemetry).name == "SUCCESS"
    exporter.shutdown()


def find(backend: Any, signal: str, mark: str) -> Received:
    """The one request of a signal that holds the mark, as soon as it is there."""

    def found() -> list[Received]:
        return [each for each in backend.received if signal in each.name.lower() and mark.encode() in each.body]

    eventually(found)
    (received,) = found()
    return received


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_relays_byte_for_byte(
    signal: str, transport: str, way: Any, backend: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S31: what the backend gets by way of the processor is what it gets from the SDK itself, but for JSON's form."""
    make, exporters = SIGNALS[signal]
    mark = f"mark-{secrets.token_hex(8)}"
    telemetry = make(mark)
    direct = backend("grpc" if transport == "grpc" else "http/protobuf").start()
    endpoints = {"grpc": way.processor.grpc_endpoint, "http": way.processor.http_endpoint}
    for endpoint in (f"http://127.0.0.1:{direct.port}", endpoints[transport]):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
        export(exporters[transport](), telemetry)
    sent, relayed = find(direct, signal, mark), find(way.backend, signal, mark)
    if relayed.is_json:
        expected = json_format.MessageToDict(REQUESTS[signal].FromString(sent.body))
        assert expected == json_format.MessageToDict(json_format.Parse(relayed.body, REQUESTS[signal]()))
    else:
        assert sent.body == relayed.body
    assert relayed.name.lower().strip("/") in (f"v1/{signal}", sent.name.lower().strip("/"), *_methods(signal))


def _methods(signal: str) -> list[str]:
    return [f"opentelemetry.proto.collector.{signal}.v1.{signal}service/export"]
