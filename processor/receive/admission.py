"""Which requests may enter: bytes in flight over both listeners, the switch for shutdown, and the loop breaker.

One object, shared by the listeners, touched only from the event loop's thread; so no locks. It counts what
this room refuses on its own account (`refused`, by the reasons in `REFUSALS`); what the receiver refuses, the
receiver counts. It must not know gRPC or HTTP, nor what a request means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final

from processor.errors import ComeBackLater, RequestTooLarge, SenderError
from processor.signals import HOP_HEADER

# Why a request was refused here. Of gRPC, what grpcio refuses before any handler runs (messages and metadata
# that are too large, unknown methods) is not seen, hence not counted.
REFUSALS: Final[Mapping[str, str]] = {
    "memory": "the bytes in flight are at their limit; the sender comes back",
    "draining": "the process is shutting down; the sender comes back",
    "internal": "an unexpected error of ours; the sender comes back",
    "loop": "the request came through this very process before",
    "malformed": "the body cannot be decompressed, or is not the JSON that it says",
    "too_large": "the body is over the size limit",
    "slow": "the sender took too long to send a request whole",
    "unauthenticated": "the sender shows no accepted token",
    "connections": "a connection beyond the limit was closed before it said anything",
}

# Of these, what tells the sender that the same request will never be taken.
FOR_GOOD: Final = frozenset({"loop", "malformed", "too_large", "unauthenticated"})

# An overload younger than this is answered with 1 s, an older one with 2 s: the most that S26 allows, and a
# fifth of the ten seconds that the most impatient clients have in all.
_LASTING_S: Final = 5.0


class RequestLoop(SenderError):
    """The request came back to the process that sent it: a downstream leads here (S30)."""


class Admission:
    """Bytes in flight, counted from when a request's size is known until its answer (S17, S26).

    `limit_bytes`: the most that may be in flight. `hop`: this process's id in `HOP_HEADER`, empty to accept
    all. `draining`: set it, and every new request is told to come back later (S29). `refused`: a count by reason.
    """

    __slots__ = ("_clock", "_overloaded_since", "draining", "hop", "in_flight_bytes", "limit_bytes", "refused")

    def __init__(self, limit_bytes: int, hop: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self.limit_bytes = limit_bytes
        self.hop = hop
        self.draining = False
        self.in_flight_bytes = 0
        self.refused = dict.fromkeys(REFUSALS, 0)
        self._clock = clock
        self._overloaded_since: float | None = None

    def enter(self, size_bytes: int) -> None:
        """Let a new request in and count it; `leave` with the same size must follow its answer.

        Raises `ComeBackLater`, or `RequestTooLarge` where even an idle process would have no room for it.
        """
        if self.draining:
            self.refused["draining"] += 1
            raise ComeBackLater("shutting down", 2)
        self.grow(0, size_bytes)

    def grow(self, from_bytes: int, to_bytes: int) -> None:
        """Count more bytes of a request that is in already. Raises as `enter`, but never for draining."""
        in_flight_bytes = self.in_flight_bytes + to_bytes - from_bytes
        if in_flight_bytes > self.limit_bytes:
            raise self._refuse(to_bytes)
        self.in_flight_bytes = in_flight_bytes

    def leave(self, size_bytes: int) -> None:
        """Uncount a request that was answered."""
        self.in_flight_bytes -= size_bytes
        if self._overloaded_since is not None and self.in_flight_bytes * 2 < self.limit_bytes:
            self._overloaded_since = None

    def check_hop(self, headers: Mapping[str, str]) -> None:
        """Raise `RequestLoop` for a request that carries this process's own id (S30)."""
        path = headers.get(HOP_HEADER)
        if path is None or not self.hop:
            return
        if self.hop in (part.strip() for part in path.split(",")):
            self.refused["loop"] += 1
            raise RequestLoop(
                f"loop: this request already came through span-processor {self.hop}; check its downstream"
            )

    def _refuse(self, size_bytes: int) -> Exception:
        if size_bytes > self.limit_bytes:
            return RequestTooLarge(f"{size_bytes} bytes are over the limit of {self.limit_bytes} bytes in flight")
        self.refused["memory"] += 1
        now = self._clock()
        if self._overloaded_since is None:
            self._overloaded_since = now
        lasting = now - self._overloaded_since >= _LASTING_S
        return ComeBackLater("too many bytes in flight", 2 if lasting else 1)


class Hold:
    """One request's share of the bytes in flight, where its size shows itself bit by bit."""

    __slots__ = ("_admission", "size_bytes")

    def __init__(self, admission: Admission, size_bytes: int) -> None:
        admission.enter(size_bytes)
        self._admission = admission
        self.size_bytes = size_bytes

    def cover(self, size_bytes: int) -> None:
        """Hold at least so many bytes. Raises as `Admission.grow`; what is held already stays held."""
        if size_bytes > self.size_bytes:
            self._admission.grow(self.size_bytes, size_bytes)
            self.size_bytes = size_bytes

    def release(self) -> None:
        """Give everything back. May be called twice."""
        self._admission.leave(self.size_bytes)
        self.size_bytes = 0
