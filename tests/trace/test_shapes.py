"""Trees of every shape (S13): no hang, no recursion, each span once; interpreted each takes under two seconds."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

import pytest
import wires
from craft import enclose, key_value, request, span, span_id, trace_id
from engine import Engine, Left, Setup, by_name

U, V = {"user.id": "u"}, {"user.id": "v"}
USER = wires.field(9, key_value("user.id", "u").SerializeToString())
DEEP, WIDE = 10_000, 30_000


def bare(number: int, parent: int, more: bytes = b"") -> bytes:
    """A span of ids alone: quick to make and to read."""
    return wires.field(1, trace_id(1)) + wires.field(2, span_id(number)) + wires.field(4, span_id(parent)) + more


def run(engine: Engine, spans: Iterable[bytes]) -> Counter[bytes]:
    """The spans in one request; the suffixes of what leaves, MAX_WAIT included, each span once."""
    sent = list(spans)
    left = engine.deliver(enclose(sent)) + engine.advance(1000.0)
    heads = [each.raw[: -len(USER)] if each.raw.endswith(USER) else each.raw for each in left]
    assert sorted(each.removesuffix(USER) for each in sent) == sorted(heads)
    assert 0 == engine.pipeline.held
    return Counter(b"u" if each.raw.endswith(USER) else b"" for each in left)


@pytest.mark.parametrize("order", ["root first", "leaf first", "shuffled"])
def test_deep_chain(order: str) -> None:
    """S13: a chain of 10,000 spans inherits from end to end, in any order."""
    chain = [bare(1, 0, USER), *[bare(number, number - 1) for number in range(2, DEEP + 1)]]
    if order == "leaf first":
        chain.reverse()
    elif order == "shuffled":
        random.Random(1).shuffle(chain)
    assert {b"u": DEEP} == run(Engine(), chain)


def test_deep_chain_without_a_root() -> None:
    """S12, S13: a chain of 10,000 whose end is missing is given up whole, and the known part counts."""
    chain = [bare(2, 1, USER), *[bare(number, number - 1) for number in range(3, DEEP + 1)]]
    assert {b"u": DEEP - 1} == run(Engine(Setup(fill="none")), reversed(chain))


@pytest.mark.parametrize("is_first", [True, False])
def test_wide_tree(is_first: bool) -> None:
    """S13: 30,000 children of one root, before or after it."""
    children = [bare(number, 1) for number in range(2, WIDE + 1)]
    spans = [bare(1, 0, USER), *children] if is_first else [*children, bare(1, 0, USER)]
    engine = Engine(Setup(max_spans_per_trace=WIDE))
    assert {b"u": WIDE} == run(engine, spans)
    assert {"decided": WIDE} == dict(engine.pipeline.released)


def test_wide_circle() -> None:
    """S13: a circle of 2,000 spans with a value here and there ends, each span with the nearest value up its chain."""
    count = 2000
    spans = [bare(number, number % count + 1, USER if number % 500 == 0 else b"") for number in range(1, count + 1)]
    assert {b"u": count} == run(Engine(Setup(fill="none")), spans)


def test_circles() -> None:
    """S13: self-parents and circles of two and three wait for nobody for ever, and say what their chain says."""
    engine = Engine(Setup(fill="none"))
    spans = [span(1, 1, U), span(2, 3), span(3, 2, V), span(4, 5), span(5, 6, U), span(6, 4), span(7, 6), span(8, 8)]
    assert [] == engine.deliver(request(*spans))
    left = by_name(engine.advance(1000.0))
    assert [U, V, V, U, U, U, U, {}] == [left[f"span-1-{number}"] for number in range(1, 9)]


def test_circle_with_everything_known_is_decided() -> None:
    """S14: a circle on which all keys are known waits for nothing."""
    both = {"user.id": "u", "session.id": "s"}
    left = by_name(Engine().deliver(request(span(2, 3), span(3, 2, both), span(4, 2))))
    assert dict.fromkeys(("span-1-2", "span-1-3", "span-1-4"), both) == left


def by_order(left: list[Left]) -> list[tuple[str, str]]:
    """Name and user of what left, sorted."""
    return sorted((each.span.name, str(each.attributes.get("user.id"))) for each in left)


def test_twins() -> None:
    """S13: of several spans with one id the first received gives the context; each leaves as often as it came."""
    spans = [span(1), span(2, 1, U, name="first"), span(2, 1, V, name="second"), span(3, 2), span(2, 1, name="third")]
    for bodies in ([request(*spans)], [request(each) for each in spans]):
        engine = Engine()
        left = [each for body in bodies for each in engine.deliver(body)]
        expected = [("first", "u"), ("second", "v"), ("span-1-1", "None"), ("span-1-3", "u"), ("third", "None")]
        assert expected == by_order(left)


def test_twins_while_waiting() -> None:
    """S13: a twin that is a root does not decide for the first one, which waits for its own parent."""
    engine = Engine()
    assert [] == engine.deliver(request(span(2, 1, name="first"), span(3, 2)))
    assert [("twin", "v")] == by_order(engine.deliver(request(span(2, 0, V, name="twin"))))
    left = engine.deliver(request(span(1, 0, U)))
    assert [("first", "u"), ("span-1-1", "u"), ("span-1-3", "u")] == by_order(left)


@pytest.mark.parametrize("gap_s", [0.0, 100.0])
def test_twins_after_release(gap_s: float) -> None:
    """S13, S16: a twin of a remembered span does not take its place."""
    engine = Engine()
    engine.deliver(request(span(1, 0, U), span(2, 1, V)))
    assert [("span-1-2", "x")] == by_order(engine.deliver(request(span(2, 1, {"user.id": "x"})), gap_s))
    assert [("span-1-3", "v")] == by_order(engine.deliver(request(span(3, 2)), gap_s))


def test_same_span_many_times() -> None:
    """S13: a span that is received a thousand times leaves a thousand times."""
    engine = Engine()
    waiting = span(2, 1).SerializeToString()
    assert [] == engine.deliver(enclose([waiting] * 500))
    assert [] == engine.deliver(enclose([waiting] * 500))
    assert 1001 == len(engine.deliver(request(span(1, 0, U))))


def test_large_request_in_pieces() -> None:
    """S13: a request over several steps, its trees cut across them, is one request."""
    spans = [bare(number, number // 2, USER if number == 1 else b"") for number in range(9000, 0, -1)]
    engine = Engine(step=100)
    assert {b"u": 9000} == run(engine, spans)
    assert {"decided": 9000} == dict(engine.pipeline.released)


def test_work_left_over_is_not_lost() -> None:
    """S12, S18: with a root known, spans that contexts have not been carried down to yet leave with what their chain
    says, whatever comes first.
    """
    spans = [bare(1, 0, USER), *[bare(number, 1) for number in range(2, 9000)]]
    for after in ("advance", "release_all"):
        engine = Engine(Setup(fill="none"))
        pipeline = engine.pipeline
        scan = pipeline.scan(enclose(reversed(spans)))
        while scan.step(2000):
            pass
        index = 0
        while index < len(scan.spans):
            index = pipeline.ingest(scan, index, False, 0.0)
        left = engine.advance(1000.0) if after == "advance" else engine.release_all()
        assert len(spans) == len(left)
        assert all(each.raw.endswith(USER) for each in left)
