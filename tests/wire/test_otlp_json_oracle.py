"""OTLP/JSON in both directions against upb, with random requests of every signal, and one as browsers send it."""

from __future__ import annotations

import base64
import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.signals import Signal
from processor.wire.otlp_json import decode, encode

REQUESTS: dict[Signal, type[Any]] = {
    Signal.TRACES: ExportTraceServiceRequest,
    Signal.METRICS: ExportMetricsServiceRequest,
    Signal.LOGS: ExportLogsServiceRequest,
}
ONLY_PROFILES = {"key_strindex", "string_value_strindex"}

EDGES: dict[int, tuple[Any, Any]] = {
    FieldDescriptor.TYPE_UINT32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_FIXED32: (0, 2**32 - 1),
    FieldDescriptor.TYPE_UINT64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_FIXED64: (0, 2**64 - 1),
    FieldDescriptor.TYPE_SINT32: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_ENUM: (-(2**31), 2**31 - 1),
    FieldDescriptor.TYPE_INT64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_SFIXED64: (-(2**63), 2**63 - 1),
    FieldDescriptor.TYPE_DOUBLE: (5e-324, 1.7976931348623157e308),
    FieldDescriptor.TYPE_BOOL: (False, True),
    FieldDescriptor.TYPE_STRING: ("", '\0"\\\u2028\U0010ffff'),
    FieldDescriptor.TYPE_BYTES: (b"", bytes(range(256))),
}
# One NaN, since JSON has one; no negative zero, which the oracle's JSON writes as 0.
DOUBLES = st.floats(allow_nan=False).map(lambda value: value + 0.0) | st.just(math.nan)
OTHERS: dict[int, st.SearchStrategy[Any]] = {
    FieldDescriptor.TYPE_DOUBLE: DOUBLES,
    FieldDescriptor.TYPE_BOOL: st.booleans(),
    FieldDescriptor.TYPE_STRING: st.text(max_size=200),
    FieldDescriptor.TYPE_BYTES: st.binary(max_size=20),
}
SCALARS = {kind: OTHERS[kind] if kind in OTHERS else st.integers(*edges) for kind, edges in EDGES.items()}


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, room: int) -> dict[str, Any]:
    """Random fields of a message, as keyword arguments of its class; messages inside only while there is room."""
    fields = [field for field in descriptor.fields if field.name not in ONLY_PROFILES]
    usable = [field for field in fields if room or field.message_type is None]
    if not usable:
        return {}
    chosen = draw(st.lists(st.sampled_from(usable), unique_by=lambda field: field.name, max_size=6))
    return {field.name: draw(values(field, room)) for field in chosen}


def values(field: FieldDescriptor, room: int) -> st.SearchStrategy[Any]:
    one = messages(field.message_type, room - 1) if field.message_type else SCALARS[field.type]
    return st.lists(one, min_size=1, max_size=2) if field.is_repeated else one


def sites() -> list[tuple[Signal, Descriptor, tuple[FieldDescriptor, ...]]]:
    """Every message that can stand in a request, with the shortest way of fields to it."""
    ways: dict[str, tuple[Signal, Descriptor, tuple[FieldDescriptor, ...]]] = {}
    waiting: list[tuple[Signal, Descriptor, tuple[FieldDescriptor, ...]]]
    waiting = [(signal, request.DESCRIPTOR, ()) for signal, request in REQUESTS.items()]
    for signal, descriptor, way in waiting:
        if descriptor.full_name not in ways:
            ways[descriptor.full_name] = (signal, descriptor, way)
            inside = [field for field in descriptor.fields if field.message_type]
            waiting.extend((signal, field.message_type, (*way, field)) for field in inside)
    return list(ways.values())


def request_around(signal: Signal, way: tuple[FieldDescriptor, ...], inner: dict[str, Any]) -> Message:
    """The request that has these fields of a message at the end of the way, and nothing else."""
    for field in reversed(way):
        inner = {field.name: [inner] if field.is_repeated else inner}
    request: Message = REQUESTS[signal](**inner)
    return request


def to_otlp_json(message: Message) -> dict[str, Any]:
    """OTLP/JSON by protobuf's own mapping, with the ids put right (it writes them in base64)."""
    document = json_format.MessageToDict(message, use_integers_for_enums=True)
    hex_ids(document, message.DESCRIPTOR)
    return document


def hex_ids(document: dict[str, Any], descriptor: Descriptor) -> None:
    for field in descriptor.fields:
        value = document.get(field.json_name)
        if value is None:
            continue
        if field.message_type is not None:
            for inner in value if field.is_repeated else [value]:
                hex_ids(inner, field.message_type)
        elif field.type == FieldDescriptor.TYPE_BYTES and field.name != "bytes_value":
            document[field.json_name] = base64.b64decode(value).hex()


def canonical(signal: Signal, body: bytes) -> bytes:
    """What upb reads in the bytes, in one fixed form: equal for equal messages, NaN included."""
    message = REQUESTS[signal].FromString(body)
    serialized: bytes = message.SerializeToString(deterministic=True)
    return serialized


@pytest.mark.parametrize(("signal", "descriptor", "way"), [pytest.param(*site, id=site[1].name) for site in sites()])
@settings(max_examples=40, deadline=None, derandomize=True)
@given(data=st.data())
def test_any_message_in_a_request(
    signal: Signal, descriptor: Descriptor, way: tuple[FieldDescriptor, ...], data: st.DataObject
) -> None:
    """Protobuf's own JSON mapping, ids in hex, is what `decode` writes; `encode` makes an equal message of either."""
    message = request_around(signal, way, data.draw(messages(descriptor, room=2)))
    text = json.dumps(to_otlp_json(message)).encode()
    body = message.SerializeToString(deterministic=True)
    decoded = decode(signal, body)
    assert json.loads(text) == json.loads(decoded)
    assert body == canonical(signal, encode(signal, text))
    assert body == canonical(signal, encode(signal, decoded))


