"""What a span says for itself (S1, S2, S4 to S7): from its attributes of interest to `Own`.

Spans of one application say the same again and again, so a reading is remembered by the bytes it was made from.
Values that are dropped are reported as `Drop`, never with the value.
"""

from __future__ import annotations

from typing import Final

from processor.attributes.baggage import parse_baggage, span_key, split_tags
from processor.attributes.contexts import MAX_BYTES, MAX_KEYS, Contexts
from processor.attributes.keys import (
    APP_ROOT,
    BAGGAGE,
    BAGGAGE_HEADER,
    DERIVED,
    PENDING_PARENT,
    SESSION,
    SESSION_FALLBACK,
    SESSION_ID,
    SPAN_TYPE,
    USER,
    USER_FALLBACK,
    USER_ID,
    CarriedKeys,
)
from processor.attributes.validate import ABSENT, NOT_A_STRING, VALID, describe, judge
from processor.span import Context, Group, Hit, Own, Span, Value
from processor.wire.splice import add_dropped, cut_attributes
from processor.wire.values import encode_attribute, encode_text, encode_texts, read_value

_REMEMBERED: Final = 2048  # readings; at most a few KB each
_TAGS: Final = b"langfuse.trace.tags"

USER_GROUP: Final = "user_id"
SESSION_GROUP: Final = "session_id"
BAGGAGE_GROUP: Final = "baggage"


class Drop:
    """A value that was not taken: key group and reason (closed lists), the key, the value's type and length."""

    __slots__ = ("group", "key", "length", "reason", "type")

    def __init__(self, group: str, key: bytes, reason: str, value: object) -> None:
        self.group = group
        self.key = key
        self.reason = reason
        self.type, self.length = describe(value)


class _Reading:
    """What one set of attributes comes to.

    `cut`: keys whose attributes go; `dropped`: those of them that count as dropped (S7); `rewritten`: encoded attributes that take the
    place of cut ones. `best`: the best alias so far of each kind.
    """

    __slots__ = ("best", "cut", "dropped", "drops", "own", "rewritten", "values")

    def __init__(self, own: Own) -> None:
        self.own = own
        self.cut: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self.drops: list[Drop] = []
        self.rewritten = b""
        self.values: dict[bytes, Value] = {}
        self.best: dict[int, tuple[int, str]] = {}


