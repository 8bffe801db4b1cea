"""Spans whose parents do not come: given up in time, and named in /status and the log."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from messages import attributes, call_grpc, make_request, make_span


def test_gives_up_after_max_wait(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S15, S12, S16: an orphan leaves after MAX_WAIT with what its trace agrees on; a late span still inherits."""
    to = backend().start()
    processor = run(MAX_WAIT="1s", **to.settings)
    trace_id = b"t" * 16
    orphans = (make_span(trace_id, 2, 99, user__id="ann"), make_span(trace_id, 3, 98))
    call_grpc(processor.grpc_port, make_request(*orphans))
    assert [] == to.spans()
    assert 2 == processor.accounting()["held"]
    to.collect(2)
    call_grpc(processor.grpc_port, make_request(make_span(trace_id, 4, 2)))  # its session is undecided: it waits, too
    assert {2: "ann", 3: "ann", 4: "ann"} == {span.span_id[-1]: attributes(span)["user.id"] for span in to.collect(3)}
    assert processor.status()["released"]["max_wait"] == 3


def test_a_remote_parent_is_not_awaited(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """ROOTS=local, the default: a span whose parent is in another process is a root; ROOTS=any waits for it."""
    to = backend().start()
    entry = make_span(b"t" * 16, 2, 1, user__id="ann")
    entry.flags = 0x301
    local, gateway = run(**to.settings), run(ROOTS="any", **to.settings)
    for processor in (local, gateway):
        call_grpc(processor.grpc_port, make_request(entry, make_span(b"t" * 16, 3, 2)))
    assert [{"user.id": "ann"}] * 2 == [attributes(span) for span in to.collect(2)]
    assert (0, 2) == (local.accounting()["held"], gateway.accounting()["held"])
    assert 2 == len(to.spans())