@pytest.mark.parametrize("edge", ["least", "most"])
@pytest.mark.parametrize(("signal", "descriptor", "way"), [pytest.param(*site, id=site[1].name) for site in sites()])
def test_every_field_at_its_edges(
    signal: Signal, descriptor: Descriptor, way: tuple[FieldDescriptor, ...], edge: str
) -> None:
    """Each field of each message, alone, with the least and the most that it holds, survives both directions."""
    for field in (field for field in descriptor.fields if field.name not in ONLY_PROFILES):
        value = {} if field.message_type else EDGES[field.type][edge == "most"]
        message = request_around(signal, way, {field.name: [value] if field.is_repeated else value})
        body = message.SerializeToString(deterministic=True)
        assert body == canonical(signal, encode(signal, json.dumps(to_otlp_json(message)).encode()))
        assert body == canonical(signal, encode(signal, decode(signal, body)))


def test_a_browser_exporters_document() -> None:
    """A document as the JavaScript exporters write it reads as the message that they meant."""
    request = ExportTraceServiceRequest.FromString(encode(Signal.TRACES, BROWSER.encode()))
    span = request.resource_spans[0].scope_spans[0].spans[0]
    attributes = {pair.key: pair.value for pair in span.attributes}
    assert "web-shop" == request.resource_spans[0].resource.attributes[0].value.string_value
    assert "1.2.0" == request.resource_spans[0].scope_spans[0].scope.version
    assert bytes.fromhex("7bba9f33312b3dbb8b2c2c62bb7abe2d") == span.trace_id
    assert bytes.fromhex("086e83747d0e381e") == span.span_id
    assert b"" == span.parent_span_id
    assert (1747000000123000000, 1747000000456700000) == (span.start_time_unix_nano, span.end_time_unix_nano)
    assert (Span.SPAN_KIND_CLIENT, 257) == (span.kind, span.flags)
    assert 200 == attributes["http.response.status_code"].int_value
    assert 12.5 == attributes["app.render_ms"].double_value
    assert 1024 == attributes["http.response_content_length"].int_value
    assert ["a", "b"] == [value.string_value for value in attributes["app.tags"].array_value.values]
    assert attributes["app.nothing"].WhichOneof("value") is None
    assert ["fetchStart", "exception"] == [event.name for event in span.events]
    assert (2, "boom ☂") == (span.status.code, span.status.message)
    assert "https://opentelemetry.io/schemas/1.37.0" == request.resource_spans[0].schema_url


BROWSER = """
{"resourceSpans":[{"resource":{"attributes":[
    {"key":"service.name","value":{"stringValue":"web-shop"}},
    {"key":"telemetry.sdk.language","value":{"stringValue":"webjs"}},
    {"key":"browser.brands","value":{"arrayValue":{"values":[{"stringValue":"Chromium 136"}]}}},
    {"key":"browser.mobile","value":{"boolValue":false}}],
  "droppedAttributesCount":0},
 "scopeSpans":[{"scope":{"name":"@opentelemetry/instrumentation-fetch","version":"1.2.0"},
  "spans":[
   {"traceId":"7bba9f33312b3dbb8b2c2c62bb7abe2d","spanId":"086e83747d0e381e","parentSpanId":"","traceState":"",
    "name":"HTTP GET","kind":3,"startTimeUnixNano":"1747000000123000000","endTimeUnixNano":"1747000000456700000",
    "attributes":[
     {"key":"http.request.method","value":{"stringValue":"GET"}},
     {"key":"url.full","value":{"stringValue":"https://shop.example/api/cart?b=\\u00fc"}},
     {"key":"http.response.status_code","value":{"intValue":200}},
     {"key":"http.response_content_length","value":{"intValue":"1024"}},
     {"key":"app.render_ms","value":{"doubleValue":12.5}},
     {"key":"app.tags","value":{"arrayValue":{"values":[{"stringValue":"a"},{"stringValue":"b"}]}}},
     {"key":"app.nothing","value":{}}],
    "droppedAttributesCount":0,
    "events":[
     {"attributes":[],"name":"fetchStart","timeUnixNano":"1747000000124000000","droppedAttributesCount":0},
     {"attributes":[{"key":"exception.message","value":{"stringValue":"boom"}}],"name":"exception",
      "timeUnixNano":"1747000000400000000","droppedAttributesCount":0}],
    "droppedEventsCount":0,"status":{"code":2,"message":"boom ☂"},"links":[],"droppedLinksCount":0,"flags":257},
   {"traceId":"7bba9f33312b3dbb8b2c2c62bb7abe2d","spanId":"9d2f4c4c6f0a1b2c","parentSpanId":"086e83747d0e381e",
    "name":"render","kind":1,"startTimeUnixNano":"1747000000130000000","endTimeUnixNano":"1747000000140000000",
    "attributes":[],"droppedAttributesCount":0,"events":[],"droppedEventsCount":0,"status":{"code":0},
    "links":[{"traceId":"7bba9f33312b3dbb8b2c2c62bb7abe2d","spanId":"086e83747d0e381e","attributes":[],
              "droppedAttributesCount":0,"flags":257}],
    "droppedLinksCount":0,"flags":257}]}],
 "schemaUrl":"https://opentelemetry.io/schemas/1.37.0"}]}
"""
