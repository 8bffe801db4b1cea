"""What one set of attributes comes to: plain data between interpreting and applying."""

from __future__ import annotations

from processor.attributes.validate import describe
from processor.span import Own, Value


class Drop:
    """A value that was not taken: key group and reason (closed lists), the key, the value's type and length."""

    __slots__ = ("group", "key", "length", "reason", "type")

    def __init__(self, group: str, key: bytes, reason: str, value: object) -> None:
        self.group = group
        self.key = key
        self.reason = reason
        self.type, self.length = describe(value)


class Reading:
    """What a span's, or a resource's, attributes of interest come to.

    `cut`: keys whose attributes go; `dropped`: those of them that count as dropped (S7); `rewritten`: encoded
    attributes that take the place of cut ones. `best`: the best alias so far of each kind. `resolve`: what a resolve
    span says, by key. `is_marked`: its user ids are pseudonyms of ours already.
    """

    __slots__ = ("best", "cut", "dropped", "drops", "is_marked", "own", "resolve", "rewritten", "values")

    def __init__(self, own: Own) -> None:
        self.own = own
        self.cut: set[bytes] = set()
        self.dropped: set[bytes] = set()
        self.drops: list[Drop] = []
        self.rewritten = b""
        self.values: dict[bytes, Value] = {}
        self.best: dict[int, tuple[int, str]] = {}
        self.resolve: dict[str, object] | None = None
        self.is_marked = False
