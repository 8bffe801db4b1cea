"""A downstream that fails in every way, and what the accounting says of it (S25, S27; scenarios F1 to F7)."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from load import Clients, check_arrived, lost, make_spans, settled
from messages import call_grpc, make_request, make_span
from running import eventually, free_ports
from script import BUSY, RESET, TAKE, Act

PROTOCOLS = ("grpc", "http/protobuf")
Code = grpc.StatusCode


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f1_steady(protocol: str, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F1: under steady load every acknowledged span arrives once, and nothing is lost."""
    backend = scripted(protocol).start()
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=15, spans_each=100, senders=4)
    check_arrived(clients, backend, processor)
    assert [] == clients.failed


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f2_down_from_the_start(protocol: str, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F2: what comes while the downstream is not there arrives when it is."""
    backend = scripted(protocol, port=free_ports(1)[0])
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=5)
    assert len(clients.acknowledged) == processor.accounting()["queued"]
    backend.start()
    check_arrived(clients, backend, processor)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f3_flapping(protocol: str, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F3: of a downstream that refuses seven requests in ten, everything has arrived soon after it recovers."""
    draw = random.Random(3)
    backend = scripted(protocol).start()
    backend.play(forever=(BUSY if draw.random() < 0.7 else TAKE for _ in itertools.count()))
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=5, senders=4)
    backend.play(TAKE)
    check_arrived(clients, backend, processor)
    assert any(attempt.act is BUSY for attempt in backend.attempts)


@pytest.mark.parametrize(
    ("protocol", "act"),
    [
        ("grpc", Act(Code.UNAVAILABLE, retry_after_s=2)),
        ("grpc", Act(Code.RESOURCE_EXHAUSTED, retry_after_s=2)),
        ("http/protobuf", Act(status=429, retry_after_s=2)),
        ("http/protobuf", Act(status=503, retry_after_s=3, as_date=True)),
    ],
)
def test_f4_told_when(protocol: str, act: Act, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F4: no attempt comes sooner than the downstream asked for, be it in seconds or as a date."""
    backend = scripted(protocol).start().play(act, then=TAKE)
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=1, senders=1)
    check_arrived(clients, backend, processor)
    first, second = (attempt.at_s for attempt in backend.attempts)
    # A date has whole seconds: of 3 s up to one may be gone.
    assert second - first >= 2


@pytest.mark.parametrize(
    ("protocol", "act", "reason"),
    [
        ("grpc", Act(Code.INVALID_ARGUMENT), "invalid"),
        ("grpc", Act(Code.UNAUTHENTICATED), "unauthenticated"),
        ("grpc", Act(Code.PERMISSION_DENIED), "forbidden"),
        ("grpc", Act(Code.INTERNAL), "refused"),
        ("grpc", Act(Code.UNIMPLEMENTED), "unsupported"),
        ("http/protobuf", Act(status=400), "invalid"),
        ("http/protobuf", Act(status=401), "unauthenticated"),
        ("http/protobuf", Act(status=403), "forbidden"),
        ("http/protobuf", Act(status=404), "not_found"),
        ("http/protobuf", Act(status=500), "refused"),
    ],
)
def test_f5_refused_for_good(
    protocol: str, act: Act, reason: str, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """F5: a permanent error costs one attempt; the spans are counted under its reason, and others flow."""
    backend = scripted(protocol).start().play(act, then=TAKE)
    processor = run(**backend.settings)
    send(processor, 1)
    assert {reason: 2} == eventually(lambda: processor.accounting()["lost"])
    send(processor, 2)
    accounting = settled(processor)
    assert (4, 2, {reason: 2}) == (accounting["accepted"], accounting["exported"], accounting["lost"])
    assert 2 == len(backend.attempts)
    assert {bytes([2]) * 16} == {trace_id for trace_id, _ in backend.received}


@pytest.mark.parametrize(
    ("protocol", "act"), [("grpc", Act(Code.RESOURCE_EXHAUSTED)), ("http/protobuf", Act(status=413))]
)
def test_f5_too_large(protocol: str, act: Act, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F5, S27: a batch that is too large is sent in halves, and all of it arrives."""
    backend = scripted(protocol).start().play(act, act, then=TAKE)
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=1, spans_each=100, senders=1)
    check_arrived(clients, backend, processor)
    assert len(backend.attempts) > 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f6_partial_success(protocol: str, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F6: what the downstream rejects of a request is counted, said once, and not sent again."""
    backend = scripted(protocol).start().play(Act(rejects=3), then=TAKE)
    processor = run(**backend.settings)
    Clients(processor).send(requests=1, senders=1)
    accounting = settled(processor)
    assert (17, {"rejected": 3}) == (accounting["exported"], accounting["lost"])
    assert 1 == len(backend.attempts)
    assert 1 == sum("rejected" in line["message"] for line in processor.log)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_f7_slow_and_hanging(protocol: str, run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F7: a downstream that does not answer in time is asked again; senders do not notice."""
    backend = scripted(protocol).start().play(*[Act(delay_s=2)] * 4, then=TAKE)
    processor = run(EXPORTER_OTLP_TIMEOUT="500ms", **backend.settings)
    clients = Clients(processor)
    clients.send(requests=5)
    assert [] == clients.failed
    accounting = settled(processor)
    assert 0 == lost(accounting)
    assert set(clients.acknowledged) == set(backend.received)


def test_f7_reset(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F7: a connection that is reset instead of an answer is no answer: the batch is sent again."""
    backend = scripted("http/protobuf").start().play(RESET, RESET, then=TAKE)
    processor = run(**backend.settings)
    clients = Clients(processor)
    clients.send(requests=3)
    check_arrived(clients, backend, processor)


def send(processor: Any, trace: int) -> None:
    """A trace of two spans."""
    trace_id = bytes([trace]) * 16
    body = make_request(make_span(trace_id, 1, user__id="ann"), make_span(trace_id, 2, 1))
    assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, body)[0]


def test_the_clients_are_the_real_ones() -> None:
    """What the SDK makes of a trace has its root last, as it is sent everywhere."""
    assert ["child", "child", "root"] == [span.name for span in make_spans(3)]
