"""A chat application's traces, made by the real OpenTelemetry SDK and sent by its real exporter, as a user's would be.

Two processes' worth of telemetry: `chat-api` answers people and asks `llm-gateway`, which asks the model. Context crosses
between them in headers, so parents there are remote. Four kinds of trace take turns:

    question    the user's id on the root only (`langfuse.user.id`)
    agent       user and session id on a span in the middle only (`enduser.id`, `session.id`)
    invalid     a user id of 201 characters, which is none (S6)
    anonymous   no user at all

What happens, how long it takes and how many tokens it costs follows from the seed; ids and the time of day do not.
"""

from __future__ import annotations

import random
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

CHAT_API: Final = "chat-api"
GATEWAY: Final = "llm-gateway"

_CONNECT_TIMEOUT_S: Final = 2.0
_MS: Final = 1_000_000
_USERS: Final = ("ada", "grace", "edsger", "barbara", "alan")


class DemoError(Exception):
    """The demo's spans could not be delivered. The text is one line for the user."""


@dataclass(frozen=True, slots=True)
class Step:
    """A span to be made: `own_ms` is the time that it takes beside its `steps`, which follow one another."""

    name: str
    own_ms: int
    attributes: Mapping[str, str | int] = field(default_factory=dict)
    steps: tuple[Step, ...] = ()
    kind: SpanKind = SpanKind.INTERNAL
    service: str = CHAT_API

    @property
    def duration_ms(self) -> int:
        """From start to end."""
        return self.own_ms + sum(step.duration_ms for step in self.steps)


def run_demo(
    endpoint: str, traces: int, rate: float, seed: int | None = None, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Send `traces` traces to an OTLP/gRPC endpoint, `rate` a second (0: as fast as it goes); how many spans were sent.

    Raises `DemoError` where nothing listens, and as soon as spans are not taken.
    """
    _check(endpoint)
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


# ---- what happens in the application


def _question(rng: random.Random) -> Step:
    return _chat(rng, {"langfuse.user.id": rng.choice(_USERS)})


def _invalid(rng: random.Random) -> Step:
    return _chat(rng, {"langfuse.user.id": rng.choice("abc") * 201})


def _chat(rng: random.Random, user: Mapping[str, str]) -> Step:
    steps = (
        _retrieval(rng),
        _generation(rng, "gpt-4o-mini"),
        _tool(rng, "search_orders"),
        _generation(rng, "gpt-4o"),
    )
    return _request("/chat", steps, user)


def _agent(rng: random.Random) -> Step:
    said = {
        "gen_ai.operation.name": "invoke_agent",
        "gen_ai.agent.name": "support",
        "enduser.id": rng.choice(_USERS),
        "session.id": f"s-{rng.randrange(1000, 10000)}",
    }
    steps = (
        _generation(rng, "gpt-4o-mini"),
        _tool(rng, "get_order"),
        _retrieval(rng),
        _generation(rng, "gpt-4o-mini"),
    )
    agent = Step("invoke_agent support", rng.randint(5, 30), said, steps)
    return _request("/agent", (Step("authenticate", rng.randint(2, 9)), agent), {})


def _anonymous(rng: random.Random) -> Step:
    return _request("/suggestions", (_retrieval(rng), _generation(rng, "gpt-4o-mini")), {})


SHAPES: Final[tuple[Callable[[random.Random], Step], ...]] = (_question, _agent, _invalid, _anonymous)


def _request(route: str, steps: tuple[Step, ...], user: Mapping[str, str]) -> Step:
    attributes = {"http.request.method": "POST", "http.route": route, "http.response.status_code": 200, **user}
    return Step(f"POST {route}", 7, attributes, steps, SpanKind.SERVER)


def _retrieval(rng: random.Random) -> Step:
    model = "text-embedding-3-small"
    embedding = {**_model("embeddings", model), "gen_ai.usage.input_tokens": rng.randint(8, 60)}
    query = {"db.system.name": "postgresql", "db.operation.name": "SELECT", "db.collection.name": "documents"}
    steps = (
        Step(f"embeddings {model}", rng.randint(40, 120), embedding, kind=SpanKind.CLIENT),
        Step("SELECT documents", rng.randint(3, 25), query, kind=SpanKind.CLIENT),
    )
    return Step("retrieve documents", rng.randint(1, 6), {"gen_ai.operation.name": "retrieval"}, steps)


def _tool(rng: random.Random, name: str) -> Step:
    said = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.tool.type": "function"}
    return Step(f"execute_tool {name}", rng.randint(15, 240), said)


def _generation(rng: random.Random, model: str) -> Step:
    """A call of the model, by way of the gateway: the parent of its server span is in another process."""
    into, out = rng.randint(300, 2400), rng.randint(20, 400)
    usage = {"gen_ai.usage.input_tokens": into, "gen_ai.usage.output_tokens": out}
    said = {**_model("chat", model), "gen_ai.response.model": model, **usage}
    chat = Step(f"chat {model}", 180 + 9 * out, said, kind=SpanKind.CLIENT, service=GATEWAY)
    path = "/v1/chat/completions"
    post = {"http.request.method": "POST", "http.response.status_code": 200}
    server = Step(f"POST {path}", 4, {**post, "http.route": path}, (chat,), SpanKind.SERVER, GATEWAY)
    return Step("POST", 3, {**post, "server.address": GATEWAY}, (server,), SpanKind.CLIENT)


def _model(operation: str, model: str) -> dict[str, str | int]:
    return {"gen_ai.operation.name": operation, "gen_ai.provider.name": "openai", "gen_ai.request.model": model}


# ---- sending


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


def _check(endpoint: str) -> None:
    """Say at once that nothing listens; the exporter would try for a long time."""
    try:
        url = urlsplit(endpoint)
        address = (url.hostname or "", url.port or 4317)
    except ValueError:
        address = ("", 0)
    if not address[0] or url.scheme not in ("http", "https"):
        raise DemoError(f"{endpoint} is no endpoint such as http://127.0.0.1:4317")
    try:
        socket.create_connection(address, _CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise DemoError(f"nothing listens at {endpoint}: {error.strerror or error}") from error
