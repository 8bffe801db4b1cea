"""Telling that a file changed: works on every file system, and with the symbolic links that Kubernetes swaps."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

Stamp = tuple[tuple[int, int, int], ...]


def stamp(paths: Iterable[Path]) -> Stamp:
    """Changes when one of the files does; one that cannot be read just now counts as unchanged in itself."""
    return tuple(_stamp_of(path) for path in paths)


def _stamp_of(path: Path) -> tuple[int, int, int]:
    try:
        state = os.stat(path)
    except OSError:
        return (0, 0, 0)
    return (state.st_mtime_ns, state.st_size, state.st_ino)
