"""docs/console.svg is what the console view shows today."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from picture import PICTURE, draw  # noqa: E402  # after the path is set

from processor.settings import PREFIX  # noqa: E402


def test_the_picture_is_drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """`make picture` would change nothing."""
    for name in [name for name in os.environ if name.upper().startswith(PREFIX)]:
        monkeypatch.delenv(name)
    assert PICTURE.read_text(encoding="utf-8") == draw()
