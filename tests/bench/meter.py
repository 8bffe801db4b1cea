"""What a subject's processes cost: CPU time and memory, its children included. Needs Linux's /proc for the peak."""

from __future__ import annotations

from pathlib import Path

import psutil

_MIB = 1 << 20


class Meter:
    """Reads the process tree under one process id."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_s(self) -> float:
        """User and system time so far, of children that have ended too."""
        total = 0.0
        for process in self._tree():
            times = process.cpu_times()
            total += times.user + times.system + times.children_user + times.children_system
        return total

    def resident_mib(self) -> float:
        """Resident memory now."""
        return float(sum(process.memory_info().rss for process in self._tree())) / _MIB

    def peak_mib(self) -> float:
        """The most that each process ever had resident."""
        return sum(_peak_kib(process.pid) for process in self._tree()) / 1024

    def _tree(self) -> list[psutil.Process]:
        return [self._process, *self._process.children(recursive=True)]


def _peak_kib(pid: int) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == "VmHWM":
            return int(value.split()[0])
    return 0
