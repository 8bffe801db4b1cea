"""What all tests share: settings that are the test's own, and modules of several folders, importable behind everything
that is installed.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from processor.environment import PREFIX

HERE = Path(__file__).resolve().parent
for folder in ("contract", "e2e", "fuzz", "journal", "labels", "receive"):
    path = str(HERE / folder)
    if path not in sys.path:
        sys.path.append(path)


@pytest.fixture
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment without settings."""
    for name in os.environ:
        if name.upper().startswith(PREFIX):
            monkeypatch.delenv(name)


@pytest.fixture
def put(no_settings: None, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set variables, names without prefix; there are no others."""

    def put(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(PREFIX + name, value)

    return put


@pytest.fixture
def kept_logging() -> Iterator[None]:
    """Puts the loggers back as they were: `run` sets up the log of its process, which here is the tests'."""
    loggers = [logging.getLogger(name) for name in ("", "httpx", "httpcore", "uvicorn", "asyncio", "opentelemetry")]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
