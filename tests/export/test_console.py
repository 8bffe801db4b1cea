"""The console view, driven by a real pipeline with spans that the real SDK made and encoded."""

from __future__ import annotations

import io
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
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
from rich.cells import cell_len
from rich.console import Console

from processor.attributes.keys import CarriedKeys, KeySettings
from processor.attributes.read import Drop
from processor.export.console import STEP, ConsoleView
from processor.export.view.traces import Limits
from processor.pipeline import Pipeline
from processor.span import Context, Group
from processor.trace.buffer import TreeSettings

TRACE_ID = 0x4BF92F3577B34DA6A3CE929D0E0E4736
T0 = 1_700_000_000_000_000_000
MS = 1_000_000
KEYS = KeySettings(
    user=("langfuse.user.id", "user.id", "enduser.id"),
    user_fallback=("gen_ai.user",),
    session=("session.id",),
    session_fallback=("gen_ai.conversation.id",),
    baggage=("tenant", "plan", "team.*", "langfuse.trace.tags"),
)
ACCOUNTS = {"accepted": 3, "exported": 3, "lost": 0, "held": 0, "queued": 0}


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
    """A process of an application, with the real SDK. `made`: what ended, in order."""

    def __init__(self, service: str = "chat-api", resource: dict[str, str] | None = None, ids: int = TRACE_ID) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource({"service.name": service, **(resource or {})}),
            shutdown_on_exit=False,
            id_generator=CountingIds(ids),
        )
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
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
        return self.make(name, parent, kind, at_ms, for_ms, said)

    def make(
        self, name: str, parent: Span | None, kind: SpanKind, at_ms: int, for_ms: int, said: dict[str, object]
    ) -> Span:
        context = set_span_in_context(parent) if parent is not None else None
        start = T0 + at_ms * MS
        span = self.tracer.start_span(name, context, kind, said, start_time=start)  # type: ignore[arg-type]  # any value
        span.end(start + for_ms * MS)
        return span

    def take(self) -> Sequence[ReadableSpan]:
        """What has ended since the last call."""
        spans = self.exporter.get_finished_spans()
        self.exporter.clear()
        return spans


def remote(span_id: int, trace_id: int = TRACE_ID) -> Span:
    """A parent in another process, as a propagator gives it."""
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(1)))


def local(span_id: int, trace_id: int = TRACE_ID) -> Span:
    """A parent in this process."""
    return NonRecordingSpan(SpanContext(trace_id, span_id, is_remote=False, trace_flags=TraceFlags(1)))


class Terminal(io.StringIO):
    """What a user has in front of them; `encoding` as the stream says."""

    def __init__(self, encoding: str | None = "utf-8") -> None:
        super().__init__()
        self._encoding = encoding

    @property
    def encoding(self) -> str | None:  # type: ignore[override]  # a stream may not know
        return self._encoding


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
    ) -> None:
        self.file = Terminal(encoding)
        color = "standard" if is_terminal else None
        console = Console(file=self.file, width=width, color_system=color, force_terminal=is_terminal)
        self.view = ConsoleView(console, KEYS, roots_any, limits)
        tree = TreeSettings(roots_any=roots_any, max_wait_s=max_wait_s)
        self.pipeline = Pipeline(CarriedKeys(KEYS), tree, 200, 8192, 3 << 20)
        self.pipeline.observer = self.view.observe

    def send(self, spans: Sequence[ReadableSpan], now_s: float = 0.0) -> None:
        self.send_bytes(encode_spans(spans).SerializeToString(), now_s)

    def send_bytes(self, body: bytes, now_s: float = 0.0) -> None:
        scan = self.pipeline.scan(body)
        while scan.step(2000):
            pass
        index = 0
        while index < len(scan.spans):
            index = self.pipeline.ingest(scan, index, b"", False, now_s)
        while self.pipeline.work(2000):
            pass
        self.view.warn(self.pipeline.take_drops())

    def text(self) -> str:
        """What was printed since the last call."""
        text = self.file.getvalue()
        self.file.seek(0)
        self.file.truncate()
        return text

    def shown(self, spans: Sequence[ReadableSpan] = ()) -> str:
        """Send, wait until it is printed, and look."""
        if spans:
            self.send(spans)
        self.view.tick(0.0)
        while self.view.tick(100.0):
            pass
        return self.text()


@pytest.fixture
def app() -> Iterator[App]:
    app = App()
    yield app
    app.provider.shutdown()


@pytest.fixture
def rig() -> Rig:
    return Rig()


def lines_with(text: str, part: str) -> list[str]:
    return [line for line in text.splitlines() if part in line]


def after(text: str, name: str) -> str:
    """The line below the one that names a span: whose it is."""
    lines = text.splitlines()
    index = next(index for index, line in enumerate(lines) if name in line and "(from" not in line)
    return lines[index + 1].lstrip("│ ")


# ---- the tree


