"""The journal as the settings ask for it: opened, checked, and its problems told as theirs."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from pydantic import SecretStr

from processor.cli import main
from processor.journal.journal import Sync
from processor.journal_settings import check_journal, journal_from, sealer_from
from processor.settings import PREFIX, Settings, SettingsError

MiB = 1 << 20


pytestmark = pytest.mark.usefixtures("no_settings")


def test_without_a_folder_there_is_no_journal() -> None:
    """Nothing is kept on disk unless a folder is named."""
    assert journal_from(Settings()) is None
    assert sealer_from(Settings()) is None
    assert [] == check_journal(Settings())


@pytest.mark.parametrize("sync", Sync)
def test_opens_what_is_set(tmp_path: Path, sync: Sync) -> None:
    """Folder, size and safety are the settings'."""
    settings = Settings(journal_directory=tmp_path / "journal", journal_max_size=300 * MiB, journal_sync=sync.value)
    journal = journal_from(settings)
    assert journal is not None
    assert 300 * MiB == journal.max_bytes
    assert (tmp_path / "journal").is_dir()
    asyncio.run(journal.close())


def test_a_key_seals(tmp_path: Path) -> None:
    """What is sealed with a key is opened with the same one."""
    first, second = (sealer_from(Settings(journal_key=SecretStr("a passphrase of ours"))) for _ in range(2))
    assert first is not None
    assert second is not None
    assert b"secret" == second.open(first.seal(b"secret"))


@pytest.mark.parametrize(
    ("given", "start", "end"),
    [
        ({"JOURNAL_DIRECTORY": "{tmp}/no/journal"}, "JOURNAL_DIRECTORY: {tmp}/no is no folder; ", "name another"),
        (
            {"JOURNAL_DIRECTORY": "{tmp}/open"},
            "JOURNAL_DIRECTORY: {tmp}/open is open to others (mode 0755)",
            "/journal",
        ),
        (
            {"JOURNAL_DIRECTORY": "{tmp}/new", "JOURNAL_MAX_SIZE": "1048576GiB"},
            "JOURNAL_MAX_SIZE: the disk of {tmp} has room for ",
            "set that, or less",
        ),
    ],
)
def test_a_problem_is_one_line_and_2(
    given: dict[str, str],
    start: str,
    end: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`check` exits with 2 and one line that names the setting; to open it is the same problem, and nothing is made."""
    (tmp_path / "open").mkdir(mode=0o755)
    for name, value in given.items():
        monkeypatch.setenv(PREFIX + name, value.format(tmp=tmp_path))
    assert 2 == main(["check"])
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert line.startswith(PREFIX + start.format(tmp=tmp_path))
    assert line.endswith(end)
    with pytest.raises(SettingsError) as caught:
        journal_from(Settings())
    assert [line] == caught.value.problems
    assert [tmp_path / "open"] == list(tmp_path.iterdir())


def test_a_check_leaves_the_folder_to_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` says where the journal will be, and makes nothing."""
    monkeypatch.setenv(f"{PREFIX}JOURNAL_DIRECTORY", str(tmp_path / "journal"))
    assert 0 == main(["check"])
    assert f"journal: {tmp_path}/journal, which will be made" in capsys.readouterr().out.splitlines()
    assert [] == list(tmp_path.iterdir())
