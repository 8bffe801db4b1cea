"""The metrics in Prometheus' form, by the SDK's exporter, without its HTTP server and its global registry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from processor.metrics.instruments import Instruments
from processor.metrics.metrics import Snapshot


class _Reader(PrometheusMetricReader):
    """The SDK's reader, with what the SDK cannot observe added on the way."""

    def __init__(self, registry: CollectorRegistry, complete: Callable[[MetricsData], MetricsData]) -> None:
        super().__init__(scope_info_enabled=False, registry=registry)
        self._complete = complete

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        super()._receive_metrics(self._complete(metrics_data), timeout_millis, **kwargs)


class Scrape:
    """`text` is what `/metrics` answers, all of it from one snapshot."""

    content_type: Final = CONTENT_TYPE_LATEST.encode()

    def __init__(self, take: Callable[[], Snapshot]) -> None:
        self._registry = CollectorRegistry()
        self._instruments = Instruments(take)
        self._instruments.attach(_Reader(self._registry, self._instruments.complete))

    def text(self) -> bytes:
        """The exposition. To be called on the event loop: what is counted stands still meanwhile."""
        self._instruments.refresh()
        return generate_latest(self._registry)
