"""`span-processor check` and the settings of variables: every problem at once, each naming its setting."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.cli import main
from processor.settings import PREFIX

Make = Callable[..., Any]


@pytest.fixture
def check(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Make:
    """Exit code, lines on standard output and lines on standard error of `check` with these settings."""

    def run(**settings: str) -> tuple[int, list[str], list[str]]:
        for name, value in settings.items():
            monkeypatch.setenv(PREFIX + name, value)
        code = main(("check",))
        captured = capsys.readouterr()
        return code, captured.out.splitlines(), captured.err.splitlines()

    return run


@pytest.fixture
def file(tmp_path: Path, variable: Make) -> Path:
    path = tmp_path / "variables.json"
    path.write_text(json.dumps({"variables": {name: variable(name) for name in ("a", "b")}}))
    return path


def test_a_good_file(check: Make, file: Path) -> None:
    """Interface: a file that can be used is told of with its number of variables, and 0."""
    code, out, err = check(VARIABLES_FILE=str(file))
    assert (0, []) == (code, err)
    assert f"variables: 2 in {file}" in out


def test_a_good_server(check: Make) -> None:
    """Interface: a server is named, its token is not; it is not asked."""
    code, out, err = check(VARIABLES_URL="https://variables.example/any/path", VARIABLES_TOKEN="secret")
    assert (0, []) == (code, err)
    assert "variables: from https://variables.example" in out
    assert not any("secret" in line for line in out)


def test_all_problems_at_once(check: Make, file: Path) -> None:
    """Interface: what is wrong with file and targeting is said together, and 2."""
    file.write_text("{")
    code, out, err = check(VARIABLES_FILE=str(file), TARGETING_KEYS="a=org.id")
    assert (2, []) == (code, out)
    assert {"TARGETING_KEYS", "VARIABLES_FILE"} == {line.split(":")[0].removeprefix(PREFIX) for line in err}
    assert (
        f"{PREFIX}TARGETING_KEYS: must be variable:attribute pairs such as billing_config:org.id, not 'a=org.id'" in err
    )


def test_a_bad_server(check: Make) -> None:
    """Interface: address and token are judged together, and 2; the token is not shown."""
    code, out, err = check(VARIABLES_URL="ftp://variables.example", VARIABLES_TOKEN="two words")
    assert (2, []) == (code, out)
    assert [
        f"{PREFIX}VARIABLES_URL: must be an address such as https://logfire-us.pydantic.dev",
        f"{PREFIX}VARIABLES_TOKEN: must be one word of ASCII characters",
    ] == err


def test_a_file_that_is_not_there(check: Make, tmp_path: Path) -> None:
    """Interface: a file that cannot be read is a problem of its setting."""
    code, _, err = check(VARIABLES_FILE=str(tmp_path / "nope.json"))
    assert 2 == code
    assert [
        f"{PREFIX}VARIABLES_FILE: cannot read {tmp_path / 'nope.json'}: No such file or directory; name a readable file"
    ] == err
