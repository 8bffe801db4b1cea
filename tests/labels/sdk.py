"""What Logfire's SDK reported in a request, and the same request as if it had reported nothing."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PREFIX = "logfire.variables."
DERIVED = "span_processor.derived"
RESOLVE_SCOPE = "logfire.variables"
# The settings that say of the recorded application's spans what its code says to its SDK.
SETTINGS = {"targeting_keys": "billing_config:org.id"}

# A variable's label and version, as they are written.
Label = tuple[str, str | None]


def read_requests(file: Path) -> list[bytes]:
    """The requests of a recording, each with its length before it."""
    content, requests = file.read_bytes(), []
    while content:
        size = int.from_bytes(content[:4], "big")
        requests.append(content[4 : 4 + size])
        content = content[4 + size :]
    return requests


def texts(span: Span) -> dict[str, str]:
    """A span's string attributes."""
    return {each.key: each.value.string_value for each in span.attributes if each.value.HasField("string_value")}


def labels_of(span: Span) -> dict[str, Label]:
    """The labels among a span's attributes, by variable."""
    found = texts(span)
    names = [key.removeprefix(PREFIX) for key in found if key.startswith(PREFIX) and not key.endswith(".version")]
    return {name: (found[PREFIX + name], found.get(f"{PREFIX}{name}.version")) for name in names}


def reported(body: bytes) -> dict[bytes, dict[str, Label]]:
    """What the SDK reported in a request: by span id the labels of its baggage, and of a resolve span its own."""
    found = {}
    for part in ExportTraceServiceRequest.FromString(body).resource_spans:
        for scope in part.scope_spans:
            for span in scope.spans:
                labels = labels_of(span)
                if scope.scope.name == RESOLVE_SCOPE:
                    labels |= _resolved(span)
                found[span.span_id] = labels
    return found


def silenced(body: bytes) -> bytes:
    """The request without labels; its resolve spans are spans like any other."""
    request = ExportTraceServiceRequest.FromString(body)
    for part in request.resource_spans:
        for scope in part.scope_spans:
            if scope.scope.name == RESOLVE_SCOPE:
                scope.scope.name = "silenced"
            for span in scope.spans:
                kept = [each for each in span.attributes if not each.key.startswith((PREFIX, DERIVED))]
                del span.attributes[:]
                span.attributes.extend(kept)
    return request.SerializeToString()


def _resolved(span: Span) -> dict[str, Label]:
    """What a resolve span resolved, in the form in which labels are written; a pending one does not know yet."""
    told = {each.key: each.value for each in span.attributes}
    if "label" not in told:
        return {}
    label = told["label"].string_value
    if label == "null":
        return {told["name"].string_value: ("<code_default>", None)}
    return {told["name"].string_value: (label, str(told["version"].int_value))}
