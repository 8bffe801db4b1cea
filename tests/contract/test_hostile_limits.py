"""Too much of everything: attributes, depth, keys, spans, members. Bounded time, bounded contexts, neighbours
unharmed (S9, S10, S13).

Processor time is measured, not wall time, and the bounds are ten times what an interpreted run takes.
"""

from __future__ import annotations

import pytest
import wires
from craft import any_value, enclose, key_value, request, span, span_id, trace_id
from engine import Engine, Left, Setup
from lean import Lean

from processor.errors import MalformedRequest

GOOD: bytes = span(1, 0, {"user.id": "u"}).SerializeToString()
CHILD: bytes = span(2, 1).SerializeToString()
MAX_KEYS, MAX_BYTES = 64, 8192
LISTED = Setup(baggage=("langfuse",))
METADATA = "langfuse.trace.metadata."


def nested(levels: int, kind: str) -> bytes:
    """An AnyValue so many arrays or key-value lists deep."""
    inner: bytes = any_value("x").SerializeToString()
    for _ in range(levels):
        inner = (
            wires.field(5, wires.field(1, inner))
            if kind == "array"
            else wires.field(6, wires.field(1, wires.field(2, inner)))
        )
    return inner


def deep_span(levels: int, kind: str, where: str) -> bytes:
    """A span with a deep value in an attribute of its own, of an event or of a link."""
    attribute = wires.field(1, b"k") + wires.field(2, nested(levels, kind))
    return (
        GOOD
        + {
            "span": wires.field(9, attribute),
            "event": wires.field(11, wires.field(3, attribute)),
            "link": wires.field(13, wires.field(4, attribute)),
        }[where]
    )


@pytest.mark.parametrize("where", ["span", "event", "link"])
@pytest.mark.parametrize("kind", ["array", "kvlist"])
def test_depth(kind: str, where: str) -> None:
    """S9: what nests deeper than any backend reads is rejected alone; what is taken, upb takes; 25 levels, more than
    anybody sends, are taken.
    """
    lean = Lean()
    taken = []
    for levels in [*range(60), 100, 1000, 10_000]:
        engine = Engine()
        left = engine.deliver(enclose([deep_span(levels, kind, where), CHILD]))
        left += engine.advance(1000.0)
        assert 2 - sum(engine.rejected.values()) == len(left)
        assert all(lean.parses(chunk) for chunk in engine.chunks)
        if len(left) == 2:
            taken.append(levels)
    assert list(range(len(taken))) == taken
    assert 25 <= taken[-1] < 60


@pytest.mark.parametrize("kind", ["array", "kvlist"])
def test_deep_user_id(kind: str) -> None:
    """S7: a deep value under a key that is read is no string: it is cut, whatever is in it."""
    engine = Engine()
    left = engine.deliver(
        enclose([GOOD + wires.field(9, wires.field(1, b"user.id") + wires.field(2, nested(20, kind)))])
    )
    assert [{}] == [each.attributes for each in left]
    assert 2 == left[0].span.dropped_attributes_count


@pytest.mark.parametrize("number", [1, 2])
def test_deep_resources_and_scopes(number: int) -> None:
    """S9: a resource or scope ten thousand levels deep refuses the request, without a crash."""
    attribute = wires.field(1 if number == 1 else 3, wires.field(1, b"k") + wires.field(2, nested(10_000, "array")))
    scope = wires.field(2, (wires.field(1, attribute) if number == 2 else b"") + wires.field(2, GOOD))
    with pytest.raises(MalformedRequest):
        Engine().deliver(wires.field(1, (wires.field(1, attribute) if number == 1 else b"") + scope))


@pytest.mark.parametrize("key", ["a", "user.id", "langfuse.trace.metadata.x", "gen_ai.request.model.of.some.length"])
def test_many_attributes(key: str) -> None:
    """A span with 200,000 attributes of one key is read in linear time; of duplicates the last counts (S4)."""
    attribute = wires.field(9, key_value(key, "v").SerializeToString())
    last = wires.field(9, key_value("user.id", "last").SerializeToString())
    raw = GOOD + attribute * 200_000 + last
    engine = Engine(LISTED)
    left = engine.deliver(enclose([raw, CHILD]))
    assert [raw, "last"] == [left[0].raw, left[1].attributes["user.id"]]


def test_many_invalid_attributes() -> None:
    """S7: 100,000 invalid values under a canonical key are cut in linear time, and each is counted."""
    raw = span(1).SerializeToString() + wires.field(9, key_value("user.id", 5).SerializeToString()) * 100_000
    left = Engine().deliver(enclose([raw]))
    assert [span(1).attributes] == [each.span.attributes for each in left]
    assert 100_000 == left[0].span.dropped_attributes_count


