"""From which ancestor a value was inherited, as far as the view knows the ancestors. Knows neither bytes nor layout.

It follows the rules by which the values came down: the nearest ancestor wins, a strong value beats a weak one (S10,
S1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from processor.attributes.contexts import MAX_KEYS
from processor.export.view.span import Ancestor, Said

# For each key: the value, the name of the span that said it, and whether it is from a fallback key.
_Said = dict[bytes, tuple[bytes, str, bool]]
_NOTHING: Final[_Said] = {}


class Sources:
    """Answers for one rendering; every ancestor is visited once, however deep the tree."""

    def __init__(self, known: Mapping[bytes, Ancestor]) -> None:
        self._known = known
        self._in_force: dict[bytes, _Said] = {b"": _NOTHING}

    def find(self, parent_id: bytes, said: Said) -> str:
        """The name of the nearest known ancestor that says this value; "" if none does."""
        found = self._above(parent_id).get(said.key)
        return found[1] if found is not None and found[0] == said.identity else ""

    def _above(self, span_id: bytes) -> _Said:
        """What is in force in the span of this id, by its known ancestors and itself."""
        path: list[bytes] = []
        on_path: set[bytes] = set()
        while span_id not in self._in_force and span_id not in on_path and span_id in self._known:
            path.append(span_id)
            on_path.add(span_id)
            span_id = self._known[span_id].parent_id
        in_force = self._in_force.get(span_id, _NOTHING)
        for span_id in reversed(path):
            in_force = _overlay(in_force, self._known[span_id])
            self._in_force[span_id] = in_force
        return in_force


def _overlay(above: _Said, span: Ancestor) -> _Said:
    """At most as many keys as a context has, those of the span first."""
    if not span.own:
        return above
    in_force: _Said = {}
    for key, value in span.own.items():
        before = above.get(key)
        keeps = before is not None and value.is_weak and not before[2]
        in_force[key] = before if keeps and before is not None else (value.identity, span.name, value.is_weak)
    for key, before in above.items():
        if len(in_force) >= MAX_KEYS:
            break
        in_force.setdefault(key, before)
    return in_force
