"""What the journal offers: items, how safely they are kept, and what can go wrong.

An item is a head, which is read at opening, and a body, which is read when it is asked for. It has parts, and is dead
when all of them are settled. The journal knows nothing of what is in them.

    append ──▶ buffer ──commit──▶ tail segment ──▶ sealed segments ──▶ oldest: deleted when nothing in it lives
                                       ▲                                  │
                                       └───── what still lives there, where garbage is more than half ◀─┘

`store.py` is the journal itself, on the event loop; `tail.py` the files, in a worker thread; `record.py` the layout.
"""

from __future__ import annotations

import errno
from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Sync(StrEnum):
    """What a commit waits for.

    OFF and NORMAL hand the bytes to the system: they survive the process, not the machine. OFF saves the checksums of
    bodies, a fifth of the cost: whoever reads a damaged body has to notice it. FULL waits for the disk.
    """

    OFF = "off"
    NORMAL = "normal"
    FULL = "full"


class Failure(StrEnum):
    """Why a commit is not on disk."""

    NO_SPACE = "no_space"
    READ_ONLY = "read_only"
    IO_ERROR = "io_error"
    OVER_SIZE = "over_size"


_FAILURES: Final = {
    errno.ENOSPC: Failure.NO_SPACE,
    errno.EDQUOT: Failure.NO_SPACE,
    errno.EFBIG: Failure.NO_SPACE,
    errno.EROFS: Failure.READ_ONLY,
    errno.EACCES: Failure.READ_ONLY,
    errno.EPERM: Failure.READ_ONLY,
}


class JournalProblem(Exception):
    """The journal cannot be opened. `setting`: the field at fault; the text says what is wrong and would be right."""

    def __init__(self, setting: str, text: str) -> None:
        super().__init__(text)
        self.setting = setting


class JournalFailed(Exception):
    """What was buffered is not on disk. It stays in memory, in order, and is tried again."""

    def __init__(self, failure: Failure, text: str) -> None:
        super().__init__(text)
        self.failure = failure


def failed(error: OSError) -> JournalFailed:
    """The failure that an error of the system stands for."""
    return JournalFailed(_FAILURES.get(error.errno or 0, Failure.IO_ERROR), error.strerror or str(error))


@dataclass(frozen=True, slots=True)
class Item:
    """An item that a journal held when it was opened. `unsettled`: its parts that still count; None for all of them."""

    number: int
    kind: int
    head: bytes
    body_size: int
    parts: int
    unsettled: frozenset[int] | None