def test_a_whole_trace(app: App) -> None:
    """A trace is a tree that says of every span what it is and whose it is, over processes, at 80 columns."""
    rig = Rig(roots_any=True)
    gateway = App("llm-gateway")
    gateway.provider.id_generator.span_id = 100  # type: ignore[attr-defined]  # ours
    root = app.span("POST /chat", None, SpanKind.SERVER, 0, 2410, langfuse__user__id="ada", session__id="s-1")
    retrieval = app.span("retrieve documents", root, at_ms=5, for_ms=180)
    app.span("SELECT documents", retrieval, SpanKind.CLIENT, 90, 12, tenant="acme")
    call = app.span("POST", root, SpanKind.CLIENT, 200, 1230)
    app.span("execute_tool search", root, at_ms=1500, for_ms=135, user__id="eve", logfire__variables__prompt="b")
    crossed = remote(call.get_span_context().span_id)
    entry = gateway.span("POST /v1/chat", crossed, SpanKind.SERVER, 210, 1210)
    gateway.span(
        "chat gpt-4o-mini", entry, SpanKind.CLIENT, 215, 1200,
        gen_ai__request__model="gpt-4o-mini", gen_ai__usage__input_tokens=812, gen_ai__usage__output_tokens=64,
    )  # fmt: skip
    rig.send(gateway.take())
    expected = """\
trace 4bf92f3577b34da6a3ce929d0e0e4736 · 7 spans · 2.41 s
POST /chat  server · chat-api                                             2.41 s
│  user.id=ada (from langfuse.user.id)  session.id=s-1
├─ retrieve documents                                                     180 ms
│  │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│  └─ SELECT documents  client                                             12 ms
│        ↳ user.id=ada session.id=s-1 (from “POST /chat”)  tenant=acme
├─ POST  client                                                           1.23 s
│  │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│  └─ POST /v1/chat  server · llm-gateway                                 1.21 s
│     │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│     └─ chat gpt-4o-mini  812→64 tok · client                            1.20 s
│           ↳ user.id=ada session.id=s-1 (from “POST /chat”)
└─ execute_tool search                                                    135 ms
      user.id=eve  ↳ session.id=s-1 (from “POST /chat”)  label prompt=b
"""
    assert expected == rig.shown(app.take())


def test_own_values_stand_plain(app: App, rig: Rig) -> None:
    """What a span says itself under the canonical key stands without a mark."""
    app.span("ask", user__id="ada", session__id="s-1", tenant="acme")
    assert "user.id=ada  session.id=s-1  tenant=acme" == after(rig.shown(app.take()), "ask")


def test_an_alias_is_named(app: App, rig: Rig) -> None:
    """A canonical value written beside an alias names the alias (S1)."""
    app.span("ask", enduser__id="ada", gen_ai__conversation__id="c-1")
    expected = "user.id=ada (from enduser.id)  session.id=c-1 (from gen_ai.conversation.id)"
    assert expected == after(rig.shown(app.take()), "ask")


def test_the_alias_in_force_is_named(app: App, rig: Rig) -> None:
    """Of several aliases the first of the order is named, not the one that was ignored (S1, S4)."""
    app.span("ask", enduser__id="bob", langfuse__user__id="ada", gen_ai__user="acct-1")
    assert "user.id=ada (from langfuse.user.id)" == after(rig.shown(app.take()), "ask")


def test_captured_baggage_is_named(app: App, rig: Rig) -> None:
    """A value out of a captured baggage header says so (S2)."""
    app.span("ask", http__request__header__baggage=["langfuse_user_id=ada,tenant=acme"])
    assert "user.id=ada tenant=acme (from baggage)" == after(rig.shown(app.take()), "ask")


def test_the_nearest_source_is_named(app: App, rig: Rig) -> None:
    """An inherited value names the nearest ancestor that said it (S10)."""
    root = app.span("ask", user__id="ada", session__id="s-1")
    agent = app.span("agent", root, user__id="eve")
    app.span("step", app.span("tool", agent))
    expected = "↳ user.id=eve (from “agent”)  ↳ session.id=s-1 (from “ask”)"
    assert expected == after(rig.shown(app.take()), "step")


def test_a_fallback_value_yields_to_a_strong_one_above(app: App, rig: Rig) -> None:
    """Where an ancestor's strong value beats the span's own fallback, the ancestor is named (S1)."""
    root = app.span("ask", user__id="ada")
    app.span("tool", app.span("chat", root, gen_ai__user="acct-1"))
    text = rig.shown(app.take())
    assert "↳ user.id=ada (from “ask”)" == after(text, "chat")
    assert "↳ user.id=ada (from “ask”)" == after(text, "tool")


def test_a_resource_is_named(rig: Rig) -> None:
    """A value of the resource names the resource (S3)."""
    app = App(resource={"user.id": "ada"})
    app.span("tool", app.span("ask"))
    text = rig.shown(app.take())
    assert "↳ user.id=ada (from resource)" == after(text, "ask")
    assert "↳ user.id=ada (from resource)" == after(text, "tool")


