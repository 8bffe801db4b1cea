"""A chat application's traces, made by the real OpenTelemetry SDK and sent by its real exporter, as a user's would be.

Two processes' worth of telemetry: `chat-api` answers people and asks `llm-gateway`, which asks the model. Context
crosses between them in headers, so parents there are remote. What happens, how long it takes and how many tokens it
costs follows from the seed; ids and the time of day do not.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from processor.demo_steps import CHAT_API, GATEWAY, SHAPES, Step

_DEFAULT_PORT: Final = 4317
_CONNECT_TIMEOUT_S: Final = 2.0
_MS: Final = 1_000_000


class DemoError(Exception):
    """The demo's spans could not be delivered. The text is one line for the user."""


def run_demo(
    endpoint: str, traces: int, rate: float, seed: int | None = None, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Send `traces` traces to an OTLP/gRPC endpoint, `rate` a second (0: as fast as it goes); how many spans were sent.

    Raises `DemoError` where nothing listens, and as soon as spans are not taken.
    """
    endpoint = _reach(endpoint)
    rng = random.Random(seed)  # noqa: S311 - numbers for a demo, not secrets
    sender = _Sender(endpoint)
    try:
        for number in range(traces):
            if number and rate > 0:
                sleep(1 / rate)
            sender.send(SHAPES[number % len(SHAPES)](rng))
    finally:
        sender.close()
    return sender.sent


class _Checked(SpanExporter):
    """The real exporter, with a count of what it delivered; the SDK itself keeps failures to its log."""

    def __init__(self, exporter: SpanExporter) -> None:
        self._exporter = exporter
        self.sent = 0
        self.has_failed = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self.sent += len(spans)
        else:
            self.has_failed = True
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return self._exporter.force_flush(timeout_millis)


class _Process:
    """What one process of the application has: a resource, a tracer, a batch processor, an exporter."""

    def __init__(self, service: str, endpoint: str) -> None:
        is_plain = urlsplit(endpoint).scheme != "https"
        self.exporter = _Checked(OTLPSpanExporter(endpoint=endpoint, insecure=is_plain))
        resource = Resource.create({"service.name": service, "service.version": "1.4.2"})
        self.provider = TracerProvider(sampler=ALWAYS_ON, resource=resource, shutdown_on_exit=False)
        self.provider.add_span_processor(
            BatchSpanProcessor(self.exporter, max_queue_size=2048, max_export_batch_size=512)
        )
        self.tracer = self.provider.get_tracer("demo", "1.0.0")


class _Sender:
    """Turns steps into spans, and delivers them trace by trace."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._processes = {service: _Process(service, endpoint) for service in (GATEWAY, CHAT_API)}

    @property
    def sent(self) -> int:
        """Spans delivered."""
        return sum(process.exporter.sent for process in self._processes.values())

    def send(self, root: Step) -> None:
        """Make the trace as if it ended now, and deliver it."""
        self._make(root, time.time_ns() - root.duration_ms * _MS, Context())
        for process in self._processes.values():
            process.provider.force_flush()
            if process.exporter.has_failed:
                raise DemoError(f"{self._endpoint} did not take the spans: is it an OTLP/gRPC endpoint?")

    def close(self) -> None:
        """Let go of threads and connections."""
        for process in self._processes.values():
            process.provider.shutdown()

    def _make(self, step: Step, start_ns: int, parent: Context) -> int:
        """Make the spans of a step; when it ended."""
        tracer = self._processes[step.service].tracer
        span = tracer.start_span(step.name, parent, step.kind, dict(step.attributes), start_time=start_ns)
        context = set_span_in_context(span, parent)
        at_ns = start_ns + step.own_ms * _MS // 2
        for below in step.steps:
            at_ns = self._make(below, at_ns, context if below.service == step.service else _cross(context))
        end_ns = start_ns + step.duration_ms * _MS
        span.end(end_ns)
        return end_ns


def _cross(context: Context) -> Context:
    """The context as the process on the other side of a request sees it."""
    propagator = TraceContextTextMapPropagator()
    headers: dict[str, str] = {}
    propagator.inject(headers, context)
    return propagator.extract(headers, Context())


def _reach(endpoint: str) -> str:
    """The endpoint with its port. Says at once that nothing listens, where the exporter would try for a long time."""
    try:
        url = urlsplit(endpoint)
        host, port = url.hostname or "", url.port or _DEFAULT_PORT
    except ValueError:
        host, port = "", 0
    if not host or url.scheme not in ("http", "https"):
        raise DemoError(f"{endpoint} is no endpoint such as http://127.0.0.1:4317")
    try:
        socket.create_connection((host, port), _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise DemoError(f"nothing listens at {endpoint}: {error.strerror or error}") from error
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{port}"
