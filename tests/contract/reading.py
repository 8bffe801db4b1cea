"""The oracle's first half: what one span says itself, by rules S1, S2, S4, S6, S7 and S22, from upb's objects.

Written from the contract alone: slow, plain, one rule a function.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import craft
from engine import Setup
from google.protobuf.message import Message
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

USER, SESSION, DERIVED, TAGS = "user.id", "session.id", "span_processor.derived", "langfuse.trace.tags"
ALWAYS_CUT = {USER, SESSION, "langfuse.user.id", "langfuse.session.id"}
LANGFUSE = ("langfuse.trace.name", TAGS, "langfuse.trace.metadata.*", "langfuse.version", "langfuse.environment")
MEMBERS = {
    "langfuse_user_id": USER, "langfuse_session_id": SESSION, "langfuse_version": "langfuse.version",
    "langfuse_tags": TAGS, "langfuse_trace_name": "langfuse.trace.name", "langfuse_environment": "langfuse.environment",
}  # fmt: skip
APP_ROOTS = ("langfuse.internal.is_app_root", "langfuse.internal.as_root")


@dataclass(frozen=True, slots=True)
class Carried:
    """A carried value: the AnyValue that is written, and whether it is from a fallback key (S1)."""

    value: AnyValue
    is_weak: bool

    @property
    def identity(self) -> bytes:
        """Equal for equal values."""
        return canonical(self.value)


@dataclass(slots=True)
class Reading:
    """What a span says. `present`: carried keys that are not written again; `hollow`: those cut when they are written;
    `cut`: attributes that go at once, of which `dropped` are counted on the span."""

    values: dict[str, Carried] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    hollow: set[str] = field(default_factory=set)
    cut: set[str] = field(default_factory=set)
    dropped: int = 0
    derived: list[str] = field(default_factory=list)
    is_app_root: bool = False
    pending_parent: bytes | None = None


def canonical(message: Message) -> bytes:
    """One form for equal messages, unknown fields included."""
    return bytes(message.SerializeToString(deterministic=True))


def allow_list(setup: Setup) -> list[str]:
    """BAGGAGE_KEYS with the word `langfuse` replaced (interface)."""
    return [key for name in setup.baggage for key in (LANGFUSE if name == "langfuse" else (name,))]


def is_listed(key: str, setup: Setup) -> bool:
    """Whether a key is a baggage key."""
    return any(key.startswith(name[:-1]) if name.endswith("*") else key == name for name in allow_list(setup))


def required_keys(setup: Setup) -> set[str] | None:
    """The keys that must be known for a decision before the root; None where only a root decides (S14)."""
    listed = allow_list(setup)
    return None if any(name.endswith("*") for name in listed) else {USER, SESSION, *listed}


def is_valid(key: str, value: Any, setup: Setup) -> bool:
    """S6, for one string."""
    if not isinstance(value, str) or not value:
        return False
    if key == "langfuse.environment":
        return len(value) <= 40 and re.fullmatch(r"(?!langfuse)[a-z0-9_-]+", value) is not None
    return len(value) <= setup.max_length


def read(attributes: Iterable[KeyValue], setup: Setup) -> Reading:
    """What these attributes come to."""
    pairs = [(each.key, craft.plain(each.value)) for each in attributes]
    said = dict(pairs)  # S4: of duplicate keys the last counts
    reading = Reading()
    computed = said.get(DERIVED)
    reading.derived = [key for key in computed if isinstance(key, str)] if isinstance(computed, list) else []
    reading.hollow = {key for key in reading.derived if key in said}  # S22: not own, may be replaced
    own = {key: value for key, value in said.items() if key not in reading.hollow}
    for canonical_key, strong, fallback in (
        (USER, setup.user, setup.user_fallback), (SESSION, setup.session, setup.session_fallback),
    ):  # fmt: skip
        _read_id(reading, own, canonical_key, (strong, fallback), setup)
    for key, value in own.items():
        if is_listed(key, setup):
            _read_listed(reading, key, value, setup)
    reading.cut |= {key for key in ALWAYS_CUT if _is_invalid(own.get(key), setup)}
    rewritten = {key for key in reading.cut if key in reading.values and key not in (USER, SESSION)}
    reading.dropped = sum(key in reading.cut - rewritten for key, _ in pairs)
    _read_baggage(reading, own, setup)
    reading.is_app_root = any(said.get(key) is True for key in APP_ROOTS)
    if said.get("logfire.span_type") == "pending_span":
        reading.pending_parent = _span_id(said.get("logfire.pending_parent_id"))
    return reading


def _span_id(value: Any) -> bytes:
    """A span id out of its 16 hex digits; none for zeros, and for what is no id."""
    if not isinstance(value, str) or re.fullmatch(r"[0-9a-fA-F]{16}", value) is None or not value.strip("0"):
        return b""
    return bytes.fromhex(value)


def _is_invalid(value: Any, setup: Setup) -> bool:
    """Neither absent (S6: an empty string, no value) nor valid."""
    return value not in (None, "") and not is_valid(USER, value, setup)


def _read_id(
    reading: Reading, own: dict[str, Any], key: str, aliases: tuple[tuple[str, ...], tuple[str, ...]], setup: Setup
) -> None:
    """S1 and S4 for the user or session id: strong aliases in order, captured baggage, fallback aliases in order."""
    strong = [own[alias] for alias in aliases[0] if is_valid(alias, own.get(alias), setup)]
    weak = [own[alias] for alias in aliases[1] if is_valid(alias, own.get(alias), setup)]
    captured = [text for name, text in _captured(own) if name == key and is_valid(key, text, setup)]
    if strong or captured or weak:
        value = [*strong, *captured[-1:], *weak][0]
        reading.values[key] = Carried(craft.any_value(value), not (strong or captured))
    if is_valid(key, own.get(key), setup):
        reading.present.add(key)
    elif key in own and own[key] in (None, ""):
        reading.hollow.add(key)


def _read_listed(reading: Reading, key: str, value: Any, setup: Setup) -> None:
    """S6 and S7 for a listed key: a string, or an array of strings item by item."""
    if value in (None, "", []):
        reading.hollow.add(key)
    elif isinstance(value, list):
        good = [item for item in value if is_valid(key, item, setup)]
        if good:
            reading.values[key] = Carried(craft.any_value(good), False)
        if len(good) == len(value):
            reading.present.add(key)
        else:
            reading.cut.add(key)
    elif is_valid(key, value, setup):
        reading.values[key] = Carried(craft.any_value(value), False)
        reading.present.add(key)
    else:
        reading.cut.add(key)


def _read_baggage(reading: Reading, own: dict[str, Any], setup: Setup) -> None:
    """S2 for the listed keys: captured baggage counts where the span has no value of its own."""
    direct = set(reading.values)
    for key, text in _captured(own):
        if key in direct or not is_listed(key, setup):
            continue
        if key == TAGS:
            tags = [item for item in text.split(",") if is_valid(key, item, setup)]
            if tags:
                reading.values[key] = Carried(craft.any_value(tags), False)
        elif is_valid(key, text, setup):
            reading.values[key] = Carried(craft.any_value(text), False)


def _captured(own: dict[str, Any]) -> list[tuple[str, str]]:
    """The members of captured baggage that stand for a key, decoded; only what the tests' own headers need."""
    header = own.get("http.request.header.baggage")
    lines = [header] if isinstance(header, str) else header if isinstance(header, list) else []
    members: dict[str, str] = {}
    for member in ",".join(lines).split(","):
        name, equals, value = member.partition("=")
        if equals and name.strip():
            text = value.partition(";")[0].strip()
            members[name.strip()] = unquote(text.replace("+", " ") if name.strip().startswith("langfuse_") else text)
    return [(_target(name), text) for name, text in members.items() if _target(name)]


def _target(member: str) -> str:
    """The span key of a member; none for a user or session id under its plain name, which is not listed in these
    tests.
    """
    if member.startswith("langfuse_metadata_"):
        return "langfuse.trace.metadata." + member.removeprefix("langfuse_metadata_")
    return MEMBERS.get(member, "" if member in (USER, SESSION) else member)