def test_what_a_trace_agrees_on_is_marked(app: App) -> None:
    """A value filled in because the trace agrees on it says so, and the heading says why the span left (S12, S15)."""
    rig = Rig(max_wait_s=5.0)
    app.span("sibling", local(0xAB), user__id="ada")
    app.span("orphan", local(0xCD))
    rig.send(app.take())
    rig.pipeline.advance(10.0, 100)
    rig.view.tick(10.0)
    text = rig.text()
    assert "↳ user.id=ada (agreed in trace)" == after(text, "orphan")
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans · 10 ms · given up: max_wait" == text.splitlines()[0]


def test_what_an_earlier_processor_filled_in_is_marked(app: App, rig: Rig) -> None:
    """A key that the span itself names as computed is not shown as its own (S22)."""
    app.span("ask", user__id="ada", span_processor__derived=["user.id"])
    assert "↳ user.id=ada (agreed in trace)" == after(rig.shown(app.take()), "ask")


def test_nothing_known(app: App, rig: Rig) -> None:
    """A span of which nothing is known says `[no user]` in its line; with other values, before them."""
    root = app.span("ask", for_ms=0)
    app.span("tool", root, session__id="s-1")
    text = rig.shown(app.take())
    assert ["ask  [no user] · chat-api"] == lines_with(text, "ask")
    assert "[no user]  session.id=s-1" == after(text, "tool")


def test_arrays_are_shown_in_brackets(app: App, rig: Rig) -> None:
    """Tags are an array, and inherited like any value (S11)."""
    root = app.span("ask", user__id="ada", langfuse__trace__tags=["beta", "eu"])
    app.span("tool", root)
    assert "↳ user.id=ada langfuse.trace.tags=[beta, eu] (from “ask”)" == after(rig.shown(app.take()), "tool")


def test_labels(app: App, rig: Rig) -> None:
    """Variable labels have a place of their own; versions are left out, computed ones are marked (S19, S22)."""
    app.make("ask", None, SpanKind.INTERNAL, 0, 10, {
        "user.id": "ada",
        "logfire.variables.prompt": "b",
        "logfire.variables.prompt.version": "3",
        "logfire.variables.tone": "<code_default>",
        "span_processor.derived": ["logfire.variables.tone"],
    })  # fmt: skip
    expected = "user.id=ada  label prompt=b  ↳ label tone=<code_default> (computed)"
    assert expected == after(rig.shown(app.take()), "ask")


def test_many_values_are_counted(app: App, rig: Rig) -> None:
    """Of very many values the first are shown, the rest is counted."""
    app.make("ask", None, SpanKind.INTERNAL, 0, 10, {f"team.k{index:02}": "x" for index in range(40)})
    text = rig.shown(app.take())
    assert 16 == len(re.findall(r"team\.k\d\d=x", text))
    assert 1 == text.count("… 24 more")


def test_model_and_tokens(app: App, rig: Rig) -> None:
    """The model is shown where the span's name lacks it, tokens as in→out, and one-sided counts say which."""
    app.span("generate", gen_ai__request__model="gpt-4o-mini", gen_ai__usage__input_tokens=812)
    app.span("chat m1", gen_ai__request__model="m1", gen_ai__usage__input_tokens=9, gen_ai__usage__output_tokens=2)
    app.span("speak", gen_ai__usage__output_tokens=5, gen_ai__usage__input_tokens="many")
    text = rig.shown(app.take())
    assert "generate  [no user] · gpt-4o-mini 812 tok in · chat-api" in text
    assert "chat m1  [no user] · 9→2 tok · chat-api" in text
    assert "speak  [no user] · 5 tok out · chat-api" in text


def test_errors_are_words(app: App, rig: Rig) -> None:
    """A failed span says so in characters, not only in colour."""
    span = app.tracer.start_span("ask", start_time=T0)
    span.set_status(Status(StatusCode.ERROR, "boom"))
    span.end(T0 + MS)
    assert "ask  [no user] · error · chat-api" in rig.shown(app.take())


def test_the_service_is_named_where_it_changes(app: App) -> None:
    """Within a process its service is named once."""
    rig = Rig(roots_any=True)
    gateway = App("llm-gateway")
    root = app.span("ask")
    app.span("tool", root)
    gateway.provider.id_generator.span_id = 100  # type: ignore[attr-defined]  # ours
    gateway.span("chat", remote(root.get_span_context().span_id))
    rig.send(gateway.take())
    text = rig.shown(app.take())
    assert (1, 1) == (text.count("chat-api"), text.count("llm-gateway"))


def test_a_remote_parent_is_said(app: App, rig: Rig) -> None:
    """A span whose parent is in another process says why it inherits nothing, whether the parent is shown or not."""
    gateway = App("llm-gateway")
    gateway.provider.id_generator.span_id = 100  # type: ignore[attr-defined]  # ours
    root = app.span("ask", user__id="ada")
    gateway.span("seen", remote(root.get_span_context().span_id))
    gateway.span("unseen", remote(0xEE))
    rig.send(gateway.take())
    text = rig.shown(app.take())
    assert 1 == len(lines_with(text, "└─ seen  [no user] · llm-gateway · remote parent"))
    assert 1 == len([line for line in text.splitlines() if line.startswith("unseen  [no user] · llm-gateway · remote")])


