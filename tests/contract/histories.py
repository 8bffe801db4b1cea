"""Random histories for the properties: trees with every defect, values of every kind, any order, batching and encoding.

Times lie on a grid on which no deadline falls near a step: deadlines are rounded down to a tick (S15), which is not
what is tested here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import craft
import wires
from engine import Left, Setup, spans_of
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from oracle import Delivery

# Steps are at 5, 15, 25 …: 93 s later lies 2 s before a step, 22 s later 8 s before one.
GRID_S, FIRST_S, MAX_WAIT_S, QUIET_S = 10.0, 5.0, 93.0, 22.0
UNKNOWN = wires.field(1000, b"unknown") + wires.field(77, 7)
ORDERS = {"ascending": wires.ascending, "descending": wires.descending}

LONG = "x" * 201
USERS = st.sampled_from(["u1", "u1", "u2", "ü" * 200, "", LONG, None, 5, True, ["u1"], b"u1", {"a": "b"}])
TEXTS = st.sampled_from(["a", "a", "b", "", LONG, None, 2.5])
TAGS = st.sampled_from([["a", "b"], ["a"], ["ok", 5, LONG], [LONG], [], "a", "", 7, [["a"]]])
HEADERS = st.sampled_from([
    "langfuse_user_id=u1,tenant=a", "langfuse_session_id=s+1;p=1", "tenant=b%20c , langfuse_tags=a%2Cb", "langfuse_user_id=" + LONG,
    "langfuse_metadata_a=m,other=1", ["tenant=a", "langfuse_user_id=u2"], "", "langfuse_environment=Prod,tenant=" + LONG, 5,
])  # fmt: skip
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "user.id": USERS, "langfuse.user.id": USERS, "enduser.id": USERS, "langfuse_user_id": USERS, "gen_ai.user.id": USERS, "llm.user": USERS,
    "session.id": USERS, "langfuse.session.id": USERS, "gen_ai.conversation.id": USERS,
    "tenant": TEXTS, "plan": TEXTS, "langfuse.trace.metadata.a": TEXTS, "langfuse.trace.metadata.b": TEXTS, "langfuse.trace.tags": TAGS,
    "langfuse.environment": st.sampled_from(["prod", "Prod", "langfuse-x", "e" * 41, "", "a\n"]),
    "http.request.header.baggage": HEADERS,
    "langfuse.internal.is_app_root": st.booleans(),
    "other": TEXTS,
}  # fmt: skip
BAGGAGE = [(), (), ("tenant", "plan"), ("langfuse",), ("tenant", "langfuse.trace.tags", "langfuse.environment")]


class History:
    """Settings, what comes when, and how many spans are worked off at a time.

    No dataclass, for hypothesis prints those in its own way, bytes and all.
    """

    def __init__(self, setup: Setup, events: tuple[Delivery | float, ...], step: int) -> None:
        self.setup = setup
        self.events = events
        self.step = step

    def __repr__(self) -> str:
        """What a person needs of a failing one."""
        setup = self.setup
        lines = [f"baggage={setup.baggage} roots_any={setup.roots_any} fill={setup.fill}"]
        for event in self.events:
            if isinstance(event, Delivery):
                lines.append(f"at {event.at_s} prefix={event.key_prefix!r} langfuse={event.is_langfuse}")
                lines += [f"  {_line(left)}" for left in spans_of(event.body)]
            else:
                lines.append(f"at {event}")
        return "\n".join(lines)


def _line(left: Left) -> str:
    span = left.span
    pairs = [(each.key, craft.plain(each.value)) for each in span.attributes]
    resource = [
        (each.key, craft.plain(each.value)) for each in ResourceSpans.FromString(left.resource).resource.attributes
    ]
    ids = f"{span.trace_id[-1]}/{span.span_id[-1]} <- {span.parent_span_id[-1:].hex() or '-'}"
    return f"{span.name} {ids} kind={span.kind} flags={span.flags:#x} {pairs} resource={resource}"


@dataclass(frozen=True, slots=True)
class World:
    """What the spans of one history have in common, so that they meet: who is whose parent, which keys they use."""

    parents: tuple[int, ...]
    keys: tuple[str, ...]


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Parents of spans 1 to 6 (0 none, 9 never comes, cycles and self-parents among them), and up to five keys."""
    parents = draw(st.lists(st.sampled_from([0, 1, 1, 2, 2, 3, 4, 5, 6, 9]), min_size=6, max_size=6))
    keys = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=5, unique=True))
    return World((9, *parents), tuple(keys))


@st.composite
def attributes(draw: st.DrawFn, world: World, most: int = 3) -> list[tuple[str, Any]]:
    """Some attributes, a key now and then twice; rarely values that an earlier processor computed (S22)."""
    pairs = []
    for key in draw(st.lists(st.sampled_from(world.keys), max_size=most)):
        pairs.append((key, draw(KEYS[key])))
    if draw(st.integers(0, 19)) == 0:
        pairs = [(key, value) for key, value in pairs if key not in ("user.id", "tenant")]
        pairs += [("user.id", "old"), ("tenant", "old")]
        pairs.append(("span_processor.derived", draw(st.sampled_from([["user.id"], ["tenant", "user.id"]]))))
    return pairs


