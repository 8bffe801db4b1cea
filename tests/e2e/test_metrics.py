"""The metrics of the real process: scraped under load, and sent to a real backend."""

from __future__ import annotations

import threading
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
from messages import call_grpc, call_http, make_request, make_span, write_json
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from running import PATIENCE_S, Processor, eventually, free_ports

from processor.export.export import Attempt, LossReason
from processor.metrics.metrics import METRICS, Kind
from processor.metrics.reading import KEYS, MISSING, RELEASES, TRANSPORTS, UNKNOWN
from processor.receive.admission import FOR_GOOD, REFUSALS
from processor.variables.variables import Outcome
from processor.wire.reasons import WORDS

VARIABLES = """
variables:
  model:
    name: model
    labels: {small: {version: 3, serialized_value: '"s"'}}
    rollout: {labels: {small: 1.0}}
    overrides: []
"""
OUTCOMES = {each.value for each in Attempt}
DELIVERY = (
    "spans.exported", "spans.queued", "spans.lost", "spans.recovered", "spans.journaled", "export.attempts",
    "export.duration",
)  # fmt: skip
# The whole of what an attribute of a metric may be.
CLOSED: Mapping[tuple[str, str], Iterable[str]] = {
    ("spans.accepted", "transport"): TRANSPORTS,
    ("spans.refused", "reason"): {*REFUSALS, "journal", "origins"} - FOR_GOOD,
    ("spans.malformed", "reason"): {*WORDS.values(), UNKNOWN, *FOR_GOOD} - {"malformed"},
    ("spans.lost", "reason"): {reason.label for reason in LossReason},
    ("spans.released", "reason"): RELEASES,
    ("values.inherited", "key"): KEYS,
    ("values.filled", "key"): KEYS,
    ("values.dropped", "key"): KEYS,
    ("values.dropped", "reason"): {"not_a_string", "too_long", "format", "encoding"},
    ("values.missing", "key"): {"user_id", "session_id"},
    ("values.missing", "reason"): MISSING,
    ("labels.written", "variable"): {"model"},
    ("labels.drifted", "variable"): {"model"},
    ("labels.failed", "variable"): {"model"},
    ("variables.reloads", "outcome"): {outcome.value for outcome in Outcome},
    ("relay.requests", "signal"): {"metrics", "logs"},
    ("relay.requests", "outcome"): {"exported", "lost", "unsupported"},
    ("export.attempts", "outcome"): OUTCOMES,
    ("export.duration", "outcome"): OUTCOMES,
    **{(name, "downstream"): {"otlp"} for name in DELIVERY},
}
PLACES = ("exported", "lost", "held", "queued", "journaled")
SUFFIXES = {"By": "_bytes", "s": "_seconds"}


def exposed_name(name: str, unit: str) -> str:
    """What a metric is called in Prometheus' form."""
    flat = f"span_processor_{name.replace('.', '_')}"
    suffix = SUFFIXES.get(unit, "")
    return flat if flat.endswith(suffix) else flat + suffix


def scrape(processor: Processor) -> dict[str, Metric]:
    """The metrics that a scrape finds, by name, read by Prometheus' own parser."""
    url = f"http://127.0.0.1:{processor.admin_port}/metrics"
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        assert answer.headers["content-type"].startswith("text/plain; version=")
        return {family.name: family for family in text_string_to_metric_families(answer.read().decode())}


def total(metrics: Mapping[str, Metric], name: str, **labels: str) -> float:
    """The sum of a metric's samples with these labels."""
    family = metrics.get(exposed_name(name, ""))
    samples = family.samples if family is not None else []
    return sum(each.value for each in samples if labels.items() <= each.labels.items())


def check_identity(metrics: Mapping[str, Metric]) -> float:
    """S25 within one scrape; what was accepted."""
    found = {name: total(metrics, f"spans.{name}") for name in ("accepted", "recovered", *PLACES)}
    assert found["accepted"] + found["recovered"] == sum(found[name] for name in PLACES), found
    return found["accepted"]


