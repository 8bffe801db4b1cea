"""A program of its own, for what goes wrong below Python: the pipeline under a collector that runs at every allocation.

Meant for `PYTHONMALLOC=debug`, which ends the process where a block was written over or used after it was freed.
"""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Callable

from craft import pending, request, span
from engine import Engine, Setup

from processor.errors import MalformedRequest
from processor.origin import NO_ORIGIN
from processor.span import Context, Group, Hit, Own, Span, Value
from processor.trace.releases import Released
from processor.trace.trace import NO_GROUP, Frozen, Trace
from processor.wire.groups import Home

LISTED = Setup(baggage=("tag",))
EMPTY = Context({}, False)

RECORDS: tuple[Callable[[], object], ...] = (
    lambda: Hit(0, b"key", b"value"),
    lambda: Value(b"key", b"identity", b"encoded", False, ["data"]),
    lambda: Context({b"key": Value(b"key", b"", b"", False)}, False),
    lambda: Own(EMPTY),
    lambda: Group(b"", b"resource", b"scope", [Hit(0, b"key", b"value")]),
    lambda: Span(b"raw", bytes(8), b"", NO_GROUP, EMPTY),
    lambda: Frozen(EMPTY, bytes(8), None),
    lambda: Trace(bytes(16), EMPTY),
    lambda: Released("decided"),
    lambda: Home(NO_ORIGIN, b"", b"resource", []),
)


def free_at_any_depth() -> None:
    """Every kind of record is freed below up to a hundred lists, which are freed with it."""
    for make in RECORDS:
        for depth in range(100):
            nested = make()
            for _ in range(depth):
                nested = [nested]


def leave_a_chain(count: int) -> None:
    """A deep trace whose root never comes is dropped with everything in it."""
    Engine().drive(request(*[span(number, number - 1) for number in range(count + 1, 1, -1)]))


def forget_many_contexts(count: int) -> None:
    """A trace of spans that all say something else leaves, is opened again by a late span, and is forgotten."""
    engine = Engine(LISTED)
    engine.deliver(request(span(1), *[span(number, 1, {"tag": str(number)}) for number in range(2, count + 2)]))
    engine.deliver(request(span(count + 2, 1)), 1.0)
    engine.advance(2000.0)
    engine.deliver(request(span(count + 3, 1)), 2001.0)


def read_what_is_cut_short() -> None:
    """Every beginning of a request, and each of its bytes changed, is read or refused."""
    own = {"user.id": "u", "tag": "t", "langfuse.trace.tags": ["a", "b"]}
    body = request(span(1, 0, own), span(2, 1), pending(3, 2, 1), span(2, 1), resource={"session.id": "s"})
    engine = Engine(LISTED)
    for at in range(len(body)):
        for cut in (body[:at], body[:at] + bytes([body[at] ^ 0x85]) + body[at + 1 :]):
            with contextlib.suppress(MalformedRequest):
                engine.drive(cut)
    engine.release_all()


def main() -> None:
    """Small ones under the eager collector, large ones without it."""
    gc.freeze()
    gc.set_threshold(1)
    free_at_any_depth()
    leave_a_chain(100)
    forget_many_contexts(100)
    read_what_is_cut_short()
    gc.disable()
    leave_a_chain(30_000)
    forget_many_contexts(30_000)


if __name__ == "__main__":
    main()
