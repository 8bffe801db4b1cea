"""Labels through the real process: from a file, from a server, with good and bad configurations."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from configurations import ConfigurationServer
from messages import attributes, call_grpc, make_request, make_span
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from running import Processor, environment, eventually

Case = dict[str, Any]
Run = Callable[..., Any]

VECTORS = Path(__file__).parent.parent / "variables" / "vectors"
LANGUAGES = {"python": "logfire_labels.json", "nodejs": "logfire_js_labels.json"}
KEY = "the.key"


@pytest.fixture
def server() -> Iterator[ConfigurationServer]:
    started = ConfigurationServer()
    yield started
    started.stop()


def read_cases() -> list[Case]:
    """The cases that Python's SDK can send as a span: no null attributes, lone surrogates, or call-site labels."""
    found = []
    for language, name in LANGUAGES.items():
        for case in json.loads((VECTORS / name).read_text())["vectors"]:
            told = {**case, **case.get("get", {}), "variable": case["variable"], "language": language}
            is_sendable = None not in (case["attributes"] or {}).values() and "\ud800" != case["targeting_key"]
            if is_sendable and case["variable"] in case["config"]["variables"] and not case.get("explicit_label"):
                found.append(told)
    return found


def send_cases(processor: Processor, cases: list[Case]) -> None:
    """A trace of the real SDK for each case, by gRPC or HTTP, as a service of the case's language would send it."""
    for language in LANGUAGES:
        exporter: Any = GrpcExporter(endpoint=processor.grpc_endpoint)
        if language == "nodejs":
            exporter = HttpExporter(endpoint=f"{processor.http_endpoint}/v1/traces")
        provider = TracerProvider(resource=Resource.create({"telemetry.sdk.language": language}))
        provider.add_span_processor(BatchSpanProcessor(exporter))
        tracer = provider.get_tracer("checkout")
        for case in cases:
            if case["language"] == language:
                said = {**(case["attributes"] or {}), KEY: case["targeting_key"]}
                tracer.start_span(f"{language} {case['id']}", attributes=said).end()
        provider.shutdown()


def differences(backend: Any, cases: list[Case]) -> dict[str, Any]:
    """The cases whose spans left with other labels than the SDK reported: name → (wanted, got)."""
    spans = {span.name: attributes(span) for span in backend.collect(len(cases))}
    differing = {}
    for case in cases:
        key = f"logfire.variables.{case['variable']}"
        found = spans[f"{case['language']} {case['id']}"]
        got = (found.get(key), found.get(f"{key}.version"))
        wanted = ("<code_default>", None) if case["label"] is None else (case["label"], str(case["version"]))
        if wanted != got:
            differing[case["id"]] = (wanted, got)
    return differing


def variables(processor: Processor) -> Mapping[str, Any]:
    """What `/status` says of variables."""
    return dict(processor.status()["variables"])


def reloaded(processor: Processor, outcome: str, times: int = 1) -> None:
    """Wait until a configuration met with this outcome so many times."""
    eventually(lambda: variables(processor)["reloads"].get(outcome, 0) >= times)


def configuration(*labels: str, name: str = "a") -> dict[str, Any]:
    """A variable that gives all spans the last of these labels, whose version is how many they are."""
    told = {label: {"version": at, "serialized_value": '"x"'} for at, label in enumerate(labels, start=1)}
    rollout = {"labels": {labels[-1]: 1}}
    return {"variables": {name: {"name": name, "labels": told, "rollout": rollout, "overrides": []}}}


def label_of_a_new_trace(processor: Processor, backend: Any) -> str | None:
    """What a root span of a new trace leaves with."""
    trace_id = secrets.token_bytes(16)
    call_grpc(processor.grpc_port, make_request(make_span(trace_id, 1)))
    return attributes(backend.collect(1, trace_id)[0]).get("logfire.variables.a")


# ---- the vectors