class Reader:
    """Reads spans and resources for one set of carried keys. `take_drops` hands over what was dropped since the last call."""

    __slots__ = ("contexts", "drops", "keys", "max_length", "readings")

    def __init__(self, keys: CarriedKeys, contexts: Contexts, max_length: int) -> None:
        self.keys = keys
        self.contexts = contexts
        self.max_length = max_length
        self.readings: dict[bytes, _Reading] = {}
        self.drops: list[Drop] = []

    def read(self, span: Span, hits: list[Hit]) -> None:
        """Set the span's `own` and `context` from its attributes of interest; cut what is invalid from its bytes."""
        reading = self._reading(hits)
        own = reading.own
        if _says_something(own):
            span.own = own
            span.context = own.context
        if reading.cut:
            dropped = reading.dropped
            raw, _ = cut_attributes(span.raw, reading.cut - dropped)
            raw, count = cut_attributes(raw, dropped)
            span.raw = (add_dropped(raw, count) if count else raw) + reading.rewritten
        if reading.drops:
            self.drops += reading.drops

    def read_resource(self, group: Group) -> Context:
        """The values that a resource gives where a span's context is empty (S3)."""
        defaults = group.defaults
        if defaults is None:
            reading = self._reading(group.hits)
            self.drops += reading.drops
            values = {
                key: Value(key, value.identity, value.encoded, False)
                for key, value in reading.own.context.values.items()
            }
            defaults = self.contexts.make(values)
            group.defaults = defaults
        return defaults

    def take_drops(self) -> list[Drop]:
        """What was dropped since the last call."""
        drops = self.drops
        if drops:
            self.drops = []
        return drops

    def _reading(self, hits: list[Hit]) -> _Reading:
        parts: list[bytes] = []
        for hit in hits:
            parts.append(b"%d %d " % (len(hit.key), len(hit.value)))
            parts.append(hit.key)
            parts.append(hit.value)
        signature = b"".join(parts)
        reading = self.readings.get(signature)
        if reading is None:
            reading = self._interpret(hits)
            if len(signature) <= MAX_BYTES:
                if len(self.readings) >= _REMEMBERED:
                    self.readings.clear()
                self.readings[signature] = reading
        return reading

    def _interpret(self, hits: list[Hit]) -> _Reading:
        last = {hit.key: hit for hit in hits}  # of duplicate keys the last counts (S4)
        values = {key: read_value(hit.value) for key, hit in last.items()}
        reading = _Reading(Own(self.contexts.empty))
        self._markers(reading, last, values)
        headers: list[object] = []
        for key, hit in last.items():
            if key in reading.own.hollow:
                continue
            for role in self.keys.roles[hit.slot]:
                if role.kind <= SESSION_FALLBACK:
                    self._alias(reading, key, role.kind, role.rank, values[key])
                elif role.kind == BAGGAGE:
                    self._baggage(reading, key, values[key])
                elif role.kind == BAGGAGE_HEADER:
                    headers.append(values[key])
        for header in headers:
            self._header(reading, header)
        self._choose(reading)
        own = reading.own
        own.context = self.contexts.make(_capped(reading.values, self.contexts))
        own.is_full = all([key in own.present for key in own.context.values])
        return reading

    def _markers(self, reading: _Reading, last: dict[bytes, Hit], values: dict[bytes, object]) -> None:
        """What a span says of its place rather than of its user."""
        own = reading.own
        pending = False
        parent = b""
        for key, hit in last.items():
            value = values[key]
            for role in self.keys.roles[hit.slot]:
                if role.kind == APP_ROOT:
                    own.is_app_root = own.is_app_root or value is True or value == "true"
                elif role.kind == SPAN_TYPE:
                    pending = value == "pending_span"
                elif role.kind == PENDING_PARENT:
                    parent = _span_id(value)
                elif role.kind == DERIVED and isinstance(value, tuple):
                    own.derived = [name.encode() for name in value if isinstance(name, str)]
        if pending:
            own.pending_parent = parent
        for key in own.derived:
            if key in last:
                own.hollow.add(key)

    def _alias(self, reading: _Reading, key: bytes, kind: int, rank: int, value: object) -> None:
        """A user or session id under one of its keys."""
        verdict = judge(key, value, self.max_length)
        canonical = USER_ID if kind in (USER, USER_FALLBACK) else SESSION_ID
        if verdict == VALID and isinstance(value, str):
            if key == canonical:
                reading.own.present.add(key)
            best = reading.best.get(kind)
            if best is None or rank < best[0]:
                reading.best[kind] = (rank, value)
        elif verdict != ABSENT:
            self._drop(reading, USER_GROUP if canonical == USER_ID else SESSION_GROUP, key, verdict, value)
        elif key == canonical:
            reading.own.hollow.add(key)

    def _baggage(self, reading: _Reading, key: bytes, value: object) -> None:
        """An allow-listed key: a string, or an array of strings judged item by item (S6)."""
        if not _is_text(key):
            return  # under a prefix anything may stand; handed down, a broken key would break the descendants
        if isinstance(value, tuple) and value:
            self._tags(reading, key, value)
            return
        verdict = judge(key, value, self.max_length)
        if verdict == VALID and isinstance(value, str):
            reading.own.present.add(key)
            self._carry(reading, key, encode_text(value), False)
        elif verdict == ABSENT or value == ():
            reading.own.hollow.add(key)
        else:
            self._drop(reading, BAGGAGE_GROUP, key, verdict, value)

    def _tags(self, reading: _Reading, key: bytes, items: tuple[object, ...]) -> None:
        """An array: the bad items go, the rest stay, as one attribute written anew."""
        good = self._good_items(reading, key, items)
        if len(good) < len(items):
            reading.cut.add(key)
        if not good:
            reading.dropped.add(key)
            return
        encoded = encode_texts(good)
        reading.own.present.add(key)
        self._carry(reading, key, encoded, False)
        if len(good) < len(items):
            reading.rewritten += encode_attribute(key, encoded)

    def _good_items(self, reading: _Reading, key: bytes, items: tuple[object, ...]) -> list[str]:
        """The valid items; the others are reported one by one."""
        good: list[str] = []
        for item in items:
            verdict = judge(key, item, self.max_length)
            if verdict == VALID and isinstance(item, str):
                good.append(item)
            else:
                reading.drops.append(Drop(BAGGAGE_GROUP, key, NOT_A_STRING if verdict == ABSENT else verdict, item))
        return good

    def _header(self, reading: _Reading, value: object) -> None:
        """Baggage captured from a header counts where the span itself has no strong value (S2, S4)."""
        lines = (
            [value]
            if isinstance(value, str)
            else [line for line in value if isinstance(line, str)]
            if isinstance(value, tuple)
            else []
        )
        for member, text in parse_baggage(",".join(lines)).items():
            key = span_key(member).encode("utf-8", "replace")
            if key == USER_ID or key == SESSION_ID:
                if member.startswith("langfuse_") or self.keys.is_baggage(key):
                    self._captured_id(reading, key, text)
            elif self.keys.is_baggage(key) and key not in reading.values:
                self._captured(reading, key, text)

    def _captured_id(self, reading: _Reading, key: bytes, text: str) -> None:
        kind = USER if key == USER_ID else SESSION
        verdict = judge(key, text, self.max_length)
        if verdict == VALID:
            reading.best.setdefault(kind, (1 << 30, text))
        elif verdict != ABSENT:
            reading.drops.append(Drop(USER_GROUP if kind == USER else SESSION_GROUP, key, verdict, text))

    def _captured(self, reading: _Reading, key: bytes, text: str) -> None:
        if key == _TAGS:
            good = self._good_items(reading, key, tuple(split_tags(text)))
            if good:
                self._carry(reading, key, encode_texts(good), False)
            return
        verdict = judge(key, text, self.max_length)
        if verdict == VALID:
            self._carry(reading, key, encode_text(text), False)
        elif verdict != ABSENT:
            reading.drops.append(Drop(BAGGAGE_GROUP, key, verdict, text))

    def _choose(self, reading: _Reading) -> None:
        """User and session id: a strong alias, else captured baggage (both under the strong kind), else a fallback key."""
        for strong, weak, canonical in ((USER, USER_FALLBACK, USER_ID), (SESSION, SESSION_FALLBACK, SESSION_ID)):
            if strong in reading.best:
                self._carry(reading, canonical, encode_text(reading.best[strong][1]), False)
            elif weak in reading.best:
                self._carry(reading, canonical, encode_text(reading.best[weak][1]), True)

    def _carry(self, reading: _Reading, key: bytes, encoded: bytes, is_weak: bool) -> None:
        reading.values[key] = Value(key, encoded, encode_attribute(key, encoded), is_weak)

    def _drop(self, reading: _Reading, group: str, key: bytes, reason: str, value: object) -> None:
        """Report an invalid value; cut it where the key is the backend's own (S7)."""
        reading.drops.append(Drop(group, key, reason, value))
        if key in self.keys.cut or (group == BAGGAGE_GROUP):
            reading.cut.add(key)
            reading.dropped.add(key)


