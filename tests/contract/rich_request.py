"""One request with something of everything that OTLP knows, in well under 2 KB, for truncation and mutation."""

from __future__ import annotations

import wires
from craft import LOCAL_PARENT, REMOTE_PARENT, SERVER, key_value, pending, span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

UNKNOWN = (
    wires.field(1000, b"?")
    + wires.field(77, 7)
    + wires.tag(78, wires.I64)
    + bytes(8)
    + wires.tag(79, wires.I32)
    + bytes(4)
)


def rich_request() -> bytes:
    """Two resources, three scopes, five spans with every field, unknown fields at each level."""
    built = ExportTraceServiceRequest()
    first = built.resource_spans.add(schema_url="r")
    first.resource.attributes.append(key_value("session.id", "s"))
    first.resource.dropped_attributes_count = 1
    first.resource.entity_refs.add(type="t", id_keys=["k"])
    scope = first.scope_spans.add(schema_url="s")
    scope.scope.name, scope.scope.version, scope.scope.dropped_attributes_count = "n", "v", 1
    scope.scope.attributes.append(key_value("user.id", "no"))
    scope.spans.append(span(1, 0, {"user.id": "u", "tenant": "a", "n": 1}, name="root"))
    attributes = {"langfuse.trace.tags": ["a", "b"], "user.id": 5, "k": {"x": [True, 1.5, b"y", None]}}
    full = span(2, 1, attributes, name="full", flags=LOCAL_PARENT, kind=SERVER, trace_state="a=b")
    full.start_time_unix_nano, full.end_time_unix_nano, full.dropped_attributes_count = 1, 2, 3
    full.dropped_events_count = full.dropped_links_count = 4
    full.events.add(name="e", time_unix_nano=1, dropped_attributes_count=1).attributes.append(key_value("e", "v"))
    link = full.links.add(
        trace_id=full.trace_id, span_id=full.span_id, trace_state="t", dropped_attributes_count=1, flags=1
    )
    link.attributes.append(key_value("l", [["deep"]]))
    full.status.MergeFromString(wires.field(3, 2) + wires.field(2, b"m"))
    for each in (full, full.events[0], full.links[0], full.status):
        each.MergeFromString(UNKNOWN)
    scope.spans.append(full)
    first.scope_spans.add().spans.append(pending(9, 3, 2, {"user.id": "p"}, name="pending"))
    second = built.resource_spans.add().scope_spans.add()
    second.spans.append(span(4, 3, {"gen_ai.user": "w", "session.id": ""}, name="orphan"))
    second.spans.append(span(5, 4, {"enduser.id": "v"}, name="entry", flags=REMOTE_PARENT))
    for around in (built, first, first.resource, scope, scope.scope):
        around.MergeFromString(UNKNOWN)
    return bytes(built.SerializeToString())
