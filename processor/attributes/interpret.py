"""What attributes of interest say (S1, S2, S4 to S7, S19): from hits to a `Reading`. No bytes of spans, no trees."""

from __future__ import annotations

from typing import Final

from processor.attributes.baggage import parse_baggage, span_key, split_tags
from processor.attributes.contexts import MAX_BYTES, MAX_KEYS, Contexts, weight
from processor.attributes.keys import (
    APP_ROOT,
    BAGGAGE,
    BAGGAGE_HEADER,
    CONTEXT_ATTRIBUTE,
    DERIVED,
    EVALUATION,
    LABEL,
    MARK,
    PENDING_PARENT,
    RESOLVE,
    SESSION,
    SESSION_FALLBACK,
    SESSION_ID,
    SPAN_TYPE,
    USER,
    USER_FALLBACK,
    USER_ID,
    CarriedKeys,
)
from processor.attributes.pseudonyms import Pseudonyms
from processor.attributes.reading import Drop, Reading
from processor.attributes.reported import read_labels, read_resolve
from processor.attributes.validate import ABSENT, NOT_A_STRING, VALID, judge
from processor.span import Hit, Own, Value
from processor.wire.values import encode_attribute, encode_text, encode_texts, read_value

_TAGS: Final = b"langfuse.trace.tags"

USER_GROUP: Final = "user_id"
SESSION_GROUP: Final = "session_id"
BAGGAGE_GROUP: Final = "baggage"


