"""What is sent: spans as an instrumented agent emits them, in requests whose ids can be renewed in place.

Traces are trees of eight spans, children before parents, the root last. The root says user id, session id and two
further attributes; no other span does. Making a request anew costs ten times what a server spends on it, so a
template is made once and gets fresh trace and span ids before each send: 0.2 µs a span.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import wire
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, InstrumentationScope, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span

GRPC = "grpc"
HTTP = "http"
GRPC_TLS = "grpc over TLS"

# Parents by index: an agent, its two model calls, their tools. Sent from the last to the first.
_PARENTS = (None, 0, 0, 1, 1, 2, 2, 5)
TREE_SPANS = len(_PARENTS)

_MODELS = ("gpt-5-mini", "gpt-5", "gpt-5-nano", "gpt-5-mini")

CARRIED = {
    "user.id": "user-7f3a90c2",
    "session.id": "session-2f6d1c0a94",
    "app.tenant": "tenant-berlin-12",
    "app.release": "2026.11.2-canary",
}
"""What each root says. The last two descend only where the subject is told to carry them."""
_USER = CARRIED["user.id"].encode()


@dataclass(frozen=True, slots=True)
class Workload:
    """The shape of the requests of a row. `span_bytes`: a span that is no root, on the wire, without framing.

    `rooted`: False leaves the roots out, so that the spans of their trees wait. `users`: how many user ids there are;
    each trace has the next one.
    """

    spans_per_request: int = 512
    span_bytes: int = 430
    transport: str = GRPC
    rooted: bool = True
    users: int = 1


class Template:
    """One request of a workload, cut at its ids. Only one thread may use it.

    The pieces after the first, four a span: trace id and first half of the span id; second half; first half of the
    parent's id (empty in a root); its second half, and all that follows up to the next span's trace id.
    """

    __slots__ = ("_has_parent", "_next_user", "_pieces", "_roots", "_trees", "_users")

    def __init__(self, workload: Workload) -> None:
        self._trees = workload.spans_per_request // TREE_SPANS
        spans = [one for tree in range(self._trees) for one in _tree(tree * TREE_SPANS, workload)]
        framed = [wire.field(2, one) for one in spans]
        self._has_parent = [index < TREE_SPANS - 1 or not workload.rooted for index in range(TREE_SPANS)]
        self._pieces = [wire.request_head(resource(), scope(), sum(map(len, framed)))]
        for index, (one, with_head) in enumerate(zip(spans, framed, strict=True)):
            self._pieces[-1] += with_head[: len(with_head) - len(one) + wire.TRACE_ID_AT]
            self._pieces += _cut(one, self._has_parent[index % TREE_SPANS])
        self._users = workload.users if workload.rooted else 1
        self._next_user = int.from_bytes(os.urandom(4), "big")
        # The last piece of each root, cut at its user id.
        self._roots = [piece.split(_USER) for piece in self._pieces[4 * TREE_SPANS :: 4 * TREE_SPANS]]

    def stamp(self, sent_ns: int) -> bytes:
        """The request with fresh ids. Each trace id begins with `sent_ns` as eight big-endian bytes."""
        head, noise, trees = sent_ns.to_bytes(8, "big"), os.urandom(8 * self._trees + 4), self._trees
        span_id = noise[-4:]
        ids = [head + noise[8 * tree : 8 * tree + 8] + b"\x12\x08" + span_id for tree in range(trees)]
        self._pieces[1::4] = [one for one in ids for _ in range(TREE_SPANS)]
        if self._users > 1:
            self._pieces[4 * TREE_SPANS :: 4 * TREE_SPANS] = [
                self._with_user(before, after) for before, after in self._roots
            ]
        self._pieces[3::4] = [span_id if has_parent else b"" for has_parent in self._has_parent] * trees
        return b"".join(self._pieces)

    def _with_user(self, before: bytes, after: bytes) -> bytes:
        self._next_user += 1
        return before + b"user-%08x" % (self._next_user % self._users) + after


def _cut(span: bytes, has_parent: bool) -> tuple[bytes, bytes, bytes, bytes]:
    after_trace_id, parent = wire.SPAN_ID_AT + 4, wire.PARENT_ID_AT
    if has_parent:
        return b"", span[after_trace_id:parent], b"", span[parent + 4 :]
    return b"", span[after_trace_id : parent - 2], b"", span[parent - 2 :]


def _tree(first: int, workload: Workload) -> list[bytes]:
    """The spans of one trace, numbered from `first`, the root last. Ids: four bytes to be stamped, then the number."""
    spans = []
    for index in range(TREE_SPANS - 1, -1, -1):
        parent = _PARENTS[index]
        child = child_fields(workload.span_bytes, first + index)
        root = root_fields(workload.span_bytes, first + index)
        if parent is not None:
            spans.append(wire.span(bytes(16), span_id(first + index), span_id(first + parent), child))
        elif workload.rooted:
            spans.append(wire.span(bytes(16), span_id(first), b"", root))
        else:  # the top-most span names a parent that never comes
            spans.append(wire.span(bytes(16), span_id(first), span_id(1 << 30 | first), child))
    return spans


def span_id(number: int) -> bytes:
    """Eight bytes, never all zero."""
    return bytes(4) + (number + 1).to_bytes(4, "big")


def child_fields(span_bytes: int, number: int = 0) -> bytes:
    """All fields but the ids of a span with a parent, so that the whole span has `span_bytes` bytes.

    `number`: spans of different numbers differ, as calls of a model do.
    """
    return _padded(_child(number), span_bytes - wire.PARENT_ID_AT - 8)


def root_fields(span_bytes: int, number: int = 0) -> bytes:
    """All fields but the ids of a root: like a child's, and what it says of user and session beside."""
    fields = _child(number)
    fields.name, fields.kind = "invoke_agent", Span.SPAN_KIND_SERVER
    said = [_string(key, value) for key, value in CARRIED.items()]
    length = span_bytes - wire.PARENT_ID_AT - 8 + sum(len(wire.field(9, one.SerializeToString())) for one in said)
    fields.attributes.extend(said)
    return _padded(fields, length)


