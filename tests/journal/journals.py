"""What the journal's tests share: opening, crashing, looking at the disk, a disk that fails."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from processor.journal import tail
from processor.journal.journal import Item, Sync
from processor.journal.store import Journal, open_journal

MAX_BYTES = 64 << 20
PATIENCE_S = 20.0
Unsettled = dict[int, set[int]]


def open_at(folder: Path, max_bytes: int = MAX_BYTES, sync: Sync = Sync.NORMAL) -> Journal:
    return open_journal(str(folder), max_bytes, sync)


def crash(journal: Journal) -> None:
    """The process is gone: what is buffered is lost, the lock free."""
    journal._is_closing = True
    journal._worker.shutdown()
    if journal._timer is not None:
        journal._timer.cancel()
    journal._tail.close()
    os.close(journal._lock)


def child_environment() -> dict[str, str]:
    """For a process that is to see the same sources as this one, wherever it starts."""
    paths = os.environ.get("PYTHONPATH")
    return os.environ | (
        {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, paths.split(os.pathsep)))} if paths else {}
    )


def segments(folder: Path) -> list[Path]:
    """The segments on disk, oldest first."""
    return sorted(path for path in folder.iterdir() if path.suffix == ".v1")


def disk_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in segments(folder))


def unsettled(items: Iterable[Item]) -> Unsettled:
    """Number → the parts that still count."""
    return {item.number: set(range(item.parts) if item.unsettled is None else item.unsettled) for item in items}


async def fill(journal: Journal, *bodies: bytes, parts: int = 1) -> list[int]:
    """An item for each body, each in a commit of its own."""
    numbers = []
    for body in bodies:
        numbers.append(journal.append(1, b"head", [body], parts))
        await journal.commit()
    return numbers


async def bodies(journal: Journal) -> list[bytes | None]:
    """The bodies of what was recovered, in order."""
    return [await journal.read(item.number) for item in journal.recovered()]


def bodies_at(folder: Path, max_bytes: int = MAX_BYTES) -> tuple[list[bytes | None], int]:
    """The bodies that a folder holds, and how much was found damaged."""

    async def main() -> tuple[list[bytes | None], int]:
        journal = open_at(folder, max_bytes)
        found = await bodies(journal)
        await journal.close()
        return found, journal.damaged

    return asyncio.run(main())


async def until(condition: Callable[[], Any]) -> None:
    """Wait for the worker."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.001)


@contextmanager
def failing_disk(code: int = errno.ENOSPC, after_bytes: int = 0) -> Iterator[None]:
    """A disk that takes so many bytes of a commit and then fails."""
    write_all = tail.write_all

    def write_some(file: int, pieces: Sequence[bytes], offset: int) -> None:
        write_all(file, [b"".join(pieces)[:after_bytes]], offset)
        raise OSError(code, os.strerror(code))

    with mock.patch.object(tail, "write_all", write_some):
        yield
