"""What only one page says: the README's commands, probes and trees, and the places that processor/README.md names.

What holds for every page is in `test_docs.py`.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import shlex
import sys
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import Span, SpanKind, set_span_in_context
from rich.console import Console

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from pages import GUIDE, README, ROOT, blocks, prose  # noqa: E402  # after the path is set

from processor.admin import AdminApp  # noqa: E402
from processor.cli import main  # noqa: E402
from processor.export.console import ConsoleView  # noqa: E402
from processor.heartbeat import Heartbeat  # noqa: E402
from processor.pipeline_settings import build_pipeline, key_settings  # noqa: E402
from processor.readiness import Readiness  # noqa: E402
from processor.settings import PREFIX, load  # noqa: E402

BRANCHES = "│├└─ "
MS = 1_000_000


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


def test_the_commands_are_there() -> None:
    """The README shows at least a check of good and of bad settings, and a label."""
    assert {"check", "label"} == {
        shlex.split(command)[2] for block in blocks("console", README) for command, _ in block.commands
    }


def test_the_environments_are_there() -> None:
    """An application's, a Collector's, Langfuse's, and the one of both."""
    environments = [block.environment for block in blocks("sh", README)]
    assert [2, 1, 3, 5] == [len(environment) for environment in environments if environment is not None]


def test_every_command_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    """The README's table of commands is the one of `--help`."""
    with pytest.raises(SystemExit):
        main(["--help"])
    offered = re.findall(r"^    ([a-z-]+)\b", capsys.readouterr().out, re.MULTILINE)
    assert offered == re.findall(r"^\| `span-processor ([a-z-]+)` \|", README.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_path_for_probes_answers() -> None:
    """The admin endpoint answers the four paths that the README names."""
    paths = re.findall(r"`(/[a-z]+)`", README.read_text(encoding="utf-8").partition("For probes")[2].partition("\n")[0])
    assert ["/livez", "/readyz", "/metrics", "/status"] == paths
    readiness = Readiness(lambda: False)
    readiness.start()

    async def metrics() -> tuple[bytes, bytes]:
        return b"text/plain", b""

    app = AdminApp(Heartbeat(), readiness, metrics, dict)
    answers: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        answers.append(message)

    for path in paths:
        asyncio.run(app({"type": "http", "method": "GET", "path": path}, None, send))
    assert [200] * 4 == [answer["status"] for answer in answers if "status" in answer]


def test_every_place_in_the_code_exists() -> None:
    """The files and folders that processor/README.md names are there."""
    text = prose(GUIDE)
    named = set(re.findall(r"`((?:[a-z_]+/)*(?:[a-z_0-9]+\.(?:py|md|txt)|[a-z_0-9]+/))`", text))
    assert len(named) > 40
    named.remove("build/")  # made by a build
    assert set() == {name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "processor"))}


def test_every_name_in_the_code_exists() -> None:
    """The types and tables that processor/README.md names stand in the sources."""
    text = prose(GUIDE)
    sources = "\n".join(
        path.read_text(encoding="utf-8") for folder in ("processor", "deploy") for path in (ROOT / folder).rglob("*.py")
    )
    sources += (ROOT / "Makefile").read_text(encoding="utf-8")
    named = set(re.findall(r"`_?([A-Z][A-Za-z_]+)(?:…|\.[a-z]+)?`", text))
    assert {"Span", "Context", "LossReason", "BY_"} <= named
    other = {"RESOURCE_EXHAUSTED", "UNKNOWN", "Server"}
    assert set() == {name for name in named - other if not re.search(rf"\b_?{name}", sources)}


class FixedId(IdGenerator):
    """The trace id of the README."""

    def __init__(self) -> None:
        self._spans = 0

    def generate_trace_id(self) -> int:
        return 0x4BF92F3577B34DA6A3CE929D0E0E4736

    def generate_span_id(self) -> int:
        self._spans += 1
        return self._spans


def make_trace() -> bytes:
    """The README's trace as an application's SDK encodes it: the user and the session on the root alone."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider(
        sampler=ALWAYS_ON,
        resource=Resource({"service.name": "chat-api"}),
        id_generator=FixedId(),
        shutdown_on_exit=False,
    )
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("chat")

    def span(name: str, parent: Span | None, kind: SpanKind, start: int, end: int, said: dict[str, str | int]) -> Span:
        above = set_span_in_context(parent) if parent is not None else None
        made = tracer.start_span(name, above, kind, said, start_time=(1 + start) * MS)
        made.end((1 + end) * MS)
        return made

    root = span("POST /agent", None, SpanKind.SERVER, 0, 2410, {"langfuse.user.id": "ada", "session.id": "s-7"})
    retrieval = span("retrieve documents", root, SpanKind.INTERNAL, 5, 112, {})
    tokens: dict[str, str | int] = {"gen_ai.usage.input_tokens": 41}
    span("embeddings text-embedding-3-small", retrieval, SpanKind.CLIENT, 6, 91, tokens)
    span("execute_tool get_order", root, SpanKind.INTERNAL, 120, 256, {})
    usage: dict[str, str | int] = {"gen_ai.usage.input_tokens": 1320, "gen_ai.usage.output_tokens": 380}
    span("chat gpt-4o", root, SpanKind.CLIENT, 260, 2390, usage)
    return bytes(encode_spans(exporter.get_finished_spans()).SerializeToString())


def test_the_tree_is_what_the_terminal_shows() -> None:
    """The tree of the README is the console view of a trace whose root alone says whose it is (S1, S10)."""
    settings = load()
    out = io.StringIO()
    view = ConsoleView(Console(file=out, width=80, color_system=None), key_settings(settings))
    pipeline = build_pipeline(settings)
    pipeline.observer = view.observe
    scan = pipeline.scan(make_trace())
    assert not scan.step(100)
    pipeline.ingest(scan, 0, False, 0.0)
    view.flush()
    before, after = (block.text for block in blocks("text", README)[:2])
    assert after == out.getvalue()
    # What stands before it has the same spans.
    names = [line.lstrip(BRANCHES).partition("  ")[0] for line in before.splitlines()[1:]]
    lines = [line.lstrip(BRANCHES) for line in after.splitlines()[1:]]
    assert names == [line.partition("  ")[0] for line in lines if not line.startswith(("↳", "user.id="))]
