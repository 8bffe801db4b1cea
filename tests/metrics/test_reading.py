"""The snapshot: what is counted where, the identity in it, and attribute values from closed lists alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from craft import request, span

from processor.errors import ComeBackLater, MalformedRequest, TransientError, Unsupported, UnsupportedSignal
from processor.export.batch import Limits
from processor.export.export import Outcome
from processor.export.queue import Queue
from processor.labelling import Labelling
from processor.metrics.metrics import METRICS, Kind, Snapshot
from processor.metrics.reading import Sources, take_snapshot
from processor.pipeline_settings import key_settings
from processor.signals import Signal
from processor.trace.settings import BY_SHUTDOWN

DOCUMENT = """
variables:
  model:
    name: model
    labels: {small: {version: 3, serialized_value: '"s"'}}
    rollout: {labels: {small: 1.0}}
    overrides: []
"""


def read(sources: Sources, name: str) -> dict[tuple[str, ...], int]:
    """The points of a metric that are not 0, by their attributes' values."""
    points = take_snapshot(sources).numbers[name]
    return {tuple(point.attributes.values()): point.value for point in points if point.value}


def total(snapshot: Snapshot, name: str) -> int:
    return sum(point.value for point in snapshot.numbers[name])


def is_balanced(snapshot: Snapshot) -> bool:
    """S25."""
    accepted, *rest = (total(snapshot, f"spans.{name}") for name in ("accepted", "exported", "lost", "held", "queued"))
    return accepted == sum(rest)


def test_where_spans_are(make: Callable[..., Any]) -> None:
    """S25: accepted by transport; held, queued, exported and lost add up at each step."""

    async def run() -> None:
        parts = make()
        await parts.take(request(span(1), span(2, 1), span(3, 9)))
        await parts.take(request(span(1, trace=2)), "http/json")
        assert {("grpc",): 3, ("http/json",): 1} == read(parts.sources, "spans.accepted")
        assert {(): 1} == read(parts.sources, "spans.held")
        assert {("otlp",): 3} == read(parts.sources, "spans.queued")
        assert is_balanced(take_snapshot(parts.sources))
        parts.backend.outcome = Outcome(rejected=1)
        await parts.settle()
        assert {("otlp",): 2} == read(parts.sources, "spans.exported")
        assert {("otlp", "rejected"): 1} == read(parts.sources, "spans.lost")
        assert {} == read(parts.sources, "spans.queued")
        assert {("otlp", "success"): 1} == read(parts.sources, "export.attempts")
        assert {("decided",): 3} == read(parts.sources, "spans.released")
        assert is_balanced(take_snapshot(parts.sources))
        await parts.queue.close()

    asyncio.run(run())


def test_what_is_refused_and_malformed(make: Callable[..., Any]) -> None:
    """Refusals that the sender comes back after are apart from those for good; texts become words."""

    async def run() -> None:
        parts = make()
        with pytest.raises(ComeBackLater):
            await parts.take(bytes(2 << 20))
        with pytest.raises(MalformedRequest):
            await parts.take(b"\xff")
        await parts.take(request(span(1), b"\x0a\x01\x01", b"\x0a\x10\x01", b"\x0b"))
        for reason in ("memory", "draining", "loop", "too_large", "malformed"):
            parts.admission.refused[reason] += 1
        assert {("memory",): 2, ("draining",): 1} == read(parts.sources, "spans.refused")
        expected = {"trace_id": 1, "truncated": 1, "field": 1, "request": 2, "loop": 1, "too_large": 1}
        assert {(word,): count for word, count in expected.items()} == read(parts.sources, "spans.malformed")

    asyncio.run(run())


def test_values(make: Callable[..., Any]) -> None:
    """Inherited, filled, dropped and missing values, by key group and reason."""

    async def run() -> None:
        parts = make(baggage_keys=("plan",))
        root = span(1, 0, {"user.id": "ann", "plan": 5})
        await parts.take(request(root, span(2, 1), span(5, 9)))
        await parts.take(request(span(1, trace=2), resource={"session.id": "s"}))
        parts.pipeline.release_all(BY_SHUTDOWN, 100)
        assert {("user_id",): 1, ("session_id",): 1} == read(parts.sources, "values.inherited")
        assert {("user_id",): 1} == read(parts.sources, "values.filled")
        assert {("baggage", "not_a_string"): 1} == read(parts.sources, "values.dropped")
        missing = {("user_id", "no_value"): 1, ("session_id", "no_value"): 2, ("session_id", "memory"): 1}
        assert missing == read(parts.sources, "values.missing")

    asyncio.run(run())


