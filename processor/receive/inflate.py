"""Decompression that never makes more than it may: gzip and deflate, in steps. Sans-I/O.

A bomb is found out when its first byte over the limit comes, not when all of it is there. It must not know where
the bytes come from.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Final

from processor.errors import MalformedRequest, RequestTooLarge

# 0.6 ms of zlib (zeros) to 2.6 ms (noise) on a small cloud machine: the longest that a step keeps the event loop.
STEP_BYTES: Final = 1 << 20

# Blocked gzip (64 KiB a member) of the largest request has a quarter of it; beyond, somebody burns our CPU.
_MAX_MEMBERS: Final = 4096

# Beyond a first part nothing that holds ids and times compresses so well: 433 bytes of a span shrink to its 14 of
# noise, equal text to a hundredth. zlib's most is 1032.
_MAX_RATIO: Final = 200
_UNJUDGED_BYTES: Final = 4 << 20

_GZIP_WINDOW: Final = 31
_ZLIB_WINDOW: Final = 15
_RAW_WINDOW: Final = -15


class Inflater:
    """Decompresses one request's body. `encoding`: `gzip` or `deflate`; `limit_bytes` is for what comes out.

    gzip may have several members; deflate may be zlib's format, as HTTP says, or raw, as some senders do.
    Use: `feed` for each piece, in order, taking all it yields, then `finish`.
    """

    __slots__ = ("_head", "_inflate", "_is_gzip", "_limit_bytes", "_members", "_taken_bytes", "produced_bytes")

    def __init__(self, encoding: str, limit_bytes: int) -> None:
        self._is_gzip = encoding == "gzip"
        self._limit_bytes = limit_bytes
        self._inflate = zlib.decompressobj(_GZIP_WINDOW) if self._is_gzip else None
        self._head = b""
        self._members = 1
        self._taken_bytes = 0
        self.produced_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What the next piece of the body decompresses to, at most `STEP_BYTES` at a time.

        Raises `RequestTooLarge` as soon as the limit is passed, or the ratio of what a sender could mean;
        `MalformedRequest` for what is not `encoding`.
        """
        self._taken_bytes += len(data)
        if self._inflate is None:
            self._head += data
            if len(self._head) < 2:
                return
            data, self._head = self._head, b""
            self._inflate = zlib.decompressobj(_ZLIB_WINDOW if _is_zlib(data) else _RAW_WINDOW)
        while True:
            if self._inflate.eof:
                if not data:
                    return
                self._inflate = self._next_member()
            piece = self._step(data)
            if piece:
                yield piece
            if self._inflate.eof:
                data = self._inflate.unused_data
            elif len(piece) == STEP_BYTES or self._inflate.unconsumed_tail:
                data = self._inflate.unconsumed_tail
            else:
                return

    def finish(self) -> None:
        """Raise `MalformedRequest` where the body ended too early."""
        if self._inflate is None or not self._inflate.eof:
            raise MalformedRequest("the compressed body is truncated")

    def _step(self, data: bytes) -> bytes:
        assert self._inflate is not None
        most = min(STEP_BYTES, self._limit_bytes - self.produced_bytes + 1)
        try:
            piece = self._inflate.decompress(data, most)
        except zlib.error as error:
            raise MalformedRequest(f"the body cannot be decompressed: {error}") from None
        self.produced_bytes += len(piece)
        if self.produced_bytes > self._limit_bytes:
            raise RequestTooLarge(f"the body is over {self._limit_bytes} bytes when decompressed")
        read_bytes = self._taken_bytes - len(self._inflate.unconsumed_tail) - len(self._inflate.unused_data)
        if self.produced_bytes > max(_UNJUDGED_BYTES, read_bytes * _MAX_RATIO):
            raise RequestTooLarge(f"the body grows to over {_MAX_RATIO} times its size when decompressed")
        return piece

    def _next_member(self) -> zlib._Decompress:
        """Ready for what follows a whole member."""
        self._members += 1
        if not self._is_gzip or self._members > _MAX_MEMBERS:
            raise MalformedRequest("the compressed body has bytes behind its end")
        return zlib.decompressobj(_GZIP_WINDOW)


def _is_zlib(data: bytes) -> bool:
    """Whether two bytes are zlib's header (RFC 1950): a raw stream's first block type keeps it from looking so."""
    return data[0] & 0x0F == 8 and (data[0] << 8 | data[1]) % 31 == 0
