"""The contract of this room: what is sent, how a client answers, and why something is given up.

A `Chunk` is a framed piece of an OTLP export request. The top level of every OTLP request is one repeated
field, so chunks of one signal joined end to end are again one valid request: batching is joining.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from processor import __version__
from processor.errors import PermanentError
from processor.origin import NO_ORIGIN, Headers, Origin
from processor.signals import Signal

# OTLP (E5): a client must not send a larger request, counted before compression.
MAX_REQUEST_BYTES = 64 * 1024 * 1024
# OTLP (E6): a client must not read more of a response.
MAX_RESPONSE_BYTES = 4 * 1024 * 1024

# The product's own token first, as OTLP asks of distributions (E9).
USER_AGENT = f"span-processor/{__version__} OTel-OTLP-Exporter-Python/{__version__}"


# What a waiting chunk costs beside its bytes: heads of the bytes and the chunk, its tuple, time and place in the line.
# Measured with tracemalloc over 100,000 chunks: 185 bytes on Python 3.11.
CHUNK_OVERHEAD_BYTES = 190


@dataclass(frozen=True, slots=True)
class Chunk:
    """Protobuf bytes of (a piece of) an Export…ServiceRequest.

    `items`: how many spans it holds (for metrics and logs: 1, a relayed request). `origin`: whose they are. `number`:
    under which it is kept on disk too, 0 where it is not. Several downstreams share one chunk.
    """

    signal: Signal
    body: bytes
    items: int
    origin: Origin = NO_ORIGIN
    number: int = 0

    @property
    def cost_bytes(self) -> int:
        """What it counts against a queue's share of memory."""
        return len(self.body) + CHUNK_OVERHEAD_BYTES


class Store(Protocol):
    """Where chunks are kept besides memory; a number that is 0 stands for one that is not."""

    def settle(self, name: str, numbers: Iterable[int]) -> None:
        """The downstream `name` has got these chunks, or they are lost for it."""
        ...

    def divide(self, name: str, number: int) -> None:
        """Two halves of what was one are on their way to the downstream; each is settled."""
        ...

    async def load(self, number: int) -> bytes | None:
        """The bytes of a chunk, None where they are damaged. Raises `ComeBackLater` where they cannot be read now."""
        ...


class NoStore:
    """Chunks are in memory alone."""

    def settle(self, name: str, numbers: Iterable[int]) -> None:
        """Nothing to forget."""

    def divide(self, name: str, number: int) -> None:
        """Nothing to remember."""

    async def load(self, number: int) -> bytes | None:
        """There is nothing."""
        return None


@dataclass(frozen=True, slots=True)
class Outcome:
    """The downstream's acknowledgement. `rejected` items were refused for good (partial_success)."""

    rejected: int = 0
    message: str = ""


class LossReason(Enum):
    """Why accepted items are not delivered: the closed list behind `span_processor.spans.lost{reason}`."""

    REJECTED = ("rejected", "the downstream refused these items by partial_success")
    INVALID = ("invalid", "the downstream found the request invalid")
    UNAUTHENTICATED = ("unauthenticated", "the downstream did not accept the credentials")
    FORBIDDEN = ("forbidden", "the credentials do not allow this export")
    NOT_FOUND = ("not_found", "the downstream has nothing at this address")
    REFUSED = ("refused", "the downstream refused for good, for another reason")
    UNSUPPORTED = ("unsupported", "the downstream does not take this signal")
    TOO_LARGE = ("too_large", "the downstream finds it too large, and it cannot be divided")
    RESPONSE_TOO_LARGE = ("response_too_large", "the downstream's answer was over the limit of what may be read")
    TOO_OLD = ("too_old", "it could not be delivered within QUEUE_MAX_AGE")
    QUEUE_FULL = ("queue_full", "this downstream's share of memory was full while others had room")
    SHUTDOWN = ("shutdown", "the processor stopped before it could be delivered")
    DAMAGED = ("damaged", "its bytes in the journal were damaged")
    FAULT = ("fault", "the exporter itself failed; a defect")

    @property
    def label(self) -> str:
        """The attribute value in metrics and logs."""
        return self.value[0]

    @property
    def description(self) -> str:
        """One line for people."""
        return self.value[1]


class Attempt(Enum):
    """How one request to the downstream ended: the closed list behind `span_processor.export.attempts{outcome}`."""

    SUCCESS = "success"
    TRANSIENT = "transient"
    PERMANENT = "permanent"
    TOO_LARGE = "too_large"
    UNSUPPORTED = "unsupported"


class Refused(PermanentError):
    """A refusal for good, with the `reason` to count it under. The text is for logs, and quotes no span data."""

    def __init__(self, reason: LossReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Client(Protocol):
    """One downstream over one protocol. Errors: `TransientError`, `PermanentError` and its children.

    `hop`: the ids to send in the hop header, comma-separated (S30).
    """

    hop: str

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        """Deliver one request within the configured timeout; exactly one attempt.

        `headers`: those of the sender that go along (S28), in place of configured ones of the same name. Secret.
        """
        ...

    async def close(self) -> None:
        """Let go of connections. May be called twice."""
        ...
