"""docs/console.svg is what the console view shows today."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)

from picture import PICTURE, draw  # noqa: E402  # after the path is set


def test_the_picture_is_drawn_anew() -> None:
    """`make picture` would change nothing."""
    assert PICTURE.read_text(encoding="utf-8") == draw()
