"""What travels through the rooms: a span, where it came from, what it says, what is in force for it.

`wire/` makes spans and groups, `attributes/` what a span says for itself (`Own`), `trace/` what is in force
(`Context`); all of them are plain data. A `Span` holds its own bytes unparsed, so what we do not understand leaves
as it came.
"""

from __future__ import annotations

from typing import Final

from mypy_extensions import i32, i64, mypyc_attr, u8

from processor.origin import NO_ORIGIN, Origin

PLACEHOLDER: Final = 0  # named as a parent, not received
RECEIVED: Final = 1
DECIDED: Final = 2  # its context is final
EMITTED: Final = 4  # has left
IS_ROOT: Final = 8
IS_ENTRY: Final = 16  # its parent is in another process: its flags say so, or, where they do not say, its kind

# Reported and evaluated labels of managed variables stand under this prefix.
NO_KEYS: Final[list[bytes]] = []  # shared, never changed
NO_NAMES: Final[list[str]] = []
LABEL_PREFIX: Final = b"logfire.variables."


@mypyc_attr(acyclic=True)
class Hit:
    """One attribute of interest, as it stands in its span: `slot` of the interest table, key, encoded AnyValue."""

    __slots__ = ("key", "slot", "value")

    def __init__(self, slot: int, key: bytes, value: bytes) -> None:
        self.slot = slot
        self.key = key
        self.value = value


@mypyc_attr(acyclic=True)
class Value:
    """One carried value: written as `encoded` (whole attributes fields of a Span), compared by `identity`.

    `encoded` is empty for what is carried for evaluation only (S21). `data`: the value as a Python object, as
    conditions see it. `is_weak`: from a fallback key (S1).
    """

    __slots__ = ("data", "encoded", "identity", "is_weak", "key")

    def __init__(self, key: bytes, identity: bytes, encoded: bytes, is_weak: bool, data: object = None) -> None:
        self.data = data
        self.key = key
        self.identity = identity
        self.encoded = encoded
        self.is_weak = is_weak


@mypyc_attr(acyclic=True)
class Context:
    """The values in force, by key (S10). Immutable, shared by all spans that agree; `Contexts` makes them.

    `suffix`: all values encoded, what a span with none of them gets. `is_complete`: no further ancestor can change it
    (S14). `has_weak`: some values are from fallback keys. `lacks_user`, `lacks_session`: 1 or 0, `lacks` their sum;
    `baggage`: how many other values are written, labels aside.
    `reported`: names of the variables whose labels are among the values. `derived`: the keys that were filled in
    (S12) or evaluated (S22); such a context is written, never inherited. `labelled`: names of the variables that were
    evaluated. `cost`: estimated bytes; `holders`: how many frozen traces keep it, the memory's to count (S17).
    """

    __slots__ = (
        "baggage",
        "cost",
        "derived",
        "has_weak",
        "holders",
        "is_complete",
        "labelled",
        "lacks",
        "lacks_session",
        "lacks_user",
        "reported",
        "suffix",
        "values",
    )

    def __init__(self, values: dict[bytes, Value], is_complete: bool) -> None:
        self.values = values
        self.is_complete = is_complete
        self.has_weak = any([value.is_weak for value in values.values()])
        self.suffix = b"".join([value.encoded for value in values.values()])
        self.lacks_user: i64 = 0 if b"user.id" in values else 1
        self.lacks_session: i64 = 0 if b"session.id" in values else 1
        self.lacks: i64 = self.lacks_user + self.lacks_session
        self.derived = NO_KEYS
        self.labelled = NO_NAMES
        self.cost: i64 = 500 + 250 * len(values) + 3 * len(self.suffix)
        self.holders: i64 = 0
        labels = [key for key, value in values.items() if value.encoded and key.startswith(LABEL_PREFIX)]
        self.reported = frozenset([key[len(LABEL_PREFIX) :].decode("utf-8", "replace") for key in labels])
        written: i64 = len([value for value in values.values() if value.encoded])
        self.baggage: i64 = written - len(labels) - (1 - self.lacks_user) - (1 - self.lacks_session)


