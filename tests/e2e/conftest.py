"""A real process between real clients and real backends, over loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from backends import Backend
from running import Processor, run

__all__ = ["run"]

PROTOCOLS = ("grpc", "http/protobuf", "http/json")
# What fits every test that needs no settings of its own: small enough that a large request is small, too.
SHARED = {"RECEIVER_MAX_REQUEST_SIZE": "1MiB"}


class Way:
    """A processor and the backend that it sends to."""

    def __init__(self, processor: Processor, backend: Backend) -> None:
        self.processor = processor
        self.backend = backend


@pytest.fixture(scope="session")
def ways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Way]]:
    """One processor for each protocol of the downstream, for all tests that need no settings of their own."""
    started = {}
    for protocol in PROTOCOLS:
        backend = Backend(protocol).start()
        folder = tmp_path_factory.mktemp(protocol.replace("/", "-"))
        started[protocol] = Way(Processor(folder, **SHARED, **backend.settings).start(), backend)
    try:
        for way in started.values():
            way.processor.wait_ready()
        yield started
        assert [0, 0, 0] == [way.processor.stop() for way in started.values()]
    finally:
        for way in started.values():
            way.processor.kill()
            way.backend.stop()


@pytest.fixture(params=PROTOCOLS)
def way(request: pytest.FixtureRequest, ways: dict[str, Way]) -> Way:
    """Each of the shared processors."""
    return ways[request.param]


@pytest.fixture
def grpc_way(ways: dict[str, Way]) -> Way:
    """The shared processor whose downstream is gRPC."""
    return ways["grpc"]


@pytest.fixture
def backend() -> Iterator[Callable[..., Backend]]:
    """Make a backend, stopped when the test is over: `backend("grpc", port=…)`, then `.start()`."""
    made: list[Backend] = []

    def make(protocol: str = "grpc", **parts: object) -> Backend:
        made.append(Backend(protocol, **parts))  # type: ignore[arg-type]  # the test's own
        return made[-1]

    yield make
    for each in made:
        each.stop()
