"""Clocks that lie or stand still: what a sender's says, what the machine's says, and a process that is stopped (S15)."""

from __future__ import annotations

import ast
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
from load import lost, settled
from messages import attributes, call_grpc, make_request, make_span
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import Processor, eventually

import processor as package

OK = grpc.StatusCode.OK
DAY_NS = 86_400 * 10**9
MAX_WAIT_S = 2.0
# What gives the time of day, by module; `gmtime` and the like are given one.
WALL_CLOCKS = {("time", "time"), ("time", "time_ns"), ("datetime", "now"), ("datetime", "utcnow"), ("date", "today")}
# Where the time of day is what is meant, and nothing waits for it.
TIME_OF_DAY = {
    "demo.py",  # the times of its own spans
    "export/otlp_http.py",  # Retry-After as a date: the difference to now is waited for, by the other clock
    "metrics/instruments.py",  # the times of data points
    "receive/tls.py",  # whether a certificate has run out
}


def send(processor: Processor, *spans: Span) -> grpc.StatusCode:
    return call_grpc(processor.grpc_port, make_request(*spans))[0]


def timed(span: Span, start_ns: int, end_ns: int) -> Span:
    """The span with these times."""
    span.start_time_unix_nano, span.end_time_unix_nano = start_ns, end_ns
    return span


def test_f21_times_that_cannot_be(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F21: whatever a span says of its own time, it waits as long, inherits the same, and leaves with what it said."""
    now = time.time_ns()
    times = [(now, now + 1), (0, 0), (now, 0), (now, now - DAY_NS), (2**64 - 1, 2**64 - 1), (now - DAY_NS, now - DAY_NS),
             (now + DAY_NS, now + DAY_NS)]  # fmt: skip
    backend = scripted().start()
    processor = run(MAX_WAIT=f"{MAX_WAIT_S:g}s", **backend.settings)
    traces = {bytes([number]) * 16: span_times for number, span_times in enumerate(times, 1)}
    began = time.monotonic()
    for trace_id, (start, end) in traces.items():
        child, orphan = make_span(trace_id, 2, 1), make_span(trace_id, 3, 99)
        assert OK is send(processor, timed(child, start, end), timed(orphan, start, end))
    assert 2 * len(times) == processor.accounting()["held"]
    for trace_id, (start, end) in traces.items():
        assert OK is send(processor, timed(make_span(trace_id, 1, user__id="ann"), start, end))
    eventually(lambda: len(backend.received) == 2 * len(times))
    assert {1, 2} == {number[-1] for _, number in backend.received}
    accounting = settled(processor)
    assert time.monotonic() - began > MAX_WAIT_S * 0.98  # and not a tick of a three hundredth before
    assert (3 * len(times), 0) == (accounting["exported"], lost(accounting))
    assert {"decided": 2 * len(times), "max_wait": len(times)} == processor.status()["released"]
    for span in backend.spans:
        assert "ann" == attributes(span)["user.id"]
        assert traces[span.trace_id] == (span.start_time_unix_nano, span.end_time_unix_nano)


def test_f31_stopped_for_a_while(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F31: after two seconds without a processor everything goes on: what is held is held, what was sent is answered."""
    backend = scripted().start()
    processor = run(EXPORTER_OTLP_TIMEOUT="10s", **backend.settings)
    held = 100
    for number in range(1, held + 1):
        assert OK is send(processor, make_span(bytes([number]) * 16, 2, 1))
    processor.send_signal(signal.SIGSTOP)
    answers: list[grpc.StatusCode] = []
    sender = threading.Thread(target=lambda: answers.append(send(processor, make_span(b"z" * 16, 1, user__id="bob"))))
    sender.start()
    sender.join(2.0)
    assert [] == answers
    processor.send_signal(signal.SIGCONT)
    sender.join()
    assert [OK] == answers
    eventually(lambda: len(backend.received) == 1)
    accounting = processor.accounting()
    assert (held, 0) == (accounting["held"], lost(accounting))
    for number in range(1, held + 1):
        assert OK is send(processor, make_span(bytes([number]) * 16, 1, user__id="ann"))
    accounting = settled(processor)
    assert (2 * held + 1, 0) == (accounting["exported"], lost(accounting))
    assert {"decided": 2 * held + 1} == processor.status()["released"]
    users = {span.trace_id: attributes(span)["user.id"] for span in backend.spans}
    assert {"ann"} == {user for trace_id, user in users.items() if trace_id != b"z" * 16}
    assert 0 == processor.stop()


def test_f31_nothing_waits_by_the_time_of_day() -> None:
    """F31: a clock that is set, or leaps, moves no deadline: the time of day is asked only where it is what is meant."""
    root = Path(package.__file__).parent
    asking = {path.relative_to(root).as_posix() for path in root.rglob("*.py") if any(wall_clocks(path))}
    assert TIME_OF_DAY == asking


def wall_clocks(path: Path) -> Iterator[ast.AST]:
    """Where a module uses the time of day, called or handed on, or imports what gives it."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute):
            owner = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
            if (owner, node.attr) in WALL_CLOCKS:
                yield node
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            yield from (alias for alias in node.names if ("time", alias.name) in WALL_CLOCKS)
