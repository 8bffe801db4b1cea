"""A process that writes items until it is killed, and says what it did on standard output, before or after it counts.

+ NUMBER    committed: must be there
- NUMBER    about to be settled: may be gone
> NUMBER    about to be moved to the item whose number comes next
"""

from __future__ import annotations

import asyncio
import os
import random
import sys

from processor.journal.journal import Sync
from processor.journal.store import Journal, open_journal


def body_of(head: bytes) -> bytes:
    """What the body of an item with this head must be."""
    return head * (50 + int(head) * 37 % 900)


def say(sign: str, number: int) -> None:
    os.write(1, f"{sign} {number}\n".encode())  # whole or not at all


async def write(journal: Journal, draw: random.Random, live: list[int]) -> None:
    """Requests one after another; older items are settled now and then, or moved to the new one."""
    while True:
        moved = live.pop(draw.randrange(len(live))) if live and draw.random() < 0.3 else None
        head = b"%d" % draw.randrange(1 << 30)
        number = journal.append(1, head, [body_of(head)], 1)
        if moved is not None:
            say(">", moved)
            journal.move(moved)
        await journal.commit()
        say("+", number)
        live.append(number)
        while len(live) > 40 or (live and draw.random() < 0.45):
            done = live.pop(draw.randrange(len(live)))
            say("-", done)
            journal.settle(done)


async def main(folder: str, seed: int) -> None:
    journal = open_journal(folder, 4 << 20, Sync.NORMAL)
    live: list[int] = []
    for item in journal.recovered():
        assert body_of(item.head) == await journal.read(item.number), item
        live.append(item.number)
    await asyncio.gather(*(write(journal, random.Random(seed + each), live) for each in range(3)))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
