"""A configuration in a file, taken again when it changes (S24).

Each second the file's identity, size and time are looked at, which works on every file system and with the symbolic
links that Kubernetes swaps; its content is read only when they changed, and once more after that, for a write within
one tick of the clock changes none of them. A file caught half written is refused and read again when it is whole.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from processor.variables.documents import MAX_BYTES
from processor.variables.source import Document, Sink, offer
from processor.variables.variables import Format, Outcome

_POLL_S = 1.0
_Stamp = tuple[int, int, int, int]


class FileSource:
    """A file as a `Source`. `sleep`: how it waits between looks."""

    __slots__ = ("_failure", "_is_settled", "_path", "_seen", "_sink", "_sleep", "_stamp", "_taken")

    def __init__(self, path: Path, sink: Sink, *, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._path = path
        self._sink = sink
        self._sleep = sleep
        self._stamp: _Stamp | None = None
        self._is_settled = False
        self._seen = b""  # the digest of the content that was offered last
        self._taken = b""  # the digest of the content in force
        self._failure = ""

    async def run(self) -> None:
        """Look each second until cancelled."""
        while True:
            await self.look()
            await self._sleep(_POLL_S)

    async def look(self) -> None:
        """Look at the file once, and take it if it changed."""
        try:
            stamp = await asyncio.to_thread(_stamp_of, self._path)
            if stamp == self._stamp and self._is_settled:
                return
            text = await asyncio.to_thread(read_file, self._path)
        except OSError as error:
            self._fail(f"cannot read {self._path}: {error.strerror or error}")
            return
        self._failure = ""
        has_changed = stamp != self._stamp
        self._stamp, self._is_settled = stamp, not has_changed
        await self._take(text, has_changed)

    async def _take(self, text: bytes, has_changed: bool) -> None:
        digest = hashlib.sha256(text).digest()
        if digest == self._seen:
            if has_changed and digest == self._taken:
                self._sink.report(Outcome.UNCHANGED, str(self._path))
            return
        self._seen = digest
        if await offer(self._sink, Document(text, format_of(self._path))):
            self._taken = digest

    def _fail(self, message: str) -> None:
        """Report once for as long as the same thing is wrong."""
        self._stamp = None
        if message != self._failure:
            self._failure = message
            self._sink.report(Outcome.FAILED, message)


def format_of(path: Path) -> Format:
    """YAML by its suffix, else JSON."""
    return "yaml" if path.suffix.lower() in (".yaml", ".yml") else "json"


def read_file(path: Path) -> bytes:
    """The content, at most one byte more than any configuration may have. Raises `OSError`."""
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)


def _stamp_of(path: Path) -> _Stamp:
    status = os.stat(path)
    return status.st_mtime_ns, status.st_size, status.st_ino, status.st_dev
