"""Memory is handed back whole, compiled as interpreted: nothing that comes may make the process fall (S9, S13)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import processor

PROGRAM = Path(__file__).parent / "churn.py"


def test_nothing_is_written_over() -> None:
    """S9, S13: records freed at any depth, dropped chains, thousands of contexts in a trace and broken requests leave
    no block of memory damaged, however often the collector runs.
    """
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(processor.__file__).parents[1]),
        "PYTHONMALLOC": "debug",
        "PYTHONFAULTHANDLER": "1",
    }
    done = subprocess.run(
        [sys.executable, str(PROGRAM)], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert (0, "") == (done.returncode, done.stderr)