def test_the_vectors_from_a_file(run: Run, backend: Run, tmp_path: Path) -> None:
    """S19, S24: for a file of many variables, spans of both languages leave with the labels of their SDKs."""
    merged: dict[str, str] = {}
    chosen = []
    for case in read_cases():
        told = {name: json.dumps(each) for name, each in case["config"]["variables"].items()}  # their order counts
        merged |= {name: text for name, text in told.items() if name not in merged and len(merged) + len(told) <= 16}
        if told.items() <= merged.items():
            chosen.append(case)
    assert {"python", "nodejs"} == {case["language"] for case in chosen}
    file = tmp_path / "variables.json"
    file.write_text(json.dumps({"variables": {name: json.loads(text) for name, text in merged.items()}}))
    downstream = backend().start()
    processor = run("run", **downstream.settings, VARIABLES_FILE=str(file), TARGETING_KEY=KEY)
    send_cases(processor, chosen)
    assert {} == differences(downstream, chosen)
    assert (True, sorted(merged)) == (variables(processor)["loaded"], variables(processor)["variables"])
    assert 0 == processor.stop()


def test_every_kind_of_vector_from_a_server(run: Run, backend: Run, server: ConfigurationServer) -> None:
    """S19, S24: a case of each kind, each with its own configuration, which the server announces by an event."""
    kinds: dict[tuple[str, str], Case] = {}
    for case in read_cases():
        kinds.setdefault((case["language"], case["group"]), case)
    by_config: dict[str, list[Case]] = {}
    for case in kinds.values():
        by_config.setdefault(json.dumps(case["config"]), []).append(case)
    assert len(by_config) > 20
    downstream = backend().start()
    processor = run("run", **downstream.settings, **server.settings, TARGETING_KEY=KEY)
    eventually(lambda: server.is_listened_to)
    for number, (config, cases) in enumerate(by_config.items(), start=2):
        server.publish(config.encode())
        reloaded(processor, "loaded", number)
        send_cases(processor, cases)
    assert {} == differences(downstream, list(kinds.values()))
    assert 0 == processor.stop()


# ---- configurations come and go


def test_a_file_that_changes(run: Run, backend: Run, tmp_path: Path) -> None:
    """S24: a file is taken again when it is replaced; half written it is refused, and read again when it is whole."""
    file, new = tmp_path / "variables.json", tmp_path / "new.json"
    file.write_text(json.dumps(configuration("one")))
    downstream = backend().start()
    processor = run("run", **downstream.settings, VARIABLES_FILE=str(file))
    assert "one" == label_of_a_new_trace(processor, downstream)
    new.write_text(json.dumps(configuration("one", "two")))
    new.replace(file)
    reloaded(processor, "loaded", 2)
    assert "two" == label_of_a_new_trace(processor, downstream)
    text = json.dumps(configuration("one", "two", "three"))
    with file.open("w") as writing:
        writing.write(text[:40])
        writing.flush()
        reloaded(processor, "refused")
        assert "two" == label_of_a_new_trace(processor, downstream)
        writing.write(text[40:])
    reloaded(processor, "loaded", 3)
    assert "three" == label_of_a_new_trace(processor, downstream)
    (line,) = [line for line in processor.log if line["level"] == "error"]
    assert line["message"].startswith("variables configuration refused: ")
    assert 0 == processor.stop()


def test_a_server_that_errs(run: Run, backend: Run, server: ConfigurationServer) -> None:
    """S24: errors and bad configurations of a server change nothing; what did not change is not sent again."""
    server.publish(configuration("one"))
    downstream = backend().start()
    processor = run("run", **downstream.settings, **server.settings, VARIABLES_POLL="1s")
    assert "one" == label_of_a_new_trace(processor, downstream)
    reloaded(processor, "unchanged")
    assert ("/v1/variables/", server.etag) in server.asked
    eventually(lambda: server.is_listened_to)
    server.status = 503
    server.publish(server.body)
    reloaded(processor, "failed")
    server.status = 200
    server.publish(b'{"variables": {"a": {')
    reloaded(processor, "refused")
    assert "one" == label_of_a_new_trace(processor, downstream)
    server.publish(configuration("one", "two"))
    reloaded(processor, "loaded", 2)
    assert "two" == label_of_a_new_trace(processor, downstream)
    told = [line["message"] for line in processor.log if line["level"] == "error"]
    assert {"failed", "refused"} == {line.split()[2].rstrip(":") for line in told}
    assert not any("secret" in line for line in processor.err.splitlines())
    assert 0 == processor.stop()


