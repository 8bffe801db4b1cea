"""OTLP's messages as tables: which JSON key is which field number, of which kind.

Transcribed from opentelemetry-proto 1.10 (Python package 1.45.2). What only
profiles use (`keyStrindex`, `stringValueStrindex`) is left out on purpose: elsewhere it counts as absent.
A test walks the installed descriptors and names every field that a table lacks or has wrong.
This module must not know how a value is read or written (`otlp_scalars.py`), nor what a message means.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from processor.signals import Signal
from processor.wire.otlp_scalars import (
    BOOL,
    BYTES,
    DOUBLE,
    ENUM,
    FIXED32,
    FIXED64,
    ID,
    INT64,
    PARENT_ID,
    SFIXED64,
    SINT32,
    STRING,
    UINT32,
    UINT64,
    WIRE_TYPES,
)
from processor.wire.schema import I32, I64, LEN, VARINT

MESSAGE: Final = "message"

# What a field's payload looks like when it holds its default (for LEN: the length 0).
_DEFAULTS: Final[dict[int, bytes]] = {VARINT: b"\0", I64: b"\0" * 8, LEN: b"\0", I32: b"\0" * 4}


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a message.

    `tag` is the key as it stands on the wire (of a repeated number: its packed form). `skipped` is the payload
    that need not be written, proto3's default; empty where the field has presence, so that nothing is skipped.
    """

    name: str
    number: int
    kind: str
    message: str
    tag: bytes
    skipped: bytes
    is_nested: bool = False  # a message, or repeated: not one scalar
    is_repeated: bool = False
    is_packed: bool = False  # repeated numbers share one tag
    is_member: bool = False  # of the message's one oneof
    is_isolated: bool = False  # an element that cannot be read is replaced, its neighbours pass (S9)


@dataclass(frozen=True, slots=True)
class MessageType:
    """One message: its fields by JSON key and by tag as read from the wire; `members` are its oneof's keys.

    No OTLP message of these signals has more than one oneof (the test of the tables watches it).
    """

    name: str
    by_name: dict[str, Field]
    by_tag: dict[int, Field]
    members: tuple[str, ...]


def encode_tag(number: int, wire_type: int) -> bytes:
    """The key of a field as it stands on the wire; OTLP's numbers fit two bytes."""
    key = number << 3 | wire_type
    return bytes((key,)) if key < 0x80 else bytes((key & 0x7F | 0x80, key >> 7))


def _field(name: str, number: int, kind: str, presence: bool = False) -> Field:
    """A singular field; `presence`: proto3 `optional`, written even when it holds its default."""
    if kind not in WIRE_TYPES:
        return Field(name, number, MESSAGE, kind, encode_tag(number, LEN), b"", is_nested=True)
    wire_type = WIRE_TYPES[kind]
    return Field(name, number, kind, "", encode_tag(number, wire_type), b"" if presence else _DEFAULTS[wire_type])


def _member(name: str, number: int, kind: str) -> Field:
    return replace(_field(name, number, kind), skipped=b"", is_member=True)


def _many(name: str, number: int, kind: str, isolated: bool = False) -> Field:
    is_packed = WIRE_TYPES.get(kind, LEN) != LEN
    return replace(
        _field(name, number, kind),
        tag=encode_tag(number, LEN),
        skipped=b"",
        is_nested=True,
        is_repeated=True,
        is_packed=is_packed,
        is_isolated=isolated,
    )


def _message(name: str, *fields: Field) -> MessageType:
    by_tag = {field.number << 3 | LEN: field for field in fields if field.is_repeated}
    # A repeated number may come unpacked, one element a key: every protobuf reader takes both forms.
    by_tag |= {field.number << 3 | WIRE_TYPES.get(field.kind, LEN): field for field in fields}
    members = tuple(field.name for field in fields if field.is_member)
    return MessageType(name, {field.name: field for field in fields}, by_tag, members)


def _data_point(*fields: Field, attributes: int) -> tuple[Field, ...]:
    """What every kind of data point has in common; only the number of `attributes` differs."""
    times = (_field("startTimeUnixNano", 2, FIXED64), _field("timeUnixNano", 3, FIXED64))
    return (_many("attributes", attributes, "KeyValue"), *times, *fields)


