"""More than fits: memory stays within its limit, nothing is dropped, and it is over soon (S17, S26; F15, F19, F20)."""

from __future__ import annotations

import itertools
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
from load import lost, settled
from memory import SLACK_BYTES, Meter, MiB
from messages import TRACES, call_grpc, make_request, make_span
from running import Processor, eventually
from script import TAKE, Act

LIMIT = {"MEMORY_LIMIT": "64MiB"}
LIMIT_BYTES = 64 * MiB
SPANS = 64
PLACEHOLDER = b"#" * 16


class Flood:
    """Senders that never pause, each with a trace of 1 MiB a request. `offered` and `taken`: requests of all."""

    def __init__(self, processor: Processor) -> None:
        self.offered = 0
        self.taken: list[bytes] = []
        self.refusals: Counter[tuple[grpc.StatusCode, bool]] = Counter()
        self._processor = processor
        self._is_over = threading.Event()
        children = (make_span(PLACEHOLDER, each, 1, text="x" * 16_000) for each in range(2, SPANS + 1))
        self._body = make_request(*children, make_span(PLACEHOLDER, 1, user__id="ann"))

    def run(self, seconds: float, senders: int = 3) -> None:
        """Send for so long."""
        threads = [threading.Thread(target=self._send, args=(number,)) for number in range(senders)]
        for thread in threads:
            thread.start()
        self._is_over.wait(seconds)
        self._is_over.set()
        for thread in threads:
            thread.join()

    def _send(self, number: int) -> None:
        with grpc.insecure_channel(f"127.0.0.1:{self._processor.grpc_port}") as channel:
            method = channel.unary_unary(TRACES)
            for step in itertools.count(1):
                if self._is_over.is_set():
                    return
                trace_id = bytes([number + 1]) * 8 + step.to_bytes(8, "big")
                self.offered += 1
                try:
                    method(self._body.replace(PLACEHOLDER, trace_id), timeout=20)
                    self.taken.append(trace_id)
                except grpc.RpcError as error:
                    told = "google.rpc.retryinfo-bin" in dict(error.trailing_metadata())
                    self.refusals[error.code(), told] += 1


def test_f15_ten_times_too_much(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F15: offered ten times what a slow downstream takes, it stays within its memory, refuses retryably, and recovers."""
    backend = scripted().start().play(Act(delay_s=1.0))
    processor = run(BATCH_MAX_SIZE="512KiB", **LIMIT, **backend.settings)
    flood = Flood(processor)
    with Meter(processor) as meter:
        flood.run(5.0)
        assert flood.offered * MiB >= 10 * sum(len(each.body) for each in backend.requests)
        backend.play(TAKE)
        recovers = time.monotonic() + 30.0
        last = make_request(make_span(b"z" * 16, 1, user__id="ann"))
        eventually(lambda: call_grpc(processor.grpc_port, last)[0] is grpc.StatusCode.OK)
        accounting = settled(processor)
        assert time.monotonic() < recovers
    assert {(grpc.StatusCode.UNAVAILABLE, True)} == set(flood.refusals)
    assert meter.peak_bytes <= meter.idle_bytes + LIMIT_BYTES + SLACK_BYTES
    assert 0 == lost(accounting)
    arrived = Counter(backend.received)
    assert {1} == set(arrived.values())
    assert {*flood.taken, b"z" * 16} == {trace_id for trace_id, _ in arrived}
    assert len(flood.taken) * SPANS + 1 == len(arrived) == accounting["accepted"]


def deliver(method: Any, body: bytes) -> None:
    """Send a request, and come back as often as the process asks for it."""
    code = method.future(body, timeout=20).code
    while code() is grpc.StatusCode.UNAVAILABLE:
        time.sleep(0.01)
        code = method.future(body, timeout=20).code
    assert grpc.StatusCode.OK is code()


def test_f20_many_traces_of_one_orphan(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F20: of 50,000 traces of a span whose parent never comes, more than fit, the oldest leave early; none is lost."""
    backend = scripted().start()
    processor = run(MAX_WAIT="8s", **LIMIT, **backend.settings)
    count, each = 50_000, 500
    with Meter(processor) as meter, grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        for first in range(1, count, each):
            numbers = range(first, first + each)
            spans = [make_span(number.to_bytes(16, "big"), 2, 1, text="x" * 1500) for number in numbers]
            deliver(method, make_request(*spans))
        assert processor.accounting()["held"] > 0
        accounting = settled(processor)
    assert meter.peak_bytes <= meter.idle_bytes + LIMIT_BYTES + SLACK_BYTES
    released = {reason: number for reason, number in processor.status()["released"].items() if number}
    assert {"memory", "max_wait"} == set(released)
    assert count == sum(released.values()) == accounting["exported"]
    assert 0 == lost(accounting)
    assert count == len(set(backend.received)) == len(backend.received)


def test_f19_a_trace_of_a_hundred_thousand_spans(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F19: a trace that grows without its root leaves in parts, at most 32,000 of it are held, and none is lost."""
    backend = scripted().start()
    processor = run(**backend.settings)
    count, each = 100_000, 1000
    held = 0
    with grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        for first in range(2, count, each):
            numbers = range(first, min(first + each, count + 1))
            deliver(method, make_request(*(make_span(b"t" * 16, number, 1) for number in numbers)))
            held = max(held, processor.accounting()["held"])
        deliver(method, make_request(make_span(b"t" * 16, 1, user__id="ann")))
    assert each < held <= 32_000
    accounting = settled(processor)
    assert (count, 0) == (accounting["exported"], lost(accounting))
    assert {"decided", "trace_size"} == set(processor.status()["released"])
    assert count == len(set(backend.received)) == len(backend.received)
