"""The process's own log lines: text for people, JSON for machines; control characters escaped in both."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import Final

_LEVELS: Final = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


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
    """One JSON object a line: `timestamp`, `level`, `logger`, `message`, and `exception` where there is one."""

    def format(self, record: logging.LogRecord) -> str:
        """One event."""
        event = {
            "timestamp": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return json.dumps(event)


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


def _printable(text: str) -> str:
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
