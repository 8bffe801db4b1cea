"""Prints what the journal costs beside a checksum and a plain write, and how long it takes to open: `python measure.py`."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import uvloop

from processor.journal.journal import Sync
from processor.journal.store import open_journal

BODIES = ((220_000, 1), (220_000, 1000), (7_000, 1))  # bytes, pieces
OPENED_BYTES = 450_000_000


def cpu_us(times: int, call: Callable[[], object]) -> float:
    """CPU of one call in microseconds, over many."""
    started = time.process_time()
    for _ in range(times):
        call()
    return (time.process_time() - started) / times * 1e6


async def commits(folder: Path, pieces: list[bytes], sync: Sync, times: int, together: int) -> None:
    journal = open_journal(str(folder), 1 << 30, sync)

    async def keep() -> None:
        number = journal.append(1, b"h" * 40, pieces, 512)
        await journal.commit()
        journal.settle(number)

    for _ in range(times // together):
        await asyncio.gather(*(keep() for _ in range(together)))
    await journal.close()


def write_plainly(folder: Path, body: bytes, times: int) -> None:
    for _ in range(times // 30):
        with (folder / "plain").open("wb", buffering=0) as file:
            for _ in range(30):
                file.write(body)
        (folder / "plain").unlink()


async def opening(folder: Path, size: int) -> float:
    journal = open_journal(str(folder), 1 << 30)
    for at in range(OPENED_BYTES // size):
        journal.append(1, b"h" * 100, [bytes(size)], max(size // 430, 1))
        if at % 16 == 0:
            await journal.commit()
    await journal.close()
    started = time.perf_counter()
    journal = open_journal(str(folder), 1 << 30)
    seconds = time.perf_counter() - started
    await journal.close()
    return seconds


def main() -> None:
    for size, count in BODIES:
        body = os.urandom(size)
        pieces = [body[at : at + size // count] for at in range(0, size, size // count)]
        times = 600 if size > 10_000 else 3000
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            plain = cpu_us(1, lambda folder=folder, body=body, times=times: write_plainly(folder, body, times)) / times
            print(
                f"{size} bytes in {count} pieces: crc32 {cpu_us(times, lambda b=body: zlib.crc32(b)):.0f} us, write {plain:.0f} us"
            )
            for sync in Sync:
                times_now = times if sync is not Sync.FULL else 80
                for together in (1, 8):
                    started = time.process_time()
                    uvloop.run(commits(folder / f"{sync}{together}", pieces, sync, times_now, together))
                    print(f"  {sync}, {together} at once: {(time.process_time() - started) / times_now * 1e6:.0f} us")
    for size in (220_000, 7_000):
        with tempfile.TemporaryDirectory() as name:
            print(f"opening {OPENED_BYTES} bytes of {size}: {uvloop.run(opening(Path(name) / 'j', size)):.3f} s")


if __name__ == "__main__":
    sys.exit(main())
