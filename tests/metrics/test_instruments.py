"""The metrics as the SDK gives them: one snapshot a collection, in Prometheus' form and as OTLP."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from craft import request, span
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from prometheus_client.parser import text_string_to_metric_families

from processor.errors import PermanentError, TransientError
from processor.export.export import Outcome
from processor.metrics.metrics import METRICS, Distribution, Kind, Point, Snapshot
from processor.metrics.push import Push
from processor.metrics.reading import take_snapshot
from processor.metrics.scrape import Scrape
from processor.signals import Signal


@pytest.fixture(autouse=True)
def _no_otel(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def scraped(scrape: Scrape) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by name and labels."""
    families = text_string_to_metric_families(scrape.text().decode())
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


async def push_once(push: Push, backend: Any) -> ExportMetricsServiceRequest:
    await push.send()
    signal, body = backend.sent[-1]
    assert signal is Signal.METRICS
    return ExportMetricsServiceRequest.FromString(body)


def test_one_snapshot_a_collection() -> None:
    """However many metrics there are, the numbers of a collection are taken once, and anew for the next."""
    taken: list[int] = []

    def take() -> Snapshot:
        taken.append(len(taken) + 1)
        points = [Point(taken[-1], {"reason": "memory"})]
        return Snapshot({metric.name: points for metric in METRICS if metric.kind is not Kind.HISTOGRAM})

    scrape = Scrape(take)
    for number in (1, 2):
        samples = scraped(scrape)
        assert {float(number)} == {value for (name, _), value in samples.items() if name.startswith("span_processor")}
    assert [1, 2] == taken


def test_histograms_have_their_buckets() -> None:
    """Buckets add up from the first to +Inf, sum and count beside them, the unit in the name."""
    found = Distribution((0.5, 1.0), (2, 3, 1), 7.25, {"downstream": "otlp", "outcome": "success"})
    samples = scraped(Scrape(lambda: Snapshot({"spans.held": [Point(1)]}, {"export.duration": [found]})))
    labels = (("downstream", "otlp"), ("outcome", "success"))
    name = "span_processor_export_duration_seconds"
    buckets = {dict(pairs)["le"]: value for (sample, pairs), value in samples.items() if sample == f"{name}_bucket"}
    assert {"0.5": 2, "1.0": 5, "+Inf": 6} == buckets
    assert (7.25, 6) == (samples[f"{name}_sum", labels], samples[f"{name}_count", labels])


@pytest.mark.parametrize(
    ("environment", "name"),
    [
        ({}, "span-processor"),
        ({"OTEL_SERVICE_NAME": "edge"}, "edge"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=far,team=a"}, "far"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=far", "OTEL_SERVICE_NAME": "edge"}, "edge"),
    ],
)
def test_who_it_is(
    environment: dict[str, str], name: str, make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`OTEL_SERVICE_NAME`, then `OTEL_RESOURCE_ATTRIBUTES`, then our own name."""
    for key, value in environment.items():
        monkeypatch.setenv(key, value)

    async def run() -> dict[str, str]:
        parts = make()
        push = Push(parts.backend, lambda: take_snapshot(parts.sources), 60.0)
        sent = await push_once(push, parts.backend)
        return {each.key: each.value.string_value for each in sent.resource_metrics[0].resource.attributes}

    resource = asyncio.run(run())
    assert (name, "0.1.0") == (resource["service.name"], resource["service.version"])
    assert ("team" in resource) == ("team" in environment.get("OTEL_RESOURCE_ATTRIBUTES", ""))


def test_metrics_by_otlp(make: Callable[..., Any]) -> None:
    """Each listed metric goes out with name, unit and kind; numbers are cumulative from one request to the next."""

    async def run() -> list[ExportMetricsServiceRequest]:
        parts = make()
        push = Push(parts.backend, lambda: take_snapshot(parts.sources), 60.0)
        found = []
        for _ in range(2):
            await parts.take(request(span(1), span(2, 1)))
            found.append(await push_once(push, parts.backend))
        return found

    requests = asyncio.run(run())
    accepted = []
    for sent in requests:
        metrics = {each.name: each for each in sent.resource_metrics[0].scope_metrics[0].metrics}
        for metric in METRICS:
            each = metrics.pop(f"span_processor.{metric.name}", None)
            if each is None:  # as there are no variables and no journal
                assert metric.name.startswith(
                    ("labels.", "variables.", "journal.", "spans.recovered", "spans.journaled")
                )
                continue
            kind = {"sum": Kind.COUNTER, "gauge": Kind.GAUGE, "histogram": Kind.HISTOGRAM}[each.WhichOneof("data")]
            assert (metric.unit, metric.kind) == (each.unit, kind)
            assert kind is not Kind.COUNTER or each.sum.is_monotonic
            if metric.name == "spans.accepted":
                accepted.append([point.as_int for point in each.sum.data_points if point.as_int])
            if kind is Kind.HISTOGRAM:
                point = each.histogram.data_points[0]
                assert (False, False) == (point.HasField("min"), point.HasField("max"))
                assert len(point.explicit_bounds) + 1 == len(point.bucket_counts)
        assert {} == metrics
    assert [[2], [4]] == accepted


def test_a_backend_of_metrics_that_is_away(make: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """A failed export is one line until the next success; a remote text cannot forge another."""

    async def run() -> None:
        parts = make()
        push = Push(parts.backend, lambda: take_snapshot(parts.sources), 60.0)
        failures = (
            TransientError("away\nforged"),
            PermanentError("no"),
            Outcome(),
            KeyError("secret"),
            PermanentError("no"),
        )
        for outcome in failures:
            parts.backend.outcome = outcome
            await push.send()

    asyncio.run(run())
    line = "own metrics cannot be exported: cause="
    assert [line + "away\\nforged", line + "KeyError"] == caplog.messages


def test_pushes_after_each_interval(make: Callable[..., Any]) -> None:
    """An interval passes before each export."""
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 4:
            raise asyncio.CancelledError

    async def run() -> int:
        parts = make()
        with pytest.raises(asyncio.CancelledError):
            await Push(parts.backend, lambda: take_snapshot(parts.sources), 7.0, sleep).run()
        return len(parts.backend.sent)

    assert 3 == asyncio.run(run())
    assert [7.0] * 4 == slept


def test_a_disabled_sdk(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_SDK_DISABLED`: nothing is exposed, nothing is sent, and nothing breaks."""
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    async def run() -> None:
        parts = make()
        assert b"" == Scrape(lambda: take_snapshot(parts.sources)).text()
        await Push(parts.backend, lambda: take_snapshot(parts.sources), 60.0).send()
        assert [] == parts.backend.sent

    asyncio.run(run())
