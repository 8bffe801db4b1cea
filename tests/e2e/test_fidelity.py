"""What leaves compared with what came in: equal, but for the attributes that were added."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from google.protobuf.message import Message
from messages import call_grpc, call_http, flatten, make_span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

# Fields 1000 of three wire types, which no version of OTLP has.
UNKNOWN = b"\xc2\x3e\x05later" + b"\xc0\x3e\x96\x01" + b"\xc5\x3e\x01\x02\x03\x04"


def make_rich_request(trace_id: bytes) -> ExportTraceServiceRequest:
    """Several resources and scopes, and in the spans all that OTLP knows, with fields that it does not know yet."""
    request = ExportTraceServiceRequest()
    for service in ("shop", "stock"):
        part = request.resource_spans.add(schema_url=f"https://schemas.example/{service}")
        part.resource.attributes.add(key="service.name").value.string_value = service
        part.resource.dropped_attributes_count = 2
        part.resource.entity_refs.add(type="service", id_keys=["service.name"])
        for scope in ("http", "db"):
            spans = part.scope_spans.add(schema_url=f"https://schemas.example/{scope}")
            spans.scope.name, spans.scope.version = scope, "1.2"
            spans.scope.attributes.add(key="library").value.bool_value = True
            spans.scope.dropped_attributes_count = 3
            base = 1 + len(request.resource_spans) * 100 + len(part.scope_spans) * 10
            spans.spans.extend(make_rich_span(trace_id, base + offset, base if offset else 0) for offset in range(3))
    add_unknown(request)
    return request


def make_rich_span(trace_id: bytes, number: int, parent: int) -> Span:
    """A span with everything; without a parent it says whose it is."""
    span = make_span(trace_id, number, parent, name="größer 🎉", **({} if parent else {"user__id": "ann"}))
    span.trace_state = "vendor=a:b,other=c"
    span.kind = Span.SPAN_KIND_CLIENT
    span.status.CopyFrom(Status(code=Status.STATUS_CODE_ERROR, message="no"))
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 4, 5, 6
    values = (
        AnyValue(),
        AnyValue(bytes_value=b"\x00\xff"),
        AnyValue(double_value=-0.0),
        AnyValue(int_value=-1),
        AnyValue(array_value=ArrayValue(values=[AnyValue(int_value=1), AnyValue(string_value="x"), AnyValue()])),
        AnyValue(kvlist_value=KeyValueList(values=[KeyValue(key="user.id", value=AnyValue(string_value="nested"))])),
    )
    span.attributes.extend(KeyValue(key=f"value-{index}", value=value) for index, value in enumerate(values))
    event = span.events.add(time_unix_nano=5, name="event", dropped_attributes_count=1)
    event.attributes.add(key="user.id").value.string_value = "of the event"
    link = span.links.add(trace_id=trace_id[::-1], span_id=b"linked!!", trace_state="a=b", flags=0x301)
    link.attributes.add(key="session.id").value.string_value = "of the link"
    return span


def add_unknown(message: Message) -> None:
    """Unknown fields in a message and in all within it."""
    for field, value in message.ListFields():
        if field.message_type is not None:
            for inner in value if field.is_repeated else (value,):
                add_unknown(inner)
    message.MergeFromString(UNKNOWN)


def encode(message: Message, descending: bool) -> bytes:
    """The message's bytes with its fields in the order of their numbers, or from the last to the first."""
    unknown = type(message)()
    unknown.CopyFrom(message)
    parts = []
    for field, value in message.ListFields():
        unknown.ClearField(field.name)
        one = type(message)()
        if field.message_type is None:
            if field.is_repeated:
                getattr(one, field.name).extend(value)
            else:
                setattr(one, field.name, value)
            parts.append(one.SerializeToString())
            continue
        bodies = [encode(inner, descending) for inner in (value if field.is_repeated else (value,))]
        parts.append(b"".join(varint(field.number << 3 | 2) + varint(len(body)) + body for body in bodies))
    parts.append(unknown.SerializeToString())
    return b"".join(reversed(parts) if descending else parts)


def varint(number: int) -> bytes:
    """A number as protobuf writes it."""
    parts = bytearray()
    while number > 127:
        parts.append(number & 127 | 128)
        number >>= 7
    return bytes((*parts, number))


@pytest.mark.parametrize("order", ["ascending", "descending"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_everything_else_leaves_as_it_came(transport: str, order: str, protocol: str, ways: Any) -> None:
    """S11: but for the attributes added, a request with all of OTLP and more leaves as it came."""
    way = ways[protocol]
    trace_id = hashlib.md5(f"{transport} {order} {protocol}".encode()).digest()
    request = make_rich_request(trace_id)
    body = encode(request, descending=order == "descending")
    assert request == ExportTraceServiceRequest.FromString(body)
    if transport == "grpc":
        assert b"" == call_grpc(way.processor.grpc_port, body)[1]
    else:
        assert b"" == call_http(way.processor.http_port, body)[2]
    way.backend.collect(12, trace_id)
    (received,) = [each for each in way.backend.received if any(span.trace_id == trace_id for span in each.spans)]
    added = [span.attributes.pop() for span in received.spans if span.parent_span_id]
    assert [KeyValue(key="user.id", value=AnyValue(string_value="ann"))] * 8 == added
    assert flatten(request) == flatten(received.request)


def test_the_descending_encoder_descends() -> None:
    """The test's own encoder writes the last field first, within messages too, and an empty message is no bytes."""
    attribute = KeyValue(key="k", value=AnyValue(string_value="v"))
    assert b"\x0a\x01k\x12\x03\x0a\x01v" == encode(attribute, descending=False)
    assert b"\x12\x03\x0a\x01v\x0a\x01k" == encode(attribute, descending=True)
    assert b"" == encode(Span(), descending=True)
