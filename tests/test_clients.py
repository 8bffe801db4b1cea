"""`make test-clients` before it installs anything; what it runs is in `tests/clients/`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parent / "clients"


@pytest.mark.parametrize(
    ("groups", "why"),
    [(("go", "java"), "go: not on PATH: go; java: not on PATH: java, mvn"), (("rust",), "no such group: rust")],
)
def test_a_named_group_that_cannot_run_fails(groups: tuple[str, ...], why: str, tmp_path: Path) -> None:
    """Whoever names a group is told what is missing, and nothing runs."""
    command = [sys.executable, str(CLIENTS), *groups]
    done = subprocess.run(command, env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False, timeout=60)
    assert (2, "") == (done.returncode, done.stdout)
    assert why in done.stderr
