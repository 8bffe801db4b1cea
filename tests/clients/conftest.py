"""Clients that have to be installed first (`make test-clients`); nothing here is collected unless it is named."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
if str(HERE) not in sys.path:
    sys.path.append(str(HERE))

from backends import Backend  # noqa: E402  # after the path is set
from passage import Passage  # noqa: E402
from running import Processor  # noqa: E402


def pytest_ignore_collect(config: pytest.Config) -> bool | None:
    """`make test` needs Python alone, and nothing to download."""
    named = [Path(argument.partition("::")[0]).resolve() for argument in config.args]
    return None if any(path.is_relative_to(HERE) for path in named) else True


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Processor, Backend]]:
    """A processor with nothing but a downstream, for all clients of all groups."""
    backend = Backend("grpc").start()
    processor = Processor(tmp_path_factory.mktemp("processor"), **backend.settings).start()
    try:
        yield processor.wait_ready(), backend
        assert 0 == processor.stop()
    finally:
        processor.kill()
        backend.stop()


@pytest.fixture
def passage(shared: tuple[Processor, Backend]) -> Iterator[Callable[[str], Passage]]:
    """`passage("grpc")`: the way through the shared processor, beside a reference of that protocol."""
    references: list[Backend] = []

    def make(protocol: str) -> Passage:
        references.append(Backend(protocol).start())
        return Passage(*shared, references[-1])

    yield make
    for reference in references:
        reference.stop()
