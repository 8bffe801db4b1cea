"""Peers that connect and say nothing (F23)."""

from __future__ import annotations

import resource
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from load import Clients, check_arrived

IDLE = 1000


@pytest.fixture(autouse=True)
def _many_files() -> Iterator[None]:
    """Room for both ends of the connections, in this process and in those that it starts."""
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 4 * IDLE), hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """Closes what was opened."""
    with ExitStack() as stack:
        yield stack


def test_f23_a_thousand_idle_connections(
    stack: ExitStack, run: Callable[..., Any], scripted: Callable[..., Any]
) -> None:
    """F23: beside a thousand connections to each listener that say nothing real clients are served as ever."""
    backend = scripted().start()
    processor = run(**backend.settings)
    for port in (processor.grpc_port, processor.http_port):
        for _ in range(IDLE):
            stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
    clients = Clients(processor)
    clients.send(requests=5)
    assert [] == clients.failed
    check_arrived(clients, backend, processor)
