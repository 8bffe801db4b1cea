"""The tables of OTLP/JSON against the descriptors of the installed opentelemetry-proto."""

from __future__ import annotations

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.internal.encoder import TagBytes
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from processor.signals import Signal
from processor.wire.otlp_schema import REQUESTS, TYPES, Field, MessageType

ROOTS = {
    Signal.TRACES: ExportTraceServiceRequest.DESCRIPTOR,
    Signal.METRICS: ExportMetricsServiceRequest.DESCRIPTOR,
    Signal.LOGS: ExportLogsServiceRequest.DESCRIPTOR,
}
ONLY_PROFILES = {"key_strindex", "string_value_strindex"}
KINDS = {
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_ENUM: "enum",
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_INT64: "int64",
    FieldDescriptor.TYPE_SINT32: "sint32",
    FieldDescriptor.TYPE_FIXED32: "fixed32",
    FieldDescriptor.TYPE_FIXED64: "fixed64",
    FieldDescriptor.TYPE_SFIXED64: "sfixed64",
    FieldDescriptor.TYPE_DOUBLE: "double",
    FieldDescriptor.TYPE_MESSAGE: "message",
}
IDS = {"trace_id": "id", "span_id": "id", "parent_span_id": "parent id"}
WIRE_TYPES = {
    **dict.fromkeys(("string", "bytes", "id", "parent id", "message"), 2),
    **dict.fromkeys(("bool", "enum", "uint32", "uint64", "int64", "sint32"), 0),
    **dict.fromkeys(("fixed64", "sfixed64", "double"), 1),
    "fixed32": 5,
}


def walk(descriptor: Descriptor, seen: dict[str, Descriptor]) -> dict[str, Descriptor]:
    """All messages below a message, by their short names, which are unique."""
    assert seen.setdefault(descriptor.name, descriptor) is descriptor
    for field in descriptor.fields:
        if field.message_type is not None and field.message_type.name not in seen:
            walk(field.message_type, seen)
    return seen


def installed() -> dict[str, Descriptor]:
    found: dict[str, Descriptor] = {}
    for root in ROOTS.values():
        walk(root, found)
    return found


def fields_of(descriptor: Descriptor) -> list[FieldDescriptor]:
    return [field for field in descriptor.fields if field.name not in ONLY_PROFILES]


def oneof_of(field: FieldDescriptor) -> str:
    """The field's real oneof; protobuf makes up one with a leading underscore for each `optional` field."""
    oneof = field.containing_oneof
    return "" if oneof is None or oneof.name.startswith("_") else oneof.name


def expected_field(field: FieldDescriptor) -> dict[str, object]:
    kind = IDS.get(field.name, KINDS[field.type]) if field.type == FieldDescriptor.TYPE_BYTES else KINDS[field.type]
    is_packed = field.is_repeated and WIRE_TYPES[kind] != 2
    return {
        "name": field.json_name,
        "number": field.number,
        "kind": kind,
        "message": field.message_type.name if field.message_type else "",
        "repeated": field.is_repeated,
        "packed": is_packed,
        "presence": field.has_presence or field.is_repeated,
        "member": bool(oneof_of(field)),
        "tag": TagBytes(field.number, 2 if is_packed else WIRE_TYPES[kind]),
    }


def described_field(field: Field) -> dict[str, object]:
    return {
        "name": field.name,
        "number": field.number,
        "kind": field.kind,
        "message": field.message,
        "repeated": field.is_repeated,
        "packed": field.is_packed,
        "presence": field.skipped == b"",
        "member": field.is_member,
        "tag": field.tag,
    }


def test_every_installed_message_has_a_table_and_no_other() -> None:
    """The tables hold exactly the messages that the three requests are made of, so a new release shows a gap."""
    assert sorted(installed()) == sorted(TYPES)
    assert {signal: root.name for signal, root in ROOTS.items()} == REQUESTS


def test_every_field_is_as_its_descriptor_says() -> None:
    """Each table has every field but those of profiles: number, type, label, oneof, presence, tag, JSON name."""
    expected = {
        name: sorted((expected_field(field) for field in fields_of(descriptor)), key=lambda row: str(row["name"]))
        for name, descriptor in installed().items()
    }
    described = {
        name: sorted((described_field(field) for field in message.by_name.values()), key=lambda row: str(row["name"]))
        for name, message in TYPES.items()
    }
    assert expected == described


def test_a_message_has_at_most_one_oneof() -> None:
    """`members` can stand for the oneof of a message because no message has two."""
    for name, descriptor in installed().items():
        members = [field.json_name for field in fields_of(descriptor) if oneof_of(field)]
        assert len({oneof_of(field) for field in fields_of(descriptor)} - {""}) <= 1
        assert sorted(members) == sorted(TYPES[name].members)


def test_the_tags_of_a_message_find_its_fields_in_either_form() -> None:
    """Each field is found by its tag, repeated numbers packed and unpacked, and no tag finds anything else."""
    for message in TYPES.values():
        expected = {field.number << 3 | WIRE_TYPES[field.kind]: field for field in message.by_name.values()}
        packed = {field.number << 3 | 2: field for field in message.by_name.values() if field.is_packed}
        assert expected | packed == message.by_tag


def test_only_spans_are_isolated() -> None:
    """S9: the elements of `spans` alone are replaced where they cannot be read."""

    def isolated(message: MessageType) -> list[str]:
        return [f"{message.name}.{field.name}" for field in message.by_name.values() if field.is_isolated]

    assert ["ScopeSpans.spans"] == [path for message in TYPES.values() for path in isolated(message)]
