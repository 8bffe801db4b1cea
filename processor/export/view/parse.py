"""Spans and resources for the view, out of bytes that nobody has checked. What cannot be read is left out.

We forward text that is not valid UTF-8 in fields that we do not read (S9); protobuf refuses the whole message for it.
"""

from __future__ import annotations

from typing import Final

from google.protobuf.empty_pb2 import Empty  # type: ignore[import-untyped]  # protobuf ships no types
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # protobuf ships no types
from google.protobuf.unknown_fields import UnknownFieldSet  # type: ignore[import-untyped]  # protobuf ships no types
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span

_NAME: Final = 5
_ATTRIBUTES: Final = 9
_PLAIN_FIELDS: Final = {
    1: "trace_id",
    2: "span_id",
    4: "parent_span_id",
    6: "kind",
    7: "start_time_unix_nano",
    8: "end_time_unix_nano",
    16: "flags",
}


def parse_span(raw: bytes) -> Span:
    """The span, or what of it can be read."""
    span = Span()
    try:
        span.ParseFromString(raw)
    except DecodeError:
        return _parse_by_field(raw)
    return span


def parse_value(encoded: bytes) -> AnyValue:
    """The value, or one that is not set."""
    value = AnyValue()
    try:
        value.ParseFromString(encoded)
    except DecodeError:
        return AnyValue()
    return value


def parse_service_name(resource: bytes) -> str:
    """`service.name` out of the fields of a ResourceSpans; empty without one."""
    parsed = ResourceSpans()
    try:
        parsed.ParseFromString(resource)
    except DecodeError:
        return ""
    names = [item.value.string_value for item in parsed.resource.attributes if item.key == "service.name"]
    return names[-1] if names else ""


def _parse_by_field(raw: bytes) -> Span:
    span = Span()
    try:
        fields = UnknownFieldSet(Empty.FromString(raw))
    except DecodeError:
        return span
    for field in fields:
        _take(span, field.field_number, field.data)
    return span


def _take(span: Span, number: int, data: bytes | int) -> None:
    """One field of a span, if it is of interest and of the right type."""
    try:
        if number == _NAME and isinstance(data, bytes):
            span.name = data.decode("utf-8", "replace")
        elif number == _ATTRIBUTES and isinstance(data, bytes):
            span.attributes.append(KeyValue.FromString(data))
        elif number in _PLAIN_FIELDS:
            setattr(span, _PLAIN_FIELDS[number], data)
    except (DecodeError, TypeError, ValueError):
        return