@st.composite
def spans(draw: st.DrawFn, name: str, world: World) -> Span:
    """A span of one of two traces; one in six is a pending one, one in six disagrees about its parent."""
    number, trace = draw(st.integers(1, 6)), draw(st.sampled_from([1, 1, 1, 1, 2]))
    parent = world.parents[number] if draw(st.integers(0, 5)) else draw(st.integers(0, 9))
    pairs = draw(attributes(world))
    if draw(st.integers(0, 5)) == 0:
        return craft.pending(100 + number, number, parent, pairs, trace, name=name)
    flags = draw(
        st.sampled_from([0, 0, 0, craft.LOCAL_PARENT, craft.LOCAL_PARENT, craft.REMOTE_PARENT, craft.IS_REMOTE])
    )
    kind = draw(
        st.sampled_from([craft.INTERNAL, craft.INTERNAL, craft.INTERNAL, craft.CLIENT, craft.SERVER, craft.CONSUMER])
    )
    built = craft.span(number, parent, pairs, trace, name=name, flags=flags, kind=kind, trace_state="k=v")
    if draw(st.booleans()):
        built.dropped_attributes_count = draw(st.sampled_from([1, (1 << 32) - 1]))
        built.events.add(name="event", time_unix_nano=1).attributes.append(craft.key_value("user.id", "of the event"))
        built.links.add(trace_id=craft.trace_id(7), span_id=craft.span_id(7)).attributes.append(
            craft.key_value("user.id", 1)
        )
        built.status.message = "status"
    if parent == 0 and draw(st.booleans()):
        built.parent_span_id = bytes(8)
    return built


@st.composite
def encodings(draw: st.DrawFn) -> wires.Shuffle:
    """A field order."""
    name = draw(st.sampled_from([*ORDERS, "shuffled"]))
    return ORDERS.get(name) or wires.shuffled(draw(st.integers(0, 99)))


@st.composite
def requests(draw: st.DrawFn, members: list[Span], world: World) -> bytes:
    """Spans in one request of up to three resources and scopes, with unknown fields at every level, in some field
    order.
    """
    built = ExportTraceServiceRequest()
    for index in range(draw(st.integers(1, 3))):
        resource_spans = built.resource_spans.add(schema_url=f"https://example.org/{index}")
        pairs = draw(attributes(world, 2)) if draw(st.booleans()) else []
        resource_spans.resource.attributes.append(craft.key_value("service.name", f"service-{index}"))
        resource_spans.resource.attributes.extend(
            craft.key_value(key, value) for key, value in pairs if key != "span_processor.derived"
        )
        for inner in range(draw(st.integers(1, 2))):
            scope_spans = resource_spans.scope_spans.add(schema_url="https://example.org/scope")
            scope_spans.scope.name = f"scope-{inner}"
    sections = [scope for resource in built.resource_spans for scope in resource.scope_spans]
    for member in members:
        draw(st.sampled_from(sections)).spans.append(member)
    body = wires.reorder(built.SerializeToString(), built.DESCRIPTOR, draw(encodings()))
    return body + (UNKNOWN if draw(st.booleans()) else b"")


@st.composite
def setups(draw: st.DrawFn) -> Setup:
    """Settings: allow-list, roots, filling."""
    return Setup(
        baggage=draw(st.sampled_from(BAGGAGE)), roots_any=draw(st.booleans()), fill=draw(st.sampled_from(["none", "orphans", "trace"])),
        max_wait_s=MAX_WAIT_S, trace_quiet_s=QUIET_S, remember_for_s=10_000.0,
    )  # fmt: skip


@st.composite
def histories(draw: st.DrawFn, most: int = 8) -> History:
    """Up to `most` spans in up to five requests over two MAX_WAITs, some of them received twice."""
    setup = draw(setups())
    world = draw(worlds())
    members = [draw(spans(f"span-{index}", world)) for index in range(draw(st.integers(1, most)))]
    members = [_with_unknown(each) if draw(st.booleans()) else each for each in members]
    members += draw(st.lists(st.sampled_from(members), max_size=2))
    batches: list[list[Span]] = [[] for _ in range(draw(st.integers(1, 5)))]
    for member in members:
        draw(st.sampled_from(batches)).append(member)
    events: list[Delivery | float] = []
    at_s = FIRST_S
    for batch in batches:
        at_s += GRID_S * draw(st.sampled_from([0, 0, 1, 2, 3, 8, 10]))
        body = draw(requests(batch, world))
        events.append(Delivery(at_s, body, draw(st.booleans()), draw(st.sampled_from([b"", b"", b"", b"other"]))))
    end_s = at_s + draw(st.sampled_from([0.0, 30.0, 100.0]))
    return History(setup, (*events, end_s), draw(st.sampled_from([2000, 1, 2])))


def _with_unknown(member: Span) -> Span:
    extended: Span = Span.FromString(member.SerializeToString() + UNKNOWN)
    return extended
