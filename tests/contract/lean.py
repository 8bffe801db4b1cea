"""OTLP's trace messages with every string as bytes: upb as the oracle of what is well-formed, whatever the text in it.

And what the contract refuses beyond upb (S9).
"""

from __future__ import annotations

from typing import Any

import wires
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.common.v1 import common_pb2
from opentelemetry.proto.resource.v1 import resource_pb2
from opentelemetry.proto.trace.v1 import trace_pb2

STRING, BYTES = descriptor_pb2.FieldDescriptorProto.TYPE_STRING, descriptor_pb2.FieldDescriptorProto.TYPE_BYTES
ENVELOPE = ("opentelemetry.proto.trace.v1.ResourceSpans", "opentelemetry.proto.trace.v1.ScopeSpans")


class Lean:
    """`request` and `span`: the classes of the bytes-typed messages."""

    def __init__(self) -> None:
        pool = descriptor_pool.DescriptorPool()
        for module in (common_pb2, resource_pb2, trace_pb2, trace_service_pb2):
            proto = descriptor_pb2.FileDescriptorProto()
            module.DESCRIPTOR.CopyToProto(proto)
            for message in proto.message_type:
                _strings_to_bytes(message)
            pool.Add(proto)
        prefix = "opentelemetry.proto."
        request = pool.FindMessageTypeByName(prefix + "collector.trace.v1.ExportTraceServiceRequest")
        span = pool.FindMessageTypeByName(prefix + "trace.v1.Span")
        self.request: Any = message_factory.GetMessageClass(request)
        self.span: Any = message_factory.GetMessageClass(span)

    def parses(self, body: bytes) -> bool:
        """Whether upb takes the request."""
        return _parses(self.request, body)

    def takes_span(self, raw: bytes) -> bool:
        """Whether a span is to be accepted: upb takes it, its known fields have their wire types, its ids are right
        (S9).
        """
        if not _parses(self.span, raw) or not wires.is_strict(raw, self.span.DESCRIPTOR):
            return False
        span = self.span.FromString(raw)
        return _is_id(span.trace_id, 16) and _is_id(span.span_id, 8) and len(span.parent_span_id) in (0, 8)

    def takes_envelope(self, body: bytes) -> bool:
        """Whether the request around the spans is to be accepted."""
        try:
            return wires.is_strict(_without_spans(body), self.request.DESCRIPTOR)
        except wires.Broken:
            return False


def _strings_to_bytes(message: descriptor_pb2.DescriptorProto) -> None:
    for field in message.field:
        if field.type == STRING:
            field.type = BYTES
    for nested in message.nested_type:
        _strings_to_bytes(nested)


def _parses(kind: Any, data: bytes) -> bool:
    try:
        kind.FromString(data)
    except DecodeError:
        return False
    return True


def _is_id(value: bytes, size: int) -> bool:
    return len(value) == size and any(value)


def _without_spans(body: bytes) -> bytes:
    """The request with every length-delimited span empty."""
    return b"".join(_emptied(found, 3) for found in wires.fields(body))


def _emptied(found: wires.Field, levels: int) -> bytes:
    """The field with its spans, `levels` below, emptied; fields other than those on the way stay."""
    number = 1 if levels == 3 else 2
    if found.number != number or found.wire_type != wires.LEN:
        return found.raw
    if levels == 1:
        return wires.field(2, b"")
    return wires.field(number, b"".join(_emptied(inner, levels - 1) for inner in wires.fields(found.payload)))