def test_a_missing_parent_is_said(app: App) -> None:
    """A span whose parent never came stands at the top and says so."""
    rig = Rig(max_wait_s=1.0)
    app.span("orphan", local(0xAB))
    rig.send(app.take())
    rig.pipeline.advance(5.0, 100)
    assert "orphan  [no user] · chat-api · parent not received" in rig.shown()


def test_children_stand_in_the_order_of_their_starts(app: App, rig: Rig) -> None:
    """Children are shown in the order in which they began, not in which they ended."""
    root = app.span("ask", at_ms=0)
    app.span("third", root, at_ms=30)
    app.span("first", root, at_ms=10)
    app.span("second", root, at_ms=20)
    text = rig.shown(app.take())
    assert sorted(("first", "second", "third"), key=text.index) == ["first", "second", "third"]


# ---- pending spans


def pending(app: App, real: Span, name: str, parent_id: int = 0, **said: str) -> None:
    """What Logfire's exporter sends when a span starts."""
    extra = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": f"{parent_id:016x}"}
    app.make(name, real, SpanKind.INTERNAL, 0, 0, {**extra, **{key.replace("__", "."): v for key, v in said.items()}})


def test_a_pending_span_stands_in(app: App, rig: Rig) -> None:
    """A pending span stands for the real one, with its place in the tree, as long as that has not come (S5)."""
    pending(app, local(0xAA), "agent", user__id="ada")
    pending(app, local(0xBB), "tool", parent_id=0xAA)
    text = rig.shown(app.take())
    assert "agent  chat-api · not ended" in text
    assert 1 == len(lines_with(text, "└─ tool"))
    assert "↳ user.id=ada (from “agent”)" == after(text, "tool")


def test_a_pending_span_gives_way(app: App, rig: Rig) -> None:
    """A pending span is not shown beside the real one, in whatever order they come (S5)."""
    real = app.span("agent", user__id="ada")
    spans = app.take()
    pending(app, real, "agent", user__id="ada")
    twin = app.take()
    for first, second in ((spans, twin), (twin, spans)):
        rig = Rig()
        rig.send(first)
        text = rig.shown(second)
        assert (1, 0) == (len(lines_with(text, "agent  chat-api")), text.count("not ended"))
        assert "· 1 span ·" in text


# ---- when


def test_two_seconds_after_the_root(app: App, rig: Rig) -> None:
    """A trace is printed 2 s after its root was released, not before."""
    app.span("tool", app.span("ask", user__id="ada"))
    rig.send(app.take())
    rig.view.tick(50.0)
    rig.view.tick(51.9)
    assert "" == rig.text()
    rig.view.tick(52.0)
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans" in rig.text()


def test_spans_that_come_in_time_stand_in_the_tree(app: App, rig: Rig) -> None:
    """What comes within these 2 s is part of the same tree, and does not put it off."""
    root = app.span("ask", user__id="ada")
    rig.send(app.take())
    rig.view.tick(0.0)
    app.span("tool", root)
    rig.send(app.take())
    rig.view.tick(1.5)
    rig.view.tick(2.0)
    assert "· 2 spans ·" in rig.text()


def test_late_spans_are_additions(app: App, rig: Rig) -> None:
    """Later spans come as additions to the trace that say where they belong and still name their sources."""
    root = app.span("ask", user__id="ada")
    rig.shown(app.take())
    late = app.span("tool", root, for_ms=20)
    app.span("query", late, at_ms=1)
    rig.send(app.take())
    rig.view.tick(200.0)
    assert "" == rig.text()
    rig.view.tick(202.0)
    expected = """
… 2 more spans of trace 4bf92f3577b34da6a3ce929d0e0e4736
tool  under “ask”                                                          20 ms
│  ↳ user.id=ada (from “ask”)
└─ query                                                                   10 ms
      ↳ user.id=ada (from “ask”)
"""
    assert expected == rig.text()


def test_a_given_up_trace_is_printed_at_once(app: App) -> None:
    """What was given up is printed at the next tick (interface: when it was given up)."""
    rig = Rig(max_wait_s=1.0)
    app.span("orphan", local(0xAB))
    rig.send(app.take())
    rig.pipeline.advance(5.0, 100)
    rig.view.tick(5.0)
    assert 1 == len(lines_with(rig.text(), "given up: max_wait"))


def test_a_trace_without_its_root_is_not_kept_back_for_ever(app: App, rig: Rig) -> None:
    """Spans that are decided while their root is still running are shown when nothing more comes for 30 s (S14)."""
    app.make("tool", local(0xAB), SpanKind.INTERNAL, 0, 10, {"user.id": "ada", "session.id": "s-1"})
    rig.view.observe(*observed(app.take()[0]))
    rig.view.tick(0.0)
    rig.view.tick(29.9)
    assert "" == rig.text()
    rig.view.tick(30.0)
    assert "tool" in rig.text()


