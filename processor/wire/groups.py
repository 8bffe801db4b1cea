"""One object for each resource and scope, however many requests it comes with."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64

from processor.span import Group, Hit

_MAX_GROUPS: Final = 1024
_MAX_BYTES: Final = 4 << 20
_USUAL_SPAN: Final = 400  # bytes, to tell how many spans share a group from the size of their message


class Groups:
    """Groups by their bytes, so that spans of several requests share one; forgets all when there is too much to
    remember.
    """

    __slots__ = ("groups", "size")

    def __init__(self) -> None:
        self.groups: dict[bytes, Group] = {}
        self.size: i64 = 0

    def get(self, extra: bytes, resource: bytes, scope: bytes, hits: list[Hit], message_bytes: i64) -> Group:
        """The one group of these bytes. `message_bytes`: of the message that has its spans."""
        size: i64 = len(extra) + len(resource) + len(scope)
        key = b"%d,%d:%b%b%b" % (len(extra), len(resource), extra, resource, scope)
        group = self.groups.get(key)
        if group is None:
            group = Group(extra, resource, scope, hits)
            group.share = size // (message_bytes // _USUAL_SPAN + 1)
            if len(self.groups) >= _MAX_GROUPS or self.size + size > _MAX_BYTES:
                self.groups.clear()
                self.size = 0
            if size <= _MAX_BYTES // 16:
                self.groups[key] = group
                self.size += size
        return group