def _is_text(key: bytes) -> bool:
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _says_something(own: Own) -> bool:
    return bool(
        own.context.values
        or own.present
        or own.hollow
        or own.derived
        or own.is_app_root
        or own.pending_parent is not None
    )


def _capped(values: dict[bytes, Value], contexts: Contexts) -> dict[bytes, Value]:
    """At most MAX_KEYS keys and MAX_BYTES (S10), user and session id first."""
    if len(values) <= MAX_KEYS and sum([len(value.encoded) for value in values.values()]) <= MAX_BYTES:
        return values
    kept: dict[bytes, Value] = {}
    size = 0
    ids = [key for key in (USER_ID, SESSION_ID) if key in values]
    for key in [*ids, *[key for key in values if key not in ids]]:
        cost = len(values[key].encoded)
        if len(kept) >= MAX_KEYS or size + cost > MAX_BYTES:
            contexts.capped += 1
            continue
        kept[key] = values[key]
        size += cost
    return kept


def _span_id(value: object) -> bytes:
    """A span id out of its 16 hex digits; b"" for none, all zero, or what is no id."""
    if not isinstance(value, str) or len(value) != 16:
        return b""
    try:
        decoded = bytes.fromhex(value)
    except ValueError:
        return b""
    return decoded if decoded != bytes(8) else b""