def test_traces_do_not_wait_for_each_other(app: App, rig: Rig) -> None:
    """Each trace has its own time."""
    other = App(ids=7)
    app.span("first")
    rig.send(app.take())
    rig.view.tick(0.0)
    other.span("second")
    rig.send(other.take())
    rig.view.tick(1.0)
    rig.view.tick(2.0)
    first = rig.text()
    rig.view.tick(3.0)
    assert ("first" in first, "second" in first, "second" in rig.text()) == (True, False, True)


def test_a_tick_is_bounded(rig: Rig) -> None:
    """A tick prints about STEP spans and says that there is more, so that others can run in between."""
    apps = [App(ids=number) for number in range(1, 31)]
    for app in apps:
        root = app.span("ask")
        for _ in range(9):
            app.span("tool", root)
        rig.send(app.take())
    rig.view.tick(0.0)
    assert [True, True, False] == [rig.view.tick(2.0) for _ in range(3)]
    assert len(apps) == len(lines_with(rig.text(), "trace 0"))
    assert STEP == 100


def test_flush_prints_what_is_left(app: App, rig: Rig) -> None:
    """At shutdown everything that waits is printed, and warnings with it."""
    app.make("ask", None, SpanKind.INTERNAL, 0, 10, {"user.id": "x" * 201})
    rig.send(app.take())
    rig.view.flush()
    text = rig.text()
    assert "ask" in text
    assert text.endswith("! user.id: the value is longer than the limit (string, length 201)\n")
    rig.view.flush()
    assert "" == rig.text()


# ---- bounds


def observed(span: ReadableSpan) -> tuple[bytes, bytes, Group, None, Context, str]:
    """What a pipeline hands to an observer, of a span with nothing to inherit."""
    request = encode_spans([span])
    scope = request.resource_spans[0].scope_spans[0]
    return scope.spans[0].SerializeToString(), b"", Group(b"", b"", b"", []), None, Context({}, False), "decided"


def test_many_spans_of_a_trace_are_printed_early(app: App) -> None:
    """Over the limit of spans a trace, what there is is printed, and what was printed is forgotten."""
    rig = Rig(limits=Limits(spans_per_trace=10))
    root = app.span("ask", user__id="ada")
    for _ in range(14):
        app.span("tool", root)
    rig.send(app.take())
    text = rig.text()
    assert "· 10 spans ·" in text
    rig.view.flush()
    text = rig.text()
    assert "… 5 more spans" in text
    assert "↳ user.id=ada (from an earlier span)" == after(text, "tool")


def test_many_traces_are_printed_early() -> None:
    """Over the limit of traces the one that is untouched for longest is printed and forgotten."""
    rig = Rig(limits=Limits(traces=3))
    for number in range(1, 6):
        app = App(ids=number)
        app.span(f"ask-{number}")
        rig.send(app.take())
    text = rig.text()
    assert [True, True, False, False, False] == [f"ask-{number}" in text for number in range(1, 6)]


def test_many_spans_of_all_traces_are_printed_early() -> None:
    """Over the limit of spans in all, the trace that is untouched for longest goes first, printed ones included."""
    rig = Rig(limits=Limits(spans=10))
    for number in range(1, 5):
        app = App(ids=number)
        root = app.span(f"ask-{number}")
        for _ in range(3):
            app.span("tool", root)
        rig.send(app.take())
    text = rig.text()
    assert [True, True, False, False] == [f"ask-{number}" in text for number in range(1, 5)]


@pytest.mark.parametrize("limits", [Limits(1, 1, 1), Limits(2, 3, 4), Limits(1, 100, 5)])
def test_nothing_is_left_out_at_the_limits(limits: Limits) -> None:
    """However small the limits, every span is printed once."""
    rig = Rig(limits=limits)
    names = []
    for number in range(1, 4):
        app = App(ids=number)
        root = app.span(f"ask-{number}-")
        names.append(f"ask-{number}-")
        for index in range(5):
            names.append(f"tool-{number}-{index}")
            app.span(names[-1], root)
        rig.send(app.take())
    rig.view.flush()
    text = rig.text()
    assert [1] * len(names) == [len(re.findall(rf"(?<!“){name}(?!”)", text)) for name in names]


