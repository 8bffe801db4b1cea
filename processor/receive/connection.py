"""The limits of one HTTP connection, laid around uvicorn's protocol: sizes of a head and of what frames a body, time
to send a request, requests ahead of their answers.

uvicorn with httptools bounds none: a head or a trailer may grow for ever, and a body may drip. It must not know paths,
bodies or answers; it sees bytes go by and uvicorn's request cycle (`cycle`: None before the first head is
whole; `more_body`: whether the body is still coming).
"""

from __future__ import annotations

import asyncio
import re
from typing import Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_BYTES: Final = 16 * 1024
# Requests that wait for the answers before theirs. OTLP's senders have none.
_PIPELINED: Final = 16

# Java's own client offers HTTP/2 with every request, by an Upgrade header; the parser then takes the body for
# another protocol's bytes and leaves it out. A server may ignore the offer (RFC 9110, 7.8), so the header is
# made to be another one of the same length before it is parsed.
_UPGRADE: Final = re.compile(rb"\r\n[Uu]pgrade:")
_IGNORED: Final = b"\r\nx-upgrd:"


def _last_words(status: bytes, text: bytes) -> bytes:
    """A whole response that ends its connection."""
    head = b"HTTP/1.1 %b\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
    return head % (status, len(text)) + text


_SLOW: Final = _last_words(b"408 Request Timeout", b"the request took too long to be sent\n")
_HEAD_TOO_LARGE: Final = _last_words(b"431 Request Header Fields Too Large", b"the request head is too large\n")


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which tells whether a body grows."""

    has_body_grown = False

    def on_body(self, body: bytes) -> None:
        """httptools' hook: a piece of the body."""
        self.has_body_grown = True
        super().on_body(body)


class Connection(asyncio.Protocol):
    """One connection. `owing_since`: by the loop's clock, since when the sender owes the rest of a request."""

    __slots__ = ("_connections", "_head_bytes", "_loop", "inner", "owing_since")

    def __init__(self, inner: HttpProtocol, connections: set[Connection], loop: asyncio.AbstractEventLoop) -> None:
        self.inner = inner
        self.owing_since: float | None = None
        self._connections = connections
        self._loop = loop
        self._head_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A sender that connects and says nothing owes, too."""
        self._connections.add(self)
        self.owing_since = self._loop.time()
        self.inner.connection_made(transport)  # type: ignore[arg-type]  # a TCP server's transport is a Transport

    def data_received(self, data: bytes) -> None:
        """Pass bytes on; the clock is read only where a request does not come whole."""
        inner = self.inner
        before = inner.cycle
        is_head = before is None or not before.more_body
        if is_head:
            if len(data) > HEAD_BYTES and data.find(b"\r\n\r\n", 0, HEAD_BYTES) < 0:
                self._close(_HEAD_TOO_LARGE)
                return
            if data.find(b"pgrade:", 0, HEAD_BYTES) >= 0:
                data = _ignore_upgrade(data)
        inner.has_body_grown = False
        inner.data_received(data)
        cycle = inner.cycle
        if cycle is before and not inner.has_body_grown:
            # More of a head, or, in a body, of what frames its chunks, trailers included: httptools keeps them all.
            self._head_bytes += len(data)
            if self._head_bytes > HEAD_BYTES:
                self._close(_HEAD_TOO_LARGE if is_head or not cycle.response_started else b"")
                return
        else:
            self._head_bytes = 0
        if len(inner.pipeline) > _PIPELINED:
            self._close(b"")
            return
        if (not is_head or cycle is not before) and not cycle.more_body:
            self._head_bytes = 0
            self.owing_since = None
            return
        if self.owing_since is None:
            self.owing_since = self._loop.time()

    def eof_received(self) -> None:
        """Half a close is a close."""
        self.inner.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection; uvicorn tells the request's handler."""
        self._connections.discard(self)
        self.inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """The sender does not read its answers."""
        self.inner.pause_writing()

    def resume_writing(self) -> None:
        """The sender reads again."""
        self.inner.resume_writing()

    def cut(self) -> bool:
        """Close on a sender that took too long. True where that cost it a request, which is answered with 408."""
        cycle = self.inner.cycle
        is_unanswered = cycle is not None and cycle.more_body and not cycle.response_started
        self._close(_SLOW if is_unanswered else b"")
        return is_unanswered

    def _close(self, answer: bytes) -> None:
        transport = self.inner.transport
        if transport.is_closing():
            return
        if answer:
            transport.write(answer)
        transport.close()


def _ignore_upgrade(data: bytes) -> bytes:
    head, end, body = data.partition(b"\r\n\r\n")
    return _UPGRADE.sub(_IGNORED, head) + end + body