def test_many_items() -> None:
    """S6: an array of 100,000 items, every second one bad, is judged in linear time; more than 8 KiB of it are not
    handed down (S10).
    """
    items = [text for _ in range(50_000) for text in ("t", "")]
    left = Engine(LISTED).deliver(request(span(1, 0, {"langfuse.trace.tags": items}), span(2, 1)))
    assert MAX_BYTES > len(left[1].raw) - len(CHILD)


def fan_out(root: bytes, count: int) -> bytes:
    """A root, and so many children."""
    children = [
        wires.field(1, trace_id(1)) + wires.field(2, span_id(10 + index)) + wires.field(4, span_id(1))
        for index in range(count)
    ]
    return enclose([root, *children])


def inherited(left: list[Left]) -> dict[str, object]:
    """What the spans but the first got; the same for all."""
    found = [each.attributes for each in left[1:]]
    assert [found[0]] * len(found) == found
    return found[0]


def test_many_keys_on_a_root_with_many_children() -> None:
    """S10: of 10,000 keys on a root each of 3,000 children gets at most 64 and 8 KiB, the user among them; the rest
    is counted.
    """
    pairs = [(f"{METADATA}{index}", "v" * 50) for index in range(10_000)] + [("user.id", "u"), ("session.id", "s")]
    engine = Engine(LISTED)
    left = engine.deliver(fan_out(span(1, 0, pairs).SerializeToString(), 3000))
    got = inherited(left)
    assert MAX_KEYS == len(got)
    assert {"user.id": "u", "session.id": "s"}.items() <= got.items()
    assert 10_000 - MAX_KEYS + 2 <= engine.pipeline.contexts.capped


def test_large_values() -> None:
    """S10: with long values the 8 KiB come first."""
    pairs = [(f"{METADATA}{index}", "ü" * 200) for index in range(64)]
    left = Engine(LISTED).deliver(fan_out(span(1, 0, pairs).SerializeToString(), 3))
    sizes = {len(each.raw) for each in left[1:]}
    assert MAX_BYTES - 500 < sizes.pop() - 30 <= MAX_BYTES


def test_nearest_keys_first() -> None:
    """S10: of keys on several ancestors the nearest ones are kept."""
    spans = [
        span(number, number - 1, {f"{METADATA}{number}.{index}": "v" for index in range(40)}) for number in range(1, 5)
    ]
    left = Engine(LISTED).deliver(request(*spans, span(5, 4)))
    got = {key.removeprefix(METADATA).split(".")[0] for key in left[4].attributes}
    assert MAX_KEYS == len(left[4].attributes)
    assert {"4", "3"} == got
    assert 40 == sum(key.startswith(METADATA + "4.") for key in left[4].attributes)


def test_a_span_over_the_limit_keeps_what_it_has() -> None:
    """S10, S11: a span with more keys than a context carries loses none of them, and still gets its user id beside
    the alias.
    """
    for count in range(60, 70):
        pairs = {
            "langfuse_user_id": "u",
            "langfuse.trace.tags": ["ok", 5],
            **{f"{METADATA}{index}": "v" for index in range(count)},
        }
        left = Engine(LISTED).deliver(request(span(1, 0, pairs)))
        assert {**pairs, "user.id": "u", "langfuse.trace.tags": ["ok"]} == left[0].attributes


def test_deep_chain_of_keys() -> None:
    """S10: a chain of 1,000 spans, each with three more keys, stays bounded in time and size."""
    spans = [
        span(number, number - 1, {f"{METADATA}{number}.{index}": "v" for index in range(3)})
        for number in range(1, 1001)
    ]
    engine = Engine(LISTED)
    left = engine.deliver(request(*reversed(spans)))
    assert MAX_KEYS + 1 >= max(len(each.attributes) for each in left)


def test_hostile_baggage() -> None:
    """S2: a header of any size and shape is parsed in linear time, and bounded."""
    headers = [
        "a=" + "b" * 8000,
        "," * 1_000_000,
        "=" * 1_000_000,
        "a=b;" * 250_000,
        "%" * 1_000_000,
        " " * 1_000_000,
        "langfuse_tags=[" + "'a'," * 2500,
        "langfuse_tags=" + "[" * 4000,
    ]
    for header in headers:
        left = Engine(LISTED).deliver(
            request(span(1, 0, {"http.request.header.baggage": header, "user.id": "u"}), span(2, 1))
        )
        assert "u" == left[1].attributes["user.id"]
        assert MAX_BYTES > len(left[1].raw)
