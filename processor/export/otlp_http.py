"""OTLP/HTTP out, protobuf or JSON: one POST a request; and what HTTP's status codes mean to the queue.

Redirects are not followed, and neither proxies nor credentials are taken from the environment (`HTTP_PROXY`,
`.netrc`): telemetry and its headers go to the endpoint that was configured or nowhere. Must not know batches, trees
or settings.
"""

from __future__ import annotations

import asyncio
import gzip
import time
from collections.abc import Callable
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import TYPE_CHECKING

from processor.errors import BatchTooLarge, MalformedRequest, PermanentError, TransientError, Unsupported
from processor.export.answers import printable, read_json, read_protobuf, retry_after_s
from processor.export.endpoint import Downstream
from processor.export.export import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, USER_AGENT, LossReason, Outcome, Refused
from processor.export.tls import fingerprint, ssl_context
from processor.origin import Headers
from processor.signals import HOP_HEADER, Signal

if TYPE_CHECKING:
    import httpx

# Level 1: 0.8 ms for 364 KB, where level 6 takes 2.0 ms, as much as all other work on it.
_GZIP_LEVEL = 1
# From here on a body is packed and transcoded in a thread: it would hold the loop for 0.2 ms and more.
_THREAD_BYTES = 64 * 1024
# Fewer handshakes at low rates; a connection that the server has closed meanwhile is noticed before it is used.
_KEEP_ALIVE_S = 30.0

_TRANSIENT = frozenset((429, 502, 503, 504))
_REASONS = {
    400: LossReason.INVALID,
    401: LossReason.UNAUTHENTICATED,
    403: LossReason.FORBIDDEN,
    404: LossReason.NOT_FOUND,
    415: LossReason.INVALID,
    422: LossReason.INVALID,
}
_UNSUPPORTED = frozenset((404, 501))


