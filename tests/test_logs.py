"""The process's log lines: one line an event, and nothing in it that could pass for another."""

from __future__ import annotations

import json
import logging
import sys
import threading
from typing import Any

import pytest

from processor.logs import JsonFormatter, TextFormatter, redaction, set_up_logging


def record(message: str, *arguments: object, exc_info: Any = None) -> logging.LogRecord:
    """An event as the logging library makes it."""
    made = logging.LogRecord("processor", logging.WARNING, "file.py", 1, message, arguments, exc_info)
    made.created, made.msecs = 1_700_000_000.25, 250.0
    return made


def raised(message: str) -> Any:
    """The exc_info of an exception with such a text."""
    try:
        raise ValueError(message)
    except ValueError:
        return sys.exc_info()


def test_text_is_one_line_for_people() -> None:
    """A text line is time of day, level, logger and message."""
    assert TextFormatter(redaction()).format(record("held %d", 5))[8:] == " WARNING processor: held 5"


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("a\nb", "a\\nb"), ("\x1b[31m", "\\x1b[31m"), ("a\u2028b", "a\\u2028b"), ("a\u202eb", "a\\u202eb"),
        ("\ud800", "\\ud800"), ("Grüße, 世界 🎉", "Grüße, 世界 🎉"), ("\x7f\x00", "\\x7f\\x00"),
    ],
)  # fmt: skip
def test_text_escapes_control_characters(text: str, escaped: str) -> None:
    """What is not printable is escaped (S8); other scripts stay readable."""
    assert TextFormatter(redaction()).format(record("%s", text)).endswith(f"processor: {escaped}")


def test_text_indents_a_traceback() -> None:
    """No line of an exception's text can pass for an event of its own."""
    line, *trace = (
        TextFormatter(redaction()).format(record("failed", exc_info=raised("x\n12:00:00 ERROR forged\x1b"))).split("\n")
    )
    assert line.endswith("processor: failed")
    assert trace[-1] == "  12:00:00 ERROR forged\\x1b"
    assert {"  "} == {part[:2] for part in trace}


def test_json_is_one_object_for_machines() -> None:
    """A JSON line has time in UTC with milliseconds, level, logger and message."""
    assert json.loads(JsonFormatter(redaction()).format(record("held %d\n", 5))) == {
        "timestamp": "2023-11-14T22:13:20.250Z",
        "level": "warning",
        "logger": "processor",
        "message": "held 5\n",
    }


@pytest.mark.parametrize("text", ["a\nb", "\x1b[31m", "\u2028", "\ud800", '"', "世界"])
def test_json_is_one_line_of_ascii(text: str) -> None:
    """Whatever a message holds, its JSON is one printable line that reads back (S8)."""
    line = JsonFormatter(redaction()).format(record("%s", text))
    assert line.isascii()
    assert line.isprintable()
    assert text == json.loads(line)["message"]


@pytest.mark.parametrize(
    ("message", "arguments", "fields"),
    [
        (
            "lost: reason=%s items=%d after_s=%.1f",
            ("too_old", 5, 2.5),
            {"reason": "too_old", "items": 5, "after_s": 2.5},
        ),
        ("held %d of %s=%s", (5, "a", "b"), {}),
        ("full at 100%% of=%s x=%%", ("a\nb",), {"of": "a\nb"}),
        ("is=%s at=%5.2f", (True, float("inf")), {"is": True, "at": "inf"}),
        ("why=%s", (ValueError("x"),), {"why": "x"}),
        ("a.b=%s level=%s message=%s", (1, "mine", "mine"), {}),
        ("reason=%(reason)s", ({"reason": "x"},), {}),
    ],
)
def test_json_has_named_values_as_fields(
    message: str, arguments: tuple[object, ...], fields: dict[str, object]
) -> None:
    """A value whose message names it is a field, with its type where JSON has it; none takes the place of our own."""
    event = json.loads(JsonFormatter(redaction()).format(record(message, *arguments)))
    own = [event.pop(name) for name in ("timestamp", "level", "logger", "message")]
    assert (fields, "warning") == (event, own[1])


