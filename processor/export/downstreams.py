"""All downstreams as one: what is accepted goes to each, and none delays, fills or fails another (S27).

    offer ──┬──▶ queue "langfuse" ──▶ its client        a full one loses its oldest, while another has room;
            └──▶ queue "logfire"  ──▶ its client        requests are refused only when all are full

Each queue has its own retries, circuit, slots and accounting, and an equal share of the memory that is not taken
otherwise. The bytes of a chunk are shared by the queues that hold it. Must not know protocols or trees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from processor.export.export import CHUNK_OVERHEAD_BYTES, Chunk, LossReason, Store
from processor.export.overflow import Overflow, Stored
from processor.export.queue import Queue
from processor.signals import Signal

# Of the memory that is kept, what chunks may take where the rest of them waits on disk.
_STORED_SHARE: Final = 0.5


class Downstreams:
    """The queues by the names of their downstreams.

    `memory_bytes` is for all of them and whatever else is kept; `others_bytes` says how much that is now. With a
    `store` half of it is theirs, and what is over waits on disk.
    """

    def __init__(
        self,
        queues: Mapping[str, Queue],
        memory_bytes: int,
        others_bytes: Callable[[], int],
        store: Store | None = None,
    ) -> None:
        self.queues = queues
        self.overflows: dict[str, Overflow] = {}
        if store is not None:
            share = int(memory_bytes * _STORED_SHARE) // len(queues)
            self.overflows = {name: Overflow(queue, store, share) for name, queue in queues.items()}
        self._every = tuple(queues.values())
        self._memory_bytes = memory_bytes
        self._others_bytes = others_bytes

    @property
    def used_bytes(self) -> int:
        """What all queues hold, in flight included."""
        return sum(queue.used_bytes for queue in self._every)

    @property
    def is_available(self) -> bool:
        """Whether any downstream answered when it was last asked."""
        return any(queue.is_available for queue in self._every)

    def takes(self, signal: Signal) -> bool:
        """Whether any downstream takes this signal (S31)."""
        return any(queue.takes(signal) for queue in self._every)

    def room_beside(self, size_bytes: int) -> int:
        """How much everything else may take so that the least full queue has room for a chunk of so many bytes.

        Negative: there is none, whatever else is let go of. To be asked before a request is acknowledged.
        """
        if self.overflows:
            return self._memory_bytes - self.used_bytes - size_bytes
        least = min(queue.used_bytes for queue in self._every)
        return self._memory_bytes - len(self._every) * (least + size_bytes + CHUNK_OVERHEAD_BYTES)

    def offer(self, chunk: Chunk) -> None:
        """Take responsibility for a chunk, for every downstream; never blocks."""
        if self.overflows:
            for overflow in self.overflows.values():
                overflow.offer(chunk)
            return
        if len(self._every) > 1:
            self._make_room(chunk.cost_bytes)
        for queue in self._every:
            queue.offer(chunk)

    def recover(self, name: str, stored: Stored) -> bool:
        """A chunk that a process before this one kept for a downstream; False where there is none of that name."""
        overflow = self.overflows.get(name)
        if overflow is None:
            return False
        overflow.recover(stored)
        return True

    def lose_damaged(self, items: int) -> None:
        """Spans that a process before this one kept, and whose bytes are damaged: lost{damaged}, for everybody."""
        for queue in self._every:
            queue.ledger.shelve(Signal.TRACES, items, is_recovered=True)
            queue.ledger.lose_stored(Signal.TRACES, items, LossReason.DAMAGED)

    def shed_stored(self, wanted_bytes: int) -> None:
        """Have those that are behind, while another keeps up, lose the oldest of what waits on disk alone (S27)."""
        behind = [overflow for overflow in self.overflows.values() if len(overflow)]
        if len(behind) < len(self.overflows):
            for overflow in behind:
                overflow.shed(wanted_bytes)

    def mark(self, hop: str) -> None:
        """Send these process ids in the hop header from now on (S30)."""
        for queue in self._every:
            queue.mark(hop)

    def start(self) -> None:
        """Start sending, in the running loop."""
        for queue in self._every:
            queue.start()
        for overflow in self.overflows.values():
            overflow.start()

    async def drain(self, deadline: float) -> None:
        """Send what is left until the deadline, each downstream for itself; the rest is lost{shutdown}."""
        await asyncio.gather(*(queue.drain(deadline) for queue in self._every))

    async def close(self) -> None:
        """Stop at once, and let go of the clients. May be called twice."""
        await asyncio.gather(*(queue.close() for queue in self._every))

    def _make_room(self, cost_bytes: int) -> None:
        """Where some have room for a chunk, the full ones lose their oldest; where none has, none loses anything."""
        share = (self._memory_bytes - self._others_bytes()) // len(self._every)
        full = [queue for queue in self._every if queue.used_bytes + cost_bytes > share]
        if len(full) < len(self._every):
            for queue in full:
                queue.shed(share - cost_bytes)