@mypyc_attr(acyclic=True)
class Gift:
    """What a span is given of a context: `suffix`, the attributes that it lacks, and what they count for.

    `users`, `sessions`, `baggage`: how many values it inherits, labels aside; `filled`: the key groups of those that
    were filled in (S12).
    """

    __slots__ = ("baggage", "context", "filled", "sessions", "suffix", "users")

    def __init__(self, context: Context, suffix: bytes) -> None:
        self.context = context
        self.suffix = suffix
        self.users: i64 = 0
        self.sessions: i64 = 0
        self.baggage: i64 = 0
        self.filled = NO_NAMES


@mypyc_attr(acyclic=True)
class Own:
    """What a span says itself, after aliasing and validation.

    `context`: its own values. `present`: carried keys that it has already and that are never overwritten (S11).
    `hollow`: carried keys that it has with an empty value, or computed by an earlier processor: cut when they are
    written. `derived`: keys that an earlier processor computed (S22). `is_app_root`: marked as a root for Langfuse
    (counts in a request of its exporter). `is_full`: it has all that it says itself. `pending_parent`: of a pending
    span (S5), the id of the real span's parent, b"" for a root; None for any other span. `attributes`: listed
    attributes that conditions may read, by name (S21). `gift`: what such a span was given last. Shared by spans that
    say the same.
    """

    __slots__ = (
        "attributes", "context", "derived", "gift", "hollow", "is_app_root", "is_full", "pending_parent", "present",
    )  # fmt: skip

    def __init__(self, context: Context) -> None:
        self.context = context
        self.present: set[bytes] = set()
        self.hollow: set[bytes] = set()
        self.derived = NO_KEYS
        self.attributes: dict[str, object] | None = None
        self.gift: Gift | None = None
        self.is_app_root = False
        self.is_full = False
        self.pending_parent: bytes | None = None


@mypyc_attr(acyclic=True)
class Group:
    """The resource and scope of spans, as bytes, and whose they are: everything of the request around them.

    `extra`: top-level fields of the request other than resource_spans; `resource`: fields of ResourceSpans other
    than scope_spans (resource, schema_url, unknown ones); `scope`: fields of ScopeSpans other than spans. Repeated
    submessages stay repeated, which protobuf reads as merged. `hits`: the resource's attributes of interest; what they
    come to, once read: `defaults`, the values for spans that have none (S3), and `attributes`, all of them by name, as
    conditions see them. `share`: the part of its own bytes that each of its spans answers for. `origin`: the sender's
    headers that go out with them (S28).
    """

    __slots__ = ("attributes", "defaults", "extra", "hits", "origin", "resource", "scope", "share")

    def __init__(
        self, extra: bytes, resource: bytes, scope: bytes, hits: list[Hit], origin: Origin = NO_ORIGIN
    ) -> None:
        self.extra = extra
        self.resource = resource
        self.scope = scope
        self.hits = hits
        self.origin = origin
        self.defaults: Context | None = None
        self.attributes: dict[str, object] = {}
        self.share: i64 = 0


@mypyc_attr(acyclic=True)
class Span:
    """One received span: its bytes, its place, and what of it matters to us.

    `raw`: the Span message's bytes. `parent_id` is empty for a span without a parent.

    It is also the node of its trace tree, one object a span, for hundreds of thousands may wait; so no field is wider
    than it must be. The tree fields belong to the trace buffer alone: `context` (known so far), `state` bits, `due`
    (the tick at which it is given up), `first_child` and `next_sibling` (an intrusive list: no list object a span).
    The buffer cuts the links by hand when it forgets a trace, so no cycle collector needs to visit spans.
    """

    __slots__ = (
        "context", "due", "first_child", "group", "next_sibling", "own", "parent_id", "raw", "span_id", "state",
    )  # fmt: skip

    def __init__(self, raw: bytes, span_id: bytes, parent_id: bytes, group: Group, context: Context) -> None:
        self.raw = raw
        self.span_id = span_id
        self.parent_id = parent_id
        self.group = group
        self.own: Own | None = None
        self.context = context
        self.first_child: Span | None = None
        self.next_sibling: Span | None = None
        self.due: i32 = 0
        self.state: u8 = RECEIVED
