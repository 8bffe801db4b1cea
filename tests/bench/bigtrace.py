"""One big trace whose root comes last: everything below it waits, until `root` is sent.

A process of its own. Spans go out deepest first, 512 a request, over one connection.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator

import wire
from sender import GrpcSender, send_until_taken
from worker import Answer, serve, specification
from workload import child_fields, resource, root_fields, scope, span_id

_SPANS_PER_REQUEST = 512
_SPAN_BYTES = 430
_PATIENCE_S = 60.0

CHAIN = "chain"
FAN_OUT = "fan-out"
TREE = "tree"

# The parent of span n; span 0 is the root.
_PARENT_OF: dict[str, Callable[[int], int]] = {
    CHAIN: lambda index: index - 1,
    FAN_OUT: lambda _index: 0,
    TREE: lambda index: (index - 1) // 4,
}


class BigTrace:
    """A trace of `spans` spans in one of three shapes, sent to one subject."""

    def __init__(self, endpoint: str, shape: str, spans: int) -> None:
        self._sender = GrpcSender(endpoint)
        self._parent_of = _PARENT_OF[shape]
        self._spans = spans
        self._trace_id = os.urandom(16)

    def descendants(self) -> Answer:
        """Send all but the root; they are taken when this returns."""
        until, taken, size = time.monotonic() + _PATIENCE_S, 0, 0
        for body, spans in self._requests():
            taken += send_until_taken(self._sender, body, until)[0] * spans
            size += len(body)
        return {"spans": taken, "bytes": size}

    def root(self) -> Answer:
        """Send the root, and when that was."""
        root = wire.span(self._trace_id, span_id(0), b"", root_fields(_SPAN_BYTES))
        body = wire.request(resource(), scope(), [root])
        sent_ns = time.monotonic_ns()
        taken, _ = send_until_taken(self._sender, body, time.monotonic() + _PATIENCE_S)
        return {"sent_ns": sent_ns, "spans": int(taken)}

    def _requests(self) -> Iterator[tuple[bytes, int]]:
        fields = child_fields(_SPAN_BYTES)
        for first in range(self._spans - 1, 0, -_SPANS_PER_REQUEST):
            spans = [
                wire.span(self._trace_id, span_id(index), span_id(self._parent_of(index)), fields)
                for index in range(first, max(first - _SPANS_PER_REQUEST, 0), -1)
            ]
            yield wire.request(resource(), scope(), spans), len(spans)


def main() -> None:
    """Connect, say so, and answer commands."""
    asked = specification()
    trace = BigTrace(asked["endpoint"], asked["shape"], asked["spans"])
    serve({}, {"descendants": trace.descendants, "root": trace.root})


if __name__ == "__main__":
    main()
