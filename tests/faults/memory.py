"""What a process takes of the machine, as the kernel counts it."""

from __future__ import annotations

import threading
from typing import Any

import psutil
from running import Processor

MiB = 1 << 20
# What an interpreter takes beside what it counts: pages that are half free, and buffers of the transports.
SLACK_BYTES = 24 * MiB


class Meter:
    """Looks at a process until it is left; it must balance at each look (S25).

    `looks`: resident bytes and open files; `idle_bytes`: resident before the first look.
    """

    def __init__(self, processor: Processor, every_s: float = 0.1) -> None:
        self.looks: list[tuple[int, int]] = []
        self._processor = processor
        self._process = psutil.Process(processor.pid)
        self._every_s = every_s
        self._is_over = threading.Event()
        self._failures: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)
        self.idle_bytes = self._process.memory_info().rss

    @property
    def peak_bytes(self) -> int:
        """The most that it had in memory at any look."""
        return max(resident for resident, _ in self.looks)

    def __enter__(self) -> Meter:
        self._thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._is_over.set()
        self._thread.join()
        assert [] == self._failures

    def _run(self) -> None:
        try:
            while not self._is_over.wait(self._every_s):
                self.looks.append(self._look())
        except BaseException as failure:  # told where the test can see it
            self._failures.append(failure)

    def _look(self) -> tuple[int, int]:
        """Resident bytes and open file descriptors now."""
        self._processor.accounting()
        return self._process.memory_info().rss, self._process.num_fds()
