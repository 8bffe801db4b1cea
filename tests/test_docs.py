"""What the pages say is so: their commands print what is shown, their programs run, the names in them exist.

`pages.py` says what each kind of code block promises; here every block of every page is held to it.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import opentelemetry.sdk.environment_variables as sdk_variables
import pytest
import yaml
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

for folder in (str(Path(__file__).parent), str(Path(__file__).parent / "e2e")):
    if folder not in sys.path:
        sys.path.append(folder)

from pages import ASSIGNMENT, FENCE, GUIDE, PAGES, README, ROOT, Block, blocks, name_of, prose  # noqa: E402
from running import Processor, environment, eventually  # noqa: E402

from processor.cli import main  # noqa: E402
from processor.export.export import LossReason  # noqa: E402
from processor.metrics.metrics import METRICS  # noqa: E402
from processor.metrics.reading import MISSING  # noqa: E402
from processor.pipeline_settings import build_pipeline  # noqa: E402
from processor.receive.admission import FOR_GOOD, REFUSALS  # noqa: E402
from processor.settings import PREFIX, Settings, load  # noqa: E402

KINDS = {"console", "sh", "python", "yaml", "json", "text"}
# What is written like a setting and is none: words of others, names in the code, the README's example of a wrong one.
NO_SETTINGS = {
    "UNAVAILABLE", "UNAUTHENTICATED", "NOT_SERVING", "SERVING", "BOTH_WAYS", "COMPILED", "MYPYC", "PYTHONPATH",
    "REASONS", "REFUSALS", "FOR_GOOD", "WORDS", "METRICS", "MAX_WIAT",
}  # fmt: skip
CLIENTS = ROOT / "tests" / "clients"
# Where an application's variables say the protocol, and what it is where they do not.
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
# A span in a tree that shows who inherits what: its place, its name, what it says, whose it is.
HEIR = re.compile(
    r"(?P<place>[│├└─ ]*)(?P<name>\S+(?: \S+)?) +(?:(?P<key>[a-z_.]+)=(?P<value>\S+) +)?(?P<user>\w+)(?: .*)?"
)
IMPORT = re.compile(r"^(?:import|from) (\w+)", re.MULTILINE)


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def processor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processor]:
    """A processor that shows traces in the terminal and has a journal."""
    folder = tmp_path_factory.mktemp("docs")
    running = Processor(folder, JOURNAL_DIRECTORY=str(folder / "journal")).start()
    try:
        yield running.wait_ready()
        assert 0 == running.stop()
    finally:
        running.kill()


def sessions() -> list[Any]:
    """Each command of the console blocks, in its block."""
    return [
        pytest.param(block, command, output, id=f"{name_of(block.page)}: {command}")
        for block in blocks("console")
        for command, output in block.commands
    ]


def enter(folder: Path, page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Go to a folder that has the variables of a page."""
    for block in blocks("yaml", page):
        if block.text.startswith("variables:"):
            (folder / "variables.yaml").write_text(block.text, encoding="utf-8")
    monkeypatch.chdir(folder)


