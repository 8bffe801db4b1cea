"""A pipeline with a view on it, fed with spans that the real SDK made and encoded."""

from __future__ import annotations

import errno
import io
from collections.abc import Iterator, Sequence

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import IdGenerator, ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from rich.console import Console

from processor.attributes.keys import CarriedKeys, KeySettings
from processor.export.console import ConsoleView
from processor.export.view.traces import Limits
from processor.pipeline import Pipeline
from processor.span import Context, Group
from processor.trace.settings import TreeSettings

TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
KEYS = KeySettings(
    user=("langfuse.user.id", "user.id", "enduser.id"),
    user_fallback=("gen_ai.user",),
    session=("session.id",),
    session_fallback=("gen_ai.conversation.id",),
    baggage=("tenant", "plan", "team.*", "langfuse.trace.tags", "logfire.variables.*"),
)


class CountingIds(IdGenerator):
    """Ids that a test can write down: one trace, spans 1, 2, 3 …"""

    def __init__(self, trace_id: int) -> None:
        self.trace_id = trace_id
        self.span_id = 0

    def generate_span_id(self) -> int:
        self.span_id += 1
        return self.span_id

    def generate_trace_id(self) -> int:
        return self.trace_id


class App:
    """A process of an application, with the real SDK."""

    def __init__(
        self, service: str = "chat-api", resource: dict[str, str] | None = None, trace_id: int = TRACE_ID
    ) -> None:
        self.ids = CountingIds(trace_id)
        self._exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service, **(resource or {})}),
            shutdown_on_exit=False,
            id_generator=self.ids,
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.tracer = self.provider.get_tracer("test")

    def span(
        self,
        name: str,
        parent: Span | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        at_ms: int = 0,
        for_ms: int = 10,
        **attributes: object,
    ) -> Span:
        """A span, ended already; `attributes` with `__` for a dot."""
        said = {key.replace("__", "."): value for key, value in attributes.items()}
        return self.make(name, said, parent, kind, at_ms, for_ms)

    def make(
        self,
        name: str,
        said: dict[str, object],
        parent: Span | None = None,
        kind: SpanKind = SpanKind.INTERNAL,
        at_ms: int = 0,
        for_ms: int = 10,
    ) -> Span:
        """The same with attributes of any name."""
        context = set_span_in_context(parent) if parent is not None else None
        start = T0 + at_ms * MS
        span = self.tracer.start_span(name, context, kind, said, start_time=start)  # type: ignore[arg-type]  # any value
        span.end(start + for_ms * MS)
        return span

    def take(self) -> Sequence[ReadableSpan]:
        """What has ended since the last call."""
        spans = self._exporter.get_finished_spans()
        self._exporter.clear()
        return spans

    def remote(self, span_id: int) -> Span:
        """A parent in another process, as a propagator gives it."""
        return self._parent(span_id, True)

    def local(self, span_id: int) -> Span:
        """A parent in this process that is not received."""
        return self._parent(span_id, False)

    def fail(self, name: str) -> None:
        """A span that ended with an error."""
        span = self.tracer.start_span(name, start_time=T0)
        span.set_status(Status(StatusCode.ERROR, "boom"))
        span.end(T0 + MS)

    def observed(self) -> tuple[bytes, bytes, Group, None, Context, str]:
        """The one span that has ended, as a pipeline hands it to an observer where nothing is inherited."""
        scope = encode_spans(self.take()).resource_spans[0].scope_spans[0]
        return scope.spans[0].SerializeToString(), b"", Group(b"", b"", b"", []), None, Context({}, False), "decided"

    def _parent(self, span_id: int, is_remote: bool) -> Span:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return NonRecordingSpan(SpanContext(self.ids.trace_id, span_id, is_remote=is_remote, trace_flags=flags))


class Screen(str):
    """What was printed."""

    def with_part(self, part: str) -> list[str]:
        """The lines that have this in them."""
        return [line for line in self.splitlines() if part in line]

    def below(self, name: str) -> str:
        """The line below a span's name: whose it is."""
        lines = self.splitlines()
        index = next(i for i, line in enumerate(lines) if f"{line.lstrip('│├└─ ')}  ".startswith(f"{name}  "))
        return lines[index + 1].lstrip("│ ")


class Output(io.StringIO):
    """What a user has in front of them; `encoding` as the stream says."""

    def __init__(self, encoding: str | None) -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str | None:  # type: ignore[override]  # a stream may not know
        return self._encoding


class Full(Output):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class Rig:
    """A pipeline with a view on it."""

    def __init__(
        self,
        width: int = 80,
        encoding: str | None = "utf-8",
        roots_any: bool = False,
        is_terminal: bool = False,
        limits: Limits | None = None,
        max_wait_s: float = 300.0,
        output: Output | None = None,
    ) -> None:
        self._output = output or Output(encoding)
        color = "standard" if is_terminal else None
        console = Console(file=self._output, width=width, color_system=color, force_terminal=is_terminal)
        self.view = ConsoleView(console, KEYS, roots_any, limits)
        tree = TreeSettings(roots_any=roots_any, max_wait_s=max_wait_s)
        self.pipeline = Pipeline(CarriedKeys(KEYS), tree, 200, 8192, 3 << 20)
        self.pipeline.observer = self.view.observe

    def send(self, spans: Sequence[ReadableSpan]) -> None:
        """The application exports these spans."""
        self.send_bytes(encode_spans(spans).SerializeToString())

    def send_bytes(self, body: bytes) -> None:
        """The application sends this request."""
        scan = self.pipeline.scan(body)
        while scan.step(2000):
            pass
        index = 0
        while index < len(scan.spans):
            index = self.pipeline.ingest(scan, index, False, 0.0)
        while self.pipeline.work(2000):
            pass
        self.view.warn(self.pipeline.take_drops())

    def give_up(self) -> None:
        """The processor stops: nothing waits any more."""
        while self.pipeline.release_all("shutdown", 100):
            pass

    def text(self) -> Screen:
        """What was printed since the last call."""
        text = Screen(self._output.getvalue())
        self._output.seek(0)
        self._output.truncate()
        return text

    def shown(self, spans: Sequence[ReadableSpan] = ()) -> Screen:
        """Send, wait until it is printed, and look."""
        if spans:
            self.send(spans)
        self.view.tick(0.0)
        while self.view.tick(100.0):
            pass
        return self.text()


@pytest.fixture(scope="session")
def new_app() -> type[App]:
    return App


@pytest.fixture(scope="session")
def new_rig() -> type[Rig]:
    return Rig


@pytest.fixture
def full_disk() -> Full:
    return Full("utf-8")


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    yield app
    app.provider.shutdown()


@pytest.fixture
def rig() -> Rig:
    return Rig()
