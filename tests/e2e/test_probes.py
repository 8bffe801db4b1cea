"""Probes of the real process: while it starts, runs, is full, stands still, drains; and under hostile bytes."""

from __future__ import annotations

import random
import signal
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from messages import call_grpc, make_request, make_span
from running import PATIENCE_S, Processor, eventually, free_ports, is_listening

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
AWAY = {"EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


def probe(processor: Processor, path: str, timeout_s: float = PATIENCE_S) -> tuple[int, str]:
    """Status and word of a probe."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{processor.admin_port}{path}", timeout=timeout_s) as answer:
            return answer.status, answer.read().decode().strip()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip()


def health(processor: Processor) -> int:
    """What gRPC's health service says."""
    with grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
        answer: HealthCheckResponse = HealthStub(channel).Check(HealthCheckRequest(), timeout=PATIENCE_S)
        return answer.status


def messages(processor: Processor, begin: str) -> list[str]:
    return [line["message"] for line in processor.log if line["message"].startswith(begin)]


def test_while_it_starts(run: Callable[..., Any]) -> None:
    """While it looks for its first configuration it is alive and not ready; then ready, over gRPC too."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        processor = run(
            is_awaited=False,
            VARIABLES_URL=f"http://127.0.0.1:{silent.getsockname()[1]}",
            VARIABLES_TOKEN="t",
            **AWAY,
        )
        eventually(lambda: is_listening(processor.admin_port))
        assert [(200, "alive"), (503, "starting")] == [probe(processor, path) for path in ("/livez", "/readyz")]
        assert "starting" == processor.status()["state"]
        assert not is_listening(processor.grpc_port)
    eventually(lambda: probe(processor, "/readyz") == (200, "ready"))
    assert SERVING == health(processor)
    assert 0 == processor.stop()


def test_while_it_is_full(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S26: from the first refusal for memory until there is room it is alive and not ready, and says so once."""
    to = backend(port=free_ports(1)[0])
    processor = run(MEMORY_LIMIT="64MiB", **to.settings)
    body = make_request(*(make_span(bytes([each]) * 16, each, text="x" * 50_000) for each in range(1, 51)))
    assert (200, "ready") == probe(processor, "/readyz")
    statuses = [call_grpc(processor.grpc_port, body)[0] for _ in range(24)]
    assert {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE} == set(statuses)
    assert [(200, "alive"), (503, "full")] == [probe(processor, path) for path in ("/livez", "/readyz")]
    assert (NOT_SERVING, "full") == (health(processor), processor.status()["state"])
    assert 1 == len(messages(processor, "requests are refused, there is no room: reason=memory"))
    to.start()
    eventually(lambda: probe(processor, "/readyz") == (200, "ready"))
    assert SERVING == health(processor)
    assert 0 == processor.stop()


def test_a_downstream_that_is_away_is_no_reason(run: Callable[..., Any]) -> None:
    """While there is room, a downstream that is away leaves the process alive and ready."""
    processor = run(**AWAY)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
    eventually(lambda: not processor.status()["downstream"]["available"])
    assert [200, 200] == [probe(processor, path)[0] for path in ("/livez", "/readyz")]


def test_while_it_drains(run: Callable[..., Any]) -> None:
    """S29: from the signal on it is not ready, watchers hear it, and it stays alive until its queue is empty."""
    processor = run(**AWAY)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1), make_span(b"b" * 16, 2, 9)))
    with grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
        answers = HealthStub(channel).Watch(HealthCheckRequest(), timeout=PATIENCE_S)
        assert SERVING == next(answers).status
        processor.send_signal(signal.SIGTERM)
        assert [NOT_SERVING] == [answer.status for answer in answers]
    assert [(200, "alive"), (503, "draining")] == [probe(processor, path) for path in ("/livez", "/readyz")]
    assert ["stopping: held=1"] == [text.partition(" queue_bytes=")[0] for text in messages(processor, "stopping")]
    (line,) = (line for line in processor.log if line["message"].startswith("stopping"))
    assert 1 == line["held"]
    assert line["queue_bytes"] > 0
    assert 0 == processor.stop()  # the second signal: at once


def test_a_loop_that_stands_still(run: Callable[..., Any]) -> None:
    """While the loop stands still a probe runs into its timeout; afterwards one line says for how long it stood."""
    processor = run(**AWAY)
    processor.send_signal(signal.SIGSTOP)
    try:
        until = time.monotonic() + 2.6
        with pytest.raises(TimeoutError):
            probe(processor, "/livez", timeout_s=0.2)
        time.sleep(until - time.monotonic())
    finally:
        processor.send_signal(signal.SIGCONT)
    (line,) = eventually(lambda: messages(processor, "the event loop stood still: seconds="))
    assert 1.0 <= float(line.partition("=")[2]) < PATIENCE_S
    assert (200, "alive") == probe(processor, "/livez")


def test_hostile_bytes_at_the_admin_port(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """Whatever comes at the admin port, spans go their way, probes are answered, and the log has nothing of it."""
    to = backend().start()
    processor = run(**to.settings)
    chance = random.Random(11)
    whole = b"GET /metrics HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n"
    for number in range(1, 101):
        at = chance.randrange(len(whole))
        hostile = whole[:at] + chance.randbytes(chance.choice((1, 30, 3000))) + whole[at:]
        with socket.create_connection(("127.0.0.1", processor.admin_port), timeout=PATIENCE_S) as connection:
            connection.sendall(hostile)
        if number % 10 == 0:
            call_grpc(processor.grpc_port, make_request(make_span(number.to_bytes(16, "big"), 1)))
    assert 10 == len(to.collect(10))
    assert [200, 200] == [probe(processor, path)[0] for path in ("/livez", "/readyz")]
    assert 0 == processor.stop()
    assert ["span-processor", "stopping:", "stopped:"] == [line["message"].split()[0] for line in processor.log]
