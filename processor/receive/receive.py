"""The contract of this room: what a listener hands over, and what it gets back.

A listener turns a transport's request into a `Request` whose body is OTLP protobuf (decompressed,
transcoded from JSON where need be), calls the `Receiver`, and turns the `Answer`, or one of the errors in
`processor.errors`, into its protocol's response. It must not know what happens to the spans.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from processor.signals import Signal


@dataclass(frozen=True, slots=True)
class Request:
    """One export request of a sender.

    `body` is the protobuf form of the signal's Export…ServiceRequest. `transport` is `grpc`,
    `http/protobuf` or `http/json`. `headers`: those of the sender's that the listener was told to pass on, and
    the hop header (S30), names in lower case; secret.
    """

    signal: Signal
    body: bytes
    transport: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to tell the sender of a request that was taken (OTLP's partial_success).

    `rejected` items were refused for good; `message` says why, or warns where `rejected` is 0.
    Both empty: full success.
    """

    rejected: int = 0
    message: str = ""


class Receiver(Protocol):
    """Whoever takes responsibility for requests."""

    async def take(self, request: Request) -> Answer:
        """Take responsibility for the request, or raise `SenderError` or `ComeBackLater`.

        May be cancelled at any `await`: the sender gave up, or the listener's grace is over. Whatever else it
        raises is a bug, and is answered retryably.
        """
        ...


class Listener(Protocol):
    """A started listener accepts requests until `stop` returns; `stop` may be called at any time, twice."""

    @property
    def address(self) -> str:
        """The host:port it listens on, with the port that the system chose where 0 was asked for."""
        ...

    async def start(self) -> None:
        """Bind and serve. Raises `OSError` when the address cannot be bound."""
        ...

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests at once, let those in flight finish for at most `grace_s` seconds."""
        ...
