"""Standard output that never blocks: a thread writes, and what it cannot keep up with is left out and counted.

A terminal that is paused, or a pipe that nobody reads, must not stop the processor (its listeners, its signals).
"""

from __future__ import annotations

import queue
import threading
from typing import Final, TextIO

_MAX_WAITING: Final = 1000  # pieces of output, a trace at most each
_CLOSE_S: Final = 1.0


class Outlet:
    """A text stream over `target`. `left_out` counts pieces that were dropped."""

    def __init__(self, target: TextIO) -> None:
        self.left_out = 0
        self._target = target
        self._waiting: queue.Queue[str | None] = queue.Queue(_MAX_WAITING)
        self._thread = threading.Thread(target=self._write_forever, name="console", daemon=True)
        self._thread.start()

    @property
    def encoding(self) -> str:
        """The target's encoding: which marks can be shown depends on it."""
        return self._target.encoding

    def isatty(self) -> bool:
        """Whether the target is a terminal."""
        return self._target.isatty()

    def fileno(self) -> int:
        """The target's, to ask for its width."""
        return self._target.fileno()

    def write(self, text: str) -> int:
        """Hand over; never waits."""
        try:
            self._waiting.put_nowait(text)
        except queue.Full:
            self.left_out += 1
        return len(text)

    def flush(self) -> None:
        """The thread flushes after each piece."""

    def finish(self) -> None:
        """Wait for what was handed over, a second at most."""
        try:
            self._waiting.put_nowait(None)
        except queue.Full:
            return
        self._thread.join(_CLOSE_S)

    def _write_forever(self) -> None:
        while (text := self._waiting.get()) is not None:
            try:
                self._target.write(text)
                self._target.flush()
            except (OSError, ValueError):
                return  # the reader is gone
