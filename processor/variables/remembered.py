"""A bounded memory for answers that are cheap to find again. Not shared between threads."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

_Answer = TypeVar("_Answer")


class Remembered(Generic[_Answer]):
    """A bounded memory in two generations: when the young one is full it becomes the old one, and that is forgotten.

    A hit in the old one moves to the young one, so what is in use stays; a hit in the young one is one look-up.
    """

    __slots__ = ("_half", "_old", "_young")

    def __init__(self, limit: int) -> None:
        self._half = max(1, limit // 2)
        self._young: dict[Hashable, _Answer] = {}
        self._old: dict[Hashable, _Answer] = {}

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def get(self, key: Hashable) -> _Answer | None:
        """What was kept under `key`, if it is still known."""
        found = self._young.get(key)
        if found is None and (found := self._old.get(key)) is not None:
            self.keep(key, found)
        return found

    def keep(self, key: Hashable, answer: _Answer) -> None:
        """Remember, and forget the older half when this one is full."""
        if len(self._young) >= self._half:
            self._old, self._young = self._young, {}
        self._young[key] = answer
