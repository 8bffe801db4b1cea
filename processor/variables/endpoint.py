"""A configuration from a Logfire-compatible endpoint: polled, and fetched at once when the endpoint says so (S24).

    poll:     GET /v1/variables/ with If-None-Match, every VARIABLES_POLL, 10 % more or less lest all come at once
    updates:  GET /v1/variable-updates/, a stream of events (`updates.py`); an event makes the poller fetch at once, and
              again 2 s later, when whatever the endpoint keeps in front of its store has caught up

Whatever goes wrong (no answer, another status, too large, no configuration) leaves the last good configuration in
force; the next poll is the retry. An ETag is sent back only after a good answer, else a bad configuration would stay
"unchanged". Facts, section 6.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from processor import __version__
from processor.variables.cache import read_cache, write_cache
from processor.variables.documents import MAX_BYTES
from processor.variables.source import Document, Sink, offer
from processor.variables.updates import Updates
from processor.variables.variables import Outcome

if TYPE_CHECKING:
    import httpx

VARIABLES_PATH = "/v1/variables/"
UPDATES_PATH = "/v1/variable-updates/"
_FOLLOW_UP_S = 2.0
_CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask. `origin` is scheme, host and port: like the SDK, we ask below its root whatever path was given."""

    origin: str
    token: str
    poll_s: float = 30.0
    timeout_s: float = 10.0  # of each read; the whole answer may take six times as long
    cache: Path | None = None


@dataclass(frozen=True, slots=True)
class Timing:
    """How the source waits, so that a test need not. `wait` returns when the event is set or the seconds are over."""

    sleep: Callable[[float], Awaitable[None]]
    wait: Callable[[asyncio.Event, float], Awaitable[None]]
    spread: Callable[[float, float], float]


def usual_timing() -> Timing:
    """Waiting in earnest."""
    return Timing(asyncio.sleep, _wait, random.uniform)


