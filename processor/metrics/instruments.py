"""The metrics as the OpenTelemetry SDK has them: observable instruments, and histograms beside them.

Each collection shows one snapshot: `refresh` takes it, the instruments read it. The SDK cannot observe a histogram, and
recording each value would cost more than what is measured, so histograms are added to what the SDK collected, in its
own classes. Imports the SDK, some 15 MiB: to be imported only where somebody looks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Final

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import AlwaysOffExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Histogram,
    HistogramDataPoint,
    MetricReader,
    MetricsData,
)
from opentelemetry.sdk.metrics.export import Metric as Collected
from opentelemetry.sdk.resources import SERVICE_NAME, SERVICE_VERSION, OTELResourceDetector, Resource

from processor import __version__
from processor.metrics.metrics import METRICS, PREFIX, Distribution, Kind, Metric, Snapshot

_SERVICE: Final = "span-processor"


def own_resource() -> Resource:
    """Who we are: `OTEL_SERVICE_NAME` and `OTEL_RESOURCE_ATTRIBUTES`, else our own name and version."""
    named = OTELResourceDetector().detect().attributes
    return Resource.create({SERVICE_NAME: _SERVICE, SERVICE_VERSION: __version__, **named})


class Instruments:
    """The metrics on a meter of their own, read by one `reader`.

    `take` makes the snapshots. `refresh` comes before each collection of the reader, in the same turn of the loop.
    """

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._take = take
        self._snapshot = Snapshot()
        self._started_ns = time.time_ns()

    def attach(self, reader: MetricReader) -> None:
        """Make the instruments; `reader` collects them."""
        provider = MeterProvider(
            [reader], own_resource(), exemplar_filter=AlwaysOffExemplarFilter(), shutdown_on_exit=False
        )
        meter = provider.get_meter(_SERVICE, __version__)
        for metric in METRICS:
            if metric.kind is not Kind.HISTOGRAM:
                create = (
                    meter.create_observable_counter if metric.kind is Kind.COUNTER else meter.create_observable_gauge
                )
                create(PREFIX + metric.name, [self._observer(metric.name)], metric.unit, metric.description)

    def refresh(self) -> None:
        """Take the snapshot that the next collection shows."""
        self._snapshot = self._take()

    def complete(self, data: MetricsData) -> MetricsData:
        """What a reader collected, and the histograms of the same snapshot."""
        histograms = [
            self._histogram(metric, found)
            for metric in METRICS
            if (found := self._snapshot.distributions.get(metric.name))
        ]
        (of_resource,) = data.resource_metrics
        scopes = [
            replace(each, metrics=[*each.metrics, *histograms]) if each.scope.name == _SERVICE else each
            for each in of_resource.scope_metrics
        ]
        return MetricsData([replace(of_resource, scope_metrics=scopes)])

    def _observer(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        def observe(_: CallbackOptions) -> Iterable[Observation]:
            return [Observation(point.value, point.attributes) for point in self._snapshot.numbers.get(name, ())]

        return observe

    def _histogram(self, metric: Metric, found: Iterable[Distribution]) -> Collected:
        now_ns = time.time_ns()
        points = [self._histogram_point(each, now_ns) for each in found]
        data = Histogram(points, AggregationTemporality.CUMULATIVE)
        return Collected(PREFIX + metric.name, metric.description, metric.unit, data)

    def _histogram_point(self, found: Distribution, now_ns: int) -> HistogramDataPoint:
        unknown: Any = None  # least and largest value: OTLP leaves them out
        return HistogramDataPoint(
            found.attributes, self._started_ns, now_ns, sum(found.counts), found.total, found.counts, found.bounds,
            unknown, unknown,
        )  # fmt: skip