def test_a_deep_chain(rig: Rig) -> None:
    """A chain of thousands of spans is drawn without recursion, within the width, its guides cut (S13)."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for index in range(1, 3001):
        parent = (index - 1).to_bytes(8, "big") if index > 1 else b""
        spans.add(trace_id=b"t" * 16, span_id=index.to_bytes(8, "big"), parent_span_id=parent, name=f"<{index}>")
    rig.send_bytes(request.SerializeToString())
    text = rig.shown()
    assert [f"<{index}>" for index in range(1, 3001)] == re.findall(r"<\d+>", text)
    assert max(map(len, text.splitlines())) <= 80
    assert 1 == len(lines_with(text, "…" + " " * 32 + "└─ <3000>  [no user]"))


def test_circles_and_twins(rig: Rig) -> None:
    """Spans whose parents run in circles, that are their own parents, or share an id, are each shown once (S13)."""
    ids = {"a": b"a" * 8, "b": b"b" * 8, "c": b"c" * 8, "d": b"d" * 8}
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for name, own, parent in (
        ("one", "a", "b"),
        ("two", "b", "a"),
        ("self", "c", "c"),
        ("twin1", "d", ""),
        ("twin2", "d", ""),
    ):
        spans.add(trace_id=b"t" * 16, span_id=ids[own], parent_span_id=ids.get(parent, b""), name=name)
    rig.send_bytes(request.SerializeToString())
    while rig.pipeline.release_all("shutdown", 100):
        pass
    text = rig.shown()
    assert [1] * 5 == [len(re.findall(rf"(?<!“)\b{name}\b", text)) for name in ("one", "two", "self", "twin1", "twin2")]
    assert "given up: shutdown" in text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parents=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    users=st.dictionaries(st.integers(1, 12), st.sampled_from(["ada", "eve"])),
    order=st.randoms(use_true_random=False),
    width=st.integers(30, 120),
)
def test_any_tree_in_any_order(parents: list[int], users: dict[int, str], order: object, width: int) -> None:
    """Whatever the tree and the order of arrival, each span is shown once, in the width, and every source is true."""
    request = ExportTraceServiceRequest()
    spans = []
    for index, parent in enumerate(parents, 1):
        span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, name=f"<{index}>")
        span.span_id = index.to_bytes(8, "big")
        span.parent_span_id = parent.to_bytes(8, "big") if parent else b""
        if index in users:
            span.attributes.add(key="user.id").value.string_value = users[index]
        spans.append(request.SerializeToString())
        request.Clear()
    order.shuffle(spans)  # type: ignore[attr-defined]  # hypothesis' random
    rig = Rig(width=width)
    for body in spans:
        rig.send_bytes(body)
    while rig.pipeline.release_all("shutdown", 100):
        pass
    text = rig.shown()
    shown = re.findall(r"(?<!“)<(\d+)>", text)
    assert sorted(str(index) for index in range(1, len(parents) + 1)) == sorted(shown)
    assert max(cell_len(line) for line in text.splitlines()) <= min(width, 100)
    for user, source in re.findall(r"↳ user\.id=(\w+) \(from “<(\d+)>”\)", text):
        assert users[int(source)] == user


@given(raw=st.binary(max_size=200), suffix=st.binary(max_size=50), resource=st.binary(max_size=50))
def test_any_bytes(raw: bytes, suffix: bytes, resource: bytes) -> None:
    """Whatever the bytes, the view does not fail."""
    rig = Rig()
    rig.view.observe(raw, suffix, Group(b"", resource, b"", []), None, Context({}, False), "decided")
    rig.view.flush()
    assert rig.text().startswith("trace ")


def test_invalid_utf8_is_shown_as_far_as_it_goes(rig: Rig) -> None:
    """A span that is forwarded with invalid UTF-8 in a field that we do not read is still shown (S9)."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="NAME")
    span.attributes.add(key="user.id").value.string_value = "ada"
    span.attributes.add(key="other").value.string_value = "OTHER"
    body = request.SerializeToString().replace(b"NAME", b"A\xff\xfeB").replace(b"OTHER", b"\xff\xff\xff\xff\xff")
    rig.send_bytes(body)
    text = rig.shown()
    assert 1 == len(lines_with(text, "A��B"))
    assert "user.id=ada" == after(text, "A��B")


# ---- the terminal


LONG = {
    "user.id": "u" * 200,
    "session.id": "s-" + "0123456789" * 15,
    "tenant": "ten" * 40,
    "team." + "k" * 150: "v" * 150,
    "gen_ai.request.model": "m" * 300,
    "gen_ai.usage.input_tokens": 10**18,
    "gen_ai.usage.output_tokens": 10**18,
    "logfire.variables." + "n" * 200: "l" * 200,
}


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("name", ["n" * 500, "漢字" * 100, "e\u0301" * 200, "👩‍👩‍👧" * 50, "a b " * 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_nothing_is_wider_than_the_terminal(width: int, name: str, encoding: str) -> None:
    """Long names and values are cut, never wrapped: two lines of a span at 80 columns stay few, and fit."""
    rig = Rig(width=width, encoding=encoding)
    app = App("service-" * 30)
    root = app.make(name, None, SpanKind.SERVER, 0, 10**9, dict(LONG))
    app.make(name, root, SpanKind.CLIENT, 0, 10, {})
    text = rig.shown(app.take())
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert len(text.splitlines()) <= 22


def test_values_are_cut_in_the_middle(app: App, rig: Rig) -> None:
    """Of a long value the beginning and the end stay, and an ellipsis between them."""
    app.span("ask", user__id="begin" + "-" * 100 + "end")
    line = after(rig.shown(app.take()), "ask")
    assert re.fullmatch(r"user\.id=begin-+…-+end", line)
    assert len(line) == len("user.id=") + 40


def test_no_ansi_in_a_pipe(app: App) -> None:
    """Without a terminal there is no escape sequence; with one, the same characters (marks are not only colours)."""
    app.span("tool", app.span("ask", user__id="ada"))
    spans = app.take()
    piped, terminal = Rig().shown(spans), Rig(is_terminal=True).shown(spans)
    assert "\x1b" not in piped
    assert "\x1b[" in terminal
    assert piped == re.sub(r"\x1b\[[\d;]*m", "", terminal)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "x-unheard-of"])
