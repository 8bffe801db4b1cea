"""Valid messages in encodings that no usual writer produces: overlong varints, repeated fields, any order.

upb says what they mean.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import wires
from compare import replay
from craft import any_value, enclose, key_value, request, span, span_id, trace_id
from engine import Engine, Setup, by_name
from google.protobuf.descriptor import Descriptor
from lean import Lean
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from oracle import Delivery
from rich_request import rich_request

SETUP = Setup(baggage=("langfuse", "tenant"))
GOOD = span(1).SerializeToString()
CHILD = span(2, 1).SerializeToString()


def assert_as_upb(body: bytes) -> None:
    """The engine understands a request as upb does, to the last value."""
    replay(SETUP, [Delivery(0.0, body), 1000.0])


def pad(data: bytes, descriptor: Descriptor, tag_size: int, length_size: int, varint_size: int) -> bytes:
    """A message with every tag, length and varint written in at least so many bytes, at every level."""
    padded = []
    for found in wires.fields(data):
        known = descriptor.fields_by_number.get(found.number)
        payload = found.payload
        if known is not None and known.message_type is not None:
            payload = pad(payload, known.message_type, tag_size, length_size, varint_size)
        head = wires.tag(found.number, found.wire_type, tag_size)
        if found.wire_type == wires.LEN:
            head += wires.varint(len(payload), length_size)
        elif found.wire_type == wires.VARINT:
            payload = wires.varint(wires.read_varint(payload, 0)[0], varint_size)
        padded.append(head + payload)
    return b"".join(padded)


@pytest.mark.parametrize(
    "sizes", [(2, 1, 1), (1, 2, 1), (1, 1, 2), (3, 3, 3), (5, 5, 10), (5, 1, 1), (1, 5, 1), (1, 1, 10)]
)
def test_overlong_varints_are_understood(sizes: tuple[int, int, int]) -> None:
    """Tags and lengths of up to five bytes and varints of up to ten mean what they mean to upb, in every field."""
    body = pad(rich_request(), ExportTraceServiceRequest.DESCRIPTOR, *sizes)
    assert ExportTraceServiceRequest.FromString(rich_request()) == ExportTraceServiceRequest.FromString(body)
    assert_as_upb(body)


@pytest.mark.parametrize("size", range(1, 13))
@pytest.mark.parametrize("what", ["tag", "length", "varint", "inner tag", "inner length", "unknown tag"])
def test_longer_varints(what: str, size: int) -> None:
    """S9: of longer varints a span is taken exactly where upb takes it, and rejected alone where upb would refuse the
    whole request.
    """
    padded = {
        "tag": wires.tag(5, wires.LEN, size) + b"\x01n",
        "length": wires.tag(5, wires.LEN) + wires.varint(1, size) + b"n",
        "varint": wires.tag(12, wires.VARINT) + wires.varint(1, size),
        "inner tag": wires.field(9, wires.tag(1, wires.LEN, size) + b"\x01k"),
        "inner length": wires.field(9, wires.tag(1, wires.LEN) + wires.varint(1, size) + b"k"),
        "unknown tag": wires.tag(1000, wires.LEN, size) + b"\x01x",
    }[what]
    raw = GOOD + padded
    engine = Engine()
    left = engine.deliver(enclose([raw, CHILD]))
    left += engine.advance(1000.0)
    assert Lean().takes_span(raw) == (raw in [each.raw for each in left])
    assert CHILD in [each.raw for each in left]


def test_ten_byte_varints_with_high_bits() -> None:
    """A varint of ten bytes whose last is not 0 or 1 is taken exactly where upb takes it."""
    for last in (0, 1, 2, 0x7F):
        raw = GOOD + wires.tag(12, wires.VARINT) + b"\xff" * 9 + bytes([last])
        engine = Engine()
        engine.deliver(enclose([raw]))
        assert Lean().takes_span(raw) == (not engine.rejected)


def attribute(*parts: bytes) -> bytes:
    """An attributes field with these parts of a KeyValue."""
    return wires.field(9, b"".join(parts))


def key(text: str) -> bytes:
    """KeyValue.key."""
    return wires.field(1, text.encode())


def value(content: object) -> bytes:
    """KeyValue.value."""
    return wires.field(2, any_value(content).SerializeToString())


KEY, TAGS = key("user.id"), key("langfuse.trace.tags")
LONG = "x" * 201
REPEATED = {
    "value: the last string": attribute(KEY, value("v"), value("u")),
    "value: a string after an array": attribute(KEY, value(["v"]), value("u")),
    "value: an array after a string": attribute(KEY, value("v"), value(["u"])),
    "value: merged with nothing": attribute(KEY, value("u"), value(None)),
    "value: a number after a string": attribute(KEY, value("v"), value(5)),
    "value: two strings in one": attribute(KEY, wires.field(2, wires.field(1, b"v") + wires.field(1, b"u"))),
    "value: a string, then a bool in one": attribute(KEY, wires.field(2, wires.field(1, b"v") + wires.field(2, 1))),
    "value: unknown fields in it": attribute(KEY, wires.field(2, wires.field(99, b"x") + wires.field(1, b"u"))),
    "value first": attribute(value("u"), KEY),
    "key: the last": attribute(key("a"), value("u"), KEY),
    "key: no longer ours": attribute(KEY, value("u"), key("a")),
    "key: unknown fields beside it": attribute(wires.field(99, 1), KEY, wires.field(99, b"x"), value("u")),
    "attribute: two of a key": attribute(KEY, value("v")) + attribute(KEY, value("u")),
    "attribute: the last one empty": attribute(KEY, value("")),
    "attribute: no value": attribute(KEY),
    "attribute: no key": attribute(value("u")),
    "attribute: nothing": attribute(),
    "tags: merged arrays": attribute(TAGS, value(["a"]), value(["b"])),
    "tags: a bad item in the first array": attribute(TAGS, value([LONG]), value(["b"])),
    "tags: a bad item in the second": attribute(TAGS, value(["a"]), value([5])),
    "tags: two arrays in one value": attribute(TAGS, wires.field(2, 2 * wires.field(5, wires.field(1, wires.field(1, b"a"))))),
    "tags: a string between arrays": attribute(TAGS, value(["a"]), value("x"), value(["b"])),
    "tags: only unknown fields in the array": attribute(TAGS, wires.field(2, wires.field(5, wires.field(9, 1)))),
    "tags: items of two strings": attribute(TAGS, wires.field(2, wires.field(5, wires.field(1, wires.field(1, b"a") + wires.field(1, b"b"))))),
    "count: the last counts": wires.field(10, 1) + attribute(KEY, value(5)) + wires.field(10, 7),
    "count: full": wires.field(10, (1 << 32) - 1) + attribute(KEY, value(5)),
    "count: more bits than fit": wires.field(10, (1 << 40) + 3) + attribute(KEY, value(5)),
    "kind: the last": wires.field(6, 1) + wires.field(6, 2) + wires.field(4, span_id(3)),
    "kind: more bits than fit": wires.field(6, (1 << 32) + 2) + wires.field(4, span_id(3)),
    "kind: negative": wires.field(6, (1 << 64) - 1) + wires.field(4, span_id(3)),
    "flags: the last": wires.tag(16, wires.I32) + b"\0\3\0\0" + wires.tag(16, wires.I32) + b"\0\1\0\0" + wires.field(4, span_id(3)),
    "flags: high bits": wires.tag(16, wires.I32) + b"\xff\xfc\xff\xff" + wires.field(4, span_id(3)),
    "span_id: the last": wires.field(2, span_id(9)) + wires.field(2, span_id(1)) + attribute(KEY, value("u")),
    "trace_id: the last": wires.field(1, trace_id(9)) + wires.field(1, trace_id(1)) + attribute(KEY, value("u")),
    "parent_span_id: the last is none": wires.field(4, span_id(3)) + wires.field(4, b"") + attribute(KEY, value("u")),
    "status: merged": wires.field(15, wires.field(2, b"m")) + wires.field(15, wires.field(3, 2)),
}  # fmt: skip


@pytest.mark.parametrize("name", REPEATED)
def test_repeated_fields(name: str) -> None:
    """S4, S11: of repeated scalars the last counts, repeated messages are merged, as upb reads them; and nothing but
    the rules changes the span.
    """
    assert_as_upb(enclose([GOOD + REPEATED[name], CHILD]))
    assert_as_upb(enclose([REPEATED[name] + GOOD, CHILD]))


def test_repeated_resources_are_merged() -> None:
    """S3: of a resource that comes in pieces, with spans between them, all pieces count, and leave with the spans."""
    pieces = [
        wires.field(1, wires.field(1, key_value(name, text).SerializeToString()))
        for name, text in (("user.id", "v"), ("user.id", "u"))
    ]
    scope = wires.field(
        2, wires.field(1, wires.field(1, b"n")) + wires.field(2, GOOD) + wires.field(1, wires.field(2, b"v"))
    )
    body = wires.field(1, pieces[0] + scope + pieces[1])
    assert_as_upb(body)
    assert {"span-1-1": {"user.id": "u"}} == by_name(Engine(SETUP).deliver(body))


ORDERS: dict[str, wires.Shuffle] = {
    "ascending": wires.ascending,
    "descending": wires.descending,
    **{f"shuffled {n}": wires.shuffled(n) for n in range(8)},
}


@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_field_orders(order: Callable[[list[wires.Field]], list[wires.Field]]) -> None:
    """Go writes fields backwards, values before keys: any order means the same."""
    assert_as_upb(wires.reorder(rich_request(), ExportTraceServiceRequest.DESCRIPTOR, order))


# Keys and values around the lengths at which a length takes one more byte.
SIZES = [
    1,
    2,
    3,
    6,
    7,
    63,
    64,
    115,
    116,
    117,
    118,
    119,
    120,
    121,
    122,
    125,
    126,
    127,
    128,
    129,
    130,
    139,
    140,
    255,
    256,
    257,
    300,
]


@pytest.mark.parametrize("size", SIZES)
def test_key_and_value_sizes(size: int) -> None:
    """Values of every size around one and two length bytes are read and left alone, under keys of interest and
    others.
    """
    setup = Setup(baggage=("t.*",), max_length=250)
    texts = ["\n" * size, "\x12" * size, "a" * size]
    for text in texts:
        for name in ("user.id", "t." + "k" * size, "k" * size, "\x12" * size):
            body = request(span(1, 0, [(name, text), ("a", 1)]), span(2, 1))
            replay(setup, [Delivery(0.0, body), 1000.0])


def test_lengths_that_seem_short() -> None:
    """S9: a first byte of a longer length is not taken for a length; keys and values of 128 bytes and more in hostile
    disguise reject the span alone.
    """
    disguised = [
        b"\x0a\x81\x01" + b"k" * 128 + b"\x12" + b"\x12\x0a\x12" + bytes(16),
        b"\x0a\x03abc\x12\x8a\x0a\x88" + b"x" * 136,
        b"\x0a\x03abc\x12\x85\x0a\x83" + b"x" * 131,
        b"\x0a\x83abc\x12\x05\x0a\x03xyz",
    ]
    for key_value_bytes in disguised:
        raw = GOOD + wires.field(9, key_value_bytes)
        engine = Engine()
        left = engine.deliver(enclose([raw, CHILD])) + engine.advance(1000.0)
        assert not Lean().takes_span(raw)
        assert [CHILD] == [each.raw for each in left]


def test_events_and_links_are_not_the_spans() -> None:
    """S11: attributes of events, links, scopes and status say nothing about the span, whatever their keys."""
    built = Span.FromString(GOOD)
    built.events.add().attributes.append(key_value("user.id", "v"))
    built.links.add().attributes.append(key_value("user.id", "v"))
    assert {"span-1-1": {}} == by_name(Engine().deliver(request(built)))
