"""Fields that are not what they should be: wire types, groups, field 0, lengths past their parent.

Tables come from upb's descriptors.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import wires
from craft import enclose, span
from engine import Engine, Left, Setup
from google.protobuf.descriptor import Descriptor
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.errors import MalformedRequest

BEFORE, AFTER = (span(7, 0, {"user.id": "u"}).SerializeToString(), span(8, 7).SerializeToString())
GOOD: bytes = span(1).SerializeToString()
# Where each kind of message stands in a span: the field numbers on the way down.
PATHS = {
    "Span": (), "KeyValue": (9,), "AnyValue": (9, 2), "ArrayValue": (9, 2, 5), "KeyValueList": (9, 2, 6), "value in an array": (9, 2, 5, 1),
    "pair in a list": (9, 2, 6, 1), "Event": (11,), "attribute of an event": (11, 3), "Link": (13,), "attribute of a link": (13, 4), "Status": (15,),
}  # fmt: skip
PAYLOADS = {wires.VARINT: b"\x01", wires.I64: bytes(8), wires.LEN: b"\x00", wires.I32: bytes(4)}


def wrap(path: tuple[int, ...], inner: bytes) -> bytes:
    """A span's bytes with `inner` inside the message at the path."""
    for number in reversed(path):
        inner = wires.field(number, inner)
    return GOOD + inner


def descriptor_at(path: tuple[int, ...]) -> Descriptor:
    """The message that stands at a path."""
    descriptor = Span.DESCRIPTOR
    for number in path:
        descriptor = descriptor.fields_by_number[number].message_type
    return descriptor


def wrong_types() -> Iterator[tuple[str, bytes]]:
    """Every known field of every message of a span with every wire type that is not its own."""
    for place, path in PATHS.items():
        for known in descriptor_at(path).fields:
            for wire_type, payload in PAYLOADS.items():
                if wire_type != wires.wire_type_of(known):
                    name = f"{place}.{known.name} as wire type {wire_type}"
                    yield name, wrap(path, wires.tag(known.number, wire_type) + payload)


def no_fields() -> Iterator[tuple[str, bytes]]:
    """Tags that are of no field at all, in every message of a span."""
    for place, path in PATHS.items():
        for number in (0, 1, 1000):
            group = wires.tag(number, wires.GROUP) + wires.tag(number, wires.END_GROUP)
            yield f"a group {number} in {place}", wrap(path, group)
            yield f"the end of a group {number} in {place}", wrap(path, wires.tag(number, wires.END_GROUP))
            yield f"wire type 6 of {number} in {place}", wrap(path, wires.tag(number, 6))
            yield f"wire type 7 of {number} in {place}", wrap(path, wires.tag(number, 7))
        for wire_type, payload in PAYLOADS.items():
            yield f"field 0 of wire type {wire_type} in {place}", wrap(path, wires.tag(0, wire_type) + payload)
        yield f"a field number over 2**29 in {place}", wrap(path, wires.varint(1 << 32 | wires.LEN) + b"\x00")


def lengths_past_their_parent() -> Iterator[tuple[str, bytes]]:
    """In every message of a span a field that says to be one byte longer than the message, which the next field would
    fill.
    """
    for place, path in PATHS.items():
        for payload in (b"\x01", b"\x05abcd", b"\x7f"):
            yield (
                f"{payload!r} in {place}",
                wrap(path, wires.tag(1000, wires.LEN) + payload) + wires.field(1000, b"after"),
            )
        yield (
            f"four of eight bytes in {place}",
            wrap(path, wires.tag(1000, wires.I64) + bytes(4)) + wires.field(1000, bytes(9)),
        )
        yield (
            f"two of four bytes in {place}",
            wrap(path, wires.tag(1000, wires.I32) + bytes(2)) + wires.field(1000, bytes(9)),
        )
        yield f"half a varint in {place}", wrap(path, wires.tag(1000, wires.VARINT) + b"\x80") + wires.field(1000, b"")
        yield f"half a tag in {place}", wrap(path, b"\xc0") + wires.field(1000, b"")


# At the top of a span the field after it is a part of it, so what is "past" there is past the span.
PAST = [(name, raw) for name, raw in lengths_past_their_parent() if not name.endswith(" in Span")]
PAST += [
    ("past the span", GOOD + b"\x4a\x7f"),
    ("half a fixed64", GOOD + b"\x39\x00"),
    ("half a fixed32", GOOD + b"\x85\x01\x00"),
]
PAST += [("a tag alone", GOOD + b"\x4a"), ("half a tag", GOOD + b"\x80"), ("half a varint", GOOD + b"\x30\x80")]


def deliver(*spans: bytes) -> tuple[list[Left], int]:
    """What leaves in the end of the spans between two good ones, and how many were rejected."""
    engine = Engine()
    left = engine.deliver(enclose([BEFORE, *spans, AFTER]))
    return left + engine.advance(1000.0), sum(engine.rejected.values())


@pytest.mark.parametrize("kind", [wrong_types, no_fields], ids=lambda kind: kind.__name__)
def test_wrong_fields(kind: type) -> None:
    """S9: a span with a wrong wire type, a group or field 0 anywhere in it is rejected, and it alone."""
    taken = [name for name, raw in kind() if (2, 1) != (len(deliver(raw)[0]), deliver(raw)[1])]
    assert [] == taken