def send_sdk_spans(exporter: Any, traces: int) -> None:
    """Traces of three spans each, by the SDK as an application would send them."""
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter, max_export_batch_size=64, schedule_delay_millis=20))
    tracer = provider.get_tracer("checkout")
    for _ in range(traces):
        with tracer.start_as_current_span("root", attributes={"user.id": "ann"}), tracer.start_as_current_span("a"):
            tracer.start_span("b").end()
    provider.shutdown()


def test_scraped_under_load(run: Callable[..., Any], backend: Callable[..., Any], tmp_path: Path) -> None:
    """S25: under load from the real exporters, on all transports, each scrape is whole, closed and balanced."""
    file = tmp_path / "variables.yaml"
    file.write_text(VARIABLES)
    to = backend().start()
    processor = run(VARIABLES_FILE=str(file), JOURNAL_DIRECTORY=str(tmp_path / "journal"), **to.settings)
    exporters = [
        GrpcExporter(endpoint=processor.grpc_endpoint, insecure=True),
        HttpExporter(endpoint=f"{processor.http_endpoint}/v1/traces"),
    ]
    senders = [threading.Thread(target=send_sdk_spans, args=(exporter, 400)) for exporter in exporters]
    seen = []
    for sender in senders:
        sender.start()
    while any(sender.is_alive() for sender in senders):
        seen.append(check_identity(scrape(processor)))
    for sender in senders:
        sender.join()
    assert sorted(seen) == seen
    body = write_json(
        ExportTraceServiceRequest.FromString(make_request(make_span(b"a" * 16, 1), make_span(b"b" * 8, 1)))
    )
    assert 200 == call_http(processor.http_port, body, content_type="application/json")[0]
    assert b"" == call_grpc(processor.grpc_port, make_request(make_span(b"c" * 16, 2, 1)))[1]

    metrics = eventually(lambda: found if not total(found := scrape(processor), "spans.queued") else None)
    assert 2402 == check_identity(metrics)
    transports = {name: total(metrics, "spans.accepted", transport=name) for name in TRANSPORTS}
    assert {"grpc": 1201, "http/protobuf": 1200, "http/json": 1} == transports
    assert (1, 1) == (total(metrics, "spans.held"), total(metrics, "spans.malformed", reason="trace_id"))
    assert 2401 == total(metrics, "labels.written", variable="model") == total(metrics, "spans.released")
    assert 1600 == total(metrics, "values.inherited", key="user_id")
    attempts = total(metrics, "export.attempts", outcome="success")
    durations = metrics["span_processor_export_duration_seconds"].samples
    assert attempts == sum(each.value for each in durations if each.name.endswith("_count"))
    check_names(metrics)
    check_values(metrics)
    assert 0 == processor.stop()


def check_names(metrics: Mapping[str, Metric]) -> None:
    """Every metric is there under its name with its kind, and no other but what says who it is."""
    assert "span-processor" == metrics["target_info"].samples[0].labels["service_name"]
    kinds = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.HISTOGRAM: "histogram"}
    expected = {exposed_name(metric.name, metric.unit): kinds[metric.kind] for metric in METRICS}
    assert expected == {name: metric.type for name, metric in metrics.items() if name != "target_info"}


def check_values(metrics: Mapping[str, Metric]) -> None:
    """No attribute but the listed ones, and no value of them that is not."""
    for metric in METRICS:
        for sample in metrics[exposed_name(metric.name, metric.unit)].samples:
            for key, value in sample.labels.items():
                assert key == "le" or value in CLOSED[metric.name, key], (metric.name, key, value)


