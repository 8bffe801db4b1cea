"""Takes connections off a listening socket: never more than so many, and TLS handshakes done in time.

An event loop's own server bounds neither, and does not tell of connections that never finish their handshake. Must
not know what is spoken on a connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Collection
from typing import Final

# A handshake takes two round trips; who is slower holds a place that others want.
_HANDSHAKE_S: Final = 10.0
# Out of file descriptors: other connections must end first.
_RETRY_S: Final = 0.1


class Acceptor:
    """Connects each taken connection to what `make` returns; its owner calls `start` and `stop`.

    `open_ones`: the connections that are set up; with those that are being set up they are at most `most`. A connection
    beyond is closed at once, and `on_full` told. `context`: TLS of the next connection, None for plain text.
    """

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[], asyncio.Protocol],
        context: Callable[[], ssl.SSLContext] | None,
        open_ones: Collection[asyncio.Protocol],
        most: int,
        on_full: Callable[[], None],
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._make = make
        self._context = context
        self._open_ones = open_ones
        self._most = most
        self._on_full = on_full
        self._opening: dict[asyncio.Task[None], asyncio.Protocol] = {}
        self._accepting: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Take connections from now on."""
        self._accepting = asyncio.get_running_loop().create_task(self._accept())

    async def stop(self) -> None:
        """Take none any more, and give up those that are being set up."""
        tasks = [task for task in (self._accepting, *self._opening) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._listening.close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(self._listening)
            except OSError:
                await asyncio.sleep(_RETRY_S)
                continue
            if self._count() >= self._most:
                self._on_full()
                connection.close()
                continue
            protocol = self._make()
            task = loop.create_task(self._open(connection, protocol))
            self._opening[task] = protocol
            task.add_done_callback(self._opening.pop)

    def _count(self) -> int:
        """How many connections there are. One that has just been set up is among both."""
        return len(self._open_ones) + sum(protocol not in self._open_ones for protocol in self._opening.values())

    async def _open(self, connection: socket.socket, protocol: asyncio.Protocol) -> None:
        """Set a connection up. What goes wrong is its peer's fault; the loop closes what it could not set up."""
        context = None if self._context is None else self._context()
        with contextlib.suppress(OSError):  # of a peer that is gone already
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError, TimeoutError):
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: protocol, connection, ssl=context, ssl_handshake_timeout=_HANDSHAKE_S if context else None
            )
