"""Pseudonyms in the place of user ids, on what leaves the house: the one exception to S3, S7 and S11.

    span's bytes ──▶ replace ──▶ the same with HMAC-SHA256 of each user id, under each of its keys
    what is handed down ──▶ hand_down, once a value: contexts are made of encoded pseudonyms, and see the clear value

The pseudonym of a string is that of its UTF-8 bytes, in 64 hex digits; of any other value (invalid ones stay under some
keys, S7) that of its encoded form. What was replaced says under `MARK_KEY` by which key, so that a second processor
with the same key leaves it alone. Must not know trees, nor when a span leaves.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from processor.attributes.baggage import replace_values, span_key
from processor.attributes.keys import MARK_KEY, RESOLVE_SCOPE, USER_ID
from processor.span import Group
from processor.wire.cursor import fields
from processor.wire.splice import replace_fields
from processor.wire.values import encode_attribute, encode_len, encode_text, encode_texts, read_value

_BAGGAGE_KEY: Final = b"http.request.header.baggage"
_TARGETING_KEY: Final = b"targeting_key"
_TRACE_TARGET: Final = "trace_id:"  # what a variable is targeted by where no user is known (S20)
_FINGERPRINT_DIGITS: Final = 16

# OTLP's tags of the messages that have attributes, and of the attributes in them.
_SPAN_ATTRIBUTES: Final = 0x4A
_SPAN_EVENTS: Final = 0x5A
_EVENT_ATTRIBUTES: Final = 0x1A
_SPAN_LINKS: Final = 0x6A
_LINK_ATTRIBUTES: Final = 0x22
_RESOURCE: Final = 0x0A
_RESOURCE_ATTRIBUTES: Final = 0x0A

_REMEMBERED: Final = 12_288  # values; as many as readings
_REMEMBERED_BYTES: Final = 256  # of a value that is remembered
_RESOURCES: Final = 64
_RESOURCE_BYTES: Final = 65_536


class Pseudonyms:
    """Replaces user ids by pseudonyms of one secret. `keys`: the attribute keys of user ids, `user.id` among them.

    `mark`: the attribute that says by which key a span's ids were replaced; it holds a fingerprint, not the key.
    """

    __slots__ = (
        "_is_marked", "_is_resolve", "_replaced", "_resources", "_secret", "_values", "fingerprint", "keys", "mark",
    )  # fmt: skip

    def __init__(self, secret: bytes, keys: Iterable[str]) -> None:
        self._secret = secret
        self.keys: frozenset[bytes] = frozenset([key.encode() for key in keys]) | {USER_ID}
        self.fingerprint = self._digest(b"span-processor: user ids")[:_FINGERPRINT_DIGITS]
        self.mark = encode_attribute(MARK_KEY, encode_text(self.fingerprint))
        self._values: dict[bytes, bytes] = {}
        self._resources: dict[bytes, bytes] = {}
        self._replaced = 0
        self._is_marked = False
        self._is_resolve = False

    def hand_down(self, key: bytes, encoded: bytes, is_marked: bool) -> bytes:
        """The attribute that descendants are written for a user id under `key`, the mark beside the canonical one.

        `encoded`: its AnyValue; `is_marked`: a pseudonym already.
        """
        attribute = encode_attribute(key, encoded if is_marked else self._value(encoded))
        return attribute + self.mark if key == USER_ID else attribute

    def replace(self, raw: bytes, suffix: bytes, group: Group) -> tuple[bytes, bytes]:
        """A span's bytes with pseudonyms, and its suffix, which has them: one of the two has the mark."""
        self._begin(RESOLVE_SCOPE in group.scope)
        replaced = replace_fields(raw, _SPAN_ATTRIBUTES, self._attribute)
        if self._is_marked:
            return raw, suffix.replace(self.mark, b"") if suffix else suffix
        replaced = replace_fields(replaced, _SPAN_EVENTS, self._event)
        replaced = replace_fields(replaced, _SPAN_LINKS, self._link)
        if not self._replaced:
            return raw, suffix
        return replaced if self.mark in suffix else replaced + self.mark, suffix

    def replace_resource(self, resource: bytes) -> bytes:
        """The fields of a ResourceSpans around its scopes, with pseudonyms in the resource's attributes."""
        found = self._resources.get(resource)
        if found is None:
            found = replace_fields(resource, _RESOURCE, self._resource)
            if len(resource) <= _RESOURCE_BYTES:
                if len(self._resources) >= _RESOURCES:
                    self._resources.clear()
                self._resources[resource] = found
        return found

    def _resource(self, message: bytes) -> bytes:
        self._begin(False)
        replaced = replace_fields(message, _RESOURCE_ATTRIBUTES, self._attribute)
        if self._is_marked or not self._replaced:
            return message
        # The mark as a Resource's attribute instead of a Span's.
        return replaced + encode_len(_RESOURCE_ATTRIBUTES, b"".join(fields(self.mark, _SPAN_ATTRIBUTES)))

    def _begin(self, is_resolve: bool) -> None:
        self._replaced = 0
        self._is_marked = False
        self._is_resolve = is_resolve

    def _event(self, message: bytes) -> bytes:
        return replace_fields(message, _EVENT_ATTRIBUTES, self._inner_attribute)

    def _link(self, message: bytes) -> bytes:
        return replace_fields(message, _LINK_ATTRIBUTES, self._inner_attribute)

    def _inner_attribute(self, pair: bytes) -> bytes | None:
        """The same of an event or a link, where a mark means nothing."""
        return pair if _key(pair) == MARK_KEY else self._attribute(pair)

    def _attribute(self, pair: bytes) -> bytes | None:
        """A KeyValue with its value replaced where it is a user's; None for another key's mark."""
        key = _key(pair)
        if key in self.keys:
            replace = self._value
        elif key == _BAGGAGE_KEY:
            replace = self._baggage
        elif key == _TARGETING_KEY and self._is_resolve:
            replace = self._target
        elif key == MARK_KEY:
            return self._old_mark(pair)
        else:
            return pair
        value = b"".join(fields(pair, 0x12))
        replaced = replace(value)
        if replaced == value:
            return pair
        self._replaced += 1
        return encode_len(0x0A, key) + encode_len(0x12, replaced)

    def _old_mark(self, pair: bytes) -> bytes | None:
        """Ours tells that nothing is to be replaced; that of another key gives way to ours."""
        if read_value(b"".join(fields(pair, 0x12))) != self.fingerprint:
            return None
        self._is_marked = True
        return pair

    def _value(self, encoded: bytes) -> bytes:
        """The AnyValue of a user id replaced; one that is not set, or an empty string, stays."""
        found = self._values.get(encoded)
        if found is None:
            value = read_value(encoded)
            if value is None or value == "":
                return encoded
            found = encode_text(self._digest(value.encode() if isinstance(value, str) else encoded))
            if len(encoded) <= _REMEMBERED_BYTES:
                if len(self._values) >= _REMEMBERED:
                    self._values.clear()
                self._values[encoded] = found
        return found

    def _target(self, encoded: bytes) -> bytes:
        """What a resolve span was targeted by: a user's id, as far as anybody can tell, or the trace."""
        value = read_value(encoded)
        is_trace = isinstance(value, str) and value.startswith(_TRACE_TARGET)
        return encoded if is_trace else self._value(encoded)

    def _baggage(self, encoded: bytes) -> bytes:
        """A captured baggage header: the members that hold a user id; what has none of S2's types wholly."""
        value = read_value(encoded)
        if isinstance(value, str):
            text = replace_values(value, self._member)
            return encoded if text == value else encode_text(text)
        if isinstance(value, tuple) and all([isinstance(line, str) for line in value]):
            lines = [replace_values(str(line), self._member) for line in value]
            return encoded if tuple(lines) == value else encode_texts(lines)
        return self._value(encoded)

    def _member(self, name: str, value: str) -> str | None:
        is_user = name.encode("utf-8", "replace") in self.keys or span_key(name).encode("utf-8", "replace") == USER_ID
        return self._digest(value.encode("utf-8", "replace")) if is_user and value else None

    def _digest(self, data: bytes) -> str:
        return hmac.new(self._secret, data, hashlib.sha256).hexdigest()


def _key(pair: bytes) -> bytes:
    """The key of a KeyValue; of a repeated key the last."""
    size = pair[1] if len(pair) > 1 and pair[0] == 0x0A else 128
    end = size + 2
    # The usual shape: a short key, then one value until the end.
    if size < 128 and len(pair) > end + 1 and pair[end] == 0x12 and pair[end + 1] + end + 2 == len(pair):
        return pair[2:end]
    keys = fields(pair, 0x0A)
    return keys[-1] if keys else b""
