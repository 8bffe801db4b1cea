"""Which attribute keys matter, decided in a few instructions a key.

A span has ten or more attributes, hardly ever one of ours. A table over (length, last byte) of the key says no to
nearly all of them without building a key object; the dictionary decides the rest. No policy: a slot is a number to
us.
"""

from __future__ import annotations

from types import FunctionType
from typing import Final

from mypy_extensions import i64

from processor.wire.seen import Seen

NONE: Final = -1
_LONGEST: Final = 127  # one length byte; longer keys go to the dictionary at once


class Interest:
    """The keys to look for: `exact` maps a key to its slot, `prefixes` a beginning (`langfuse.trace.metadata.`) to
    its slot.

    `seen`: what the code remembers of other attributes, where it runs interpreted.
    """

    __slots__ = ("exact", "maybe", "prefixes", "seen")

    def __init__(self, exact: dict[bytes, int], prefixes: list[tuple[bytes, int]]) -> None:
        self.exact = exact
        self.prefixes = prefixes
        self.maybe = _maybe(exact, prefixes)
        self.seen: Seen | None = Seen() if isinstance(_maybe, FunctionType) else None

    def slot(self, key: bytes) -> i64:
        """The slot of a key, or NONE."""
        found = self.exact.get(key)
        if found is not None:
            return found
        for prefix, slot in self.prefixes:
            if key.startswith(prefix) and len(key) > len(prefix):
                return slot
        return NONE


class Interests:
    """What to look for where: `spans`, `resources`, and `scoped` for the spans whose scope is called `scope_name`."""

    __slots__ = ("resources", "scope_name", "scoped", "spans")

    def __init__(self, spans: Interest, resources: Interest, scope_name: bytes, scoped: Interest) -> None:
        self.spans = spans
        self.resources = resources
        self.scope_name = scope_name
        self.scoped = scoped


def _maybe(exact: dict[bytes, int], prefixes: list[tuple[bytes, int]]) -> bytes:
    """1 at `length * 256 + last byte` for each key that may be of interest."""
    table = bytearray((_LONGEST + 1) * 256)
    for key in exact:
        if 0 < len(key) <= _LONGEST:
            table[len(key) * 256 + key[-1]] = 1
    for prefix, _ in prefixes:
        start = (len(prefix) + 1) * 256
        table[start:] = b"\x01" * (len(table) - start)
    return bytes(table)
