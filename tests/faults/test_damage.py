"""A journal that was damaged in many places: what is whole arrives, and the rest is counted (S25; F10)."""

from __future__ import annotations

import random
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from load import lost
from messages import attributes, call_grpc, make_request, make_span
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import Processor, eventually, free_ports

TRACES = 60
FLIPS = 5
MARK_BYTES = 8  # that begin each record of a segment, other ones in each


def send(processor: Processor, *spans: Span) -> None:
    assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, make_request(*spans))[0]


def trace_id(number: int) -> bytes:
    """Not to be mistaken for anything else in a file."""
    return b"trace" + number.to_bytes(3, "big") * 3 + b"id"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The journal of a process that was killed while its backend was away.

    Of each trace the root waits for the backend, and a span for its parent; every second row is large.
    """
    folder = tmp_path_factory.mktemp("damage")
    processor = Processor(
        folder,
        JOURNAL_DIRECTORY=str(folder / "journal"),
        EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{free_ports(1)[0]}",
    )
    try:
        processor.start().wait_ready()
        for number in range(TRACES):
            text = "x" * (2000 if number % 2 else 50)
            send(processor, make_span(trace_id(number), 1, user__id="ann", text=text))
            send(processor, make_span(trace_id(number), 3, 2, text=text))
        eventually(lambda: processor.status()["journal"]["buffered_bytes"] == 0)
        assert (TRACES, TRACES) == (processor.accounting()["queued"], processor.accounting()["held"])
        processor.send_signal(signal.SIGKILL)
        processor.wait()
    finally:
        processor.kill()
    return folder / "journal"


def flip(journal: Path, draw: random.Random) -> set[int]:
    """Flip a bit at random places; the numbers of the traces of which a record was hit."""
    (segment,) = [path for path in journal.iterdir() if path.stat().st_size > 1000]
    before = segment.read_bytes()
    after = bytearray(before)
    hit: set[int] = set()
    for place in draw.sample(range(len(before)), FLIPS):
        after[place] ^= 1 << draw.randrange(8)
        start = max(before.rfind(before[:MARK_BYTES], 0, place + MARK_BYTES), 0)
        end = before.find(before[:MARK_BYTES], start + MARK_BYTES)
        record = before[start : end if end >= 0 else len(before)]
        hit |= {number for number in range(TRACES) if trace_id(number) in record}
    segment.write_bytes(after)
    return hit


@pytest.mark.parametrize("seed", range(4))
def test_f10_flipped_at_random(
    seed: int, written: Path, run: Callable[..., Any], scripted: Callable[..., Any], tmp_path: Path
) -> None:
    """F10: bits flipped anywhere among rows that wait for a backend and rows that wait for parents cost no other row."""
    journal = tmp_path / "journal"
    shutil.copytree(written, journal)
    hit = flip(journal, random.Random(seed))
    backend = scripted(port=free_ports(1)[0])
    processor = run(JOURNAL_DIRECTORY=str(journal), **backend.settings)
    backend.start()
    for number in range(TRACES):
        send(processor, make_span(trace_id(number), 2, 1))
    eventually(lambda: not any(processor.accounting()[where] for where in ("queued", "journaled")))
    accounting = processor.accounting()
    assert {"damaged"} >= set(accounting["lost"])
    damaged = processor.status()["journal"]["damaged"]
    assert hit
    assert 1 <= damaged <= FLIPS
    assert 0 == processor.stop()
    assert any("damaged" in line["message"] for line in processor.log)
    arrived: dict[int, dict[int, str | None]] = {number: {} for number in range(TRACES)}
    for span in backend.spans:
        number = int.from_bytes(span.trace_id[5:8], "big")
        assert span.span_id[-1] not in arrived[number]
        arrived[number][span.span_id[-1]] = attributes(span).get("user.id")
    whole = {number: spans for number, spans in arrived.items() if number not in hit}
    assert {number: {1: "ann", 2: "ann", 3: "ann"} for number in whole} == whole
    assert all(2 in arrived[number] for number in hit)  # what comes afterwards is not harmed
    missing = sum(3 - len(spans) for spans in arrived.values())
    assert 2 * TRACES - accounting["recovered"] + lost(accounting) == missing <= damaged
