"""The process's own log lines: text for people, JSON for machines; control characters escaped in both, secrets hidden.

Whatever a message or a traceback holds, be it a backend's words or a library's, no line of it passes for another event,
and no secret of the settings and no credential that looks like one is in it. A value that has a name in its message
(`reason=%s`) is a field of the JSON, too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Callable, Collection
from math import isfinite
from typing import Final

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
HIDDEN: Final = "****"
# Credentials as an Authorization header shows them, of whomever.
_CREDENTIALS: Final = re.compile(r"\b(bearer|basic)(\s+|%20|\+)[a-z0-9._~+/=%-]{8,}", re.IGNORECASE)
# Longer messages are cut: a line stays readable, and a disk free.
_MESSAGE_CHARACTERS: Final = 8192

Redact = Callable[[str], str]


def redaction(secrets: Collection[str] = ()) -> Redact:
    """A function that hides these secrets in a text, and whatever looks like credentials."""
    # The longest first: a secret may begin like another.
    known = "|".join(re.escape(secret) for secret in sorted(secrets, key=len, reverse=True))
    literal = re.compile(known) if known else None

    def redact(text: str) -> str:
        text = literal.sub(HIDDEN, text) if literal else text
        return _CREDENTIALS.sub(rf"\1 {HIDDEN}", text)

    return redact


# A place for a value, with the name before it if there is one; or two percent signs, which are none.
_PLACE: Final = re.compile(r"(?:(?<![\w.])(?P<name>\w+)=)?%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|%%")


class TextFormatter(logging.Formatter):
    """`12:30:05 WARNING processor: message`, one line an event but for tracebacks."""

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname} {record.name}: {printable(_message(record, self._redact))}"
        if not record.exc_info:
            return line
        # Indented: whatever an exception's text holds, no line of it can pass for an event.
        told = self._redact(self.formatException(record.exc_info))
        trace = [f"  {printable(part)}" for part in told.splitlines()]
        return "\n".join([line, *trace])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `timestamp`, `level`, `logger`, `message`, and `exception` where there is one.

    Beside these the values that have names in the message: numbers as such, anything else as text.
    """

    def __init__(self, redact: Redact) -> None:
        super().__init__()
        self._redact = redact

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        event: dict[str, object] = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record, self._redact),
        }
        if record.exc_info:
            event["exception"] = self._redact(self.formatException(record.exc_info))
        return json.dumps(self._fields(record) | event)

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        """The values of a record that its message names."""
        if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
            return {}
        names = [place["name"] for place in _PLACE.finditer(record.msg) if place[0] != "%%"]
        pairs = zip(names, record.args, strict=False)  # that they are as many has been checked by formatting
        return {name: self._as_json(value) for name, value in pairs if name}

    def _as_json(self, value: object) -> object:
        is_number = isinstance(value, int) or (isinstance(value, float) and isfinite(value))
        return value if is_number else self._redact(str(value))


def set_up_logging(level: str, log_format: str | None, secrets: Collection[str] = ()) -> None:
    """Log to standard error. `log_format`: `text`, `json`, or None for text on a terminal and JSON elsewhere.

    `secrets` are hidden wherever they turn up. What ends a thread is logged, too, instead of printed as it is.
    """
    handler = logging.StreamHandler(sys.stderr)
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    redact = redaction(secrets)
    handler.setFormatter(TextFormatter(redact) if text else JsonFormatter(redact))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("httpx", "httpcore", "uvicorn", "asyncio", "opentelemetry"):
        logging.getLogger(noisy).setLevel(max(_LEVELS[level], logging.WARNING))
    threading.excepthook = _log_end_of_thread


def _log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None:
        logging.getLogger("processor").error("a thread ended on an unexpected error", exc_info=ended.exc_value)


def _message(record: logging.LogRecord, redact: Redact) -> str:
    message = redact(record.getMessage())
    return message if len(message) <= _MESSAGE_CHARACTERS else message[:_MESSAGE_CHARACTERS] + "…"


def printable(text: str) -> str:
    """The text with control characters escaped: one line, whatever it holds."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
