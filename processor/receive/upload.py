"""One HTTP request's body on its way in: sizes, limits and decompression, before anything is done with it.

What is held is covered by the request's share of the bytes in flight at every moment. It must not know media
types, answers or spans.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from io import BytesIO
from typing import Any, Final

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge
from processor.receive.admission import Hold
from processor.receive.inflate import STEP_BYTES, Inflater

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

# `None`: as it is. `x-gzip` is gzip's older name (RFC 9110, 8.4.1.3).
_ENCODINGS: Final[dict[bytes, str | None]] = {
    b"": None,
    b"identity": None,
    b"gzip": "gzip",
    b"x-gzip": "gzip",
    b"deflate": "deflate",
}


class Disconnected(Exception):
    """The sender is gone; there is nobody to answer."""


class Upload:
    """The body of a request. `is_complete`: all of it has come in; `declared_bytes`: its Content-Length, if any."""

    __slots__ = ("_headers", "_receive", "declared_bytes", "is_complete")

    def __init__(self, headers: Mapping[bytes, bytes], receive: Receive) -> None:
        self._headers = headers
        self._receive = receive
        length = headers.get(b"content-length")
        self.declared_bytes = None if length is None else int(length)
        self.is_complete = not self.declared_bytes and b"transfer-encoding" not in headers

    async def read(self, limit_bytes: int, hold: Hold) -> bytes:
        """The whole body, decompressed.

        Raises `RequestTooLarge` (before reading where Content-Length says so), `MalformedRequest`,
        `ComeBackLater` where the bytes in flight reach their limit, and `Disconnected`.
        """
        inflater = self._inflater(limit_bytes)
        declared_bytes = self.declared_bytes or 0
        if declared_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        if b"upgrade" in self._headers:
            # The parser has left the body out (see `connection.py`): never acknowledge what was not seen.
            raise ComeBackLater("cannot upgrade")
        hold.cover(declared_bytes)
        if inflater is not None:
            return await self._read_inflated(inflater, hold)
        data = b"" if self.is_complete else await self._next()
        if self.is_complete and len(data) <= limit_bytes:
            hold.cover(len(data))
            return data
        return await self._read_on(data, limit_bytes, hold)

    async def discard(self, most_bytes: int) -> None:
        """Read and forget, until the body's end, the sender's, the process's, or so many bytes."""
        try:
            while not self.is_complete and most_bytes > 0:
                most_bytes -= len(await self._next())
        except (Disconnected, asyncio.CancelledError):
            self.give_up()

    def give_up(self) -> None:
        """Nothing more is read: the connection is going away."""
        self.is_complete = True

    async def _next(self) -> bytes:
        message = await self._receive()
        if message["type"] == "http.disconnect":
            raise Disconnected
        self.is_complete = not message["more_body"]
        data: bytes = message["body"]
        return data

    async def _read_on(self, data: bytes, limit_bytes: int, hold: Hold) -> bytes:
        """The rest of a body that did not come in one piece."""
        body = BytesIO()  # hands its buffer over at the end; a list of pieces would be copied once more
        while True:
            size_bytes = body.tell() + len(data)
            if size_bytes > limit_bytes:
                raise _too_large(limit_bytes)
            hold.cover(size_bytes)
            body.write(data)
            if self.is_complete:
                return body.getvalue()
            data = await self._next()

    async def _read_inflated(self, inflater: Inflater, hold: Hold) -> bytes:
        body = BytesIO()
        while not self.is_complete:
            for piece in inflater.feed(await self._next()):
                hold.cover(inflater.produced_bytes)
                body.write(piece)
                if len(piece) == STEP_BYTES:
                    await asyncio.sleep(0)
        inflater.finish()
        return body.getvalue()

    def _inflater(self, limit_bytes: int) -> Inflater | None:
        header = self._headers.get(b"content-encoding", b"")
        name = header.strip().lower()
        if name not in _ENCODINGS:
            raise MalformedRequest(
                f"content-encoding {header[:40].decode('latin-1')} is not known; send gzip or deflate"
            )
        encoding = _ENCODINGS[name]
        return None if encoding is None else Inflater(encoding, limit_bytes)


def _too_large(limit_bytes: int) -> RequestTooLarge:
    return RequestTooLarge(f"the body is over {limit_bytes} bytes")
