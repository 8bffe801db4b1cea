"""Cutting attributes out of a span's bytes, and growing its drop count (S7, S11), against upb."""

from __future__ import annotations

import pytest
import wires
from craft import key_value, span
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.wire.splice import add_dropped, cut_attributes, replace_fields

KEYS = ["a", "b", "user.id", ""]
VALUES = [1, "x", "", None, ["a"], "y" * 200]
ORDERS = {"ascending": wires.ascending, "descending": wires.descending, "shuffled": wires.shuffled(5)}
QUICK = settings(max_examples=150, derandomize=True, deadline=None, database=None)
UINT32 = (1 << 32) - 1


@QUICK
@given(
    pairs=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=8),
    cut=st.sets(st.sampled_from(KEYS)),
    order=st.sampled_from(sorted(ORDERS)),
)
def test_cut(pairs: list[tuple[str, object]], cut: set[str], order: str) -> None:
    """S7: all attributes of the keys go, counted; everything else stays byte for byte, in its order."""
    built = span(1, 2, pairs, kind=3, dropped_attributes_count=1)
    built.events.add().attributes.append(key_value("a", 1))
    raw = wires.reorder(built.SerializeToString() + wires.field(1000, b"?"), Span.DESCRIPTOR, ORDERS[order])
    expected = [found.raw for found in wires.fields(raw) if found.number != 9 or key_of(found.payload) not in cut]
    assert (b"".join(expected), sum(key in cut for key, _ in pairs)) == cut_attributes(
        raw, {key.encode() for key in cut}
    )


def key_of(attribute: bytes) -> str:
    """The key of a KeyValue's bytes."""
    return str(KeyValue.FromString(attribute).key)


def test_repeated_keys_in_an_attribute() -> None:
    """Of a KeyValue's several keys the last is its key, as in every decoder."""
    field = wires.field(9, wires.field(1, b"a") + wires.field(1, b"b"))
    assert (b"", 1) == cut_attributes(field, {b"b"})
    assert (field, 0) == cut_attributes(field, {b"a"})


def test_nothing_to_cut() -> None:
    """Without the keys a span's bytes are the same."""
    raw = span(1, 0, {"a": 1}).SerializeToString()
    assert (raw, 0) == cut_attributes(raw, {b"b"})
    assert (b"", 0) == cut_attributes(b"", {b"b"})


COUNTS = [
    ([], 1, 1),
    ([3], 2, 5),
    ([3, 7], 1, 8),
    ([UINT32], 1, UINT32),
    ([UINT32 - 1], 5, UINT32),
    ([1 << 35], 4, 4),
    ([0], 1, 1),
]


@pytest.mark.parametrize(("counts", "more", "expected"), COUNTS)
@pytest.mark.parametrize("tag_size", [1, 3])
def test_drop_count(counts: list[int], more: int, expected: int, tag_size: int) -> None:
    """S7: the count grows, the last of several counting, bounded by uint32; one field of it is left, everything else stays."""
    around = [wires.field(2, b"12345678"), *[wires.field(12, number) for number in range(len(counts))]]
    fields = [wires.tag(10, wires.VARINT, tag_size) + wires.varint(count) for count in counts]
    mixed = b"".join(part for pair in zip(around, [*fields, b""], strict=True) for part in pair)
    grown = add_dropped(mixed, more)
    assert expected == Span.FromString(grown).dropped_attributes_count
    assert b"".join(around) == wires.without(grown, 10)
    assert 1 == sum(found.number == 10 for found in wires.fields(grown))


@QUICK
@given(
    pairs=st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES)), max_size=8),
    order=st.sampled_from(sorted(ORDERS)),
)
def test_replace(pairs: list[tuple[str, object]], order: str) -> None:
    """Fields are replaced, left out or kept where they are; everything else stays byte for byte."""
    raw = wires.reorder(span(1, 2, pairs, kind=3).SerializeToString(), Span.DESCRIPTOR, ORDERS[order])
    other = key_value("other", 1).SerializeToString()

    def replace(content: bytes) -> bytes | None:
        return {"a": other, "b": None}.get(key_of(content), content)

    expected = []
    for found in wires.fields(raw):
        content = replace(found.payload) if found.number == 9 else None
        if found.number != 9 or content == found.payload:
            expected.append(found.raw)
        elif content is not None:
            expected.append(wires.field(9, content))
    assert b"".join(expected) == replace_fields(raw, 0x4A, replace)


def test_nothing_to_replace() -> None:
    """What is not changed is not even copied."""
    raw = span(1, 2, {"a": 1}).SerializeToString()
    assert raw is replace_fields(raw, 0x4A, lambda content: content)
