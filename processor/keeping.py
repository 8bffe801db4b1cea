"""Where what was acknowledged is kept until it is delivered: in memory, or on disk as well (`journaling.py`).

The contract of both, and the first of them. Must not know transports, trees or downstreams.
"""

from __future__ import annotations

from typing import Protocol

from processor.export.export import Chunk
from processor.origin import Origin
from processor.signals import Signal


class Keeping(Protocol):
    """Belongs to the event loop."""

    @property
    def cost_bytes(self) -> int:
        """What keeping takes in memory beside the chunks and spans themselves."""
        ...

    def check(self, size_bytes: int) -> int:
        """Whether a request of so many bytes can be kept. Raises `ComeBackLater` where it cannot be.

        How many bytes are better given up by downstreams that are behind; 0 as long as there is plenty of room.
        """
        ...

    def keep(self, signal: Signal, body: bytes, items: int, origin: Origin) -> Chunk:
        """A chunk that is to be delivered, kept from the next `commit` on."""
        ...

    def follow(self, is_langfuse: bool = False) -> None:
        """Keep the spans that are held by now, and let go of those that left, in chunks that were kept before.

        `is_langfuse`: the spans that came since the last call are of Langfuse's own exporter.
        """
        ...

    async def commit(self) -> None:
        """Wait until everything so far is kept. Raises `ComeBackLater` where that cannot be."""
        ...


class InMemory:
    """What is in memory is kept; nothing else is done."""

    cost_bytes = 0

    def check(self, size_bytes: int) -> int:
        """Memory is bounded elsewhere."""
        return 0

    def keep(self, signal: Signal, body: bytes, items: int, origin: Origin) -> Chunk:
        """The chunk."""
        return Chunk(signal, body, items, origin)

    def follow(self, is_langfuse: bool = False) -> None:
        """The trees hold their spans."""

    async def commit(self) -> None:
        """Done already."""