class HttpClient:
    """The downstream over HTTP/1.1. Belongs to the event loop that first sends.

    `hop`: the value of the hop header; whoever runs the client may replace it between requests (S30).
    `wall_clock`: Unix time, for a Retry-After that is a date.
    """

    def __init__(self, downstream: Downstream, hop: str, wall_clock: Callable[[], float] = time.time) -> None:
        self.hop = hop
        self._downstream = downstream
        self._wall_clock = wall_clock
        self._client: httpx.AsyncClient | None = None
        self._fingerprint = fingerprint(downstream.files)
        self._urls = {signal: downstream.url(signal) for signal in Signal}
        self._headers = _fixed_headers(downstream)
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        """Deliver one request. Raises `TransientError`, or a `PermanentError` by what the status code means."""
        import httpx

        if len(body) > MAX_REQUEST_BYTES:
            raise BatchTooLarge("over 64 MiB")
        try:
            async with asyncio.timeout(self._downstream.timeout_s):
                return await self._post(signal, await self._encode(signal, body), headers)
        except TimeoutError:
            raise TransientError("timeout") from None
        except httpx.LocalProtocolError:  # its text may quote a header
            raise Refused(LossReason.FAULT, "not a request that HTTP allows") from None
        except httpx.TransportError as error:
            self._renew_credentials()
            raise TransientError(_describe(error)) from None
        except OSError as error:  # a certificate file is gone just now
            raise TransientError(f"no connection: {type(error).__name__}") from None

    async def close(self) -> None:
        """Close the connections; requests in flight end at once."""
        self._is_closed = True
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        await asyncio.gather(*self._closing)

    async def _encode(self, signal: Signal, body: bytes) -> bytes:
        """The body as it goes out: JSON and gzip where asked for."""
        if self._downstream.protocol == "http/protobuf" and self._downstream.compression == "none":
            return body
        if len(body) < _THREAD_BYTES:
            return self._encode_now(signal, body)
        return await asyncio.to_thread(self._encode_now, signal, body)

    def _encode_now(self, signal: Signal, body: bytes) -> bytes:
        if self._downstream.protocol == "http/json":
            from processor.wire import otlp_json

            try:
                body = otlp_json.decode(signal, body)
            except MalformedRequest as error:
                raise Refused(LossReason.INVALID, "cannot be written as JSON") from error
        return gzip.compress(body, _GZIP_LEVEL, mtime=0) if self._downstream.compression == "gzip" else body

    async def _post(self, signal: Signal, content: bytes, headers: Headers) -> Outcome:
        sent = {**self._headers, **dict(headers), HOP_HEADER: self.hop}
        async with self._open().stream("POST", self._urls[signal], content=content, headers=sent) as response:
            if not response.is_success:
                raise self._translate(signal, response)
            answer = await _read_bounded(response)
            return _read_answer(answer, response.headers.get("content-type", ""))

    def _translate(self, signal: Signal, response: httpx.Response) -> TransientError | PermanentError:
        """What a status code means: try again, never try again, or divide. The error body is not read."""
        status = response.status_code
        if status in _TRANSIENT:
            headers = response.headers
            delay_s = retry_after_s(headers.get("retry-after"), headers.get("date"), self._wall_clock())
            return TransientError(f"HTTP {status}", delay_s)
        if status == 413:
            return BatchTooLarge("HTTP 413")
        if status in _UNSUPPORTED and signal is not Signal.TRACES:
            return Unsupported(f"HTTP {status}")
        return Refused(_REASONS.get(status, LossReason.REFUSED), f"HTTP {status}")

    def _open(self) -> httpx.AsyncClient:
        import httpx

        if self._is_closed:
            raise httpx.ConnectError("closed")
        if self._client is None:
            limits = httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_ALIVE_S)
            verify = ssl_context(self._downstream.files) if self._downstream.tls else False
            # The timeout of the whole attempt is `send`'s; httpx's own count each step anew.
            self._client = httpx.AsyncClient(
                verify=verify,
                limits=limits,
                timeout=None,  # noqa: S113
                trust_env=False,
                cookies=_no_cookies(),
            )
        return self._client

    def _renew_credentials(self) -> None:
        """A client keeps the certificates that it was made with: make another once the files have changed."""
        now = fingerprint(self._downstream.files)
        if now == self._fingerprint or self._client is None:
            return
        self._fingerprint = now
        old, self._client = self._client, None
        closing = asyncio.ensure_future(old.aclose())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _fixed_headers(downstream: Downstream) -> dict[str, str]:
    json = downstream.protocol == "http/json"
    headers = dict(downstream.headers)
    headers["content-type"] = "application/json" if json else "application/x-protobuf"
    headers["user-agent"] = USER_AGENT
    # An answer is a few bytes, and what is not inflated is no bomb (E6).
    headers["accept-encoding"] = "identity"
    if downstream.compression == "gzip":
        headers["content-encoding"] = "gzip"
    return headers


def _no_cookies() -> CookieJar:
    """Takes none: what a backend gives to one sender must not come back with the request of another (S28)."""
    return CookieJar(DefaultCookiePolicy(allowed_domains=()))


async def _read_bounded(response: httpx.Response) -> bytes:
    """The raw body. Raises `Refused` over the limit, whose rest is never read (E6)."""
    pieces, size = [], 0
    async for piece in response.aiter_raw():
        pieces.append(piece)
        size += len(piece)
        if size > MAX_RESPONSE_BYTES:
            raise Refused(LossReason.RESPONSE_TOO_LARGE, "the answer is over 4 MiB")
    return b"".join(pieces)


def _read_answer(answer: bytes, content_type: str) -> Outcome:
    """A success in its own encoding; some backends, Langfuse among them, answer JSON to protobuf."""
    if "json" in content_type or answer.startswith(b"{"):
        return read_json(answer)
    return read_protobuf(answer)


def _describe(error: BaseException) -> str:
    """The innermost cause, which says what httpx's own message leaves out."""
    cause = error
    while inner := cause.__cause__ or cause.__context__:
        cause = inner
    return printable(f"{type(error).__name__}: {cause}")