def test_every_block_is_held_to_something() -> None:
    """A code block says its language, and it is one that is tested."""
    assert [] == [
        f"{name_of(page)}: {name or 'none'}"
        for page in PAGES
        for name in re.findall(r"^```(.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)[::2]
        if name not in KINDS
    ]


@pytest.mark.parametrize(("block", "command", "output"), sessions())
def test_a_command_prints_what_is_shown(
    block: Block,
    command: str,
    output: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    """Every command, in a folder with the variables of its page, prints what stands below it."""
    enter(tmp_path, block.page, monkeypatch)
    words = shlex.split(command)
    while match := ASSIGNMENT.fullmatch(words[0]):
        monkeypatch.setenv(*match.groups())
        words.pop(0)
    assert "span-processor" == words[0]
    code = main(words[1:])
    captured = capsys.readouterr()
    assert output == captured.out + captured.err
    assert code == (2 if captured.err else 0)


@pytest.mark.parametrize("block", blocks("sh"), ids=str)
def test_a_shell_block_is_good(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The processor's variables pass `check`; an application's are known, and send to a receiver; else it is `make`."""
    given = block.environment
    if given is None:
        assert {"make"} == {line.split()[0] for line in block.text.splitlines()}
        return
    if not any(name.startswith(PREFIX) for name in given):
        check_application(given)
        return
    enter(tmp_path, block.page, monkeypatch)
    (tmp_path / "span-processor").mkdir(mode=0o700)
    for name, value in given.items():
        monkeypatch.setenv(name, re.sub(r"^/(?:run/secrets|var/lib)/", f"{tmp_path}/", value))
        if value.startswith("/run/secrets/"):
            (tmp_path / Path(value).name).write_text("a secret of thirty-two characters")
    assert 0 == main(["check"])


def check_application(given: dict[str, str]) -> None:
    """Known names, and the address of the receiver of their protocol."""
    known = {value for value in vars(sdk_variables).values() if isinstance(value, str)}
    tried = "\n".join(path.read_text(encoding="utf-8") for path in (CLIENTS / "python").glob("*.py"))
    assert [] == [name for name in given if name not in known and f'"{name}"' not in tried]
    receiver = load().receiver_grpc_endpoint if given.get(PROTOCOL) == "grpc" else load().receiver_http_endpoint
    addresses = [value for value in given.values() if "://" in value]
    assert [f"http://{receiver}"] == addresses


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_a_program_sends_traces(block: Block, processor: Processor) -> None:
    """A program runs, and every span of it has its user; one of an SDK that is not here stands in the client tests."""
    if not all(find_spec(name) for name in IMPORT.findall(block.text)):
        programs = [path.read_text(encoding="utf-8") for path in (CLIENTS / "python").glob("*.py")]
        assert any(all(line in program for line in block.text.splitlines()) for program in programs)
        return
    before = processor.accounting()["accepted"]
    given = {"OTEL_EXPORTER_OTLP_ENDPOINT": processor.grpc_endpoint, PROTOCOL: "grpc"}
    subprocess.run([sys.executable, "-c", block.text], check=True, env=environment(**given), cwd=processor.folder)
    eventually(lambda: processor.accounting()["exported"] > before)
    assert {} == processor.status()["values"]["missing"].get("user_id", {})


@pytest.mark.parametrize("block", blocks("json"), ids=str)
def test_status_has_what_is_shown(block: Block, processor: Processor) -> None:
    """A part of `/status` has the fields that it has there."""
    assert set() == fields_of(json.loads(block.text)) - fields_of(processor.status())


@pytest.mark.parametrize("page", ["troubleshooting", "loss-and-memory"])
def test_every_number_named_exists(page: str, processor: Processor) -> None:
    """What is written like a field of `/status` or a metric is one, or an attribute that is known by default."""
    settings = Settings()
    attributes = {*settings.user_id_keys, *settings.session_id_keys, *settings.session_id_fallback_keys}
    paths = {path.removeprefix(".") for path in fields_of(processor.status())}
    known = attributes | paths | {metric.name for metric in METRICS} | {path.rpartition(".")[0] for path in paths}
    named = re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)(?:\{[^`]*\})?`", prose(ROOT / "docs" / f"{page}.md"))
    assert named
    assert set() == set(named) - known


def test_the_tree_of_heirs_is_right() -> None:
    """S1, S10: each line of the tree in how-it-decides.md says the user that the pipeline gives the span."""
    tree = next(block.text for block in blocks("text", ROOT / "docs" / "how-it-decides.md") if "nearer" in block.text)
    lines = [HEIR.fullmatch(line) for line in tree.splitlines()]
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    above: list[bytes] = []
    expected = {}
    for number, line in enumerate(lines, 1):
        assert line is not None
        depth = len(line["place"]) // 3
        identity = number.to_bytes(8, "big")
        parent = above[depth - 1] if depth else b""
        span = spans.add(trace_id=b"t" * 16, span_id=identity, parent_span_id=parent, name=line["name"])
        if line["key"]:
            span.attributes.add(key=line["key"]).value.string_value = line["value"]
        above[depth:] = [identity]
        expected[identity] = line["user"]
    pipeline = build_pipeline(load())
    scan = pipeline.scan(request.SerializeToString())
    assert not scan.step(100)
    pipeline.ingest(scan, 0, False, 0.0)
    left = ExportTraceServiceRequest.FromString(b"".join(body for body, _, _ in pipeline.take_chunks()))
    assert expected == {
        span.span_id: next(each.value.string_value for each in span.attributes if each.key == "user.id")
        for resource_spans in left.resource_spans
        for scope_spans in resource_spans.scope_spans
        for span in scope_spans.spans
    }


def fields_of(shown: object, above: str = "") -> set[str]:
    """The paths of all fields; what is counted by a reason may have any."""
    if not isinstance(shown, dict) or above.endswith((".lost", ".missing", ".dropped", ".spans")):
        return {above}
    return {path for name, value in shown.items() for path in fields_of(value, f"{above}.{name}")}


@pytest.mark.parametrize("block", blocks("yaml"), ids=str)
def test_a_configuration_is_whole(block: Block) -> None:
    """A Collector's configuration defines what its pipelines use, and uses what it defines."""
    document = yaml.safe_load(block.text)
    if "service" not in document:
        assert {"variables"} == set(document)
        return
    pipelines = document["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        used = {name for pipeline in pipelines for name in pipeline.get(kind, ())}
        assert set(document.get(kind, {})) == used


def test_the_load_balancer_is_the_deployed_one() -> None:
    """from-the-collector.md divides traces as the gateways in deploy/ do, which show a token as well."""
    page = ROOT / "docs" / "from-the-collector.md"
    (shown,) = [yaml.safe_load(block.text) for block in blocks("yaml", page) if "load_balancing" in block.text]
    path = ROOT / "deploy" / "kubernetes" / "gateway-balanced" / "collector-config.yaml"
    exporters = yaml.safe_load(path.read_text(encoding="utf-8"))["exporters"]
    del exporters["load_balancing"]["protocol"]["otlp"]["headers"]
    assert exporters == shown["exporters"]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_setting_named_exists(page: Path) -> None:
    """What is written like a setting, with or without prefix, is one."""
    known = {name.upper() for name in Settings.model_fields}
    # What each of several downstreams has is the only one's, with its name within. A secret may be in a file.
    text = re.sub("EXPORTER_(LANGFUSE|COLLECTOR)_", "EXPORTER_", page.read_text(encoding="utf-8"))
    bare = re.findall(r"`([A-Z][A-Z_]+[A-Z])(?:=[^`]*)?`", FENCE.sub("", text))
    ours = {name for name in bare if not name.startswith(("OTEL_", "LANGFUSE_", "LOGFIRE_"))}
    named = {name.removesuffix("_FILE") for name in (*ours, *re.findall(rf"{PREFIX}([A-Z_]+)", text))}
    assert set() == named - known - NO_SETTINGS - {"VARIABLES"}


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_variable_of_opentelemetry_exists(page: Path) -> None:
    """What begins with `OTEL_` is a variable of the SDKs."""
    known = {value for value in vars(sdk_variables).values() if isinstance(value, str)}
    named = set(re.findall(r"\bOTEL_[A-Z_]*[A-Z]\b(?!_?[*…])", page.read_text(encoding="utf-8")))
    assert set() == named - known


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_link_leads_somewhere(page: Path) -> None:
    """Links to files are relative, and file and heading are there."""
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text(encoding="utf-8")):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """What links to headings of a page end in."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_linked() -> None:
    """The README leads to every page."""
    text = README.read_text(encoding="utf-8")
    assert [] == [name_of(page) for page in PAGES if page != README and f"({name_of(page)}" not in text]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_make_target_exists(page: Path) -> None:
    """Whatever is said of `make …` is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert set() == named - targets


@pytest.mark.parametrize(
    ("page", "heading", "expected"),
    [
        ("loss-and-memory", "What is each loss?", {reason.label for reason in LossReason}),
        ("loss-and-memory", "When is a request refused?", {*REFUSALS, "journal", "origins"} - FOR_GOOD),
        ("troubleshooting", "user.id is missing", set(MISSING)),
    ],
)
def test_every_reason_is_explained(page: str, heading: str, expected: set[str]) -> None:
    """Tables of reasons have all of them, and no other."""
    section = prose(ROOT / "docs" / f"{page}.md").partition(f"## {heading}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (`.*?) \|", section, re.MULTILINE)
    assert expected == {reason for row in rows for reason in re.findall(r"`(\w+)`", row)}


def test_the_guide_names_every_room() -> None:
    """processor/README.md has every module and folder of the package in its table."""
    text = prose(GUIDE)
    package = ROOT / "processor"
    modules = {path.name for path in package.glob("*.py") if not path.name.startswith("__")}
    folders = {f"{path.name}/" for path in package.iterdir() if (path / "__init__.py").exists()}
    assert [] == sorted(name for name in modules | folders if f"`{name}`" not in text)
