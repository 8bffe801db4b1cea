"""What the metrics read, without a network: pipeline, intake, queue and a downstream that answers as it is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from processor.export.batch import Limits
from processor.export.downstreams import Downstreams
from processor.export.export import Outcome
from processor.export.queue import Queue
from processor.header_names import NO_NAMES
from processor.intake import Intake
from processor.keeping import InMemory
from processor.metrics.reading import Sources
from processor.origin import Headers, Origins
from processor.pipeline_settings import build_pipeline
from processor.receive.admission import Admission
from processor.receive.receive import Request
from processor.settings import Settings
from processor.signals import Signal
from processor.telemetry import Warnings

MiB = 1 << 20
NO_MORE: Mapping[str, Queue] = {}


class Backend:
    """A client whose `send` gives or raises `outcome`, and remembers what it was sent."""

    hop = ""

    def __init__(self) -> None:
        self.outcome: Outcome | Exception = Outcome()
        self.sent: list[tuple[Signal, bytes]] = []

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        self.sent.append((signal, body))
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    async def close(self) -> None:
        """Nothing to let go of."""


class Parts:
    """One processor's parts; `more`: queues beside its own. `settle` lets the queue send what it holds."""

    def __init__(self, more: Mapping[str, Queue] = NO_MORE, **settings: Any) -> None:
        self.settings = Settings(**settings)
        self.backend = Backend()
        self.pipeline = build_pipeline(self.settings)
        self.queue = Queue(self.backend, Limits())
        self.warnings = Warnings(False)
        self.downstreams = Downstreams({"otlp": self.queue, **more}, MiB, lambda: self.pipeline.cost)
        origins = Origins(NO_NAMES, NO_NAMES, b"", lambda: None)
        self.intake = Intake(self.pipeline, self.downstreams, origins, self.warnings, InMemory(), clock=lambda: 0.0)
        self.admission = Admission(MiB)
        self.sources = Sources(self.intake, self.admission, self.warnings, None, None, 4 * MiB)

    async def take(self, body: bytes, transport: str = "grpc", signal: Signal = Signal.TRACES) -> None:
        await self.intake.take(Request(signal, body, transport))

    async def settle(self) -> None:
        self.queue.start()
        for _ in range(20):
            await asyncio.sleep(0)


@pytest.fixture
def make() -> Callable[..., Parts]:
    return Parts
