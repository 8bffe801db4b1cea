"""Applies what attributes say to spans and resources.

Spans of one application say the same again and again, so a reading is remembered by the bytes it was made from.
Values that are dropped are reported as `Drop`, never with the value.
"""

from __future__ import annotations

from typing import Final

from processor.attributes.contexts import MAX_BYTES, Contexts
from processor.attributes.interpret import Interpreter
from processor.attributes.keys import CarriedKeys
from processor.attributes.labels import Labeller
from processor.attributes.pseudonyms import Pseudonyms
from processor.attributes.reading import Drop, Reading
from processor.span import Group, Hit, Own, Span, Value
from processor.wire.splice import add_dropped, cut_attributes
from processor.wire.values import read_value

_REMEMBERED: Final = 12_288  # readings, usually 2 KB each: ten thousand users without reading one twice


class Reader:
    """Reads spans and resources for one set of carried keys. `take_…` hand over what was noted since the last call.

    `labeller`: what labels the traces that these spans begin, None for nothing (S24). `pseudonyms`: what stands for
    user ids on what leaves, None where they leave in clear.
    """

    __slots__ = ("contexts", "drops", "interpreter", "keys", "labeller", "pseudonyms", "readings", "resolves")

    def __init__(
        self,
        keys: CarriedKeys,
        contexts: Contexts,
        max_length: int,
        labeller: Labeller | None = None,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.keys = keys
        self.labeller = labeller
        self.contexts = contexts
        self.pseudonyms = pseudonyms
        self.interpreter = Interpreter(keys, contexts, max_length, pseudonyms)
        self.readings: dict[tuple[object, ...], Reading] = {}
        self.drops: list[Drop] = []
        self.resolves: list[tuple[dict[str, object], Group]] = []

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
        if reading.resolve is not None:
            self.resolves.append((reading.resolve, span.group))

    def read_resource(self, group: Group) -> None:
        """Set what a resource gives where a span's context is empty (S3), and what conditions see of it."""
        reading = self._reading(group.hits)
        self.drops += reading.drops
        values = {
            key: Value(key, value.identity, value.encoded, False, value.data)
            for key, value in reading.own.context.values.items()
            if value.encoded
        }
        group.defaults = self.contexts.make(values)
        if self.pseudonyms is not None:
            group.resource = self.pseudonyms.replace_resource(group.resource)
        group.attributes = {hit.key.decode("utf-8", "replace"): read_value(hit.value) for hit in group.hits}

    def take_resolves(self) -> list[tuple[dict[str, object], Group]]:
        """What resolve spans said since the last call, by key, and their groups (S23)."""
        resolves = self.resolves
        if resolves:
            self.resolves = []
        return resolves

    def take_drops(self) -> list[Drop]:
        """What was dropped since the last call."""
        drops = self.drops
        if drops:
            self.drops = []
        return drops

    def _reading(self, hits: list[Hit]) -> Reading:
        parts: list[object] = []
        for hit in hits:
            parts.append(hit.slot)
            parts.append(hit.key)
            parts.append(hit.value)
        signature = tuple(parts)
        reading = self.readings.get(signature)
        if reading is None:
            reading = self.interpreter.interpret(hits)
            if sum([len(hit.key) + len(hit.value) for hit in hits]) <= MAX_BYTES:
                if len(self.readings) >= _REMEMBERED:
                    self.readings.clear()
                self.readings[signature] = reading
        return reading


def _says_something(own: Own) -> bool:
    return bool(
        own.context.values
        or own.present
        or own.hollow
        or own.derived
        or own.is_app_root
        or own.pending_parent is not None
        or own.attributes
    )
