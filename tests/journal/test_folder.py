"""Where a journal may be: each problem is one line that names the setting and what would be right; nothing is deleted."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from journals import MAX_BYTES, child_environment, crash, fill, open_at, segments

from processor.journal.folder import inspect
from processor.journal.journal import JournalProblem

NOBODY = 65534


def problem(folder: Path, max_bytes: int = MAX_BYTES) -> tuple[str, str]:
    """The setting and the text of what is wrong; a check and an opening say the same, and neither changes anything."""
    before = listing(folder)
    with pytest.raises(JournalProblem) as checked:
        inspect(str(folder), max_bytes)
    with pytest.raises(JournalProblem) as opened:
        open_at(folder, max_bytes)
    assert (checked.value.setting, str(checked.value)) == (opened.value.setting, str(opened.value))
    assert before == listing(folder)
    return opened.value.setting, str(opened.value)


def listing(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def test_a_folder_that_can_be_made(folder: Path) -> None:
    """A check says that the folder will be made, and leaves that to the start."""
    assert f"{folder}, which will be made" == inspect(str(folder), MAX_BYTES)
    assert not folder.exists()
    crash(open_at(folder))
    assert folder.is_dir()


def test_a_folder_that_is_in_order(folder: Path) -> None:
    """A check of a journal that is there says how large it is."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, b"a" * 100)
        await journal.close()

    asyncio.run(main())
    assert f"{folder}, 152 bytes in it" == inspect(str(folder), MAX_BYTES)


def test_no_parent(tmp_path: Path) -> None:
    """One folder is made, not a chain of them: more likely a name is wrong."""
    text = f"{tmp_path}/no is no folder; make it, or name another"
    assert ("journal_directory", text) == problem(tmp_path / "no" / "journal")


def test_a_file(folder: Path) -> None:
    """A file is no folder, and stays."""
    folder.write_text("mine")
    assert ("journal_directory", f"{folder} is no folder; name one, or one that can be made") == problem(folder)
    assert "mine" == folder.read_text()


def test_a_link_that_leads_nowhere(folder: Path) -> None:
    """A broken link is told as what it is."""
    folder.symlink_to(folder / "nowhere")
    setting, text = problem(folder)
    assert "journal_directory" == setting
    assert text.startswith(f"cannot look at {folder}: ")


@pytest.mark.parametrize("mode", [0o755, 0o710, 0o777, 0o701])
def test_open_to_others(folder: Path, mode: int) -> None:
    """What senders sent is nobody else's: a folder that others can enter or read is refused."""
    folder.mkdir()
    folder.chmod(mode)
    text = (
        f"{folder} is open to others (mode {mode:04o}); set it to 0700, or name a folder that can be made, "
        f"such as {folder}/journal"
    )
    assert ("journal_directory", text) == problem(folder)


def test_owned_by_another(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another user's folder is refused, be it open or not."""
    folder.mkdir(mode=0o700)
    own = os.geteuid()
    if own == 0:
        os.chown(folder, NOBODY, NOBODY)
        other = NOBODY
    else:  # who is not root cannot give a folder away, but can look at it as another would
        monkeypatch.setattr(os, "geteuid", lambda: own + 1)
        own, other = own + 1, own
    text = (
        f"{folder} belongs to user {other}, and this process runs as {own}; name a folder of its own, "
        f"such as {folder}/journal"
    )
    assert ("journal_directory", text) == problem(folder)


OPEN = """
import os, sys
if os.geteuid() == 0:
    from processor.journal import store  # what root alone may import is imported by root
    os.setgid({nobody}), os.setuid({nobody})
from processor.journal.journal import JournalProblem
from processor.journal.store import open_journal
try:
    open_journal(sys.argv[1], 1 << 20)
except JournalProblem as problem:
    print(problem.setting, problem)
"""


@pytest.fixture
def passable() -> Iterator[Path]:
    """A folder that everybody can pass through: pytest's own ones are closed."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o711)
        yield Path(name)


@pytest.mark.parametrize("which", ["folder", "parent"])
def test_read_only(passable: Path, which: str) -> None:
    """A folder that cannot be written to, or in which none can be made, is told by its name."""
    parent = passable / "parent"
    folder = parent / "journal"
    parent.mkdir()
    closed = folder if which == "folder" else parent
    closed.mkdir(exist_ok=True)
    closed.chmod(0o500)
    if os.geteuid() == 0:  # root may write anywhere: nobody is to try
        os.chown(closed, NOBODY, NOBODY)
    arguments = [sys.executable, "-c", OPEN.format(nobody=NOBODY), str(folder)]
    done = subprocess.run(arguments, env=child_environment(), capture_output=True, text=True)
    text = f"cannot write to {closed}: not permitted, or read-only; name a folder that can be written to"
    assert (f"journal_directory {text}\n", "") == (done.stdout, done.stderr)
    closed.chmod(0o700)


def test_a_newer_version(folder: Path) -> None:
    """What a newer version wrote is left alone."""
    crash(open_at(folder))
    newer = folder / "0000000001-0000000000000001-0123456789abcdef.v2"
    newer.write_bytes(b"newer")
    text = f"a newer version of this program wrote {newer.name} in {folder}; run that one, or name another folder"
    assert ("journal_directory", text) == problem(folder)
    assert b"newer" == newer.read_bytes()


def test_in_use(folder: Path) -> None:
    """One process at a time: a second one is refused until the first ends."""
    first = open_at(folder)
    text = f"another process uses {folder}; stop it, or name another folder"
    assert ("journal_directory", text) == problem(folder)
    crash(first)
    crash(open_at(folder))


def test_larger_than_the_disk(folder: Path) -> None:
    """A journal may not be larger than what the disk has room for."""
    for _ in range(2):
        setting, text = problem(folder, 1 << 50)
        assert "journal_max_size" == setting
        assert text.startswith(f"the disk of {folder if folder.exists() else folder.parent} has room for ")
        assert text.endswith("MiB only; set that, or less")
        folder.mkdir(mode=0o700, exist_ok=True)


def test_a_full_disk(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk without room is told as that; what the journal itself takes counts as room."""

    async def main() -> None:
        journal = open_at(folder)
        await fill(journal, b"a" * (3 << 20))
        await journal.close()

    asyncio.run(main())

    class Full:
        f_bavail, f_frsize = 10, 4096

    found: Any = Full()
    monkeypatch.setattr(os, "statvfs", lambda _: found)
    text = f"the disk of {folder} is full; make room, or name a folder elsewhere"
    assert ("journal_directory", text) == problem(folder)
    crash(open_at(folder, 3 << 20))
    assert 1 == len(segments(folder))
