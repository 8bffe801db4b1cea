"""Spans of several senders in one pipeline (S28): chunks apart by all that is forwarded, traces by credentials alone."""

from __future__ import annotations

from craft import request, span
from engine import Setup, spans_of

from processor.header_names import HeaderNames
from processor.origin import Origin, Origins
from processor.pipeline import Pipeline

USER = {"user.id": "u"}
FORWARDED = HeaderNames(("authorization", "x-a"))
TENANTS = HeaderNames(("authorization",))


def origins_of(pipeline: Pipeline, most: int = 1000) -> Origins:
    return Origins(FORWARDED, TENANTS, b"key", pipeline.forget_groups, most)


def deliver(pipeline: Pipeline, body: bytes, origin: Origin) -> list[tuple[bytes, int, Origin]]:
    """A request of this origin; the chunks that leave at once."""
    scan = pipeline.scan(body, origin)
    while scan.step(100):
        pass
    pipeline.ingest(scan, 0, False, 0.0)
    while pipeline.work(100):
        pass
    return pipeline.take_chunks()


def test_a_trace_may_have_several_origins() -> None:
    """With the same credentials and another forwarded header a trace is one, and each span leaves with its own."""
    pipeline = Setup().pipeline()
    origins = origins_of(pipeline)
    first, second = (origins.of({"authorization": "a", "x-a": number}) for number in "12")
    assert [] == deliver(pipeline, request(span(2, 1)), first)
    chunks = deliver(pipeline, request(span(1, 0, USER)), second)
    assert {first: [2], second: [1]} == {
        origin: [left.span.span_id[-1] for left in spans_of(body)] for body, _, origin in chunks
    }
    assert {"u"} == {left.attributes["user.id"] for body, _, _ in chunks for left in spans_of(body)}


def test_equal_resources_stay_apart() -> None:
    """A resource and scope that two senders share are two groups: what is cached of one is not used for the other."""
    pipeline = Setup().pipeline()
    origins = origins_of(pipeline)
    for _ in range(2):
        for name in "ab":
            origin = origins.of({"authorization": name})
            ((_, count, left_by),) = deliver(pipeline, request(span(1, 0, USER)), origin)
            assert (1, origin) == (count, left_by)


def test_what_nothing_is_held_of_is_forgotten() -> None:
    """When too many senders are known, those of which nothing is held make room, however lately they came."""
    pipeline = Setup().pipeline()
    origins = origins_of(pipeline, most=3)
    deliver(pipeline, request(span(2, 1)), origins.of({"authorization": "holds"}))
    for number in range(20):
        deliver(pipeline, request(span(1, 0, USER)), origins.of({"authorization": str(number)}))
        assert 3 >= len(origins)
    ((_, _, origin),) = deliver(pipeline, request(span(1, 0, USER)), origins.of({"authorization": "holds"}))[-1:]
    assert (("authorization", "holds"),) == origin.headers
    assert 0 == origins.refused
