"""Killed at any moment: with a journal what was acknowledged arrives, without one little is lost (S25; F8, F9)."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from load import lost, settled
from messages import TRACES, attributes, make_request, make_span
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import Processor, eventually, free_ports
from script import Act, Scripted

KILLS = 50
SPANS = 8
SENDERS = 2
# Of each kill come again: the request on its way to the backend, and the one whose answer was not yet committed.
AGAIN = 2


def send_until_refused(port: int, number: int, acknowledged: list[bytes], sent: list[bytes]) -> None:
    """One raw client: a trace a request, half of them in two requests with the root in the second one."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        method = channel.unary_unary(TRACES)
        for step in range(1_000_000):
            trace_id = (number + 1).to_bytes(8, "big") + step.to_bytes(8, "big")
            root = make_span(trace_id, 1, user__id="ann", text="x" * 300)
            children = [make_span(trace_id, each, each // 2, text="x" * 300) for each in range(2, SPANS + 1)]
            parts = [[*children, root]] if step % 2 else [children, [root]]
            for part in parts:
                sent.append(trace_id)
                try:
                    method(make_request(*part), timeout=20)
                except grpc.RpcError:
                    return
            acknowledged.append(trace_id)


def kill_under_load(
    run: Callable[..., Any], settings: dict[str, str], kills: int, acknowledged: list[bytes], sent: list[bytes]
) -> None:
    """Processes one after the other, each under load for a random while, and killed."""
    draw = random.Random(8)
    for kill in range(kills):
        processor = run(**settings)
        senders = [
            threading.Thread(
                target=send_until_refused, args=(processor.grpc_port, kill * 10 + each, acknowledged, sent)
            )
            for each in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        enough = len(sent) + draw.randrange(200)
        eventually(lambda: len(sent) > enough)  # noqa: B023  # looked at within the loop
        kill_now(processor, senders)


def kill_now(processor: Processor, senders: list[threading.Thread]) -> None:
    """End the process as the kernel does, and wait for its senders to notice."""
    processor.send_signal(signal.SIGKILL)
    for sender in senders:
        sender.join()
    processor.wait()


def drain(processor: Processor) -> None:
    """Let everything go: also what waits for roots that were never sent."""
    eventually(lambda: not any(processor.accounting()[where] for where in ("queued", "journaled")))
    assert 0 == processor.stop()


def check_complete(acknowledged: list[bytes], backend: Scripted) -> Counter[tuple[bytes, bytes]]:
    """Every span of the traces that were acknowledged arrived, with its user; how often each."""
    arrived = Counter(backend.received)
    for trace_id in acknowledged:
        for number in range(1, SPANS + 1):
            assert (trace_id, number.to_bytes(8, "big")) in arrived
    whole = set(acknowledged)
    assert {"ann"} == {attributes(span)["user.id"] for span in backend.spans if span.trace_id in whole}
    return arrived


def sent_again(backend: Scripted) -> int:
    """How many requests held spans that came once more later."""
    left, count = Counter(backend.received), 0
    for request in backend.requests:
        came = [(span.trace_id, span.span_id) for span in request.spans]
        left.subtract(came)
        count += any(left[each] for each in came)
    return count


def test_f8_killed_at_random(run: Callable[..., Any], scripted: Callable[..., Any], tmp_path: Path) -> None:
    """F8: killed many times under load, every acknowledged span arrives with its user; few arrive twice."""
    backend = scripted().start()
    settings = {**backend.settings, "JOURNAL_DIRECTORY": str(tmp_path / "journal")}
    acknowledged: list[bytes] = []
    kill_under_load(run, settings, KILLS, acknowledged, [])
    drain(run(**settings))
    twice = [each for each, count in check_complete(acknowledged, backend).items() if count > 1]
    # Of each kill: what was on its way to the backend, and one commit, each no more than the senders had in flight.
    assert len(twice) <= KILLS * 2 * SENDERS * SPANS
    assert sent_again(backend) <= KILLS * AGAIN


def test_f8_one_of_two_is_away(run: Callable[..., Any], scripted: Callable[..., Any], tmp_path: Path) -> None:
    """F8, S27: killed again and again while one of two downstreams is away, both get all that was acknowledged."""
    well, away = scripted().start(), scripted(port=free_ports(1)[0])
    settings = {
        "EXPORTERS": "well,away",
        "EXPORTER_WELL_OTLP_ENDPOINT": well.settings["EXPORTER_OTLP_ENDPOINT"],
        "EXPORTER_AWAY_OTLP_ENDPOINT": away.settings["EXPORTER_OTLP_ENDPOINT"],
        "JOURNAL_DIRECTORY": str(tmp_path / "journal"),
    }
    kills = 6
    acknowledged: list[bytes] = []
    kill_under_load(run, settings, kills, acknowledged, [])
    assert [] == away.received
    processor = run(**settings)
    assert len(acknowledged) * SPANS <= processor.accounting()["away"]["recovered"]
    away.start()
    for name in ("well", "away"):
        eventually(lambda name=name: not any(processor.accounting()[name][where] for where in ("queued", "journaled")))
    assert 0 == processor.stop()
    check_complete(acknowledged, well)
    assert sent_again(well) <= kills * AGAIN
    assert {1} == set(check_complete(acknowledged, away).values())  # only one process ever reached it


def test_f8_traces_over_many_lives(run: Callable[..., Any], scripted: Callable[..., Any], tmp_path: Path) -> None:
    """F8, S14: of traces whose spans come in different lives of the process all inherit, by what was held or known."""
    backend = scripted().start()
    settings = {**backend.settings, "JOURNAL_DIRECTORY": str(tmp_path / "journal")}
    kills, traces = 8, 60
    # In each order something waits until the last span comes: only of such traces the journal keeps what is known.
    orders = [[make_one(number) for number in order] for order in ((3, 1, 2), (3, 2, 1), (2, 3, 1))]
    steps = [
        (number.to_bytes(16, "big"), orders[number % len(orders)][turn])
        for turn in range(3)
        for number in range(1, traces + 1)
    ]
    acknowledged = 0
    draw = random.Random(14)
    stops = [*sorted(draw.sample(range(len(steps)), kills)), len(steps)]
    for stop in stops:
        processor = run(**settings)
        sending = steps[acknowledged:stop]
        with grpc.insecure_channel(
            f"127.0.0.1:{processor.grpc_port}", options=[("grpc.use_local_subchannel_pool", 1)]
        ) as channel:
            method = channel.unary_unary(TRACES)
            for trace_id, make in sending:
                method(make_request(make(trace_id)), timeout=20)
        acknowledged = stop
        if stop < len(steps):
            kill_now(processor, [])
    accounting = settled(processor)
    assert 0 == lost(accounting)
    arrived = Counter(backend.received)
    assert {(trace_id, make(trace_id).span_id) for trace_id, make in steps} == set(arrived)
    assert {"ann"} == {attributes(span).get("user.id") for span in backend.spans}
    assert {} == {reason: count for reason, count in processor.status()["released"].items() if reason != "decided"}
    assert sum(count - 1 for count in arrived.values()) <= len(steps) // 2  # most were exported and settled in time


def make_one(number: int) -> Callable[[bytes], Span]:
    """A span of a chain; the first one, its root, says whose it is."""
    said = {"user__id": "ann"} if number == 1 else {}
    return lambda trace_id: make_span(trace_id, number, number - 1, **said)


def test_f9_killed_without_a_journal(run: Callable[..., Any], scripted: Callable[..., Any]) -> None:
    """F9: without a journal a kill loses what was held, queued or in flight, and nothing that was exported."""
    backend = scripted().start().play(Act(delay_s=0.02))
    acknowledged: list[bytes] = []
    for kill in range(5):
        before, earlier = len(acknowledged), len(set(backend.received))
        processor = run(**backend.settings)
        senders = [
            threading.Thread(target=send_until_refused, args=(processor.grpc_port, kill * 10 + each, acknowledged, []))
            for each in range(SENDERS)
        ]
        for sender in senders:
            sender.start()
        known, accounting = eventually(lambda: _when_busy(processor, acknowledged))  # noqa: B023  # within the loop
        kill_now(processor, senders)
        arrived = set(backend.received)
        assert accounting["exported"] <= len(arrived) - earlier
        spans = {
            (trace_id, number.to_bytes(8, "big"))
            for trace_id in acknowledged[before:known]
            for number in range(1, SPANS + 1)
        }
        assert len(spans - arrived) <= accounting["held"] + accounting["queued"]
    processor = run(**backend.settings)
    accounting = processor.accounting()
    assert (0, 0, 0) == (accounting["accepted"], accounting["recovered"], accounting["held"])
    last: list[bytes] = []
    sender = threading.Thread(target=send_until_refused, args=(processor.grpc_port, 99, last, []))
    sender.start()
    eventually(lambda: len(last) > 10)
    assert 0 == processor.stop()
    sender.join()
    check_complete(last, backend)


def _when_busy(processor: Processor, acknowledged: list[bytes]) -> tuple[int, dict[str, Any]] | None:
    """How many were acknowledged, and then the accounting, once some was exported and some waits."""
    known = len(acknowledged)
    accounting = processor.accounting()
    return (known, accounting) if accounting["exported"] > 100 and accounting["queued"] else None
