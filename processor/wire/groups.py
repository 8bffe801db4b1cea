"""One object for each resource and scope of an origin, however many requests it comes with."""

from __future__ import annotations

from typing import Final

from mypy_extensions import i64, mypyc_attr

from processor.origin import Origin
from processor.span import Group, Hit

_MAX_RESOURCES: Final = 256
_MAX_SCOPES: Final = 64  # of one resource
_MAX_SCOPE_BYTES: Final = 1024  # of a scope that is remembered
_MAX_BYTES: Final = 4 << 20  # of all resources that are remembered
_USUAL_SPAN: Final = 400  # bytes, to tell how many spans share a group from the size of their message


@mypyc_attr(acyclic=True)
class Home:
    """The groups of one resource of one origin, by the bytes of their scope."""

    __slots__ = ("extra", "groups", "hits", "origin", "resource")

    def __init__(self, origin: Origin, extra: bytes, resource: bytes, hits: list[Hit]) -> None:
        self.origin = origin
        self.extra = extra
        self.resource = resource
        self.hits = hits
        self.groups: dict[bytes, Group] = {}

    def group(self, scope: bytes, message_bytes: i64) -> Group:
        """The one group of this resource and scope. `message_bytes`: of the message that has its spans."""
        group = self.groups.get(scope)
        if group is None:
            group = Group(self.extra, self.resource, scope, self.hits, self.origin)
            size: i64 = len(self.extra) + len(self.resource) + len(scope)
            group.share = size // ((message_bytes - len(scope)) // _USUAL_SPAN + 1)
            if len(self.groups) >= _MAX_SCOPES:
                self.groups.clear()
            if len(scope) <= _MAX_SCOPE_BYTES:
                self.groups[scope] = group
        return group


class Groups:
    """Resources that came before, so that spans of several requests share a group; forgets all when it is too much."""

    __slots__ = ("homes", "size")

    def __init__(self) -> None:
        self.homes: dict[tuple[Origin, bytes, bytes], Home] = {}
        self.size: i64 = 0

    def find(self, origin: Origin, extra: bytes, resource: bytes) -> Home | None:
        """The groups of a resource that came before, from the same origin."""
        return self.homes.get((origin, extra, resource))

    def keep(self, home: Home) -> None:
        """Remember a resource, unless it is very large."""
        size: i64 = len(home.extra) + len(home.resource)
        if size > _MAX_BYTES // 64:
            return
        if len(self.homes) >= _MAX_RESOURCES or self.size + size > _MAX_BYTES:
            self.forget()
        self.homes[(home.origin, home.extra, home.resource)] = home
        self.size += size

    def forget(self) -> None:
        """Let go of all; groups of held spans live on with them."""
        self.homes.clear()
        self.size = 0
