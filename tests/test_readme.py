"""What the two READMEs say is so: their commands run, the names in them exist, the trees look as shown."""

from __future__ import annotations

import asyncio
import io
import os
import re
import shlex
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

from processor.admin import AdminApp
from processor.cli import main
from processor.export.console import ConsoleView
from processor.heartbeat import Heartbeat
from processor.pipeline_settings import build_pipeline, key_settings
from processor.readiness import Readiness
from processor.settings import PREFIX, Settings, load

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
READMES = (README, ROOT / "processor" / "README.md")
# Names that no test should have to look up.
LOOPBACK = {"collector:4317": "127.0.0.1:24317", "cloud.langfuse.com": "127.0.0.1"}
# What is written like a setting and is none; the last is the README's example of a wrong one.
NO_SETTINGS = {
    "UNAVAILABLE", "BOTH_WAYS", "COMPILED", "MYPYC", "PYTHONPATH", "REASONS", "REFUSALS", "FOR_GOOD", "WORDS", "METRICS",
    "MAX_WIAT",
}  # fmt: skip

FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASSIGNMENT = re.compile(r"([A-Z_]+)=(.*)")
GUIDES = "│├└─ "
MS = 1_000_000


def blocks(kind: str, path: Path = README) -> list[str]:
    """The code blocks of a language."""
    return [text for name, text in FENCE.findall(path.read_text(encoding="utf-8")) if name == kind]


def on_loopback(text: str) -> str:
    for name, address in LOOPBACK.items():
        text = text.replace(name, address)
    return text


def sessions() -> list[tuple[str, str]]:
    """Each command of the console blocks, and what it is said to print."""
    parts = [part for block in blocks("console") for part in on_loopback(block).split("$ ")[1:]]
    return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]


def environments() -> list[dict[str, str]]:
    """The blocks that are nothing but variables."""
    found = []
    for block in blocks("sh"):
        words = shlex.split(on_loopback(block))
        pairs = [match.groups() for word in words if (match := ASSIGNMENT.fullmatch(word))]
        if len(pairs) == len(words):
            found.append({str(name): str(value) for name, value in pairs})
    return found


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(("command", "output"), sessions())
def test_a_command_prints_what_is_shown(
    command: str,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Every command of the README, in a folder with the configuration of the README, prints what stands below it."""
    (tmp_path / "variables.yaml").write_text(blocks("yaml")[0], encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    words = shlex.split(command)
    while match := ASSIGNMENT.fullmatch(words[0]):
        monkeypatch.setenv(*match.groups())
        words.pop(0)
    assert "span-processor" == words[0]
    code = main(words[1:])
    captured = capsys.readouterr()
    assert output == captured.out + captured.err
    assert code == (2 if captured.err else 0)


def test_the_commands_are_there() -> None:
    """The README shows at least a check of good and of bad settings, and a label."""
    assert {"check", "label"} == {shlex.split(command)[2] for command, _ in sessions()}


@pytest.mark.parametrize("environment", environments(), ids=lambda given: next(iter(given.values())))
def test_an_environment_is_good(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Variables of the processor pass `check`; an application's send to the address and the protocol of a receiver."""
    if any(name.startswith(PREFIX) for name in environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert 0 == main(["check"])
        return
    assert {"OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_PROTOCOL"} == set(environment)
    address = environment["OTEL_EXPORTER_OTLP_ENDPOINT"].removeprefix("http://")
    receivers = {"grpc": load().receiver_grpc_endpoint, "http/protobuf": load().receiver_http_endpoint}
    assert address == receivers[environment["OTEL_EXPORTER_OTLP_PROTOCOL"]]


def test_the_environments_are_there() -> None:
    """An application's, a Collector's, Langfuse's, and the one of both."""
    assert [2, 1, 3, 5] == [len(environment) for environment in environments()]


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_every_setting_named_exists(path: Path) -> None:
    """What is written like a setting, with or without prefix, is one."""
    known = {name.upper() for name in Settings.model_fields}
    # What each of several downstreams has is the only one's, with its name within.
    text = re.sub("EXPORTER_(LANGFUSE|COLLECTOR)_", "EXPORTER_", path.read_text(encoding="utf-8"))
    bare = re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", FENCE.sub("", text))
    ours = {name for name in bare if not name.startswith("OTEL_")}
    assert set() == {*ours, *re.findall(rf"{PREFIX}([A-Z_]+)", text)} - known - NO_SETTINGS


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_every_link_leads_somewhere(path: Path) -> None:
    """Links to files are relative, and the files are there."""
    links = re.findall(r"\]\(([^)#:]+)\)", path.read_text(encoding="utf-8"))
    assert links
    assert [] == [link for link in links if not (path.parent / link).exists()]


@pytest.mark.parametrize("path", READMES, ids=lambda path: path.parent.name)
def test_every_make_target_exists(path: Path) -> None:
    """Whatever is said of `make …` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert named
    assert set() == named - targets


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
    text = FENCE.sub("", READMES[1].read_text(encoding="utf-8"))
    named = set(re.findall(r"`((?:[a-z_]+/)*(?:[a-z_0-9]+\.(?:py|md|txt)|[a-z_0-9]+/))`", text))
    assert len(named) > 40
    named.remove("build/")  # made by a build
    assert set() == {name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "processor"))}


def test_every_name_in_the_code_exists() -> None:
    """The types and tables that processor/README.md names stand in the sources."""
    text = FENCE.sub("", READMES[1].read_text(encoding="utf-8"))
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
    before, after = blocks("text")[:2]
    assert after == out.getvalue()
    # What stands before it has the same spans.
    names = [line.lstrip(GUIDES).partition("  ")[0] for line in before.splitlines()[1:]]
    lines = [line.lstrip(GUIDES) for line in after.splitlines()[1:]]
    assert names == [line.partition("  ")[0] for line in lines if not line.startswith(("↳", "user.id="))]
