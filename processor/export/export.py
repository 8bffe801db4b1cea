"""The contract of this room: what is sent, how a client answers.

A `Chunk` is a framed piece of an OTLP export request. The top level of every OTLP request is one repeated
field, so chunks of one signal joined end to end are again one valid request: batching is joining.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from processor.signals import Signal


@dataclass(frozen=True, slots=True)
class Chunk:
    """Protobuf bytes of (a piece of) an Export…ServiceRequest.

    `items`: how many spans it holds (for metrics and logs: 1, a relayed request).
    """

    signal: Signal
    body: bytes
    items: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """The downstream's acknowledgement. `rejected` items were refused for good (partial_success)."""

    rejected: int = 0
    message: str = ""


class Client(Protocol):
    """One downstream over one protocol. Errors: `TransientError`, `PermanentError` and its children."""

    async def send(self, signal: Signal, body: bytes) -> Outcome:
        """Deliver one request of at most the configured timeout; exactly one attempt."""
        ...

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        ...
