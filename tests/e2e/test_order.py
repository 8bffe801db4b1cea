"""A trace in every order of arrival, over both transports, in one request and in five."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import permutations
from typing import Any

import pytest
from messages import attributes, call_grpc, call_http, make_request, make_span
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import eventually

ORDERS = list(permutations(range(5)))

# What is written on each of the five spans, by span id.
ADDED = {
    1: {},
    2: {"user.id": "ann"},
    3: {"user.id": "ann", "session.id": "inner"},
    4: {"user.id": "bob", "session.id": "inner"},
    5: {"user.id": "bob", "session.id": "inner"},
}
# A field of a later version of OTLP.
UNKNOWN = b"\xfa\x3f\x05later"


def make_trace(trace_id: bytes) -> list[bytes]:
    """A root, its child with a session of its own, two grandchildren that say something, and one below that."""
    spans = (
        make_span(trace_id, 1, user__id="ann", session__id="outer", gen_ai__system="x"),
        make_span(trace_id, 2, 1, session__id="inner"),
        make_span(trace_id, 3, 2, gen_ai__user__id="an account"),
        make_span(trace_id, 4, 2, langfuse__user__id="bob"),
        make_span(trace_id, 5, 4),
    )
    return [span.SerializeToString() + UNKNOWN for span in spans]


def requests_of(traces: list[list[bytes]], mode: str) -> Iterator[bytes]:
    """Every trace in its own order: all of it in one request, or each span in a request after the one before it."""
    if mode == "one request":
        yield make_request(*(trace[index] for trace, order in zip(traces, ORDERS, strict=True) for index in order))
    else:
        for step in range(5):
            yield make_request(*(trace[order[step]] for trace, order in zip(traces, ORDERS, strict=True)))


@pytest.mark.parametrize("mode", ["one request", "five requests"])
@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_order_does_not_matter(transport: str, mode: str, grpc_way: Any) -> None:
    """S18, S11: in each of 120 orders every span gets the same attributes, once, behind the bytes that it came with."""
    ids = [hashlib.md5(f"{transport} {mode} {order}".encode()).digest() for order in ORDERS]
    traces = [make_trace(trace_id) for trace_id in ids]
    processor, backend = grpc_way.processor, grpc_way.backend
    for body in requests_of(traces, mode):
        if transport == "grpc":
            assert b"" == call_grpc(processor.grpc_port, body)[1]
        else:
            assert b"" == call_http(processor.http_port, body)[2]
    wanted = set(ids)

    def arrived() -> dict[tuple[bytes, bytes], list[bytes]]:
        found: dict[tuple[bytes, bytes], list[bytes]] = {}
        for raw in backend.raw_spans():
            if raw[2:18] in wanted:  # where the id stands in these spans
                span = Span.FromString(raw)
                found.setdefault((span.trace_id, span.span_id), []).append(raw)
        return found

    eventually(lambda: sum(map(len, arrived().values())) >= 5 * len(ORDERS))
    found = arrived()
    for trace_id, trace in zip(ids, traces, strict=True):
        for number, sent in enumerate(trace, start=1):
            (raw,) = found.pop((trace_id, number.to_bytes(8, "big")))
            assert sent == raw[: len(sent)]
            suffix = Span.FromString(raw[len(sent) :])
            assert ADDED[number] == attributes(suffix)
            assert {"attributes"} >= {field.name for field, _ in suffix.ListFields()}
    assert {} == found
