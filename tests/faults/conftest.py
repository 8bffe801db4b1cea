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

from running import Processor  # noqa: E402  # after the path is set
from script import Scripted  # noqa: E402


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Processor]]:
    """Start a processor with settings; killed when the test is over."""
    started: list[Processor] = []

    def run(*, is_awaited: bool = True, **settings: str) -> Processor:
        folder = tmp_path / f"processor-{len(started)}"
        folder.mkdir()
        processor = Processor(folder, **settings).start()
        started.append(processor)
        return processor.wait_ready() if is_awaited else processor

    yield run
    for processor in started:
        processor.kill()


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
