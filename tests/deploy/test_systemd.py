"""The unit: what systemd says of it, and that it agrees with the settings."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import units

UNIT = units.unit()
# Of 10, as `systemd-analyze security` counts; 13 here are 1.3.
MOST_EXPOSED = 15


def test_systemd_takes_it(tmp_path: Path) -> None:
    """`systemd-analyze`, where there is one, finds no fault, and little that the service could do beyond its work."""
    if (analyze := shutil.which("systemd-analyze")) is None:
        return
    # A program that is there: the real one is not installed on this machine.
    text = re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", units.UNIT.read_text(encoding="utf-8"), flags=re.MULTILINE)
    path = tmp_path / "span-processor.service"
    path.write_text(text, encoding="utf-8")
    verified = subprocess.run([analyze, "verify", path], capture_output=True, text=True, check=False)
    assert (0, "") == (verified.returncode, verified.stderr)
    threshold = [analyze, "security", "--offline=true", f"--threshold={MOST_EXPOSED}", path]
    judged = subprocess.run(threshold, capture_output=True, text=True, check=False)
    assert 0 == judged.returncode, judged.stdout


def test_it_is_started_again_unless_that_is_no_use() -> None:
    """A failure is followed by a new start, bad settings (exit code 2) by none."""
    assert ["on-failure"] == UNIT["Restart"]
    assert ["2"] == UNIT["RestartPreventExitStatus"]
    assert ["/opt/span-processor/bin/span-processor run"] == UNIT["ExecStart"]
    assert ["/etc/span-processor/span-processor.env"] == UNIT["EnvironmentFile"]


def test_it_has_time_to_stop() -> None:
    """systemd's patience is longer than SHUTDOWN_TIMEOUT."""
    timeout = units.environment()["SPAN_PROCESSOR_SHUTDOWN_TIMEOUT"]
    assert int(timeout.removesuffix("s")) + 5 <= int(UNIT["TimeoutStopSec"][0])


def test_the_journal_is_the_units_own() -> None:
    """The folder lies in the StateDirectory, which is closed to others."""
    directory = units.environment()["SPAN_PROCESSOR_JOURNAL_DIRECTORY"]
    assert f"{units.STATE}/{UNIT['StateDirectory'][0]}/journal" == directory
    assert ["0700"] == UNIT["StateDirectoryMode"]


def test_memory_is_bounded_twice() -> None:
    """MEMORY_LIMIT is 70 % of MemoryMax, which the processor cannot find out itself on a host."""
    limit = units.environment()["SPAN_PROCESSOR_MEMORY_LIMIT"]
    most = int(UNIT["MemoryMax"][0].removesuffix("M"))
    assert f"{most * 7 // 10}MiB" == limit
