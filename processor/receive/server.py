"""An HTTP server for an ASGI application: uvicorn's HTTP protocol on the running loop, with limits, and nothing else.

uvicorn's `Server` is left out: it installs signal handlers, exits the process where it cannot bind, and wakes
ten times a second. Its protocol class is used as that server uses it. It must not know paths or bodies.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable
from email.utils import formatdate
from typing import Any, Final

import uvicorn
from uvicorn.server import ServerState

from processor.receive.accept import Acceptor
from processor.receive.connection import Connection, HttpProtocol
from processor.units import split_endpoint

# Longer than the 60 s between two exports of metrics, so that SDKs find their connection still open.
_KEEP_ALIVE_S: Final = 90
# Connections that wait to be taken: of all containers of a pod at once, after a restart.
_BACKLOG: Final = 1024
# Of whoever probes or looks: many that say nothing keep nobody from an answer.
_CONNECTIONS: Final = 1024


class HttpServer:
    """Serves `app` on `endpoint` (host:port; port 0: the system chooses).

    `read_timeout_s`: from a request's first byte (or from connecting) to its last; `on_slow` hears of each sender
    that was cut. `context`: TLS of the next connection, None for plain text. At most `max_connections` at once;
    `on_full` hears of each that was one too many.
    """

    def __init__(
        self,
        endpoint: str,
        app: Any,
        read_timeout_s: float = 30.0,
        on_slow: Callable[[], None] = lambda: None,
        context: Callable[[], ssl.SSLContext] | None = None,
        max_connections: int = _CONNECTIONS,
        on_full: Callable[[], None] = lambda: None,
    ) -> None:
        self._endpoint = endpoint
        self._app = app
        self._read_timeout_s = read_timeout_s
        self._on_slow = on_slow
        self._state = ServerState()
        self._connections: set[Connection] = set()
        self._context = context
        self._max_connections = max_connections
        self._on_full = on_full
        self._acceptor: Acceptor | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._port = split_endpoint(endpoint)[1]

    @property
    def address(self) -> str:
        """The host:port it listens on."""
        return f"{self._endpoint.rpartition(':')[0]}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises `OSError` when the address cannot be bound."""
        loop = asyncio.get_running_loop()
        config = _configure(self._app)
        listening = _bind(self._endpoint)
        self._port = listening.getsockname()[1]

        def connect() -> Connection:
            return Connection(HttpProtocol(config, self._state, {}, loop), self._connections, loop)

        self._acceptor = Acceptor(
            listening, connect, self._context, self._connections, self._max_connections, self._on_full
        )
        self._acceptor.start()
        self._tick()

    async def stop(self, grace_s: float) -> None:
        """Refuse new connections, let requests in flight finish for at most `grace_s` seconds, then cancel them."""
        if self._acceptor is None:
            return
        await self._acceptor.stop()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            _, late = await asyncio.wait(set(self._state.tasks), timeout=grace_s)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self._state.connections):
            connection.transport.close()
        if self._timer is not None:
            self._timer.cancel()

    def _tick(self) -> None:
        """Once a second: the Date header of the next second's answers, and senders that take too long."""
        loop = asyncio.get_running_loop()
        self._state.default_headers = [(b"date", formatdate(usegmt=True).encode())]
        overdue = loop.time() - self._read_timeout_s
        for connection in list(self._connections):
            if connection.owing_since is not None and connection.owing_since < overdue and connection.cut():
                self._on_slow()
        self._timer = loop.call_later(min(1.0, self._read_timeout_s / 2), self._tick)


def _configure(app: Any) -> uvicorn.Config:
    """uvicorn without anything that is not HTTP; its warnings, one for each bad request, stay out of the log."""
    config = uvicorn.Config(
        app,
        loop="none",
        http="httptools",
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        log_level="error",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=_KEEP_ALIVE_S,
    )
    config.load()
    return config


def _bind(endpoint: str) -> socket.socket:
    """A listening socket; `[::]` takes IPv4 as well, as grpcio's does."""
    host, port = split_endpoint(endpoint)
    if ":" not in host:
        return socket.create_server((host, port), backlog=_BACKLOG)
    dualstack = host == "::" and socket.has_dualstack_ipv6()
    return socket.create_server((host, port), family=socket.AF_INET6, backlog=_BACKLOG, dualstack_ipv6=dualstack)