class EndpointSource:
    """An endpoint as a `Source`."""

    __slots__ = ("_endpoint", "_etag", "_refused", "_sink", "_taken", "_timing", "_wanted")

    def __init__(self, endpoint: Endpoint, sink: Sink, *, timing: Timing | None = None) -> None:
        self._endpoint = endpoint
        self._sink = sink
        self._timing = timing or usual_timing()
        self._wanted = asyncio.Event()
        self._etag: str | None = None
        self._taken = b""  # the digest of the answer in force
        self._refused = b""  # the digest of the answer that was refused last

    async def look(self) -> None:
        """Fetch once."""
        async with self._client() as client:
            await self._fetch(client)

    async def run(self) -> None:
        """Take what is cached, then poll and listen until cancelled."""
        await self._load_cache()
        async with self._client() as client, asyncio.TaskGroup() as tasks:
            tasks.create_task(self._poll(client))
            tasks.create_task(self._listen(client))

    async def _poll(self, client: httpx.AsyncClient) -> None:
        while True:
            is_forced = self._wanted.is_set()
            self._wanted.clear()
            await self._fetch(client)
            pause_s = self._endpoint.poll_s * self._timing.spread(0.9, 1.1)
            await self._timing.wait(self._wanted, min(pause_s, _FOLLOW_UP_S) if is_forced else pause_s)

    async def _listen(self, client: httpx.AsyncClient) -> None:
        url = self._endpoint.origin + UPDATES_PATH
        await Updates(client, url, self._wanted.set, self._sink.warn, self._timing.sleep).run()

    async def _fetch(self, client: httpx.AsyncClient) -> None:
        """One request, reported whatever comes of it."""
        import httpx

        try:
            async with asyncio.timeout(6 * self._endpoint.timeout_s):
                answer = await self._get(client)
        except (httpx.HTTPError, TimeoutError, OSError) as error:
            self._sink.report(Outcome.FAILED, f"no answer from {self._endpoint.origin}: {_describe(error)}")
            return
        if isinstance(answer, str):
            self._sink.report(Outcome.FAILED, f"{self._endpoint.origin}{VARIABLES_PATH} {answer}")
        elif answer is None:
            self._sink.report(Outcome.UNCHANGED, "not modified")
        else:
            await self._take(*answer)

    async def _get(self, client: httpx.AsyncClient) -> tuple[bytes, str | None] | str | None:
        """The answer's body and ETag; None: not modified; a text: what is wrong with it."""
        headers = {} if self._etag is None else {"If-None-Match": self._etag}
        async with client.stream("GET", self._endpoint.origin + VARIABLES_PATH, headers=headers) as response:
            if response.status_code == 304:
                return None
            if response.status_code != 200:
                return f"answered HTTP {response.status_code}; {_ADVICE.get(response.status_code, 'expected 200')}"
            if response.headers.get("content-encoding", "identity") != "identity":
                return "answered compressed, which was not asked for"
            body = bytearray()
            async for piece in response.aiter_raw():
                body += piece
                if len(body) > MAX_BYTES:
                    return f"answered with more than {MAX_BYTES} bytes"
            return bytes(body), response.headers.get("etag")

    async def _take(self, text: bytes, etag: str | None) -> None:
        digest = hashlib.sha256(text).digest()
        if digest == self._refused:
            self._sink.report(Outcome.REFUSED, "the same configuration as was refused before")
        elif digest == self._taken:
            self._etag = etag
            self._sink.report(Outcome.UNCHANGED, "the same configuration as before")
        elif await offer(self._sink, Document(text, "json", is_remote=True)):
            self._taken, self._refused, self._etag = digest, b"", etag
            await self._save_cache(text)
        else:
            self._refused = digest

    async def _load_cache(self) -> None:
        if self._endpoint.cache is None:
            return
        try:
            text = await asyncio.to_thread(read_cache, self._endpoint.cache)
        except OSError as error:
            self._sink.warn(f"cannot read the cache {self._endpoint.cache}: {_describe(error)}")
            return
        if text is not None and await offer(self._sink, Document(text, "json", is_remote=True)):
            self._taken = hashlib.sha256(text).digest()

    async def _save_cache(self, text: bytes) -> None:
        if self._endpoint.cache is None:
            return
        try:
            await asyncio.to_thread(write_cache, self._endpoint.cache, text)
        except OSError as error:
            self._sink.warn(f"cannot write the cache {self._endpoint.cache}: {_describe(error)}")

    def _client(self) -> httpx.AsyncClient:
        import httpx  # imported on use: without an endpoint it is never needed

        headers = {
            "Authorization": f"bearer {self._endpoint.token}",
            "User-Agent": f"span-processor/{__version__}",
            "Accept-Encoding": "identity",  # a compressed answer could grow to anything
        }
        timeout = httpx.Timeout(self._endpoint.timeout_s, connect=_CONNECT_S)
        return httpx.AsyncClient(headers=headers, timeout=timeout)


_ADVICE: Mapping[int, str] = {
    401: "the token is not accepted",
    403: "the token may not read variables (it needs the scope project:read_variables)",
    404: "there is no such path; is it the address of the API?",
}


def origin_of(url: str) -> str:
    """Scheme, host and port of an address. Raises `ValueError` that says what would be right."""
    parts = urlsplit(url.strip())
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        raise ValueError("must be an address such as https://logfire-us.pydantic.dev")
    parts.port  # noqa: B018 (raises ValueError for a port that is none)
    return f"{parts.scheme}://{parts.netloc}"


def check_token(token: str) -> str:
    """The token, fit for a header. Raises `ValueError`."""
    if not token or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError("must be one word of ASCII characters")
    return token


async def _wait(event: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(event.wait(), seconds)


def _describe(error: BaseException) -> str:
    return f"{type(error).__name__} {str(error)[:200]}".strip()
