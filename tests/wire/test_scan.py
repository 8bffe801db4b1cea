"""Request bytes to spans: what a scan hands out, in which order and pieces. Malformed bytes are in tests/contract."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest
import wires
from craft import CLIENT, CONSUMER, INTERNAL, PRODUCER, SERVER, enclose, request, span, span_id, trace_id
from engine import Setup

from processor.errors import MalformedRequest
from processor.pipeline import Pipeline
from processor.span import IS_ENTRY
from processor.wire.scan import Scan


def scan_all(body: bytes, pipeline: Pipeline | None = None, step: int = 1000) -> Scan:
    """A finished scan."""
    scan = (pipeline or Setup().pipeline()).scan(body)
    while scan.step(step):
        pass
    return scan


def test_spans_in_order() -> None:
    """Spans come in the order of the request, with their bytes and ids as they stand there."""
    spans = [span(1), span(2, 1), span(3, 2, trace=2)]
    scan = scan_all(request(*spans[:2]) + request(spans[2]))
    assert [each.SerializeToString() for each in spans] == [each.raw for each in scan.spans]
    assert [each.span_id for each in spans] == [each.span_id for each in scan.spans]
    assert [each.parent_span_id for each in spans] == [each.parent_id for each in scan.spans]
    assert [(trace_id(1), 0), (trace_id(2), 2)] == list(zip(scan.trace_ids, scan.starts, strict=True))
    assert {} == scan.rejected


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
def test_any_step(step: int) -> None:
    """A scan reads at most so many spans a step, rejected ones included, and the same in the end, like spans or new."""
    usual = {"name": "chat", "kind": CLIENT, "start_time_unix_nano": 1, "end_time_unix_nano": 2}
    good = [span(number, **usual).SerializeToString() for number in range(1, 11)]
    body = enclose([*good[:5], b"\xff", *good[5:]]) + enclose([]) + enclose(good)
    pipeline = Setup().pipeline()
    for _ in range(3):
        scan = pipeline.scan(body)
        seen = 0
        while scan.step(step):
            now = len(scan.spans) + sum(scan.rejected.values())
            assert seen < now <= seen + step
            seen = now
        assert good + good == [each.raw for each in scan.spans]
        assert 1 == sum(scan.rejected.values())
        assert not scan.step(step)


def test_spans_come_by_trace() -> None:
    """Neighbours of one trace are told together: traces are looked up once a run, not once a span. What is rejected
    between them is not there, what is of another trace begins a new run.
    """
    raws = [each.SerializeToString() for each in (span(1), span(2, 1), span(1, trace=2), span(3, 1), span(4, 1))]
    scan = scan_all(enclose([b"\xff", raws[0], b"\xff", *raws[1:]]))
    assert [trace_id(1), trace_id(2), trace_id(1)] == scan.trace_ids
    assert [0, 2, 3] == scan.starts


@pytest.mark.parametrize("indexes", [[], [0], [1, 2], [0, 3], [2, 4], [3, 4], [0, 1, 2, 3, 4]])
def test_keep(indexes: list[int]) -> None:
    """What is kept of a scan is as if nothing else had been in the request."""
    spans = [span(1, 0, {"user.id": "a"}), span(2, 1), span(1, trace=2), span(3, 1, {"user.id": "b"}), span(4, 1)]
    pipeline = Setup().pipeline()
    kept, alone = scan_all(request(*spans), pipeline), scan_all(request(*[spans[at] for at in indexes]), pipeline)
    kept.keep(indexes)
    assert told(alone) == told(kept)


def told(scan: Scan) -> tuple[object, ...]:
    """What a scan says of its spans."""
    hits = [[(hit.slot, hit.key, hit.value) for hit in found] for found in scan.hits]
    return [each.raw for each in scan.spans], scan.trace_ids, scan.starts, scan.said_at, hits


PLACES: list[tuple[dict[str, Any], bool]] = [
    ({"kind": SERVER}, True),
    ({"kind": CONSUMER}, True),
    ({"kind": CLIENT}, False),
    ({"kind": PRODUCER}, False),
    ({"kind": INTERNAL}, False),
    ({}, False),
    ({"kind": SERVER, "flags": 0x100}, False),
    ({"kind": SERVER, "flags": 0x300}, True),
    ({"flags": 0x300}, True),
    ({"flags": 0x301}, True),
    ({"flags": 0xFFFFFFFF}, True),
    ({"flags": 0x200}, False),
    ({"kind": SERVER, "flags": 0x200}, True),
    ({"flags": 0x1}, False),
    ({"kind": SERVER, "flags": 0x1}, True),
    ({"kind": 77}, False),
]


@pytest.mark.parametrize(("fields", "is_entry"), PLACES)
def test_place(fields: dict[str, Any], is_entry: bool) -> None:
    """The words: flags that say where the parent is beat the kind; without HAS_IS_REMOTE a SERVER or CONSUMER is an entry."""
    (each,) = scan_all(request(span(2, 1, **fields))).spans
    assert is_entry == (each.state & IS_ENTRY != 0)


@pytest.mark.parametrize("parent", [b"", bytes(8)])
def test_no_parent(parent: bytes) -> None:
    """The words: an empty parent id and one of zeros are none."""
    raw = span(1).SerializeToString() + wires.field(4, parent)
    assert [b""] == [each.parent_id for each in scan_all(enclose([raw])).spans]


def test_attributes_of_interest() -> None:
    """Only attributes of interest are looked at; the usual span has none, and costs nothing."""
    attributes = {"a": 1, "user.id": "u", "http.request.method": "GET", "enduser.id": ["x"]}
    scan = scan_all(request(span(1, 0, {"a": "b", "user.ix": "u"}), span(2, 0, attributes)))
    assert [1] == scan.said_at
    assert [[b"user.id", b"enduser.id"]] == [[hit.key for hit in found] for found in scan.hits]


def test_groups_are_shared() -> None:
    """Spans with the same resource and scope bytes belong to one group, in one request and in several."""
    pipeline = Setup().pipeline()
    scans = [scan_all(request(span(1), span(2), resource={"service.name": "a"}), pipeline) for _ in range(2)]
    other = scan_all(request(span(1), resource={"service.name": "b"}), pipeline)
    groups = {id(each.group) for scan in scans for each in scan.spans}
    assert 1 == len(groups)
    assert id(other.spans[0].group) not in groups


def test_what_is_around_spans() -> None:
    """A group keeps what is around its spans, unknown fields and schema URLs included, as bytes, field by field in order."""
    resource = wires.field(1000, b"a") + wires.field(1, b"") + wires.field(3, b"url")
    scope = wires.field(3, b"url") + wires.field(1, wires.field(1, b"n")) + wires.field(77, 7)
    body = wires.field(99, b"top") + enclose([span(1).SerializeToString()], resource, scope)
    (each,) = scan_all(body).spans
    assert (wires.field(99, b"top"), resource, scope) == (each.group.extra, each.group.resource, each.group.scope)


@pytest.mark.parametrize("body", [b"\x0a", b"\x08\x01", b"\x0a\x02\x12\x05", b"\xff" * 20, b"{}"])
def test_no_request(body: bytes) -> None:
    """S9: bytes that are no request raise before a span is handed out, with a reason that quotes none of them."""
    with pytest.raises(MalformedRequest, match=r"^not an ExportTraceServiceRequest: [a-z0-9 ,]+$"):
        Setup().pipeline().scan(body)


def test_rejected_spans_are_counted_by_reason() -> None:
    """S9: spans that are left out are counted by reason."""
    good = span(1).SerializeToString()
    no_trace = wires.field(2, span_id(1))
    no_span = wires.field(1, trace_id(1))
    scan = scan_all(enclose([good, no_trace, no_trace, no_span, b"\x0a\x05", good]))
    assert [good, good] == [each.raw for each in scan.spans]
    assert [1, 1, 2] == sorted(scan.rejected.values())


def test_a_request_of_empty_spans_is_read_in_little_memory() -> None:
    """F24: between two steps a request keeps a fraction of its bytes beside them, however many spans there are."""
    body = enclose([b""] * 200_000)
    pipeline = Setup().pipeline()
    tracemalloc.start()
    try:
        scan = pipeline.scan(body)
        assert scan.step(10)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(body) / 10 > kept
    assert 10 == sum(scan.rejected.values())
