"""Spans back to requests (S27's limits, S11's bytes): chunks that are requests, nothing around the spans lost."""

from __future__ import annotations

import pytest
from craft import enclose, request, span
from engine import Engine, Setup, has_empty_parts, spans_of
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from wires import field, without

from processor.origin import NO_ORIGIN, Origin
from processor.span import Context, Group, Span
from processor.wire.frame import Framer

QUICK = settings(max_examples=150, derandomize=True, deadline=None, database=None)
SPANS = [span(number, 0, {"a": "x" * (number * 37 % 400)}).SerializeToString() for number in range(1, 41)]


NO_CONTEXT = Context({}, False)
ORIGINS = (NO_ORIGIN, Origin((("authorization", "a"),)))


def make_group(number: int, origin: Origin = NO_ORIGIN) -> Group:
    """A resource and scope: three resources, two scopes each."""
    extra = field(1000, b"extra") if number % 3 == 2 else b""
    return Group(extra, field(3, b"resource-%d" % (number // 2)), field(3, b"scope-%d" % number), [], origin)


def make_span(group: Group, raw: bytes) -> Span:
    """A span as far as framing goes."""
    return Span(raw, b"", b"", group, NO_CONTEXT)


@QUICK
@given(
    members=st.lists(st.tuples(st.integers(0, len(SPANS) - 1), st.integers(0, 5)), max_size=40),
    max_spans=st.integers(1, 20),
    max_bytes=st.sampled_from([1, 300, 1000, 10_000, 1 << 20]),
    taken_after=st.integers(0, 40),
)
def test_every_span_once(members: list[tuple[int, int]], max_spans: int, max_bytes: int, taken_after: int) -> None:
    """Whatever the limits, each span is in one chunk, once, with its own surroundings and origin; each chunk says right how many it has, none too many."""
    framer = Framer(max_spans, max_bytes)
    groups = [make_group(number, ORIGINS[number // 2 % 2]) for number in range(6)]
    spans = [make_span(groups[number], SPANS[member]) for member, number in members]
    chunks = []
    for part in (spans[:taken_after], spans[taken_after:]):
        framer.add(part, [b""] * len(part))
        chunks += framer.take()
    left = [(each, origin.headers) for chunk, _, origin in chunks for each in spans_of(chunk)]
    came = [(SPANS[member], groups[number]) for member, number in members]
    expected = [(raw, group.resource, group.scope, group.origin.headers) for raw, group in came]
    assert sorted(expected) == sorted((each.raw, each.resource, each.scope, headers) for each, headers in left)
    assert [len(list(spans_of(chunk))) for chunk, _, _ in chunks] == [count for _, count, _ in chunks]
    assert max_spans >= max([count for _, count, _ in chunks], default=0)
    assert not any(has_empty_parts(chunk) for chunk, _, _ in chunks)
    assert all(groups[2].extra in chunk for chunk, _, _ in chunks if b"scope-2" in chunk)


def test_origins_share_no_chunk() -> None:
    """S28: spans that came with different headers leave in different chunks, though they agree on all around them."""
    framer = Framer(100, 1 << 20)
    groups = [make_group(2, origin) for origin in ORIGINS]
    for index, raw in enumerate(SPANS[:6]):
        framer.add([make_span(groups[index % 2], raw)], [b""])
    found = [(origin, count, [each.raw for each in spans_of(chunk)]) for chunk, count, origin in framer.take()]
    assert [(ORIGINS[0], 3, SPANS[:6:2]), (ORIGINS[1], 3, SPANS[1:6:2])] == found


def test_suffixes() -> None:
    """S11: a span's suffix stands right behind its bytes, in its message."""
    framer = Framer(100, 1 << 20)
    framer.add([make_span(make_group(0), SPANS[0])], [field(9, b"")])
    ((chunk, count, _),) = framer.take()
    assert [SPANS[0] + field(9, b"")] == [each.raw for each in spans_of(chunk)]
    assert 1 == count


@pytest.mark.parametrize(
    "size", [0, 1, 100, 126, 127, 128, 129, 8190, 8191, 8192, 8193, 16_383, 16_384, 100_000, 3_000_000]
)
def test_sizes(size: int) -> None:
    """A span of any size is framed, with a suffix and without; upb reads the chunk."""
    for suffix in (b"", field(9, b"")):
        framer = Framer(100, 1 << 20)
        raw = field(1000, b"x" * size)
        framer.add([make_span(make_group(0), raw)], [suffix])
        framer.add([make_span(make_group(0), SPANS[0])], [b""])
        chunks = framer.take()
        assert {raw + suffix, SPANS[0]} == {each.raw for chunk, _, _ in chunks for each in spans_of(chunk)}
        assert all(ExportTraceServiceRequest.FromString(chunk) for chunk, _, _ in chunks)


def test_nothing() -> None:
    """Without spans there is no chunk, at the start and after taking."""
    framer = Framer(10, 1000)
    assert [] == framer.take()
    framer.add([make_span(make_group(0), SPANS[0])], [b""])
    assert 1 == len(framer.take())
    assert [] == framer.take()


def test_chunks_are_about_as_large_as_they_may_be() -> None:
    """S27: a chunk is cut when it is full, not before: 1,000 spans of 1 KB at 100 KB a chunk make some ten chunks, none much larger."""
    framer = Framer(10_000, 100_000)
    raw = span(1, 0, {"a": "x" * 950}).SerializeToString()
    for _ in range(1000):
        framer.add([make_span(make_group(0), raw)], [b""])
    sizes = [len(chunk) for chunk, _, _ in framer.take()]
    assert 110_000 > max(sizes)
    assert 9 <= len(sizes) <= 12


def test_one_large_span() -> None:
    """S27: a span larger than a chunk may be leaves alone."""
    framer = Framer(100, 10_000)
    large = field(1000, b"x" * 50_000)
    for raw in (SPANS[0], large, SPANS[1]):
        framer.add([make_span(make_group(0), raw)], [b""])
    assert [[SPANS[0]], [large], [SPANS[1]]] == [
        [each.raw for each in spans_of(chunk)] for chunk, _, _ in framer.take()
    ]


def test_a_request_passes_unchanged() -> None:
    """S11: a request of one resource and scope whose spans need nothing leaves byte for byte as it came, but for the spans' order."""
    body = request(*[span(number, 0, {"user.id": "u"}) for number in range(1, 50)], resource={"service.name": "a"})
    engine = Engine()
    left = engine.deliver(body)
    assert [len(body)] == [len(chunk) for chunk in engine.chunks]
    assert sorted(each.raw for each in spans_of(body)) == sorted(each.raw for each in left)
    engine.deliver(request(span(1, 0, {"user.id": "u"})))
    assert [request(span(1, 0, {"user.id": "u"}))] == engine.chunks


def test_schema_urls_and_unknown_fields_leave() -> None:
    """S11: so does one with fields of a later OTLP around its spans; they come before the spans."""
    resource, scope = field(1000, b"r") + field(3, b"url"), field(2000, 5) + field(3, b"url")
    body = field(99, b"top") + enclose([SPANS[0]], resource, scope)
    engine = Engine(Setup())
    engine.deliver(body)
    assert [body] == engine.chunks
    assert field(99, b"top") == without(engine.chunks[0], 1)
