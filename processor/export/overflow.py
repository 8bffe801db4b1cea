"""What waits for one downstream on disk alone, because its share of memory is full.

    offer ──▶ queue, while there is room and nothing waits here
         └──▶ stored, in order ──load──▶ queue, as soon as there is room

Only chunks that the store has can wait here; others are offered to the queue whatever it holds. One chunk is loaded at
a time. Belongs to the event loop. Must not know how the store works, nor trees.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from processor.errors import ComeBackLater
from processor.export.export import CHUNK_OVERHEAD_BYTES, Chunk, LossReason, Store
from processor.export.queue import Queue
from processor.origin import Origin
from processor.signals import Signal

# What cannot be read now is tried again.
_RETRY_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Stored:
    """A chunk without its bytes: `size` of them are in the store under `number`. `since`: when it arrived."""

    signal: Signal
    size: int
    items: int
    origin: Origin
    number: int
    since: float


class Overflow:
    """The way to one queue. `share_bytes`: the most that the queue may hold in memory."""

    def __init__(
        self,
        queue: Queue,
        store: Store,
        share_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.queue = queue
        self._store = store
        self._share_bytes = share_bytes
        self._clock = clock
        self._sleep = sleep
        self._stored: deque[Stored] = deque()
        self._loader: asyncio.Task[None] | None = None
        queue.on_room = self._load_soon

    def __len__(self) -> int:
        return len(self._stored)

    def offer(self, chunk: Chunk) -> None:
        """Take responsibility for a chunk; never blocks."""
        queue = self.queue
        if not chunk.number or not (queue.is_stopped or self._stored or not self._has_room(len(chunk.body))):
            queue.offer(chunk)
            return
        queue.ledger.shelve(chunk.signal, chunk.items)
        self._stored.append(
            Stored(chunk.signal, len(chunk.body), chunk.items, chunk.origin, chunk.number, self._clock())
        )

    def recover(self, stored: Stored) -> None:
        """Take responsibility for a chunk of a process before this one."""
        self.queue.ledger.shelve(stored.signal, stored.items, is_recovered=True)
        self._stored.append(stored)

    def start(self) -> None:
        """Begin to load what was recovered, in the running loop."""
        self._load_soon()

    def shed(self, wanted_bytes: int) -> None:
        """Lose the oldest chunks that are on disk alone, so many bytes of them: lost{queue_full} (S27)."""
        numbers = []
        while self._stored and wanted_bytes > 0:
            stored = self._stored.popleft()
            wanted_bytes -= stored.size
            self.queue.ledger.lose_stored(stored.signal, stored.items, LossReason.QUEUE_FULL)
            numbers.append(stored.number)
        self._store.settle(self.queue.name, numbers)

    def _has_room(self, size: int) -> bool:
        return self.queue.used_bytes + size + CHUNK_OVERHEAD_BYTES <= self._share_bytes

    def _load_soon(self) -> None:
        if self._stored and self._loader is None and not self.queue.is_stopped and self._has_room(self._stored[0].size):
            self._loader = asyncio.create_task(self._load())

    async def _load(self) -> None:
        try:
            while self._stored and not self.queue.is_stopped and self._has_room(self._stored[0].size):
                await self._load_one(self._stored[0])
        finally:
            self._loader = None

    async def _load_one(self, stored: Stored) -> None:
        try:
            body = await self._store.load(stored.number)
        except ComeBackLater:
            await self._sleep(_RETRY_S)
            return
        if not self._stored or self._stored[0] is not stored or self.queue.is_stopped:
            return  # lost meanwhile, or left to the next process
        self._stored.popleft()
        if body is None:
            self.queue.ledger.lose_stored(stored.signal, stored.items, LossReason.DAMAGED)
            self._store.settle(self.queue.name, [stored.number])
        else:
            self.queue.load(Chunk(stored.signal, body, stored.items, stored.origin, stored.number), stored.since)
