"""OTLP requests as tests write and read them, and raw calls of the two transports."""

from __future__ import annotations

import base64
import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor._pb import envelope_pb2

TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

_IDS = ("traceId", "spanId", "parentSpanId")


def _convert_ids(node: Any, convert: Callable[[str], str]) -> Any:
    if isinstance(node, list):
        return [_convert_ids(item, convert) for item in node]
    if isinstance(node, dict):
        return {key: convert(value) if key in _IDS else _convert_ids(value, convert) for key, value in node.items()}
    return node


def write_json(request: ExportTraceServiceRequest) -> bytes:
    """OTLP/JSON, by protobuf's own JSON with the ids in hex."""
    tree = json_format.MessageToDict(request, use_integers_for_enums=True)
    return json.dumps(_convert_ids(tree, lambda text: base64.b64decode(text).hex())).encode()


def read_json(body: bytes) -> ExportTraceServiceRequest:
    """An OTLP/JSON request, by protobuf's own JSON with the ids in base64."""
    tree = _convert_ids(json.loads(body), lambda text: base64.b64encode(bytes.fromhex(text)).decode())
    return json_format.ParseDict(tree, ExportTraceServiceRequest())


def attributes(span: Span) -> dict[str, str]:
    """A span's string attributes; none of them twice."""
    pairs = [(each.key, each.value.string_value) for each in span.attributes]
    assert len(pairs) == len(dict(pairs)), pairs
    return dict(pairs)


def walk(request: ExportTraceServiceRequest) -> Iterator[tuple[tuple[bytes, ...], Span]]:
    """Every span, after all that is around it: what request, resource and scope say, unknown fields included."""
    for part in request.resource_spans:
        for scope in part.scope_spans:
            around = (_without(request, "resource_spans"), _without(part, "scope_spans"), _without(scope, "spans"))
            for span in scope.spans:
                yield around, span


def flatten(request: ExportTraceServiceRequest) -> Counter[tuple[bytes, ...]]:
    """Every span with everything around it, whatever the grouping."""
    return Counter((*around, span.SerializeToString(deterministic=True)) for around, span in walk(request))


def assert_named(
    sent: Iterable[ExportTraceServiceRequest],
    arrived: Iterable[ExportTraceServiceRequest],
    owner: Mapping[str, str],
) -> None:
    """S10, S11: each span that was sent arrived once, names its owner, and is else as it was sent.

    Spans of other traces may have arrived, too.
    """
    originals = {span.span_id: (around, span) for request in sent for around, span in walk(request)}
    traces = {span.trace_id for _, span in originals.values()}
    found = [(around, span) for request in arrived for around, span in walk(request) if span.trace_id in traces]
    assert sorted(originals) == sorted(span.span_id for _, span in found)
    for around, span in found:
        original_around, original = originals[span.span_id]
        named = attributes(span)
        assert owner == {key: named.get(key) for key in owner}, span
        rest = Span()
        rest.CopyFrom(span)
        del rest.attributes[len(original.attributes) :]
        assert (original_around, original) == (around, rest)
        assert named.keys() - attributes(rest).keys() == owner.keys() - attributes(original).keys()


def _without(message: Message, field: str) -> bytes:
    rest = type(message)()
    rest.CopyFrom(message)
    rest.ClearField(field)
    return rest.SerializeToString(deterministic=True)


def make_span(trace_id: bytes, number: int, parent: int = 0, name: str = "", **texts: str) -> Span:
    """A span with the id `number`, and string attributes (`__` in a name stands for a dot)."""
    span = Span(
        trace_id=trace_id,
        span_id=number.to_bytes(8, "big"),
        parent_span_id=parent.to_bytes(8, "big") if parent else b"",
        name=name or f"span-{number}",
        kind=Span.SPAN_KIND_INTERNAL,
        start_time_unix_nano=1_700_000_000_000_000_000,
        end_time_unix_nano=1_700_000_001_000_000_000,
        flags=0x101,
    )
    for key, value in texts.items():
        span.attributes.add(key=key.replace("__", ".")).value.string_value = value
    return span


def make_request(*spans: Span | bytes) -> bytes:
    """A request of one resource and scope with these spans, messages or bytes."""
    request = ExportTraceServiceRequest()
    resource_spans = request.resource_spans.add()
    resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
    resource_spans.scope_spans.add().scope.name = "checkout"
    envelope = envelope_pb2.Request.FromString(request.SerializeToString())
    raw = [span if isinstance(span, bytes) else span.SerializeToString() for span in spans]
    envelope.resource_spans[0].scope_spans[0].spans.extend(raw)
    return bytes(envelope.SerializeToString())


def call_grpc(
    port: int, body: bytes, method: str = TRACES, metadata: tuple[tuple[str, str], ...] = ()
) -> tuple[grpc.StatusCode, bytes, dict[str, bytes]]:
    """One raw gRPC call: the status, the response's bytes (or the status' text), the trailing metadata."""
    with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        try:
            response, call = channel.unary_unary(method).with_call(body, timeout=20, metadata=metadata)
        except grpc.RpcError as error:
            return error.code(), error.details().encode(), dict(error.trailing_metadata())
        return call.code(), response, dict(call.trailing_metadata())


def call_http(
    port: int, body: bytes, method: str = "POST", path: str = "/v1/traces", **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """One raw HTTP request (`_` in a header's name stands for a dash): status, headers in lower case, body."""
    sent = {
        "content-type": "application/x-protobuf",
        **{name.replace("_", "-"): text for name, text in headers.items()},
    }
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request(method, path, body, {name: text for name, text in sent.items() if text})
        answer = connection.getresponse()
        return answer.status, {name.lower(): text for name, text in answer.getheaders()}, answer.read()
    finally:
        connection.close()
