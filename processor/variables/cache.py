"""The last good configuration of an endpoint on disk, for a start while the endpoint is out of reach."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from processor.variables.documents import MAX_BYTES


def read_cache(path: Path) -> bytes | None:
    """What was kept; None where nothing was. Raises `OSError`."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return None


def write_cache(path: Path, text: bytes) -> None:
    """Keep `text`, readable by its owner alone; another reader sees the old content or the new. Raises `OSError`."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
