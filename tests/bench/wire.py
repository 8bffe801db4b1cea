"""OTLP bytes for the bench: framing of spans into requests, and a lean view that counts them.

Nothing of the processor is used here: what measures must not share code with what is measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from google.protobuf import (  # type: ignore[import-untyped]  # protobuf ships no types
    descriptor_pb2,
    descriptor_pool,
    message_factory,
)

EXPORT_TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

TRACE_ID_AT = 2
SPAN_ID_AT = 20
PARENT_ID_AT = 30
"""Where the ids begin in what `span` returns."""


def varint(value: int) -> bytes:
    """A base-128 varint."""
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field."""
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def span(trace_id: bytes, span_id: bytes, parent_span_id: bytes, rest: bytes) -> bytes:
    """A Span: its ids (no parent where `parent_span_id` is empty), then its other fields as they are."""
    parent = b'"\x08' + parent_span_id if parent_span_id else b""
    return b"\n\x10" + trace_id + b"\x12\x08" + span_id + parent + rest


def request_head(resource: bytes, scope: bytes, spans_length: int) -> bytes:
    """Everything of a request that comes before its framed spans: one resource, one scope."""
    scope_field = field(1, scope)
    scope_spans_length = len(scope_field) + spans_length
    scope_spans_head = b"\x12" + varint(scope_spans_length) + scope_field
    resource_field = field(1, resource)
    resource_spans_length = len(resource_field) + len(scope_spans_head) + spans_length
    return b"\n" + varint(resource_spans_length) + resource_field + scope_spans_head


def request(resource: bytes, scope: bytes, spans: Iterable[bytes]) -> bytes:
    """An ExportTraceServiceRequest of one resource and one scope."""
    framed = b"".join(field(2, one) for one in spans)
    return request_head(resource, scope, len(framed)) + framed


class LeanView:
    """Reads a request without looking into its spans: a message field and a bytes field are the same on the wire.

    25 ns a span on the machine of the figures, so that the sink can count every span of a run.
    """

    def __init__(self) -> None:
        pool = descriptor_pool.DescriptorPool()
        pool.Add(_lean_file())
        self._request: Any = _message_class(pool, "Request")
        self._head: Any = _message_class(pool, "SpanHead")

    def spans(self, body: bytes) -> Iterator[bytes]:
        """The bytes of each span."""
        for resource_spans in self._request.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                yield from scope_spans.spans

    def count(self, body: bytes) -> int:
        """How many spans the request holds."""
        return sum(
            len(scope_spans.spans)
            for resource_spans in self._request.FromString(body).resource_spans
            for scope_spans in resource_spans.scope_spans
        )

    def trace_id(self, span: bytes) -> bytes:
        """The trace id of one span, wherever in the span it stands."""
        trace_id: bytes = self._head.FromString(span).trace_id
        return trace_id


def _message_class(pool: Any, name: str) -> Any:
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"bench.{name}"))


def _lean_file() -> descriptor_pb2.FileDescriptorProto:
    """The views' descriptors: each message has only the one field that is walked through."""
    field_type = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="bench/lean.proto", package="bench", syntax="proto3")
    for message, name, number, repeated, inner in (
        ("Request", "resource_spans", 1, True, ".bench.ResourceSpans"),
        ("ResourceSpans", "scope_spans", 2, True, ".bench.ScopeSpans"),
        ("ScopeSpans", "spans", 2, True, None),
        ("SpanHead", "trace_id", 1, False, None),
    ):
        file.message_type.add(name=message).field.add(
            name=name,
            number=number,
            label=field_type.LABEL_REPEATED if repeated else field_type.LABEL_OPTIONAL,
            type=field_type.TYPE_MESSAGE if inner else field_type.TYPE_BYTES,
            type_name=inner,
        )
    return file