def test_lengths_past_their_parent() -> None:
    """S9: a length is checked against the message around it, not against the request."""
    taken = [name for name, raw in PAST if (2, 1) != (len(deliver(raw)[0]), deliver(raw)[1])]
    assert [] == taken


@pytest.mark.parametrize("place", PATHS)
@pytest.mark.parametrize("number", [16 + 1, 31, 127, 1000, (1 << 29) - 1])
def test_unknown_fields(place: str, number: int) -> None:
    """S9, S11: unknown fields of any wire type, in any message, leave as they came."""
    unknown = b"".join(wires.tag(number, wire_type) + payload for wire_type, payload in PAYLOADS.items())
    raw = wrap(PATHS[place], unknown)
    left, rejected = deliver(raw)
    assert 0 == rejected
    assert raw in [each.raw for each in left]


@pytest.mark.parametrize("field", ["trace_id", "span_id"])
@pytest.mark.parametrize("size", [0, 1, 7, 8, 9, 15, 16, 17, 200])
def test_link_ids(field: str, size: int) -> None:
    """S9: a link's ids have their length or are left out; other lengths reject the span alone."""
    number = Span.Link.DESCRIPTOR.fields_by_name[field].number
    left, rejected = deliver(wrap((13,), wires.field(number, b"x" * size)))
    is_right = size in (0, 16 if field == "trace_id" else 8)
    assert (3 if is_right else 2, int(not is_right)) == (len(left), rejected)


IDS = [
    ("trace_id", 1, bytes(16)), ("trace_id", 1, b""), ("trace_id", 1, b"x" * 8), ("trace_id", 1, b"x" * 15), ("trace_id", 1, b"x" * 17),
    ("trace_id", 1, b"x" * 32), ("span_id", 2, bytes(8)), ("span_id", 2, b""), ("span_id", 2, b"x" * 7), ("span_id", 2, b"x" * 9),
    ("span_id", 2, b"x" * 16), ("parent_span_id", 4, b"x"), ("parent_span_id", 4, b"x" * 7), ("parent_span_id", 4, b"x" * 9),
    ("parent_span_id", 4, bytes(16)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "number", "value"), IDS)
def test_wrong_ids(name: str, number: int, value: bytes) -> None:
    """S9: a span whose trace or span id has a wrong length or is zero, or whose parent's id has a wrong length, is
    rejected alone.
    """
    left, rejected = deliver(GOOD + wires.field(number, value))
    assert (2, 1) == (len(left), rejected)


@pytest.mark.parametrize("missing", [1, 2])
def test_missing_ids(missing: int) -> None:
    """S9: so is a span without one."""
    left, rejected = deliver(wires.without(GOOD, missing))
    assert (2, 1) == (len(left), rejected)


def test_reasons_are_few() -> None:
    """S9: whatever is wrong with the bytes, the reasons that are counted come from a short closed list without data
    in it.
    """
    engine = Engine(Setup())
    reasons: set[str] = set()
    for _, raw in [*wrong_types(), *no_fields(), *PAST]:
        engine.deliver(enclose([raw]))
        reasons |= set(engine.rejected)
    assert 0 < len(reasons) <= 10


ENVELOPES = {
    "resource_spans as a varint": wires.field(1, 7),
    "scope_spans as a varint": wires.field(1, wires.field(2, 7)),
    "spans as a varint": wires.field(1, wires.field(2, wires.field(2, 7))),
    "a group": wires.tag(3, wires.GROUP) + wires.tag(3, wires.END_GROUP),
    "a group in resource_spans": wires.field(1, wires.tag(9, wires.GROUP) + wires.tag(9, wires.END_GROUP)),
    "field 0": b"\x02\x00",
    "a length past the request": b"\x0a\x05",
    "a scope past its resource": wires.field(1, b"\x12\x05") + wires.field(1, b"12345"),
    "a span past its scope": wires.field(1, wires.field(2, b"\x12\x05") + wires.field(1000, b"12345")),
    "a resource that is no message": wires.field(1, wires.field(1, b"\x0a")),
    "a scope that is no message": wires.field(1, wires.field(2, wires.field(1, b"\x0a"))),
    "text": b"GET / HTTP/1.1\r\n",
    "JSON": b'{"resourceSpans": []}',
}


@pytest.mark.parametrize("name", ENVELOPES)
def test_wrong_envelopes(name: str) -> None:
    """S9: bytes that are no request at all are refused whole, before any span is taken, even where good ones come
    first.
    """
    good = enclose([GOOD])
    for body in (ENVELOPES[name], good + ENVELOPES[name], ENVELOPES[name] + good):
        engine = Engine()
        with pytest.raises(MalformedRequest):
            engine.deliver(body)
        assert 0 == engine.pipeline.accepted


@pytest.mark.parametrize("body", [b"", enclose([]), wires.field(1, b""), wires.field(1000, b"x")])
def test_empty_requests(body: bytes) -> None:
    """A request without spans is a request; nothing leaves."""
    engine = Engine()
    assert [] == engine.deliver(body)
    assert [] == engine.chunks