def resource() -> bytes:
    """The serialised Resource of every request."""
    message = Resource(
        attributes=[
            _string("service.name", "support-agent"),
            _string("service.version", "4.11.0"),
            _string("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09"),
            _string("deployment.environment.name", "production"),
            _string("telemetry.sdk.language", "python"),
            _string("telemetry.sdk.name", "opentelemetry"),
            _string("telemetry.sdk.version", "1.45.0"),
        ]
    )
    return bytes(message.SerializeToString())


def scope() -> bytes:
    """The serialised InstrumentationScope of every request."""
    message = InstrumentationScope(name="opentelemetry.instrumentation.openai_v2", version="2.3")
    return bytes(message.SerializeToString())


def _child(number: int) -> Span:
    """A model call: nine attributes; the tenth is the prompt, which fills the span up."""
    model = _MODELS[number % len(_MODELS)]
    return Span(
        flags=0x101,
        name=f"chat {model}",
        kind=Span.SPAN_KIND_CLIENT,
        start_time_unix_nano=1_790_000_000_123_456_789,
        end_time_unix_nano=1_790_000_001_345_678_901,
        attributes=[
            _string("gen_ai.operation.name", "chat"),
            _string("gen_ai.provider.name", "openai"),
            _string("gen_ai.request.model", model),
            _string("server.address", "api.openai.com"),
            _string("gen_ai.output.type", "json"),
            KeyValue(key="gen_ai.request.temperature", value=AnyValue(double_value=number % 10 / 10)),
            KeyValue(key="gen_ai.usage.input_tokens", value=AnyValue(int_value=number * 7919 % 6000)),
            KeyValue(key="gen_ai.usage.output_tokens", value=AnyValue(int_value=number * 104_729 % 900)),
            KeyValue(key="server.port", value=AnyValue(int_value=443)),
        ],
    )


def _padded(fields: Span, length: int) -> bytes:
    """The serialised fields with a prompt as long as it takes to reach `length`."""
    prompt = fields.attributes.add(key="gen_ai.input.messages")
    prompt.value.string_value = _prompt(length - fields.ByteSize())
    while prompt.value.string_value and fields.ByteSize() > length:  # the lengths' own bytes
        prompt.value.string_value = prompt.value.string_value[:-1]
    return bytes(fields.SerializeToString())


def _prompt(length: int) -> str:
    sentence = '{"role":"user","content":"The third invoice of March was charged twice, can you check it?"},'
    return (sentence * (length // len(sentence) + 1))[: max(length, 0)]


def _string(key: str, value: str) -> KeyValue:
    return KeyValue(key=key, value=AnyValue(string_value=value))
