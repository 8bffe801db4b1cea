"""The endpoint's stream of events, which says that variables changed; not what to.

A stream ends now and then, and a new one is opened, after a pause that doubles from 1 s to 60 s and falls back to 1 s
with any line that is one of server-sent events: an error page that a proxy sends with status 200 has none, and must not
make us come back each second. Each stream but the first may have missed something, so it counts as an event.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import httpx

_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 60.0
_CONNECT_S = 10.0
# A stream without even a comment for so long is taken for dead: a connection can be gone without a word.
_SILENCE_S = 600.0
_MAX_LINE = 65_536
_FRAMES = (b":", b"data:", b"event:", b"id:", b"retry:")
_CHANGES = ("created", "updated", "deleted")


class Updates:
    """Listens until cancelled. `on_change` is called for each event; `warn` once for each outage."""

    __slots__ = ("_client", "_has_connected", "_is_out", "_on_change", "_pause_s", "_sleep", "_url", "_warn")

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        on_change: Callable[[], None],
        warn: Callable[[str], None],
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._client = client
        self._url = url
        self._on_change = on_change
        self._warn = warn
        self._sleep = sleep
        self._pause_s = _FIRST_PAUSE_S
        self._has_connected = False
        self._is_out = False

    async def run(self) -> None:
        """Open one stream after the other."""
        import httpx

        while True:
            try:
                await self._listen()
            except (httpx.HTTPError, OSError) as error:
                self._fail(type(error).__name__)
            await self._sleep(self._pause_s)
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S)

    async def _listen(self) -> None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-cache"}
        patience = {"connect": _CONNECT_S, "read": _SILENCE_S, "write": _CONNECT_S, "pool": _CONNECT_S}
        async with self._client.stream("GET", self._url, headers=headers, extensions={"timeout": patience}) as response:
            if response.status_code != 200:
                self._fail(f"HTTP {response.status_code}")
                return
            if self._has_connected:
                self._on_change()
            self._has_connected = True
            async for line in _lines(response.aiter_raw()):
                if line.startswith(_FRAMES):
                    self._pause_s, self._is_out = _FIRST_PAUSE_S, False
                if line.startswith(b"data:") and _is_change(line[5:]):
                    self._on_change()

    def _fail(self, reason: str) -> None:
        if not self._is_out:
            self._is_out = True
            self._warn(f"no live updates from {self._url} ({reason}); polling goes on")


async def _lines(pieces: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The lines of a stream, without surrounding space; it ends where a line is too long to be one."""
    rest = b""
    async for piece in pieces:
        *whole, rest = (rest + piece).replace(b"\r", b"\n").split(b"\n")
        for line in whole:
            yield line.strip()
        if len(rest) > _MAX_LINE:
            return


def _is_change(data: bytes) -> bool:
    try:
        event = json.loads(data)
    except (ValueError, RecursionError):
        return False
    return isinstance(event, dict) and event.get("event") in _CHANGES
