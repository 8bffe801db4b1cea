"""What the view shows of one span: read once from the bytes that leave, small enough to be kept.

A span is read as it leaves, with the attributes that were appended to it. Where each value comes from is told as far as
the span alone tells it; which ancestor it was is the tree's to find. Must not know layout.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span, SpanFlags, Status

from processor.attributes.keys import DERIVED_KEY, SESSION_ID, USER_ID, KeySettings
from processor.export.view.parse import parse_service_name, parse_span, parse_value
from processor.export.view.text import Marks, clean, show_value
from processor.span import Context, Group, Own, Value

# Values shown of one span; a context may have 64 (S10).
MAX_VALUES: Final = 16
# Services remembered by resource bytes.
_MAX_SERVICES: Final = 256

_LABEL_PREFIX: Final = b"logfire.variables."
_KINDS: Final = {2: "server", 3: "client", 4: "producer", 5: "consumer"}
_ENTRIES: Final = (Span.SPAN_KIND_SERVER, Span.SPAN_KIND_CONSUMER)
_KNOWN: Final = SpanFlags.SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK
_REMOTE: Final = _KNOWN | SpanFlags.SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

Attributes = Mapping[str, AnyValue]


class Origin(Enum):
    """Where a value on a span comes from. `GIVEN`: from above or, if nobody there has it, from the resource."""

    OWN = "own"
    GIVEN = "given"
    AGREED = "agreed"
    COMPUTED = "computed"


@dataclass(frozen=True, slots=True)
class Said:
    """One value on a span. `alias`: the key that an own one was read from, if it is another.

    `key` and `identity` are compared with what ancestors say; `name` and `text` are shown.
    `is_default`: the resource has the same value (S3).
    """

    key: bytes
    identity: bytes
    name: str
    text: str
    origin: Origin
    alias: str = ""
    is_default: bool = False


@dataclass(frozen=True, slots=True)
class Ancestor:
    """What the spans below need of a span: its parent, its name, and what it says itself."""

    parent_id: bytes
    name: str
    service: str
    own: Mapping[bytes, Value]


@dataclass(frozen=True, slots=True)
class Shown:
    """A span as the view keeps it until it is printed. Texts are clean.

    `is_root`, `is_remote`: as the contract says of roots. `is_pending`: stands for the span whose id it has (S5).
    `labels` are values, too; `more`: how many of both are left out.
    """

    span_id: bytes
    above: Ancestor
    kind: str
    model: str
    tokens: str
    start_ns: int
    end_ns: int
    is_error: bool
    is_root: bool
    is_remote: bool
    is_pending: bool
    values: tuple[Said, ...]
    labels: tuple[Said, ...]
    more: int


class SpanReader:
    """Reads spans for one set of aliases. `roots_any`: a remote parent does not make a root."""

    def __init__(self, keys: KeySettings, roots_any: bool, marks: Marks) -> None:
        self._aliases = {USER_ID: keys.user + keys.user_fallback, SESSION_ID: keys.session + keys.session_fallback}
        self._roots_any = roots_any
        self._marks = marks
        self._services: dict[bytes, str] = {}

    def read(self, raw: bytes, suffix: bytes, group: Group, own: Own | None, context: Context) -> tuple[bytes, Shown]:
        """The trace id of a span and what is shown of it. Never fails: what cannot be read is left out."""
        span = parse_span(raw + suffix)
        attributes = {attribute.key: attribute.value for attribute in span.attributes}
        values = _Values(attributes, own, group, context, self._aliases, self._marks)
        carried, labels = values.carried(), values.labels()
        pending = own.pending_parent if own is not None else None
        is_remote = span.flags & _REMOTE == _REMOTE or (span.kind in _ENTRIES and not span.flags & _KNOWN)
        is_app_root = own is not None and own.is_app_root
        name = clean(span.name, self._marks) or "(no name)"
        parent_id = span.parent_span_id if span.parent_span_id.strip(b"\0") else b""
        return span.trace_id, Shown(
            span_id=span.span_id if pending is None else parent_id,
            above=Ancestor(parent_id if pending is None else pending, name, self._service(group), values.own),
            kind=_KINDS.get(span.kind, ""),
            model=_model(attributes, name, self._marks),
            tokens=_tokens(attributes, self._marks),
            start_ns=span.start_time_unix_nano,
            end_ns=span.end_time_unix_nano,
            is_error=span.status.code == Status.STATUS_CODE_ERROR,
            is_root=pending is None and (not parent_id or (is_remote and not self._roots_any) or is_app_root),
            is_remote=is_remote,
            is_pending=pending is not None,
            values=values.said(carried),
            labels=values.said(labels),
            more=len(carried[MAX_VALUES:]) + len(labels[MAX_VALUES:]),
        )

    def _service(self, group: Group) -> str:
        service = self._services.get(group.resource)
        if service is None:
            service = clean(parse_service_name(group.resource), self._marks)
            if len(self._services) >= _MAX_SERVICES:
                self._services.clear()
            self._services[group.resource] = service
        return service


class _Values:
    """The carried values and labels on one span, and where they come from."""

    def __init__(
        self,
        attributes: Attributes,
        own: Own | None,
        group: Group,
        context: Context,
        aliases: Mapping[bytes, tuple[str, ...]],
        marks: Marks,
    ) -> None:
        self.own = own.context.values if own is not None else {}
        self._present = own.present if own is not None else set()
        self._attributes = attributes
        self._defaults = group.defaults.values if group.defaults is not None else {}
        self._given = {key: value for key, value in context.values.items() if value.encoded}
        self._aliases = aliases
        self._marks = marks
        # The keys that the span names as computed, by this processor or an earlier one (S22).
        listed = attributes.get(DERIVED_KEY.decode(), AnyValue())
        self._derived = {item.string_value.encode() for item in listed.array_value.values}

    def carried(self) -> list[bytes]:
        """The carried keys: user and session id first."""
        ids = [key for key in (USER_ID, SESSION_ID) if key in self._given or self._is_derived(key)]
        return list(dict.fromkeys([*ids, *(key for key in self._given if not key.startswith(_LABEL_PREFIX))]))

    def labels(self) -> list[bytes]:
        """The keys of labels, reported, inherited or evaluated; versions are left out."""
        keys = dict.fromkeys([*self._given, *(name.encode() for name in self._attributes)])
        return [key for key in keys if key.startswith(_LABEL_PREFIX) and not key.endswith(b".version")]

    def said(self, keys: list[bytes]) -> tuple[Said, ...]:
        """What is shown of the first of these keys."""
        return tuple(self._said(key) for key in keys[:MAX_VALUES])

    def _is_derived(self, key: bytes) -> bool:
        return key in self._derived and key.decode("utf-8", "replace") in self._attributes

    def _said(self, key: bytes) -> Said:
        name = key.decode("utf-8", "replace")
        given = self._given.get(key)
        identity = given.identity if given is not None else b""
        value = self._attributes.get(name, parse_value(identity))
        origin = self._origin(key, identity)
        alias = self._alias(key, value) if origin is Origin.OWN else ""
        default = self._defaults.get(key)
        is_default = default is not None and default.identity == identity
        marks = self._marks
        shown_name = clean(name.removeprefix(_LABEL_PREFIX.decode()), marks)
        return Said(key, identity, shown_name, show_value(value, marks), origin, clean(alias, marks), is_default)

    def _origin(self, key: bytes, identity: bytes) -> Origin:
        if self._is_derived(key):
            return Origin.COMPUTED if key.startswith(_LABEL_PREFIX) else Origin.AGREED
        mine = self.own.get(key)
        is_own = not identity or key in self._present or (mine is not None and mine.identity == identity)
        return Origin.OWN if is_own else Origin.GIVEN

    def _alias(self, key: bytes, value: AnyValue) -> str:
        """The key under which the span itself has the value; `baggage` where it captured that (S2); "" for `key`."""
        if key in self._present or key.startswith(_LABEL_PREFIX):
            return ""
        names = (name for name in self._aliases.get(key, ()) if name.encode() != key)
        return next((name for name in names if self._attributes.get(name) == value), "baggage")


def _model(attributes: Attributes, name: str, marks: Marks) -> str:
    """The model asked for, unless the span's name has it already."""
    model = clean(attributes.get("gen_ai.request.model", AnyValue()).string_value, marks)
    return "" if model in name else model


def _tokens(attributes: Attributes, marks: Marks) -> str:
    counts = [attributes.get(f"gen_ai.usage.{side}_tokens", AnyValue()) for side in ("input", "output")]
    into, out = [str(count.int_value) if count.HasField("int_value") else "" for count in counts]
    if into and out:
        return f"{into}{marks.arrow}{out} tok"
    return f"{into or out} tok {'in' if into else 'out'}" if into or out else ""
