"""Killed at any moment, with a journal: what was acknowledged arrives (S25; scenarios F8 and F9)."""

from __future__ import annotations

import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from messages import TRACES, attributes, make_request, make_span
from running import eventually

KILLS = 50
SPANS = 8
SENDERS = 2


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


def test_f8_killed_at_random(run: Callable[..., Any], scripted: Callable[..., Any], tmp_path: Path) -> None:
    """F8: killed many times under load, every acknowledged span arrives with its user; few arrive twice."""
    draw = random.Random(8)
    backend = scripted().start()
    settings = {**backend.settings, "JOURNAL_DIRECTORY": str(tmp_path / "journal")}
    acknowledged: list[bytes] = []
    sent: list[bytes] = []
    for kill in range(KILLS):
        processor = run(**settings)
        senders = [
            threading.Thread(
                target=send_until_refused, args=(processor.grpc_port, kill * 10 + each, acknowledged, sent)
            )
            for each in range(2)
        ]
        for sender in senders:
            sender.start()
        before = len(sent)
        eventually(lambda: len(sent) > before + draw.randrange(200))  # noqa: B023  # looked at within the loop
        processor.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join()
        processor.wait()
    processor = run(**settings)
    eventually(lambda: not any(processor.accounting()[where] for where in ("queued", "journaled")))
    assert 0 == processor.stop()  # lets go of traces whose roots were never sent
    arrived = Counter(backend.received)
    for trace_id in acknowledged:
        for number in range(1, SPANS + 1):
            assert (trace_id, number.to_bytes(8, "big")) in arrived
    assert {"ann"} == {attributes(span)["user.id"] for span in backend.spans if span.trace_id in set(acknowledged)}
    twice = [each for each, count in arrived.items() if count > 1]
    # Of each kill: what was on its way to the backend, and one commit, each no more than the senders had in flight.
    assert len(twice) <= KILLS * 2 * SENDERS * SPANS
