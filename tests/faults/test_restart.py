"""What is kept over a kill beside spans: metrics and logs, and whose everything is (S25, S28, S31; F8)."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from load import settled
from messages import attributes, call_grpc, call_http, make_request, make_span
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from running import Processor, eventually, free_ports
from script import Scripted

LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
ANN, BOB = "Basic canary-of-ann", "Basic canary-of-bob"
KEY, OTHER_KEY = "a passphrase of ours", "a passphrase of others"
T = b"t" * 16


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    """Where the journal is."""
    return tmp_path / "journal"


def kill(processor: Processor) -> None:
    processor.send_signal(signal.SIGKILL)
    processor.wait()


def send(processor: Processor, authorization: str, *spans: Any) -> None:
    """One request with credentials, acknowledged."""
    metadata = (("authorization", authorization),)
    assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, make_request(*spans), metadata=metadata)[0]


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_metrics_and_logs_over_a_kill(
    protocol: str, journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """S31, S25: metrics and logs that were acknowledged arrive after a kill, once, and each as what it is."""
    backend = scripted(protocol, port=free_ports(1)[0])
    settings = {"JOURNAL_DIRECTORY": str(journal), **backend.settings}
    first = run(**settings)
    marks = [f"mark-{number}" for number in range(5)]
    for mark in marks:
        assert grpc.StatusCode.OK is call_grpc(first.grpc_port, make_logs(mark), LOGS)[0]
        assert 200 == call_http(first.http_port, make_metrics(mark), path="/v1/metrics")[0]
    kill(first)
    second = run(**settings)
    assert {"metrics": 5, "logs": 5} == relayed(second, "recovered")
    backend.start()
    eventually(lambda: relayed(second, "exported") == {"metrics": 5, "logs": 5})
    assert marks == sorted(arrived(backend, "logs"))
    assert marks == sorted(arrived(backend, "metrics"))
    assert 0 == second.stop()
    third = run(**settings)
    assert {"metrics": 0, "logs": 0} == relayed(third, "recovered")


def make_logs(mark: str) -> bytes:
    """A request with one log record; the mark is its body."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = mark
    return bytes(request.SerializeToString())


def make_metrics(mark: str) -> bytes:
    """A request with one data point; the mark is the metric's name."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name=mark)
    metric.gauge.data_points.add(as_int=1)
    return bytes(request.SerializeToString())


def arrived(backend: Scripted, kind: str) -> list[str]:
    """The marks of what came as logs, or as metrics."""
    bodies = [each.body for each in backend.requests if kind in each.name.lower()]
    if kind == "logs":
        logs = [part for body in bodies for part in ExportLogsServiceRequest.FromString(body).resource_logs]
        return [record.body.string_value for part in logs for scope in part.scope_logs for record in scope.log_records]
    metrics = [part for body in bodies for part in ExportMetricsServiceRequest.FromString(body).resource_metrics]
    return [metric.name for part in metrics for scope in part.scope_metrics for metric in scope.metrics]


def relayed(processor: Processor, what: str) -> dict[str, int]:
    """One number of what was relayed, by signal."""
    return {name: counts[what] for name, counts in processor.status()["relay"].items()}


def test_credentials_over_a_kill(journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """S28, S25: what waits for a backend or a parent over a kill goes out with the credentials that it came with, which
    are nowhere on disk in clear; two senders who use the same trace id get nothing of each other.
    """
    backend = scripted(port=free_ports(1)[0])
    settings = keeping(journal, backend)
    first = run(**settings)
    leave_behind(first)
    kill(first)
    assert any(T in content for content in contents(journal).values())
    assert not is_in_clear(journal)
    second = run(**settings)
    backend.start()
    complete(second, backend)
    assert not is_in_clear(journal)
    assert 0 == second.stop()
    assert "canary" not in first.err + second.err


@pytest.mark.parametrize("wrong", [{"JOURNAL_KEY": OTHER_KEY}, {"JOURNAL_KEY": "", "EXPORTER_FORWARD_HEADERS": ""}])
def test_a_wrong_key(
    wrong: dict[str, str], journal: Path, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """S28: with another key than the journal's, or none, it does not start, says so in one line, and touches nothing."""
    backend = scripted(port=free_ports(1)[0])
    settings = keeping(journal, backend)
    first = run(**settings)
    leave_behind(first)
    kill(first)
    before = contents(journal)
    second = run(is_awaited=False, **{**settings, **wrong})
    assert 2 == second.wait()
    problems = [line for line in second.err.splitlines() if "SPAN_PROCESSOR_JOURNAL_KEY" in line]
    assert problems == second.err.splitlines()
    assert 1 == len(problems)
    assert not any(secret in second.err for secret in (KEY, OTHER_KEY, "canary"))
    assert before == contents(journal)
    third = run(**settings)
    backend.start()
    complete(third, backend)


def keeping(journal: Path, backend: Scripted) -> dict[str, str]:
    """Settings that forward credentials, and keep them in a journal."""
    return {
        "JOURNAL_DIRECTORY": str(journal),
        "JOURNAL_KEY": KEY,
        "EXPORTER_FORWARD_HEADERS": "authorization",
        **backend.settings,
    }


def leave_behind(processor: Processor) -> None:
    """Of each sender a root that waits for the backend, a span that waits for its parent, and a log record."""
    for authorization, user in ((ANN, "ann"), (BOB, "bob")):
        send(processor, authorization, make_span(T, 1, user__id=user))
        send(processor, authorization, make_span(T, 3, 2))
        metadata = (("authorization", authorization),)
        assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, make_logs(user), LOGS, metadata=metadata)[0]
    assert (2, 2) == (processor.accounting()["held"], processor.accounting()["queued"])


def complete(processor: Processor, backend: Scripted) -> None:
    """Send the parents that are missing; everything arrives, each sender's with its credentials and its user."""
    for authorization in (ANN, BOB):
        send(processor, authorization, make_span(T, 2, 1))
    settled(processor)
    eventually(lambda: relayed(processor, "exported")["logs"] == 2)
    for authorization, user in ((ANN, "ann"), (BOB, "bob")):
        requests = [each for each in backend.requests if each.headers.get("authorization") == authorization]
        spans = [span for each in requests for span in each.spans]
        assert [(1, user), (2, user), (3, user)] == sorted(
            (span.span_id[-1], attributes(span).get("user.id")) for span in spans
        )
        logs = [ExportLogsServiceRequest.FromString(each.body) for each in requests if "logs" in each.name.lower()]
        assert [make_logs(user)] == [request.SerializeToString() for request in logs]
    assert {ANN, BOB} == {each.headers.get("authorization") for each in backend.requests}


def contents(journal: Path) -> dict[str, bytes]:
    """Every file of the journal."""
    return {path.name: path.read_bytes() for path in journal.iterdir()}


def is_in_clear(journal: Path) -> bool:
    """Whether a file of the journal has a credential as it was sent."""
    return any(b"canary" in content for content in contents(journal).values())
