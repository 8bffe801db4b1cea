"""Whether the process takes requests, and if not, why: what `/readyz` and `grpc.health.v1` say.

    starting ──▶ ready ◀──▶ full          draining: from the first signal to stop until the end
                   └──────────┴──▶ draining

Full is what lasts: trees and queue have no room for a request like the last that was refused. Requests in flight do
not count, for they are over in milliseconds, nor does a downstream that is away while there is room. Must not know who
asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum


class State(Enum):
    """What the process is doing; only `READY` takes requests."""

    STARTING = "starting"
    READY = "ready"
    FULL = "full"
    DRAINING = "draining"


class Readiness:
    """The state in this instant. `is_full` says whether requests are being refused for memory. Used on one loop."""

    def __init__(self, is_full: Callable[[], bool]) -> None:
        self._is_full = is_full
        self._has_started = False
        self._draining = asyncio.Event()

    @property
    def state(self) -> State:
        """What the process is doing."""
        if self._draining.is_set():
            return State.DRAINING
        if not self._has_started:
            return State.STARTING
        return State.FULL if self._is_full() else State.READY

    @property
    def is_ready(self) -> bool:
        """Whether requests are taken."""
        return self.state is State.READY

    def start(self) -> None:
        """Everything listens."""
        self._has_started = True

    def drain(self) -> None:
        """No more requests, for good."""
        self._draining.set()

    async def wait_draining(self, timeout_s: float) -> bool:
        """Wait until draining, at most so long; whether it is."""
        try:
            await asyncio.wait_for(self._draining.wait(), timeout_s)
        except TimeoutError:
            return False
        return True
