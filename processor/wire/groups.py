"""One object for each resource and scope, however many requests it comes with."""

from __future__ import annotations

from processor.span import Group, Hit


class Groups:
    """Groups by their bytes, so that spans of several requests share one; forgets all when there are too many."""

    __slots__ = ("groups",)

    def __init__(self) -> None:
        self.groups: dict[bytes, Group] = {}

    def get(self, extra: bytes, resource: bytes, scope: bytes, hits: list[Hit]) -> Group:
        """The one group of these bytes."""
        key = b"%d,%d:%b%b%b" % (len(extra), len(resource), extra, resource, scope)
        group = self.groups.get(key)
        if group is None:
            if len(self.groups) >= 1024:
                self.groups.clear()
            group = Group(extra, resource, scope, hits)
            self.groups[key] = group
        return group
