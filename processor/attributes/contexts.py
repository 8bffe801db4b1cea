"""What is in force: making contexts, laying one over another, filling gaps. Pure; knows keys, not trees.

overlay(parent's context, own values)   the nearest ancestor wins, key by key (S10)
fill(context, …)                        what a span gets whose chain is broken (S12)
"""

from __future__ import annotations

from typing import Final

from processor.attributes.keys import DERIVED_KEY, SESSION_ID, USER_ID
from processor.span import Context, Value
from processor.wire.values import encode_attribute, encode_texts

MAX_KEYS: Final = 64
MAX_BYTES: Final = 8192


class Contexts:
    """Makes contexts for one set of required keys. `capped` counts the values left out for S10's cap."""

    __slots__ = ("capped", "empty", "memo", "required")

    def __init__(self, required: frozenset[bytes]) -> None:
        self.required = required
        self.empty = Context({}, False)
        self.memo: dict[tuple[Context, Context], Context] = {}
        self.capped = 0

    def make(self, values: dict[bytes, Value]) -> Context:
        """A context of these values, which the caller no longer changes."""
        if not values:
            return self.empty
        return Context(values, self._is_complete(values))

    def overlay(self, base: Context, over: Context) -> Context:
        """`base` overlaid with `over`, strong before weak, at most MAX_KEYS keys and MAX_BYTES, those of `over` first.

        Returns one of its arguments wherever that is the answer: spans that agree share a context.
        """
        if not over.values or base is over:
            return base
        if not base.values:
            return over
        pair = (base, over)
        found = self.memo.get(pair)
        if found is None:
            found = self._lay(base, over)
            if len(self.memo) >= 1024:
                self.memo.clear()
            self.memo[pair] = found
        return found

    def fill(self, context: Context, lower: Context) -> Context:
        """`context` with the values of `lower` for the keys that it lacks altogether."""
        if not lower.values:
            return context
        if not context.values:
            return lower
        values = {key: value for key, value in lower.values.items() if key not in context.values}
        return self.make({**context.values, **values}) if values else context

    def give_up(self, context: Context, said: Context, conflicts: set[bytes]) -> Context:
        """What a given-up span takes from its trace (S12): for each key without a strong value, what the trace
        agrees on.

        `said`: the one strong own value seen of each key; `conflicts`: the keys of which two were seen, left blank.
        The keys that were filled in are named in the result's `derived`.
        """
        values = {
            key: value
            for key, value in context.values.items()
            if not (value.is_weak and (key in conflicts or key in said.values))
        }
        filled = [key for key in said.values if key not in values and key not in conflicts][: MAX_KEYS - len(values)]
        if not filled and len(values) == len(context.values):
            return context
        for key in filled:
            values[key] = said.values[key]
        result = self.make(values)
        written = sorted([key for key in filled if values[key].encoded])
        return with_derived(result, written) if written else result

    def agree(self, said: Context, own: Context, conflicts: set[bytes]) -> Context:
        """The strong values that a trace has seen, with those of one more span; disagreement goes to `conflicts`."""
        if not said.values and not own.has_weak:
            return own
        values: dict[bytes, Value] = {}
        for key, value in own.values.items():
            if value.is_weak:
                continue
            before = said.values.get(key)
            if before is None:
                values[key] = value
            elif before.identity != value.identity:
                conflicts.add(key)
        if not values:
            return said
        merged = {**said.values, **values}
        # Which keys stay must not depend on the order of arrival (S18).
        kept = sorted(merged, key=_rank)[:MAX_KEYS]
        return self.make({key: merged[key] for key in kept})

    def _lay(self, base: Context, over: Context) -> Context:
        values: dict[bytes, Value] = {}
        size = 0
        for key, value in over.values.items():
            stronger = base.values.get(key) if value.is_weak else None
            if stronger is not None and not stronger.is_weak:
                value = stronger
            values[key] = value
            size += weight(value)
        is_base = len(values) <= len(base.values)
        for key, value in base.values.items():
            mine = values.get(key)
            if mine is not None:
                is_base = is_base and mine.identity == value.identity and mine.is_weak == value.is_weak
            elif len(values) >= MAX_KEYS or size + weight(value) > MAX_BYTES:
                self.capped += 1
                is_base = False
            else:
                values[key] = value
                size += weight(value)
        if is_base and len(values) == len(base.values):
            return base
        if len(values) == len(over.values) and all([values[key] is value for key, value in over.values.items()]):
            return over
        return self.make(values)

    def _is_complete(self, values: dict[bytes, Value]) -> bool:
        if not self.required:
            return False
        for key in self.required:
            value = values.get(key)
            if value is None or value.is_weak:
                return False
        return True


def weight(value: Value) -> int:
    """What a value counts against MAX_BYTES, written or carried for evaluation only."""
    return len(value.encoded) or len(value.identity)


def _rank(key: bytes) -> tuple[bool, bytes]:
    """User and session id first, then by key."""
    return (key not in (USER_ID, SESSION_ID), key)


def with_derived(context: Context, keys: list[bytes]) -> Context:
    """The same values, with `keys` named as computed (S22)."""
    result = Context(context.values, context.is_complete)
    result.derived = keys
    result.suffix += encode_derived(keys)
    return result


def encode_derived(keys: list[bytes]) -> bytes:
    """The attribute that names the computed keys."""
    return encode_attribute(DERIVED_KEY, encode_texts([key.decode("utf-8", "replace") for key in keys]))
