"""What people call a group of spans: the service of its resource and the name of its scope. For reports, never on the hot path."""

from __future__ import annotations

from mypy_extensions import i64

from processor.span import Group
from processor.wire.cursor import Cursor
from processor.wire.values import read_value


def describe(group: Group) -> tuple[str, str]:
    """Service name and scope name of a group that has passed the scan; "" where there is none."""
    service = ""
    for resource in _fields(group.resource, 0x0A):
        for attribute in _fields(resource, 0x0A):
            if _fields(attribute, 0x0A)[-1:] == [b"service.name"]:
                value = read_value(b"".join(_fields(attribute, 0x12)))
                service = value if isinstance(value, str) else ""
    scope = b"".join([name for scope in _fields(group.scope, 0x0A) for name in _fields(scope, 0x0A)[-1:]])
    return service, scope.decode("utf-8", "replace")


def _fields(message: bytes, wanted: i64) -> list[bytes]:
    """The contents of each length-delimited field with this tag."""
    cursor = Cursor(message)
    end: i64 = len(message)
    found: list[bytes] = []
    while cursor.pos < end:
        tag: i64 = cursor.tag(end)
        if tag == wanted:
            size: i64 = cursor.length(end)
            found.append(message[cursor.pos : cursor.pos + size])
            cursor.pos += size
        else:
            cursor.skip(tag, end)
    return found
