"""The metrics by OTLP: collected on the event loop, sent by the same clients as spans.

The SDK's own exporter would collect from a thread, in the middle of what is being counted, and would read
`OTEL_EXPORTER_OTLP_*`. Numbers are cumulative, so what one attempt does not deliver the next one does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from processor.errors import PermanentError, TransientError
from processor.export.answers import printable
from processor.export.export import Client
from processor.metrics.instruments import Instruments
from processor.metrics.metrics import Snapshot
from processor.signals import Signal

LOG: Final = logging.getLogger("processor")


class Push:
    """Sends the metrics every `interval_s` while `run` runs."""

    def __init__(
        self,
        client: Client,
        take: Callable[[], Snapshot],
        interval_s: float,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._client = client
        self._interval_s = interval_s
        self._sleep = sleep
        self._reader = InMemoryMetricReader()
        self._instruments = Instruments(take)
        self._instruments.attach(self._reader)
        self._is_failing = False

    async def run(self) -> None:
        """Send, again and again, until cancelled."""
        while True:
            await self._sleep(self._interval_s)
            await self.send()

    async def send(self) -> None:
        """Send what is counted now, in one attempt. A failure is said once, until the next success."""
        body = self._collect()
        if not body:
            return
        try:
            await self._client.send(Signal.METRICS, body)
        except (TransientError, PermanentError) as error:
            self._fail(printable(str(error)))
        except Exception as error:  # the next export outlives whatever a client raises
            self._fail(type(error).__name__)
        else:
            self._is_failing = False

    def _fail(self, cause: str) -> None:
        if not self._is_failing:
            LOG.warning("own metrics cannot be exported: cause=%s", cause)
        self._is_failing = True

    def _collect(self) -> bytes:
        """The request; empty where `OTEL_SDK_DISABLED` turns the SDK off."""
        self._instruments.refresh()
        data = self._reader.get_metrics_data()
        return encode_metrics(self._instruments.complete(data)).SerializeToString() if data is not None else b""
