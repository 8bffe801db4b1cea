"""The engine against the oracle: the same spans at the same steps, with the same additions, and nothing else
touched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import craft
from engine import STEP, Engine, Left, Setup
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span
from oracle import Delivery, Oracle, Received
from reading import DERIVED, canonical

UINT32 = (1 << 32) - 1


def replay(setup: Setup, events: Sequence[Delivery | float], step: int = STEP) -> None:
    """Deliveries and times, in order, through both, as far as the contract says what must come out.

    Before each delivery both are told the time, in the end all is released. Raises AssertionError where they differ.
    """
    engine, oracle = Engine(setup, step), Oracle(setup)
    now_s = 0.0
    for event in events:
        now_s = event.at_s if isinstance(event, Delivery) else event
        oracle.advance(now_s)
        check_step(oracle, engine, engine.advance(now_s))
        if isinstance(event, Delivery):
            if not oracle.is_specified(event):
                break
            oracle.deliver(event)
            left = engine.deliver(event.body, now_s, is_langfuse=event.is_langfuse, key_prefix=event.key_prefix)
            check_step(oracle, engine, left)
    oracle.release_all(now_s)
    check_step(oracle, engine, engine.release_all())
    assert engine.pipeline.held == 0
    assert len(oracle.received) == engine.pipeline.accepted
    assert all(each.step is not None for each in oracle.received)
    assert_forgotten(engine, now_s)


def assert_forgotten(engine: Engine, now_s: float) -> None:
    """Long after, nothing is left of anything (S16, S17)."""
    for later_s in (1e6, 2e6, 3e6):
        assert [] == engine.advance(now_s + later_s)
    assert engine.cost == 0


def check_step(oracle: Oracle, engine: Engine, left: list[Left]) -> None:
    """What left the engine is what the oracle let go in its last step, in requests that upb reads."""
    assert len(left) == sum(_count(chunk) for chunk in engine.chunks)
    expected = [each for each in oracle.received if each.step == oracle.step - 1]
    assert sorted(each.span.name for each in expected) == sorted(each.span.name for each in left)
    for each in left:
        candidates = [received for received in expected if received.span.name == each.span.name]
        problems = [difference(received, each) for received in candidates]
        assert "" in problems, problems
        expected.remove(candidates[problems.index("")])
    assert Counter(each.reason for each in oracle.received if each.step == oracle.step - 1) == engine.reasons


def difference(received: Received, left: Left) -> str:
    """What is wrong with a span that left; "" for nothing."""
    span = left.span
    kept = kept_attributes(received)
    if kept != [canonical(each) for each in span.attributes[: len(kept)]]:
        return f"kept {kept} of {span.attributes}"
    if added_attributes(received) != sorted(_normal(each) for each in span.attributes[len(kept) :]):
        return f"added {added_attributes(received)}, not {span.attributes[len(kept) :]}, filled {received.filled}"
    if _rest(received.span, received.reading.dropped) != _rest(span, 0):
        return f"changed {received.span} to {span}"
    if not _is_around(received.bytes, left):
        return "another resource, scope or request"
    if len(kept) == len(received.span.attributes) and not left.raw.startswith(received.bytes.raw):
        return "bytes moved"
    return ""


def _count(chunk: bytes) -> int:
    request = ExportTraceServiceRequest.FromString(chunk)
    return sum(len(scope.spans) for resource in request.resource_spans for scope in resource.scope_spans)


def kept_attributes(received: Received) -> list[bytes]:
    """The attributes that stay, in order (S7, S11, S22)."""
    reading = received.reading
    cut = reading.cut | (reading.hollow & set(received.added))
    if _changes_derived(received):
        cut |= {DERIVED}
    return [canonical(each) for each in received.span.attributes if each.key not in cut]


def added_attributes(received: Received) -> list[bytes]:
    """The attributes that are appended, sorted."""
    added = [_normal(KeyValue(key=key, value=value.value)) for key, value in received.added.items()]
    derived = received.filled
    if _changes_derived(received):
        derived = derived | (set(received.reading.derived) - set(received.added))
    if derived:
        added.append(_normal(craft.key_value(DERIVED, sorted(derived))))
    return sorted(added)


def _changes_derived(received: Received) -> bool:
    """Whether the span's own list of computed keys is no longer right (S22)."""
    reading = received.reading
    return bool(reading.derived) and bool(received.filled or set(reading.derived) & set(received.added))


def _normal(attribute: KeyValue) -> bytes:
    """Canonical; the order of the list of computed keys is nobody's promise."""
    if attribute.key == DERIVED:
        return canonical(craft.key_value(DERIVED, sorted(craft.plain(attribute.value))))
    return canonical(attribute)


def _rest(span: Span, dropped: int) -> bytes:
    """Everything of a span but its attributes, with its drop count greater by `dropped` (S7)."""
    rest = Span()
    rest.CopyFrom(span)
    rest.ClearField("attributes")
    if dropped:
        rest.dropped_attributes_count = min(rest.dropped_attributes_count + dropped, UINT32)
    return canonical(rest)


def _is_around(received: Left, left: Left) -> bool:
    """The same resource, scope, schema URLs and unknown fields around it."""
    return (
        canonical(ResourceSpans.FromString(received.resource)) == canonical(ResourceSpans.FromString(left.resource))
        and canonical(ScopeSpans.FromString(received.scope)) == canonical(ScopeSpans.FromString(left.scope))
        and received.extra in left.extra
    )