def test_an_output_that_is_not_unicode(app: App, encoding: str) -> None:
    """Where the encoding is not a UTF, guides, marks and span text are ASCII."""
    rig = Rig(encoding=encoding)
    root = app.span("frage é漢", for_ms=50, user__id="zoë")
    app.span("tool", root, gen_ai__usage__input_tokens=1, gen_ai__usage__output_tokens=2)
    expected = r"""trace 4bf92f3577b34da6a3ce929d0e0e4736 - 2 spans - 50 ms
frage \xe9\u6f22  chat-api                                                 50 ms
|  user.id=zo\xeb
`- tool  1->2 tok                                                          10 ms
      -> user.id=zo\xeb (from "frage \xe9\u6f22")
"""
    assert expected == rig.shown(app.take())


def test_an_output_that_does_not_say_its_encoding(app: App) -> None:
    """Where a stream has no encoding it takes text as it is."""
    app.span("é")
    assert "é" in Rig(encoding=None).shown(app.take())


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[31mb", "a\rb", "a\x00b", "a\tb", "a\u202eb", "a\u2028b", "a\x9bb", "a\x07b"]
)
def test_control_characters_are_escaped(text: str) -> None:
    """Span text cannot start a line, move the cursor or reverse the reading order."""
    rig = Rig()
    app = App("service" + text)
    said = {"user.id": text, "team." + text: text, "gen_ai.request.model": text, "logfire.variables." + text: text}
    root = app.make("name" + text, None, SpanKind.INTERNAL, 0, 10, dict(said))
    app.make("below", root, SpanKind.INTERNAL, 0, 10, {})
    shown = rig.shown(app.take())
    escaped = text.encode("unicode_escape").decode()
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert 1 == len([line for line in shown.splitlines() if line.startswith("name" + escaped)])
    assert f"↳ user.id={escaped}" in shown


def test_markup_is_text(app: App, rig: Rig) -> None:
    """What looks like rich's markup, emoji codes or links is shown as it is."""
    name = "[bold red]x[/] :smile: [link=http://a.b]y[/link]"
    app.span(name, user__id="[red]ada[/red]")
    text = rig.shown(app.take())
    assert 1 == len(lines_with(text, name))
    assert "user.id=[red]ada[/red]" == after(text, name)


def test_nothing_is_highlighted(app: App) -> None:
    """Numbers and URLs in a span's text get no colours of their own."""
    app.span("GET http://a.b/1234", user__id="ada")
    assert "\x1b[1mGET http://a.b/1234\x1b[0m" in Rig(is_terminal=True).shown(app.take())


def test_a_reader_that_has_gone() -> None:
    """When the pipe is closed the view falls silent, and the processor goes on."""
    code = """
import sys
from rich.console import Console
from processor.attributes.keys import KeySettings
from processor.export.console import ConsoleView
from processor.span import Context, Group
view = ConsoleView(Console(), KeySettings(("user.id",), (), ("session.id",), ()))
for number in range(3):
    view.observe(b"", b"", Group(b"", b"", b"", []), None, Context({}, False), "decided")
    view.flush()
print(view.is_closed, file=sys.stderr)
"""
    command = f"{sys.executable} -c '{code}' | true"
    done = subprocess.run(["bash", "-c", f"sleep 0; {command}"], capture_output=True, text=True, check=True)
    assert done.stderr.strip() in ("True", "False")


class Full(Terminal):
    """A file on a full disk."""

    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_a_full_disk(app: App) -> None:
    """When nothing can be written the view falls silent, and the processor goes on."""
    view = ConsoleView(Console(file=Full(), width=80), KEYS)
    app.span("ask")
    arguments = observed(app.take()[0])
    view.observe(*arguments)
    view.flush()
    view.observe(*arguments)
    view.flush()
    assert view.is_closed


# ---- warnings


def drop(key: str = "user.id", value: object = "x" * 201, reason: str = "too_long") -> Drop:
    return Drop("user_id", key.encode(), reason, value)


def test_a_dropped_value_is_said_below_the_tree(app: App, rig: Rig) -> None:
    """A dropped value is a warning line below the tree printed next, with key, reason, type and length (S8)."""
    app.make("ask", None, SpanKind.INTERNAL, 0, 10, {"langfuse.user.id": "S3CR3T" * 40, "tenant": 5})
    rig.send(app.take())
    rig.view.tick(0.0)
    assert "" == rig.text()
    rig.view.tick(2.0)
    text = rig.text()
    expected = [
        "! langfuse.user.id: the value is longer than the limit (string, length 240)",
        "! tenant: the value is not a string (int)",
    ]
    assert expected == text.splitlines()[-2:]
    assert text.startswith("trace ")