_COMMON: Final[tuple[MessageType, ...]] = (
    _message(
        "AnyValue",
        _member("stringValue", 1, STRING),
        _member("boolValue", 2, BOOL),
        _member("intValue", 3, INT64),
        _member("doubleValue", 4, DOUBLE),
        _member("arrayValue", 5, "ArrayValue"),
        _member("kvlistValue", 6, "KeyValueList"),
        _member("bytesValue", 7, BYTES),
    ),
    _message("ArrayValue", _many("values", 1, "AnyValue")),
    _message("KeyValueList", _many("values", 1, "KeyValue")),
    _message("KeyValue", _field("key", 1, STRING), _field("value", 2, "AnyValue")),
    _message(
        "InstrumentationScope",
        _field("name", 1, STRING),
        _field("version", 2, STRING),
        _many("attributes", 3, "KeyValue"),
        _field("droppedAttributesCount", 4, UINT32),
    ),
    _message(
        "EntityRef",
        _field("schemaUrl", 1, STRING),
        _field("type", 2, STRING),
        _many("idKeys", 3, STRING),
        _many("descriptionKeys", 4, STRING),
    ),
    _message(
        "Resource",
        _many("attributes", 1, "KeyValue"),
        _field("droppedAttributesCount", 2, UINT32),
        _many("entityRefs", 3, "EntityRef"),
    ),
)

_TRACE: Final[tuple[MessageType, ...]] = (
    _message("ExportTraceServiceRequest", _many("resourceSpans", 1, "ResourceSpans")),
    _message(
        "ResourceSpans",
        _field("resource", 1, "Resource"),
        _many("scopeSpans", 2, "ScopeSpans"),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "ScopeSpans",
        _field("scope", 1, "InstrumentationScope"),
        _many("spans", 2, "Span", isolated=True),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "Span",
        _field("traceId", 1, ID),
        _field("spanId", 2, ID),
        _field("traceState", 3, STRING),
        _field("parentSpanId", 4, PARENT_ID),
        _field("name", 5, STRING),
        _field("kind", 6, ENUM),
        _field("startTimeUnixNano", 7, FIXED64),
        _field("endTimeUnixNano", 8, FIXED64),
        _many("attributes", 9, "KeyValue"),
        _field("droppedAttributesCount", 10, UINT32),
        _many("events", 11, "Event"),
        _field("droppedEventsCount", 12, UINT32),
        _many("links", 13, "Link"),
        _field("droppedLinksCount", 14, UINT32),
        _field("status", 15, "Status"),
        _field("flags", 16, FIXED32),
    ),
    _message(
        "Event",
        _field("timeUnixNano", 1, FIXED64),
        _field("name", 2, STRING),
        _many("attributes", 3, "KeyValue"),
        _field("droppedAttributesCount", 4, UINT32),
    ),
    _message(
        "Link",
        _field("traceId", 1, ID),
        _field("spanId", 2, ID),
        _field("traceState", 3, STRING),
        _many("attributes", 4, "KeyValue"),
        _field("droppedAttributesCount", 5, UINT32),
        _field("flags", 6, FIXED32),
    ),
    _message("Status", _field("message", 2, STRING), _field("code", 3, ENUM)),
)

