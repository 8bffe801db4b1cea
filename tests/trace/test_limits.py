"""Floods (S17): far more traces than are remembered or fit; every span leaves, and memory stays where it should."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import wires
from engine import Setup

from processor.pipeline import STEP, Pipeline

TRACES = 200_000
PER_REQUEST = 2000


def requests(parent: bytes) -> Iterator[bytes]:
    """Requests with one span for each of TRACES traces, in bytes that are quickly made."""
    rest = b"\x12\x08" + b"\x01" * 8 + (b"\x22\x08" + parent if parent else b"") + wires.field(5, b"name")
    for first in range(0, TRACES, PER_REQUEST):
        spans = [
            wires.field(2, b"\x0a\x10" + (number + 1).to_bytes(16, "big") + rest)
            for number in range(first, first + PER_REQUEST)
        ]
        yield wires.field(1, wires.field(2, b"".join(spans)))


def take(pipeline: Pipeline, body: bytes, now_s: float) -> int:
    """Take a request; how many spans left."""
    scan = pipeline.scan(body)
    while scan.step(STEP):
        pass
    index = 0
    while index < len(scan.spans):
        index = pipeline.ingest(scan, index, False, now_s)
    while pipeline.work(STEP):
        pass
    return sum(count for _, count, _ in pipeline.take_chunks())


@pytest.mark.parametrize("remembered", [1, 1000])
def test_many_traces_of_one_span(remembered: int) -> None:
    """S16, S17: of 200,000 traces, each with a root alone, no more are known than may be remembered; each span leaves."""
    pipeline = Setup(remember_traces=remembered).pipeline()
    left = 0
    for number, body in enumerate(requests(b"")):
        left += take(pipeline, body, number * 0.01)
        assert remembered >= len(pipeline.buffer.memory.traces)
    assert TRACES == left == pipeline.accepted
    assert 0 == pipeline.held
    assert TRACES - remembered == pipeline.buffer.memory.forgotten["count"]


def test_many_orphans_under_a_limit() -> None:
    """S17: 200,000 traces of a span whose parent never comes, ten times what fits: the oldest leave early, counted,
    none is dropped, and the estimate stays below the limit.
    """
    limit = 20_000 * 1000
    pipeline = Setup().pipeline()
    left = 0
    for number, body in enumerate(requests(b"\x02" * 8)):
        left += take(pipeline, body, number * 0.01)
        pipeline.make_room(limit, True)
        left += sum(count for _, count, _ in pipeline.take_chunks())
        assert limit >= pipeline.cost
        assert pipeline.accepted == left + pipeline.held
    assert 100_000 < left == pipeline.released["memory"]
    while pipeline.release_all("shutdown", STEP):
        pass
    assert TRACES == left + sum(count for _, count, _ in pipeline.take_chunks())
    assert 0 == pipeline.held