def test_a_start_without_the_server(run: Run, backend: Run, server: ConfigurationServer, tmp_path: Path) -> None:
    """S24: the last good configuration is kept across a restart where a file for it is named."""
    server.publish(configuration("one"))
    downstream = backend().start()
    settings = {**downstream.settings, **server.settings, "VARIABLES_CACHE": str(tmp_path / "last.json")}
    processor = run("run", **settings)
    assert "one" == label_of_a_new_trace(processor, downstream)
    assert 0 == processor.stop()
    server.status = 503
    processor = run("run", **settings)
    reloaded(processor, "loaded")
    assert "one" == label_of_a_new_trace(processor, downstream)
    assert 0 == processor.stop()


def test_a_bad_start_with_a_file(run: Run, backend: Run, tmp_path: Path) -> None:
    """S24: without a usable file spans flow unlabelled, loudly, until there is one."""
    file = tmp_path / "variables.json"
    downstream = backend().start()
    processor = run("run", **downstream.settings, VARIABLES_FILE=str(file))
    assert label_of_a_new_trace(processor, downstream) is None
    assert not variables(processor)["loaded"]
    told = {line["message"].split(":")[0]: line["level"] for line in processor.log}
    assert ("error", "warning") == (told["variables configuration failed"], told["labels are off"])
    file.write_text("{")
    reloaded(processor, "refused")
    assert label_of_a_new_trace(processor, downstream) is None
    file.write_text(json.dumps(configuration("one")))
    reloaded(processor, "loaded")
    assert "one" == label_of_a_new_trace(processor, downstream)
    assert 0 == processor.stop()


def test_a_bad_start_with_a_server(run: Run, backend: Run, server: ConfigurationServer) -> None:
    """S24: a token that the server does not take is told of, with advice, and spans flow unlabelled."""
    downstream = backend().start()
    settings = {**server.settings, "VARIABLES_TOKEN": "another"}
    processor = run("run", **downstream.settings, **settings)
    assert label_of_a_new_trace(processor, downstream) is None
    (line,) = {line["message"] for line in processor.log if line["level"] == "error"}
    assert line.endswith("/v1/variables/ answered HTTP 401; the token is not accepted")
    assert 0 == processor.stop()


def test_drift_is_told(run: Run, backend: Run, tmp_path: Path) -> None:
    """S23: `/status` says which variables the application resolves differently."""
    file = tmp_path / "variables.json"
    file.write_text(json.dumps(configuration("one", "two")))
    downstream = backend().start()
    processor = run("run", **downstream.settings, VARIABLES_FILE=str(file))
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(GrpcExporter(endpoint=processor.grpc_endpoint)))
    tracer = provider.get_tracer("logfire.variables")
    for label, version in (("two", 2), ("one", 1), ("two", 7)):
        said = {"name": "a", "label": label, "version": version, "reason": "resolved"}
        said |= {"targeting_key": "user1", "attributes": "{}"}
        tracer.start_span("Resolve variable a", attributes=said).end()
    provider.shutdown()
    found = [attributes(span)["logfire.variables.a"] for span in downstream.collect(3)]
    assert ["one", "two", "two"] == sorted(found)
    eventually(lambda: variables(processor)["drifted"] == {"a": 2})
    assert 0 == processor.stop()


# ---- the command


def test_the_command_answers_what_the_spans_get(tmp_path: Path) -> None:
    """Interface: `span-processor label` answers with 0, also for a key and to a terminal that know no UTF-8."""
    file = tmp_path / "variables.json"
    file.write_text(json.dumps(configuration("one", "zwei größer")))
    settings = {**environment(VARIABLES_FILE=str(file)), "PYTHONIOENCODING": "ascii"}
    for output in ("json", "text"):
        ended = subprocess.run(
            [sys.executable, "-m", "processor", "label", "a", "--targeting-key", b"\xff", "--format", output],
            env=settings, capture_output=True, timeout=20, check=False,
        )  # fmt: skip
        assert (0, b"") == (ended.returncode, ended.stderr)
        assert b"zwei gr" in ended.stdout
        if output == "json":
            assert ("zwei größer", 2) == tuple(json.loads(ended.stdout)[key] for key in ("label", "version"))
