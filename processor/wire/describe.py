"""What people call a group of spans: the service of its resource and the name of its scope.

For reports, never on the hot path.
"""

from __future__ import annotations

from processor.span import Group
from processor.wire.cursor import fields
from processor.wire.values import read_value


def describe(group: Group) -> tuple[str, str]:
    """Service name and scope name of a group that has passed the scan; "" where there is none."""
    service = ""
    for resource in fields(group.resource, 0x0A):
        for attribute in fields(resource, 0x0A):
            if fields(attribute, 0x0A)[-1:] == [b"service.name"]:
                value = read_value(b"".join(fields(attribute, 0x12)))
                service = value if isinstance(value, str) else ""
    scope = b"".join([name for scope in fields(group.scope, 0x0A) for name in fields(scope, 0x0A)[-1:]])
    return service, scope.decode("utf-8", "replace")
