"""The fuzzer's target on fixed inputs, and a short run of the fuzzer itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import processor

RUNS = 5000
SCRIPT = Path(__file__).parent / "fuzz_request.py"


def run_fuzzer(*arguments: str, first_on_path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The fuzzer in a process of its own, which imports the same `processor` as this one."""
    folders = [first_on_path, Path(processor.__file__).parents[1]]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(str(folder) for folder in folders if folder is not None)}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_fuzzer_finds_nothing_in_a_short_run(tmp_path: Path) -> None:
    """S9: a few thousand coverage-guided inputs raise nothing, harm no neighbour, and leave as well-formed requests."""
    done = run_fuzzer(f"-runs={RUNS}", "-seed=1", "-max_len=4096", f"-artifact_prefix={tmp_path}/")
    assert 0 == done.returncode, done.stdout + done.stderr


def test_fixed_inputs_without_a_fuzzer(tmp_path: Path) -> None:
    """Where atheris cannot be installed, the same target runs on the seeds and fixed mutations of them."""
    (tmp_path / "atheris.py").write_text("raise ImportError('not for this Python')")
    done = run_fuzzer(first_on_path=tmp_path)
    assert 0 == done.returncode, done.stdout + done.stderr
    assert "replayed" in done.stdout
