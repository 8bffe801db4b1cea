"""Requests in a few words: spans by small numbers, attributes as Python values.

`span(3, 1, {"user.id": "u"})` is span 3, child of span 1. upb writes the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import wires
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

HAS_IS_REMOTE, IS_REMOTE = 0x100, 0x200
LOCAL_PARENT, REMOTE_PARENT = HAS_IS_REMOTE, HAS_IS_REMOTE | IS_REMOTE
INTERNAL, SERVER, CLIENT, PRODUCER, CONSUMER = 1, 2, 3, 4, 5

# Attributes: a mapping, or pairs where a key comes twice. None is an AnyValue that is not set.
Attributes = Mapping[str, Any] | Iterable[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class Raw:
    """An attribute's whole KeyValue, as bytes."""

    key_value: bytes


def trace_id(number: int) -> bytes:
    """16 bytes for a small number."""
    return number.to_bytes(16, "big")


def span_id(number: int) -> bytes:
    """8 bytes for a small number; none for 0."""
    return number.to_bytes(8, "big") if number else b""


def any_value(value: Any) -> AnyValue:
    """A Python value as OTLP's."""
    built = AnyValue()
    _set(built, value)
    return built


def key_value(key: str, value: Any) -> KeyValue:
    """One attribute."""
    if isinstance(value, Raw):
        built: KeyValue = KeyValue.FromString(value.key_value)
        return built
    return KeyValue(key=key, value=any_value(value))


def span(number: int, parent: int = 0, attributes: Attributes = (), trace: int = 1, **fields: Any) -> Span:
    """A span of a trace; `parent` 0 is none."""
    fields.setdefault("name", f"span-{trace}-{number}")
    built = Span(trace_id=trace_id(trace), span_id=span_id(number), parent_span_id=span_id(parent), **fields)
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    built.attributes.extend(key_value(key, value) for key, value in pairs)
    return built


def pending(number: int, of: int, parent: int, attributes: Attributes = (), trace: int = 1, **fields: Any) -> Span:
    """The pending twin of span `of`, whose parent is `parent`."""
    pairs = attributes.items() if isinstance(attributes, Mapping) else attributes
    markers = (("logfire.span_type", "pending_span"), ("logfire.pending_parent_id", f"{parent:016x}"))
    return span(number, of, (*markers, *pairs), trace, **fields)


def request(*spans: Span | bytes, resource: Attributes = (), scope: str = "scope") -> bytes:
    """A request of one resource and one scope; a span may be given as bytes, whatever they are."""
    built = ExportTraceServiceRequest()
    resource_spans = built.resource_spans.add()
    pairs = resource.items() if isinstance(resource, Mapping) else resource
    resource_spans.resource.attributes.extend(key_value(key, value) for key, value in pairs)
    return enclose(
        [each if isinstance(each, bytes) else each.SerializeToString() for each in spans],
        resource_spans.SerializeToString(),
        wires.field(1, wires.field(1, scope.encode())),
    )


def enclose(spans: Iterable[bytes], resource: bytes = b"", scope: bytes = b"") -> bytes:
    """Spans' bytes in a request; `resource` and `scope` are the fields beside them, as bytes."""
    return wires.field(1, resource + wires.field(2, scope + wires.joined(spans, 2)))


def _set(target: AnyValue, value: Any) -> None:
    if value is None:
        return
    if isinstance(value, AnyValue):
        target.CopyFrom(value)
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, str):
        target.string_value = value
    elif isinstance(value, int):
        target.int_value = value
    elif isinstance(value, float):
        target.double_value = value
    elif isinstance(value, bytes):
        target.bytes_value = value
    elif isinstance(value, Mapping):
        target.kvlist_value.SetInParent()
        target.kvlist_value.values.extend(key_value(key, item) for key, item in value.items())
    else:
        target.array_value.SetInParent()
        for item in value:
            _set(target.array_value.values.add(), item)


def plain(value: AnyValue) -> Any:
    """The Python value of an attribute."""
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [plain(item) for item in value.array_value.values]
    if kind == "kvlist_value":
        return {item.key: plain(item.value) for item in value.kvlist_value.values}
    return getattr(value, kind)