def test_balanced_while_the_downstream_is_away(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S25: held, queued and lost spans are in the balance; what is too old is lost with its reason."""
    to = backend(port=free_ports(1)[0])
    processor = run(QUEUE_MAX_AGE="300ms", **to.settings)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1), make_span(b"b" * 16, 2, 9)))
    assert 2 == check_identity(scrape(processor))
    found = eventually(lambda: found if total(found := scrape(processor), "spans.lost") else None)
    assert 2 == check_identity(found)
    reasons = {"spans.lost": {"downstream": "otlp", "reason": "too_old"}, "spans.held": {}}
    assert [1, 1] == [total(found, name, **labels) for name, labels in reasons.items()]
    assert 1 <= total(found, "export.attempts", outcome="transient")


def test_metrics_by_otlp(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """Metrics go to their own backend, whatever `OTEL_EXPORTER_OTLP_*` says, under the service's name, to the last."""
    to, metrics_to = backend().start(), backend().start()
    grpc_port, http_port = free_ports(2)
    processor = run(
        RECEIVER_GRPC_ENDPOINT=f"127.0.0.1:{grpc_port}",
        TELEMETRY_OTLP_ENDPOINT=f"http://127.0.0.1:{metrics_to.port}",
        TELEMETRY_OTLP_HEADERS="x-key=k%20ey",
        OTEL_METRIC_EXPORT_INTERVAL="50",
        OTEL_SERVICE_NAME="edge",
        OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{grpc_port}",
        OTEL_EXPORTER_OTLP_HEADERS="x-wrong=1",
        is_awaited=False,
        **to.settings,
    )
    eventually(lambda: len(metrics_to.received) >= 2)
    call_grpc(grpc_port, make_request(make_span(b"a" * 16, 1), make_span(b"a" * 16, 2, 1), make_span(b"b" * 16, 3, 2)))
    assert 0 == processor.stop()
    first, last = metrics_to.received[0], metrics_to.received[-1]
    assert "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export" == last.name
    assert ("k ey", None) == (last.headers["x-key"], last.headers.get("x-wrong"))
    (resource,) = ExportMetricsServiceRequest.FromString(last.body).resource_metrics
    assert "edge" in [each.value.string_value for each in resource.resource.attributes if each.key == "service.name"]
    assert (0, 3) == (sum_of(first.body, "spans.exported"), sum_of(last.body, "spans.exported"))
    assert set() == {each.name for each in to.received if "trace" not in each.name.lower()}
    assert http_port not in (to.port, metrics_to.port)


def sum_of(body: bytes, name: str) -> int:
    """The sum of a counter's points in a request."""
    (resource,) = ExportMetricsServiceRequest.FromString(body).resource_metrics
    (scope,) = resource.scope_metrics
    (metric,) = (each for each in scope.metrics if each.name == f"span_processor.{name}")
    return sum(point.as_int for point in metric.sum.data_points)


@pytest.mark.parametrize("command", ["run", "check"])
@pytest.mark.parametrize(
    ("settings", "begins"),
    [
        ({"TELEMETRY_OTLP_ENDPOINT": "http://localhost:{grpc}"}, "SPAN_PROCESSOR_TELEMETRY_OTLP_ENDPOINT: "),
        ({"TELEMETRY_OTLP_ENDPOINT": "nonsense://x"}, "SPAN_PROCESSOR_TELEMETRY_OTLP_ENDPOINT: "),
        ({"OTEL_METRIC_EXPORT_INTERVAL": "often"}, "OTEL_METRIC_EXPORT_INTERVAL: "),
    ],
)
def test_metrics_that_cannot_go_there(
    command: str, settings: dict[str, str], begins: str, run: Callable[..., Any]
) -> None:
    """S30: a backend of metrics that is one of its own listeners, or none at all, is one line and 2."""
    (port,) = free_ports(1)
    given = {name: value.format(grpc=port) for name, value in settings.items()}
    processor = run(command, is_awaited=False, RECEIVER_GRPC_ENDPOINT=f"127.0.0.1:{port}", **given)
    assert 2 == processor.wait()
    (line,) = processor.err.splitlines()
    assert line.startswith(begins)
