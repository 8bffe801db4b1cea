"""Stopping: what was acknowledged arrives, or is counted; in time, and with exit code 0 (S29)."""

from __future__ import annotations

import re
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from messages import TRACES, attributes, call_grpc, call_http, make_request, make_span
from running import eventually, free_ports

STOPPED = re.compile(r"stopped: accepted (\d+) = exported (\d+) \+ lost (\d+)")


def counted(processor: Any) -> tuple[int, ...]:
    """Accepted, exported and lost, as the last log line says."""
    match = STOPPED.match(processor.log[-1]["message"])
    assert match, processor.log[-1]
    return tuple(map(int, match.groups()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_what_was_acknowledged_arrives(number: int, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S29: held spans are released, with what the trace agrees on (S12), the queue drains, exit 0."""
    to = backend().start()
    processor = run(**to.settings)
    orphans = make_request(make_span(b"a" * 16, 2, 99, user__id="ann"), make_span(b"a" * 16, 3, 98))
    call_grpc(processor.grpc_port, orphans)
    call_http(processor.http_port, make_request(make_span(b"b" * 16, 1)))
    to.collect(1, b"b" * 16)
    assert 2 == processor.accounting()["held"]
    assert [] == to.spans(b"a" * 16)
    assert 0 == processor.stop(number)
    assert [2, 3] == sorted(span.span_id[-1] for span in to.spans(b"a" * 16))
    assert ["ann", "ann"] == [attributes(span)["user.id"] for span in to.spans(b"a" * 16)]
    assert (3, 3, 0) == counted(processor)
    assert {"info"} == {line["level"] for line in processor.log}


def test_requests_in_flight_are_kept(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S25, S29: stopped under senders that never pause, all that was acknowledged arrives, and nothing twice."""
    to = backend().start()
    processor = run(**to.settings)
    acknowledged: list[bytes] = []
    refusals: list[grpc.StatusCode] = []

    def send(number: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
            method = channel.unary_unary(TRACES)
            for step in range(1, 100_000):
                trace_id = bytes([number]) * 12 + step.to_bytes(4, "big")
                try:
                    method(make_request(make_span(trace_id, 1), make_span(trace_id, 2, 99)), timeout=20)
                except grpc.RpcError as error:
                    refusals.append(error.code())
                    return
                acknowledged.append(trace_id)

    senders = [threading.Thread(target=send, args=(number,)) for number in (1, 2, 3)]
    for sender in senders:
        sender.start()
    eventually(lambda: len(acknowledged) > 200)
    assert 0 == processor.stop()
    for sender in senders:
        sender.join()
    # Both are among the codes on which OTLP has a sender try again.
    assert {grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED} >= set(refusals)
    arrived = [span.trace_id for span in to.spans()]
    assert set(acknowledged) <= set(arrived)
    # A request whose answer was cut off may be here as well, once at most: its sender sends it again.
    assert len(set(arrived)) - len(acknowledged) <= len(senders)
    assert {2} == {arrived.count(trace_id) for trace_id in set(arrived)}
    accepted, exported, lost = counted(processor)
    assert (len(arrived), len(arrived), 0) == (accepted, exported, lost)


def test_a_dead_backend_does_not_keep_it(run: Callable[..., Any]) -> None:
    """S29, S25: with a dead downstream it exits by SHUTDOWN_TIMEOUT with 0, and the last log line counts the loss."""
    processor = run(EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_ports(1)[0]}", SHUTDOWN_TIMEOUT="2s")
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1), make_span(b"a" * 16, 2, 99)))
    started = time.monotonic()
    assert 0 == processor.stop()
    assert time.monotonic() - started < 2.5
    assert (2, 0, 2) == counted(processor)
    (lost,) = [line["message"] for line in processor.log if "lost: " in line["message"]]
    assert "reason=shutdown items=2" in lost


def test_a_hanging_backend_does_not_keep_it(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S29: a downstream that does not answer keeps it no longer than one that is not there."""
    done = threading.Event()
    to = backend(answer=lambda _: done.wait(30) and False).start()
    try:
        processor = run(SHUTDOWN_TIMEOUT="2s", **to.settings)
        call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
        started = time.monotonic()
        assert 0 == processor.stop()
        assert time.monotonic() - started < 2.5
        assert (1, 0, 1) == counted(processor)
    finally:
        done.set()


def test_a_second_signal_ends_it_at_once(run: Callable[..., Any]) -> None:
    """S29: readiness fails and listeners stop at the first signal; who asks twice does not want to wait."""
    processor = run(EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_ports(1)[0]}", SHUTDOWN_TIMEOUT="1m")
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
    assert (200, 200) == (call_admin(processor, "/livez"), call_admin(processor, "/readyz"))
    processor.send_signal(signal.SIGTERM)
    eventually(lambda: call_admin(processor, "/readyz") == 503)
    assert 200 == call_admin(processor, "/livez")
    eventually(lambda: call_grpc(processor.grpc_port, b"")[0] is grpc.StatusCode.UNAVAILABLE)
    assert processor.is_running
    started = time.monotonic()
    processor.stop(signal.SIGTERM)
    assert time.monotonic() - started < 2
    assert "Traceback" not in processor.err


def call_admin(processor: Any, path: str) -> int:
    """The status of the admin endpoint's answer."""
    return call_http(processor.admin_port, b"", "GET", path)[0]


def test_a_hangup_is_ignored(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """A closing terminal does not stop it."""
    to = backend().start()
    processor = run(**to.settings)
    for _ in range(3):
        processor.send_signal(signal.SIGHUP)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
    assert 1 == len(to.collect(1))
    assert 0 == processor.stop()
