"""How time and memory grow with what comes (S9, S17): linear, no amplification, nothing kept that has left."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable

import pytest
import wires
from craft import any_value, enclose, key_value, span
from engine import Engine, Setup

GOOD: bytes = span(1, 0, {"user.id": "u"}).SerializeToString()
CHILD: bytes = span(2, 1).SerializeToString()
LISTED = Setup(baggage=("langfuse",))

REPEATED: dict[str, Callable[[bytes], bytes]] = {
    "unknown fields of a request": lambda inner: enclose([GOOD, CHILD]) + inner,
    "unknown fields of a resource": lambda inner: wires.field(
        1, wires.field(1, inner) + wires.field(2, wires.field(2, GOOD) + wires.field(2, CHILD))
    ),
    "unknown fields around a resource": lambda inner: wires.field(
        1, inner + wires.field(2, wires.field(2, GOOD) + wires.field(2, CHILD))
    ),
    "unknown fields around a scope": lambda inner: enclose([GOOD, CHILD], scope=inner),
    "unknown fields of a span": lambda inner: enclose([GOOD + inner, CHILD]),
    "unknown fields of an attribute": lambda inner: enclose([GOOD + wires.field(9, inner), CHILD]),
}


def assert_taken(make: Callable[[int], bytes], count: int) -> None:
    """A request of so many pieces is taken whole: with a quadratic step in it the test would not come to an end."""
    engine = Engine(LISTED)
    engine.drive(make(4 * count))
    assert 2 == engine.pipeline.accepted


@pytest.mark.parametrize("name", REPEATED)
def test_many_unknown_fields(name: str) -> None:
    """S9: hundreds of thousands of unknown fields anywhere are passed through in linear time, and leave as they came."""
    make = REPEATED[name]
    assert_taken(lambda count: make(wires.field(1000, b"") * count), 100_000)
    body = make(wires.field(1000, b"") * 10_000)
    engine = Engine()
    engine.deliver(body)
    size = sum(map(len, engine.chunks))
    assert len(body) + 100 > size >= len(body)


PIECES = {
    "values": wires.field(2, any_value(True).SerializeToString()),
    "arrays": wires.field(2, any_value(["t"]).SerializeToString()),
    "keys": wires.field(1, b"user.id"),
}


@pytest.mark.parametrize("key", ["a", "user.id", "langfuse.trace.tags"])
@pytest.mark.parametrize("name", PIECES)
def test_many_pieces_of_an_attribute(name: str, key: str) -> None:
    """S9: an attribute whose key or value comes in a hundred thousand pieces is read in linear time."""
    last = wires.field(1, key.encode())
    assert_taken(lambda count: enclose([GOOD + wires.field(9, PIECES[name] * count + last), CHILD]), 30_000)


def test_many_arrays_in_a_value() -> None:
    """S6, S9: so is a value that holds a hundred thousand arrays, which protobuf reads as one."""
    key, array = (
        wires.field(1, b"langfuse.trace.tags"),
        wires.field(5, wires.field(1, any_value("t").SerializeToString())),
    )
    assert_taken(lambda count: enclose([GOOD + wires.field(9, key + wires.field(2, array * count)), CHILD]), 30_000)


def large_resource(scopes: int, spans: int) -> bytes:
    """A resource of 100 KB, so many scopes of different names in it, so many spans in each."""
    resource = wires.field(1, wires.field(1, key_value("k", "x" * 100_000).SerializeToString()))
    numbers = iter(range(1, scopes * spans + 1))
    sections = [
        wires.field(
            2,
            wires.field(1, wires.field(1, b"scope-%d" % scope))
            + wires.joined([span(next(numbers)).SerializeToString() for _ in range(spans)], 2),
        )
        for scope in range(scopes)
    ]
    return wires.field(1, resource + b"".join(sections))


AMPLIFIERS = {
    "many scopes of a large resource": (large_resource(1000, 1), LISTED),
    "a resource larger than a chunk": (large_resource(1, 1000), Setup(chunk_bytes=50_000)),
    "large unknown fields around": (wires.field(1000, b"x" * 100_000) + large_resource(1, 1000), Setup(chunk_bytes=50_000)),
    "many resources with large unknown fields around": (
        wires.field(1000, b"x" * 100_000) + b"".join(enclose([span(n).SerializeToString()], wires.field(3, b"%d" % n)) for n in range(1, 1000)),
        Setup(chunk_bytes=50_000),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", AMPLIFIERS)
def test_what_leaves_is_not_much_more_than_what_came(name: str) -> None:
    """S17: however a request is built, what leaves of it is no multiple of what came: its resource is not repeated
    for each scope or span.
    """
    body, setup = AMPLIFIERS[name]
    engine = Engine(setup)
    engine.deliver(body)
    size = sum(map(len, engine.chunks))
    assert 3 * len(body) > size >= len(body) * 0.9


def large_surroundings(parent: int, around: str) -> list[bytes]:
    """40 requests of a span each, with a resource, a scope or other fields of 500 KB of different bytes around it."""
    bodies = []
    for index in range(40):
        raw, text = span(2, parent, trace=index + 1).SerializeToString(), b"%010d" % index * 50_000
        kinds = {
            "resource": enclose([raw], resource=wires.field(3, text)),
            "scope": enclose([raw], scope=wires.field(3, text)),
            "request": enclose([raw]) + wires.field(1000, text),
        }
        bodies.append(kinds[around])
    return bodies


@pytest.mark.parametrize("around", ["resource", "scope", "request"])
def test_what_was_around_spans_is_let_go(around: str) -> None:
    """S17: large resources, scopes and unknown fields whose spans have all left are not kept."""
    engine = Engine()
    tracemalloc.start()
    for body in large_surroundings(0, around):
        assert 1 == len(engine.deliver(body))
    engine.take()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 10 * 500_000 > kept


@pytest.mark.parametrize("around", ["resource", "scope", "request"])
def test_what_is_around_held_spans_costs(around: str) -> None:
    """S17: what is around a held span is a part of what is held."""
    engine = Engine()
    for body in large_surroundings(1, around):
        assert [] == engine.deliver(body)
    assert 40 * 500_000 < engine.cost
    assert 40 == len(engine.advance(400.0))
    assert 500_000 > engine.cost