def test_json_holds_a_traceback() -> None:
    """An exception is a field of its event."""
    event = json.loads(JsonFormatter(redaction()).format(record("failed", exc_info=raised("why"))))
    assert event["exception"].endswith("ValueError: why")


@pytest.mark.usefixtures("kept_logging")
@pytest.mark.parametrize(
    ("log_format", "is_json"), [("json", True), ("text", False), (None, True)], ids=["json", "text", "no terminal"]
)
def test_the_form_follows_the_setting(
    log_format: str | None, is_json: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """`LOG_FORMAT` decides; without it a machine reads what is no terminal. Nothing goes to standard output."""
    set_up_logging("info", log_format)
    logging.getLogger("processor").info("hello")
    captured = capsys.readouterr()
    assert captured.out == ""
    assert is_json == captured.err.startswith("{")


@pytest.mark.usefixtures("kept_logging")
def test_a_terminal_gets_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """On a terminal the log is text."""
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    set_up_logging("info", None)
    logging.getLogger("processor").info("hello")
    assert capsys.readouterr().err.endswith(" INFO processor: hello\n")


@pytest.mark.usefixtures("kept_logging")
@pytest.mark.parametrize(("level", "said"), [("debug", "diwe"), ("info", "iwe"), ("warning", "we"), ("error", "e")])
def test_the_level_follows_the_setting(level: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """`LOG_LEVEL` is the least that is said, and libraries say no less than a warning."""
    set_up_logging(level, "text")
    for name in ("processor", "httpx"):
        log = logging.getLogger(name)
        for each in ("debug", "info", "warning", "error"):
            getattr(log, each)(each[0])
    lines = capsys.readouterr().err.splitlines()
    assert said == "".join(line[-1] for line in lines if " processor: " in line)
    assert ("e" if level == "error" else "we") == "".join(line[-1] for line in lines if " httpx: " in line)


CANARIES = ("canary-1", "canary-1-longer", "canary(+*")


@pytest.mark.parametrize("formatter", [TextFormatter, JsonFormatter])
@pytest.mark.parametrize("text", [*CANARIES, "a canary-1, canary-1-longer;canary(+*.", "x" * 9000 + "canary-1"])
def test_secrets_are_hidden(formatter: Any, text: str) -> None:
    """No secret of the settings is in a message, an argument, an exception, its cause or its representation."""
    known = formatter(redaction(CANARIES))
    try:
        try:
            raise KeyError(text)
        except KeyError as error:
            raise ValueError({"authorization": text}) from error
    except ValueError as error:
        line = known.format(record("%s %r", text, {"authorization": text}, exc_info=sys.exc_info()))
        line += known.format(record("failed: %r", error))
    assert "canary" not in line
    assert "****" in line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("authorization: Bearer abcdef.gh-i_j~+/==", "authorization: Bearer ****"),
        ("{'authorization': 'Basic dXNlcjpwYXNz'}", "{'authorization': 'Basic ****'}"),
        ("authorization=Basic%20dXNlcjpwYXNz,a=b", "authorization=Basic ****,a=b"),
        ("bearer tok", "bearer tok"),
        ("the basic idea", "the basic idea"),
    ],
)
def test_what_looks_like_credentials_is_hidden(text: str, shown: str) -> None:
    """Credentials of whomever, a sender's or a backend's, are hidden without being known."""
    assert shown == redaction()(text)


def test_long_messages_are_cut() -> None:
    """A message is at most 8192 characters: nobody fills a disk with one line."""
    line = JsonFormatter(redaction()).format(record("%s", "x" * 100_000))
    assert 8193 == len(json.loads(line)["message"])


@pytest.mark.usefixtures("kept_logging")
def test_the_end_of_a_thread_is_an_event(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that ends on an error is an event like any other: one line, and no secret."""
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    set_up_logging("info", "json", {"canary"})
    thread = threading.Thread(target=lambda: int("canary\n12:00:00 ERROR forged"))
    thread.start()
    thread.join()
    (line,) = capsys.readouterr().err.splitlines()
    assert "a thread ended on an unexpected error" == json.loads(line)["message"]
    assert "canary" not in line
