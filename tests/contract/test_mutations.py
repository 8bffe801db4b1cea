"""Bytes that were changed at random: nothing is raised but `MalformedRequest`, and what leaves is well-formed (S9)."""

from __future__ import annotations

import random
from collections import Counter

import pytest
import wires
from craft import enclose
from engine import Setup, spans_of
from hostile import Checker
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from rich_request import rich_request

ROUNDS = 400
ORDERS = {"ascending": wires.ascending, "descending": wires.descending, "shuffled": wires.shuffled(7)}
SETUPS = {"ids": Setup(), "baggage": Setup(baggage=("langfuse", "tenant"))}


def mutate(rng: random.Random, body: bytes) -> bytes:
    """The body with one to three small changes."""
    data = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 3))):
        at = rng.randrange(len(data))
        match rng.randrange(5):
            case 0:
                data[at] ^= 1 << rng.randrange(8)
            case 1:
                data[at] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, 0x0A, 0x12, 0x4A))
            case 2:
                del data[at : at + rng.randrange(1, 4)]
            case 3:
                data[at:at] = rng.randbytes(rng.randrange(1, 4))
            case _:
                other = rng.randrange(len(data))
                data[at : at + 8] = data[other : other + 8]
    return bytes(data)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS.keys())
def test_mutated_requests(order: wires.Shuffle, setup: Setup) -> None:
    """S9: whatever is changed in a request, each span is taken or rejected for its own bytes, as upb and the
    contract would, and what leaves
    is well-formed."""
    checker = Checker(setup)
    rng = random.Random(20)
    body = wires.reorder(rich_request(), ExportTraceServiceRequest.DESCRIPTOR, order)
    outcomes = Counter(checker.check(mutate(rng, body)) for _ in range(ROUNDS))
    assert {"malformed", "partial", "whole"} <= set(outcomes)


@pytest.mark.parametrize("setup", SETUPS.values(), ids=SETUPS.keys())
def test_mutated_spans(setup: Setup) -> None:
    """S9: the same for bytes changed inside a span whose envelope is mended."""
    checker = Checker(setup)
    rng = random.Random(21)
    spans = [left.raw for left in spans_of(rich_request())]
    outcomes: Counter[str] = Counter()
    for _ in range(ROUNDS):
        changed = mutate(rng, rng.choice(spans))
        outcomes[checker.check(enclose([spans[0], changed, spans[1]]))] += 1
    assert {"partial", "whole"} == set(outcomes)
