"""The process's own log lines: text for people, JSON for machines; control characters escaped in both.

A value that has a name in its message (`reason=%s`) is a field of the JSON, too.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import time
from math import isfinite
from typing import Final

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}

# A place for a value, with the name before it if there is one; or two percent signs, which are none.
_PLACE: Final = re.compile(r"(?:(?<![\w.])(?P<name>\w+)=)?%[-+ #0]*\d*(?:\.\d+)?[a-zA-Z]|%%")


class TextFormatter(logging.Formatter):
    """`12:30:05 WARNING processor: message`, one line an event but for tracebacks."""

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        line = f"{clock} {record.levelname} {record.name}: {_printable(record.getMessage())}"
        if not record.exc_info:
            return line
        # Indented: whatever an exception's text holds, no line of it can pass for an event.
        trace = [f"  {_printable(part)}" for part in self.formatException(record.exc_info).splitlines()]
        return "\n".join([line, *trace])


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `timestamp`, `level`, `logger`, `message`, and `exception` where there is one.

    Beside these the values that have names in the message: numbers as such, anything else as text.
    """

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        event: dict[str, object] = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(_fields(record) | event)


def set_up_logging(level: str, log_format: str | None) -> None:
    """Log to standard error. `log_format`: `text`, `json`, or None for text on a terminal and JSON elsewhere."""
    handler = logging.StreamHandler(sys.stderr)
    text = log_format == "text" or (log_format is None and sys.stderr.isatty())
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("httpx", "httpcore", "uvicorn", "asyncio", "opentelemetry"):
        logging.getLogger(noisy).setLevel(max(_LEVELS[level], logging.WARNING))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """The values of a record that its message names."""
    if not isinstance(record.args, tuple) or not isinstance(record.msg, str):
        return {}
    names = [place["name"] for place in _PLACE.finditer(record.msg) if place[0] != "%%"]
    pairs = zip(names, record.args, strict=False)  # that they are as many has been checked by formatting
    return {name: _as_json(value) for name, value in pairs if name}


def _as_json(value: object) -> object:
    is_number = isinstance(value, int) or (isinstance(value, float) and isfinite(value))
    return value if is_number else str(value)


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