_METRICS: Final[tuple[MessageType, ...]] = (
    _message("ExportMetricsServiceRequest", _many("resourceMetrics", 1, "ResourceMetrics")),
    _message(
        "ResourceMetrics",
        _field("resource", 1, "Resource"),
        _many("scopeMetrics", 2, "ScopeMetrics"),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "ScopeMetrics",
        _field("scope", 1, "InstrumentationScope"),
        _many("metrics", 2, "Metric"),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "Metric",
        _field("name", 1, STRING),
        _field("description", 2, STRING),
        _field("unit", 3, STRING),
        _member("gauge", 5, "Gauge"),
        _member("sum", 7, "Sum"),
        _member("histogram", 9, "Histogram"),
        _member("exponentialHistogram", 10, "ExponentialHistogram"),
        _member("summary", 11, "Summary"),
        _many("metadata", 12, "KeyValue"),
    ),
    _message("Gauge", _many("dataPoints", 1, "NumberDataPoint")),
    _message(
        "Sum",
        _many("dataPoints", 1, "NumberDataPoint"),
        _field("aggregationTemporality", 2, ENUM),
        _field("isMonotonic", 3, BOOL),
    ),
    _message("Histogram", _many("dataPoints", 1, "HistogramDataPoint"), _field("aggregationTemporality", 2, ENUM)),
    _message(
        "ExponentialHistogram",
        _many("dataPoints", 1, "ExponentialHistogramDataPoint"),
        _field("aggregationTemporality", 2, ENUM),
    ),
    _message("Summary", _many("dataPoints", 1, "SummaryDataPoint")),
    _message(
        "NumberDataPoint",
        *_data_point(
            _member("asDouble", 4, DOUBLE),
            _many("exemplars", 5, "Exemplar"),
            _member("asInt", 6, SFIXED64),
            _field("flags", 8, UINT32),
            attributes=7,
        ),
    ),
    _message(
        "HistogramDataPoint",
        *_data_point(
            _field("count", 4, FIXED64),
            _field("sum", 5, DOUBLE, presence=True),
            _many("bucketCounts", 6, FIXED64),
            _many("explicitBounds", 7, DOUBLE),
            _many("exemplars", 8, "Exemplar"),
            _field("flags", 10, UINT32),
            _field("min", 11, DOUBLE, presence=True),
            _field("max", 12, DOUBLE, presence=True),
            attributes=9,
        ),
    ),
    _message(
        "ExponentialHistogramDataPoint",
        *_data_point(
            _field("count", 4, FIXED64),
            _field("sum", 5, DOUBLE, presence=True),
            _field("scale", 6, SINT32),
            _field("zeroCount", 7, FIXED64),
            _field("positive", 8, "Buckets"),
            _field("negative", 9, "Buckets"),
            _field("flags", 10, UINT32),
            _many("exemplars", 11, "Exemplar"),
            _field("min", 12, DOUBLE, presence=True),
            _field("max", 13, DOUBLE, presence=True),
            _field("zeroThreshold", 14, DOUBLE),
            attributes=1,
        ),
    ),
    _message("Buckets", _field("offset", 1, SINT32), _many("bucketCounts", 2, UINT64)),
    _message(
        "SummaryDataPoint",
        *_data_point(
            _field("count", 4, FIXED64),
            _field("sum", 5, DOUBLE),
            _many("quantileValues", 6, "ValueAtQuantile"),
            _field("flags", 8, UINT32),
            attributes=7,
        ),
    ),
    _message("ValueAtQuantile", _field("quantile", 1, DOUBLE), _field("value", 2, DOUBLE)),
    _message(
        "Exemplar",
        _field("timeUnixNano", 2, FIXED64),
        _member("asDouble", 3, DOUBLE),
        _field("spanId", 4, ID),
        _field("traceId", 5, ID),
        _member("asInt", 6, SFIXED64),
        _many("filteredAttributes", 7, "KeyValue"),
    ),
)

_LOGS: Final[tuple[MessageType, ...]] = (
    _message("ExportLogsServiceRequest", _many("resourceLogs", 1, "ResourceLogs")),
    _message(
        "ResourceLogs",
        _field("resource", 1, "Resource"),
        _many("scopeLogs", 2, "ScopeLogs"),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "ScopeLogs",
        _field("scope", 1, "InstrumentationScope"),
        _many("logRecords", 2, "LogRecord"),
        _field("schemaUrl", 3, STRING),
    ),
    _message(
        "LogRecord",
        _field("timeUnixNano", 1, FIXED64),
        _field("severityNumber", 2, ENUM),
        _field("severityText", 3, STRING),
        _field("body", 5, "AnyValue"),
        _many("attributes", 6, "KeyValue"),
        _field("droppedAttributesCount", 7, UINT32),
        _field("flags", 8, FIXED32),
        _field("traceId", 9, ID),
        _field("spanId", 10, ID),
        _field("observedTimeUnixNano", 11, FIXED64),
        _field("eventName", 12, STRING),
    ),
)

TYPES: Final[dict[str, MessageType]] = {message.name: message for message in (*_COMMON, *_TRACE, *_METRICS, *_LOGS)}

REQUESTS: Final[dict[Signal, str]] = {
    Signal.TRACES: "ExportTraceServiceRequest",
    Signal.METRICS: "ExportMetricsServiceRequest",
    Signal.LOGS: "ExportLogsServiceRequest",
}