def test_a_dropped_value_is_never_shown(app: App, rig: Rig) -> None:
    """A warning has the length of a value, never the value (S8)."""
    app.make("ask", None, SpanKind.INTERNAL, 0, 10, {"user.id": "S3CR3T" * 40, "enduser.id": "S3CR3T" * 40})
    assert "S3CR3T" not in rig.shown(app.take())


def test_warnings_do_not_wait_for_ever(rig: Rig) -> None:
    """Without a tree warnings are said alone."""
    rig.view.warn([drop()])
    rig.view.tick(10.0)
    rig.view.tick(12.9)
    assert "" == rig.text()
    rig.view.tick(13.0)
    assert "! user.id: the value is longer than the limit (string, length 201)\n" == rig.text()
    rig.view.tick(20.0)
    assert "" == rig.text()


def test_equal_warnings_are_counted(rig: Rig) -> None:
    """The same warning is one line with a count; of many different ones ten are said (S8: rate-limited)."""
    rig.view.warn([drop()] * 3)
    rig.view.warn([drop("k" + str(number)) for number in range(30)])
    rig.view.flush()
    lines = rig.text().splitlines()
    assert "! user.id: the value is longer than the limit (string, length 201) ×3" == lines[0]
    assert 11 == len(lines)
    assert "! … 21 more values dropped" == lines[-1]


def test_a_warning_fits_and_is_escaped(rig: Rig) -> None:
    """A key is the sender's text: cut to the width, control characters escaped (S8)."""
    rig.view.warn([drop("k\x1b\n" + "k" * 300)])
    rig.view.flush()
    text = rig.text()
    assert 1 == len(text.splitlines())
    assert len(text) <= 81
    assert r"! k\x1b\nk" in text


# ---- the footer


def test_the_footer(app: App, rig: Rig) -> None:
    """After traces were printed the accounting identity is, too (S25)."""
    rig.shown(app.take() if app.span("ask") else [])
    rig.view.footer({"accepted": 42, "exported": 40, "lost": 1, "held": 1, "queued": 0})
    assert "accepted 42 = exported 40 + lost 1 + held 1 + queued 0\n" == rig.text()


def test_the_footer_has_all_terms_where_they_are(app: App, rig: Rig) -> None:
    """What was recovered from, and what is only in, a journal is shown where there is any (S25)."""
    rig.shown(app.take() if app.span("ask") else [])
    rig.view.footer({"accepted": 4, "recovered": 2, "exported": 1, "lost": 0, "held": 0, "queued": 2, "journaled": 3})
    assert "accepted 4 + recovered 2 = exported 1 + lost 0 + held 0 + queued 2 + journaled 3\n" == rig.text()


def test_the_footer_does_not_hide_a_difference(app: App, rig: Rig) -> None:
    """Where the two sides differ the sign says so."""
    rig.shown(app.take() if app.span("ask") else [])
    rig.view.footer({"accepted": 4, "exported": 3, "lost": 0, "held": 0, "queued": 0})
    assert "accepted 4 ≠ exported 3 + lost 0 + held 0 + queued 0\n" == rig.text()


def test_the_footer_is_not_repeated(rig: Rig) -> None:
    """The footer comes once after a batch of traces, and only where it has changed."""
    texts = []
    for number, accounts in enumerate((ACCOUNTS, ACCOUNTS, {**ACCOUNTS, "accepted": 4, "held": 1}), 1):
        app = App(ids=number)
        app.span("ask")
        rig.shown(app.take())
        rig.view.footer(accounts)
        rig.view.footer({**accounts, "accepted": accounts["accepted"] + 1, "queued": 1})
        texts.append(rig.text())
    assert [
        "accepted 3 = exported 3 + lost 0 + held 0 + queued 0\n",
        "",
        "accepted 4 = exported 3 + lost 0 + held 1 + queued 0\n",
    ] == texts


def test_no_footer_without_traces(rig: Rig) -> None:
    """Numbers alone are no reason to print."""
    rig.view.footer(ACCOUNTS)
    assert "" == rig.text()


def test_a_long_footer_is_whole(app: App) -> None:
    """Numbers are never cut, however narrow the terminal."""
    rig = Rig(width=40)
    rig.shown(app.take() if app.span("ask") else [])
    rig.view.footer(dict.fromkeys(ACCOUNTS, 10**12))
    text = rig.text()
    assert 5 == text.count("1000000000000")
    assert max(map(len, text.splitlines())) <= 40


# ---- imports


def test_nothing_is_imported_before_there_is_a_view() -> None:
    """Whoever exports by OTLP does not pay for rich and OTLP's messages."""
    code = "import sys, processor.export.console as c; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"rich", "google", "opentelemetry"} & set(re.findall(r"'(\w+)'", done.stdout))


def test_it_is_an_observer(rig: Rig) -> None:
    """The view has the shape that the pipeline asks for."""
    observer: Callable[..., None] | None = rig.pipeline.observer
    assert observer == rig.view.observe