def test_memory(make: Callable[..., Any]) -> None:
    """What is used is trees, queue and requests in flight; the limit is the setting's."""

    async def run() -> None:
        parts = make()
        await parts.take(request(span(1)))
        parts.admission.enter(1000)
        queued = read(parts.sources, "queue.bytes")[()]
        assert queued == parts.queue.used_bytes > 0
        assert queued + 1000 + parts.pipeline.cost == read(parts.sources, "memory.used")[()]
        assert {(): 4 << 20} == read(parts.sources, "memory.limit")

    asyncio.run(run())


def test_relayed_requests(make: Callable[..., Any]) -> None:
    """S31: requests of metrics and logs by what became of them; spans are not among them, nor they among spans."""

    async def run() -> None:
        parts = make()
        await parts.take(b"x", signal=Signal.METRICS)
        await parts.settle()
        parts.backend.outcome = Unsupported("no logs")
        await parts.take(b"x", signal=Signal.LOGS)
        for _ in range(20):
            await asyncio.sleep(0)
        with pytest.raises(UnsupportedSignal):
            await parts.take(b"x", signal=Signal.LOGS)
        expected = {("metrics", "exported"): 1, ("logs", "lost"): 1, ("logs", "unsupported"): 1}
        assert expected == read(parts.sources, "relay.requests")
        assert {} == read(parts.sources, "spans.lost") == read(parts.sources, "spans.exported")
        await parts.queue.close()

    asyncio.run(run())


def test_durations(make: Callable[..., Any]) -> None:
    """Attempts are in a histogram by outcome, held spans in one of their waits."""

    async def run() -> None:
        parts = make()
        parts.backend.outcome = TransientError("away")
        await parts.take(request(span(2, 1)))
        await parts.take(request(span(1)))
        await parts.settle()
        found = take_snapshot(parts.sources).distributions
        counted = {point.attributes["outcome"]: sum(point.counts) for point in found["export.duration"]}
        assert {"success": 0, "transient": 1, "permanent": 0, "too_large": 0, "unsupported": 0} == counted
        (holds,) = found["hold.duration"]
        assert (1, 0.0) == (holds.counts[0], holds.total)
        await parts.queue.close()

    asyncio.run(run())


def test_labels(make: Callable[..., Any], tmp_path: Path) -> None:
    """Labels by variable, and reloads by outcome, where variables are configured."""
    file = tmp_path / "variables.yaml"
    file.write_text(DOCUMENT)

    async def run() -> None:
        parts = make(variables_file=file)
        assert "labels.written" not in take_snapshot(parts.sources).numbers
        labelling = Labelling(parts.settings, key_settings(parts.settings), parts.pipeline, lambda: 0.0)
        await labelling.start()
        sources = Sources(parts.intake, parts.admission, parts.warnings, labelling, None, 4 << 20)
        await parts.take(request(span(1, 0, {"user.id": "ann"})))
        assert {("model",): 1} == read(sources, "labels.written")
        assert {("loaded",): 1} == read(sources, "variables.reloads")
        assert {"model"} == {point.attributes["variable"] for point in take_snapshot(sources).numbers["labels.failed"]}
        assert {"model": {"small": 3}} == labelling.status()["versions"]

    asyncio.run(run())


def test_downstreams_are_apart(make: Callable[..., Any]) -> None:
    """What belongs to a downstream is there for each, by its name; bytes of queues are a sum."""

    async def run() -> None:
        other = Queue(make().backend, Limits())
        parts = make({"other": other})
        await parts.take(request(span(1), span(2, 1)))
        await parts.settle()
        assert {("otlp",): 2} == read(parts.sources, "spans.exported")
        assert {("other",): 2} == read(parts.sources, "spans.queued")
        assert other.used_bytes == read(parts.sources, "queue.bytes")[()]
        await parts.queue.close()

    asyncio.run(run())


def test_every_metric_is_read_and_listed(make: Callable[..., Any]) -> None:
    """What is read is what is listed, but for labels and a journal that are not there; histograms are as listed."""
    snapshot = take_snapshot(make().sources)
    kinds: Mapping[str, Kind] = {metric.name: metric.kind for metric in METRICS}
    variables = {"labels.written", "labels.drifted", "labels.failed", "variables.reloads"}
    journal = {"spans.recovered", "spans.journaled", "journal.bytes", "journal.limit"}
    assert set(kinds) - variables - journal == {*snapshot.numbers, *snapshot.distributions}
    assert {name for name, kind in kinds.items() if kind is Kind.HISTOGRAM} == set(snapshot.distributions)
    assert len(kinds) == len(METRICS)