class Interpreter:
    """Interprets hits for one set of carried keys. `pseudonyms`: what user ids are handed down as, None for clear."""

    __slots__ = ("contexts", "keys", "max_length", "pseudonyms")

    def __init__(
        self, keys: CarriedKeys, contexts: Contexts, max_length: int, pseudonyms: Pseudonyms | None = None
    ) -> None:
        self.pseudonyms = pseudonyms
        self.keys = keys
        self.contexts = contexts
        self.max_length = max_length

    def interpret(self, hits: list[Hit]) -> Reading:
        """What these attributes come to."""
        last = {hit.key: hit for hit in hits}  # of duplicate keys the last counts (S4)
        values = {key: read_value(hit.value) for key, hit in last.items()}
        reading = Reading(Own(self.contexts.empty))
        self._markers(reading, last, values)
        headers: list[object] = []
        labels: dict[bytes, object] = {}
        resolves: dict[str, object] = {}
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
                elif role.kind == LABEL:
                    labels[key] = values[key]
                elif role.kind == RESOLVE:
                    resolves[key.decode()] = values[key]
                elif role.kind == EVALUATION and key not in reading.values:
                    reading.values[key] = Value(key, hit.value, b"", False, as_seen(values[key]))
                elif role.kind == CONTEXT_ATTRIBUTE and _is_text(key):
                    seen = reading.own.attributes or {}
                    seen[key.decode()] = as_seen(values[key])
                    reading.own.attributes = seen
        for header in headers:
            self._header(reading, header)
        self._choose(reading)
        own = reading.own
        if labels:
            read_labels(reading, labels)
        if resolves:
            read_resolve(reading, resolves, self.keys.labels)
        own.context = self.contexts.make(_capped(reading.values, self.contexts))
        own.is_full = all([key in own.present or not value.encoded for key, value in own.context.values.items()])
        return reading

    def _markers(self, reading: Reading, last: dict[bytes, Hit], values: dict[bytes, object]) -> None:
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
                elif role.kind == MARK:
                    reading.is_marked = self.pseudonyms is not None and value == self.pseudonyms.fingerprint
                elif role.kind == DERIVED and isinstance(value, tuple):
                    own.derived = [name.encode() for name in value if isinstance(name, str)]
        if pending:
            own.pending_parent = parent
        for key in own.derived:
            for part in (key, key + b".version"):  # a label's key stands for its version (S22)
                if part in last:
                    own.hollow.add(part)

    def _alias(self, reading: Reading, key: bytes, kind: int, rank: int, value: object) -> None:
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

    def _baggage(self, reading: Reading, key: bytes, value: object) -> None:
        """An allow-listed key: a string, or an array of strings judged item by item (S6)."""
        if not _is_text(key):
            return  # under a prefix anything may stand; handed down, a broken key would break the descendants
        if isinstance(value, tuple) and value:
            self._tags(reading, key, value)
            return
        verdict = judge(key, value, self.max_length)
        if verdict == VALID and isinstance(value, str):
            reading.own.present.add(key)
            self._carry(reading, key, encode_text(value), False, value)
        elif verdict == ABSENT or value == ():
            reading.own.hollow.add(key)
        else:
            self._drop(reading, BAGGAGE_GROUP, key, verdict, value)

    def _tags(self, reading: Reading, key: bytes, items: tuple[object, ...]) -> None:
        """An array: the bad items go, the rest stay, as one attribute written anew."""
        good = self._good_items(reading, key, items)
        if len(good) < len(items):
            reading.cut.add(key)
        if not good:
            reading.dropped.add(key)
            return
        encoded = encode_texts(good)
        reading.own.present.add(key)
        self._carry(reading, key, encoded, False, good)
        if len(good) < len(items):
            reading.rewritten += encode_attribute(key, encoded)

    def _good_items(self, reading: Reading, key: bytes, items: tuple[object, ...]) -> list[str]:
        """The valid items; the others are reported one by one."""
        good: list[str] = []
        for item in items:
            verdict = judge(key, item, self.max_length)
            if verdict == VALID and isinstance(item, str):
                good.append(item)
            else:
                reading.drops.append(Drop(BAGGAGE_GROUP, key, NOT_A_STRING if verdict == ABSENT else verdict, item))
        return good

    def _header(self, reading: Reading, value: object) -> None:
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

    def _captured_id(self, reading: Reading, key: bytes, text: str) -> None:
        kind = USER if key == USER_ID else SESSION
        verdict = judge(key, text, self.max_length)
        if verdict == VALID:
            reading.best.setdefault(kind, (1 << 30, text))
        elif verdict != ABSENT:
            reading.drops.append(Drop(USER_GROUP if kind == USER else SESSION_GROUP, key, verdict, text))

    def _captured(self, reading: Reading, key: bytes, text: str) -> None:
        if key == _TAGS:
            good = self._good_items(reading, key, tuple(split_tags(text)))
            if good:
                self._carry(reading, key, encode_texts(good), False, good)
            return
        verdict = judge(key, text, self.max_length)
        if verdict == VALID:
            self._carry(reading, key, encode_text(text), False, text)
        elif verdict != ABSENT:
            reading.drops.append(Drop(BAGGAGE_GROUP, key, verdict, text))

    def _choose(self, reading: Reading) -> None:
        """User and session id: a strong alias, else captured baggage (both under the strong kind), else a fallback
        key.
        """
        for strong, weak, canonical in ((USER, USER_FALLBACK, USER_ID), (SESSION, SESSION_FALLBACK, SESSION_ID)):
            if strong in reading.best:
                self._choice(reading, canonical, reading.best[strong][1], False)
            elif weak in reading.best:
                self._choice(reading, canonical, reading.best[weak][1], True)

    def _choice(self, reading: Reading, key: bytes, text: str, is_weak: bool) -> None:
        self._carry(reading, key, encode_text(text), is_weak, text)

    def _carry(self, reading: Reading, key: bytes, encoded: bytes, is_weak: bool, data: object) -> None:
        """Carry a value: `encoded` is its AnyValue, `data` what conditions see."""
        pseudonyms = self.pseudonyms
        if pseudonyms is not None and key in pseudonyms.keys:
            written = pseudonyms.hand_down(key, encoded, reading.is_marked)
        else:
            written = encode_attribute(key, encoded)
        reading.values[key] = Value(key, encoded, written, is_weak, data)

    def _drop(self, reading: Reading, group: str, key: bytes, reason: str, value: object) -> None:
        """Report an invalid value; cut it where the key is the backend's own (S7)."""
        reading.drops.append(Drop(group, key, reason, value))
        if key in self.keys.cut or group == BAGGAGE_GROUP:
            reading.cut.add(key)
            reading.dropped.add(key)


def as_seen(value: object) -> object:
    """A value as conditions see it: an array of a span or of baggage is a list (S21)."""
    return list(value) if isinstance(value, tuple) else value


def _is_text(key: bytes) -> bool:
    try:
        key.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _capped(values: dict[bytes, Value], contexts: Contexts) -> dict[bytes, Value]:
    """At most MAX_KEYS keys and MAX_BYTES (S10), user and session id first."""
    if len(values) <= MAX_KEYS and sum([weight(value) for value in values.values()]) <= MAX_BYTES:
        return values
    kept: dict[bytes, Value] = {}
    size = 0
    ids = [key for key in (USER_ID, SESSION_ID) if key in values]
    for key in [*ids, *[key for key in values if key not in ids]]:
        cost = weight(values[key])
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
