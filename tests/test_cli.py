"""The command line in this process: commands, exit codes, and what is printed where."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

import processor.pipeline
from processor import __version__
from processor.cli import main
from processor.settings import PREFIX, Settings

COMMANDS = ("run", "check", "print-config", "label", "demo")
OWN = f"{PREFIX}RECEIVER_GRPC_ENDPOINT"
DOWNSTREAM = f"{PREFIX}EXPORTER_OTLP_ENDPOINT"


pytestmark = pytest.mark.usefixtures("no_settings", "kept_logging")


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    try:
        code = main(arguments)
    except SystemExit as error:  # argparse's own way out
        code = int(error.code or 0)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_version_says_how_the_hot_path_runs(capsys: pytest.CaptureFixture[str]) -> None:
    """`--version` is one line: name, version, compiled or interpreted."""
    form = "interpreted" if str(processor.pipeline.__file__).endswith(".py") else "compiled"
    assert (0, f"span-processor {__version__} ({form})\n", "") == run(capsys, "--version")


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` names every command with a line on what it does."""
    code, out, err = run(capsys, "--help")
    assert (0, "") == (code, err)
    for command in COMMANDS:
        assert re.search(rf"^    {command}\b", out, re.MULTILINE), command


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`COMMAND --help` shows its arguments."""
    code, out, err = run(capsys, command, "--help")
    assert (0, "") == (code, err)
    assert out.startswith(f"usage: span-processor {command} ")


@pytest.mark.parametrize("arguments", [(), ("fly",), ("run", "--fast"), ("print-config", "--format", "xml")])
def test_a_wrong_command_line_exits_with_2(arguments: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    """What is no command is answered with the usage on standard error, and 2."""
    code, out, err = run(capsys, *arguments)
    assert (2, "") == (code, out)
    assert err.startswith("usage: span-processor")


def test_check_says_that_all_is_good(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`check` ends with 0 and says where spans would go."""
    monkeypatch.setenv(DOWNSTREAM, "http://127.0.0.1:14317")
    code, out, err = run(capsys, "check")
    assert (0, "") == (code, err)
    assert "grpc to 127.0.0.1:14317" in out


@pytest.mark.parametrize("command", ["check", "run", "print-config"])
def test_every_command_says_all_problems(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Wrong settings are a line each on standard error, nothing on standard output, and 2."""
    monkeypatch.setenv(f"{PREFIX}LOG_LEVEL", "loud")
    monkeypatch.setenv(f"{PREFIX}MAX_WIAT", "5s")
    code, out, err = run(capsys, command)
    assert (2, "") == (code, out)
    assert [f"{PREFIX}MAX_WIAT", f"{PREFIX}LOG_LEVEL"] == [line.partition(":")[0] for line in err.splitlines()]


@pytest.mark.parametrize("command", ["check", "run"])
@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({DOWNSTREAM: "ftp://backend"}, DOWNSTREAM),
        ({DOWNSTREAM: "http://backend:99999"}, DOWNSTREAM),
        ({DOWNSTREAM: "http://me:s3cret@backend:4317"}, DOWNSTREAM),
        ({DOWNSTREAM: "http://127.0.0.1:4317"}, DOWNSTREAM),
        ({DOWNSTREAM: "http://localhost:4318", f"{PREFIX}EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, DOWNSTREAM),
        ({DOWNSTREAM: "http://b:1", f"{PREFIX}EXPORTER_OTLP_HEADERS": "s3cret"}, f"{PREFIX}EXPORTER_OTLP_HEADERS"),
        (
            {DOWNSTREAM: "https://b:1", f"{PREFIX}EXPORTER_OTLP_CERTIFICATE": "/no"},
            f"{PREFIX}EXPORTER_OTLP_CERTIFICATE",
        ),
    ],
    ids=["scheme", "port", "password", "own grpc", "own http", "headers", "certificate"],
)
def test_a_downstream_that_cannot_be(
    command: str,
    given: dict[str, str],
    named: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong downstream, one's own listeners included (S30), is one line that names the setting, no secret, and 2."""
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    code, out, err = run(capsys, command)
    assert (2, "") == (code, out)
    assert 1 == err.count("\n")
    assert err.startswith(f"{named}: ")
    assert "s3cret" not in err


def test_print_config_says_where_each_came_from(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The settings in force, each with its variable, its file's variable, or `default`."""
    path = tmp_path / "headers"
    path.write_text("authorization=s3cret")
    monkeypatch.setenv(f"{PREFIX}MAX_WAIT", "90s")
    monkeypatch.setenv(f"{PREFIX}EXPORTER_OTLP_HEADERS_FILE", str(path))
    code, out, _ = run(capsys, "print-config", "--format", "json")
    shown = json.loads(out)
    assert code == 0
    assert [PREFIX + name.upper() for name in Settings.model_fields] == list(shown)
    assert {"value": "90s", "origin": f"{PREFIX}MAX_WAIT"} == shown[f"{PREFIX}MAX_WAIT"]
    assert {"value": "local", "origin": "default"} == shown[f"{PREFIX}ROOTS"]
    assert {"value": "****", "origin": f"{PREFIX}EXPORTER_OTLP_HEADERS_FILE"} == shown[f"{PREFIX}EXPORTER_OTLP_HEADERS"]


@pytest.mark.parametrize("form", ["table", "json", "env"])
def test_print_config_shows_no_secret(
    form: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Secrets are `****` in every format, and so is a password in an address."""
    monkeypatch.setenv(f"{PREFIX}EXPORTER_OTLP_HEADERS", "authorization=s3cret")
    monkeypatch.setenv(DOWNSTREAM, "http://me:s3cret@backend:4317")
    code, out, err = run(capsys, "print-config", "--format", form)
    assert (0, "") == (code, err)
    assert "s3cret" not in out
    assert 2 == out.count("****")


def test_print_config_can_be_set_again(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The `env` format is one `NAME=value` a line, which as an environment gives the same again."""
    monkeypatch.setenv(f"{PREFIX}MAX_WAIT", "90s")
    monkeypatch.setenv(f"{PREFIX}BAGGAGE_KEYS", "a,b.*")
    _, first, _ = run(capsys, "print-config", "--format", "env")
    for line in first.splitlines():
        monkeypatch.setenv(*line.split("=", 1))
    assert (0, first, "") == run(capsys, "print-config", "--format", "env")


def test_the_demo_needs_a_grpc_listener(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """`run --demo` without the listener that the demo sends to is one line that names the setting, and 2."""
    monkeypatch.setenv(OWN, "off")
    code, _, err = run(capsys, "run", "--demo")
    assert code == 2
    assert err.startswith(f"{OWN}: ")


def test_the_demo_without_a_processor_fails(capsys: pytest.CaptureFixture[str]) -> None:
    """`demo` without anybody listening is one line, and 1."""
    code, out, err = run(capsys, "demo", "--endpoint", "http://127.0.0.1:1", "--traces", "1")
    assert (1, "") == (code, out)
    assert 1 == err.count("\n")
    assert err.startswith("demo: ")
    assert "127.0.0.1:1" in err
