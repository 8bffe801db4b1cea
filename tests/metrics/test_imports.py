"""What an idle process does not carry."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import processor


def test_the_sdk_is_not_imported_before_somebody_looks() -> None:
    """Neither the SDK nor Prometheus' library is in a process that nobody scraped."""
    tell = "import sys, processor.service; print(*(name for name in sys.modules if name.startswith(('opentelemetry.sdk', 'prometheus'))))"
    done = subprocess.run(
        [sys.executable, "-c", tell],
        env={"PYTHONPATH": str(Path(processor.__file__).parent.parent)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "" == done.stdout.strip()
