"""Faults: the real process between real clients and a backend that misbehaves as a script says.

The process, the clients' messages and the plain backends are those of the end-to-end tests.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
for folder in (str(HERE), str(HERE.parent / "e2e")):
    if folder not in sys.path:
        sys.path.append(folder)

from running import run  # noqa: E402  # after the path is set
from script import Scripted  # noqa: E402

__all__ = ["run"]


@pytest.fixture
def scripted() -> Iterator[Callable[..., Scripted]]:
    """Make a backend that follows a script, stopped when the test is over."""
    made: list[Scripted] = []

    def make(protocol: str = "grpc", port: int = 0) -> Scripted:
        made.append(Scripted(protocol, port))
        return made[-1]

    yield make
    for each in made:
        each.close()
