"""The OTLP/HTTP listener: a bare ASGI application, no framework.

What a request goes through: path and method, media type, body (`upload.py`), receiver, answer (`replies.py`). It
must not know spans, nor how HTTP is parsed (`server.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, Final

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge, SenderError
from processor.header_names import HeaderNames
from processor.receive import answers, cors, replies
from processor.receive.access import OPEN, Access
from processor.receive.admission import Admission, Hold
from processor.receive.receive import Answer, Receiver, Request
from processor.receive.server import HttpServer
from processor.receive.upload import Disconnected, Receive, Upload
from processor.signals import HOP_HEADER, Signal
from processor.wire import otlp_json

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# So much of a body that is refused unread is read and forgotten to keep the connection; of a larger one the
# connection is closed.
_DISCARD_BYTES: Final = 1 << 20
# 64 KiB of JSON take 5 ms; more is read in a thread, where the event loop gets its turns.
_TRANSCODE_INLINE_BYTES: Final = 64 * 1024
# Reading JSON costs 7.5 times the text (spans of eight attributes); protobuf costs nothing beyond its bytes.
_JSON_COST: Final = 8

_SIGNALS: Final[dict[str, Signal]] = {f"/{signal.http_path}": signal for signal in Signal}
# What a request is read by.
_NEEDED: Final = frozenset(
    (b"content-type", b"content-encoding", b"content-length", b"transfer-encoding", b"upgrade")
)  # fmt: skip

_AUTHORIZATION: Final = b"authorization"


class HttpListener:
    """Listens for OTLP/HTTP of all signals, protobuf and JSON, on any path that ends in OTLP's.

    `max_request_bytes` holds for the declared length, for what is read and for what it decompresses to.
    `headers`: lower-case names of those that the receiver wants in `Request.headers`, `*` at the end allowed, besides
    the hop header. `read_timeout_s`: from a request's first byte (or from connecting) to its last. `access`: who may
    connect and send.
    """

    def __init__(
        self,
        endpoint: str,
        receiver: Receiver,
        admission: Admission,
        max_request_bytes: int,
        headers: Iterable[str] = (),
        read_timeout_s: float = 30.0,
        access: Access = OPEN,
    ) -> None:
        self._receiver = receiver
        self._admission = admission
        self._max_request_bytes = max_request_bytes
        self._wanted = HeaderNames((*headers, HOP_HEADER))
        self._tokens = access.tokens
        self._cors = access.cors
        self._known = _NEEDED | self._asked()
        self._faults = answers.FaultLog()
        self._server = HttpServer(
            endpoint,
            self._serve,
            read_timeout_s,
            lambda: self._count("slow"),
            access.certificates.context if access.certificates else None,
            access.max_connections,
            lambda: self._count("connections"),
        )

    @property
    def address(self) -> str:
        """The host:port it listens on."""
        return self._server.address

    async def start(self) -> None:
        """Bind and serve. Raises `OSError` when the address cannot be bound."""
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests at once, let those in flight finish for at most `grace_s` seconds.

        What is not finished then is answered 503: the sender keeps it.
        """
        await self._server.stop(grace_s)

    def _asked(self) -> frozenset[bytes]:
        """The headers that decide who may send."""
        asked = [_AUTHORIZATION] if self._tokens is not None else []
        return frozenset(asked + list(cors.HEADERS)) if self._cors is not None else frozenset(asked)

    def _count(self, refusal: str) -> None:
        self._admission.refused[refusal] += 1

    async def _serve(self, scope: Mapping[str, Any], receive: Receive, send: Send) -> None:
        """The ASGI application. No exception leaves it: uvicorn would answer 500, and the sender drops its spans."""
        headers = self._read_headers(scope["headers"])
        upload = Upload(headers, receive)
        try:
            reply = await self._reply(scope["method"], scope["path"], headers, upload)
            if self._cors is not None:
                reply = self._cors.mark(reply, headers.get(b"origin"))
            await self._answer(send, upload, reply)
        except Disconnected:
            return

    async def _reply(self, method: str, path: str, headers: Mapping[bytes, bytes], upload: Upload) -> replies.Reply:
        """The reply to any request. Without an accepted token nothing but a preflight learns anything, on any path."""
        if self._cors is not None and method == "OPTIONS" and (preflight := self._cors.preflight(headers)) is not None:
            return preflight
        codec = replies.codec_of(headers.get(b"content-type", b""))
        if self._tokens is not None and not self._tokens.accepts(headers.get(_AUTHORIZATION, b"").decode("latin-1")):
            self._count("unauthenticated")
            return replies.NOT_ALLOWED if codec is None else replies.refuse(codec, answers.STRANGER)
        signal = _SIGNALS.get(path[path.rfind("/v1/") :])
        if signal is None:
            return replies.NOT_FOUND
        if method != "POST":
            return replies.NOT_POST
        if codec is None:
            return replies.NOT_OTLP
        return await self._exchange(signal, codec, headers, upload)

    async def _exchange(
        self, signal: Signal, codec: replies.Codec, headers: Mapping[bytes, bytes], upload: Upload
    ) -> replies.Reply:
        """One OTLP request and its answer."""
        try:
            answer = await self._take(signal, codec, headers, upload)
            return replies.accept(codec, signal, answer)
        except (SenderError, ComeBackLater) as error:
            return replies.refuse(codec, answers.refusal_of(error))
        except Disconnected:
            raise
        except asyncio.CancelledError:  # only `stop` cancels, when its grace is over
            upload.give_up()
            return replies.refuse(codec, answers.STOPPING)
        except Exception as error:
            self._admission.refused["internal"] += 1
            self._faults.report(error, codec.transport)
            return replies.refuse(codec, answers.FAULT)

    async def _take(
        self, signal: Signal, codec: replies.Codec, headers: Mapping[bytes, bytes], upload: Upload
    ) -> Answer:
        passed_on = self._select(headers)
        if passed_on:
            self._admission.check_hop(passed_on)
        hold = Hold(self._admission, 0)
        try:
            body = await self._read_body(signal, codec, upload, hold)
            return await self._receiver.take(Request(signal, body, codec.transport, passed_on))
        finally:
            hold.release()

    async def _read_body(self, signal: Signal, codec: replies.Codec, upload: Upload, hold: Hold) -> bytes:
        """The request as protobuf. What is wrong with the body itself is counted here: the receiver never sees it."""
        try:
            body = await upload.read(self._max_request_bytes, hold)
            if codec is replies.JSON:
                body = await _transcode(signal, body, hold)
        except MalformedRequest:
            self._admission.refused["malformed"] += 1
            raise
        except RequestTooLarge:
            self._admission.refused["too_large"] += 1
            raise
        return body

    async def _answer(self, send: Send, upload: Upload, reply: replies.Reply) -> None:
        """Send the reply; where the body was not read whole, see to it that the sender gets to read it, too.

        Closing with bytes unread resets the connection, and the reset may overtake the answer. So a small rest
        is read first and the connection kept; behind a large one it is closed, after what still comes was read.
        """
        if not upload.is_complete and (upload.declared_bytes or _DISCARD_BYTES) < _DISCARD_BYTES:
            await upload.discard(_DISCARD_BYTES)
        is_last = not upload.is_complete
        headers = (*reply.headers, replies.CLOSE) if is_last else reply.headers
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": reply.body, "more_body": is_last})
        if is_last:
            await upload.discard(self._max_request_bytes)
            await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _read_headers(self, headers: Headers) -> dict[bytes, bytes]:
        """The headers that matter; of a name that comes twice, the values joined (RFC 9110, 5.3)."""
        known, wanted = self._known, self._wanted
        found: dict[bytes, bytes] = {}
        for name, value in headers:
            if name in known or name.decode("latin-1") in wanted:
                found[name] = found[name] + b"," + value if name in found else value
        return found

    def _select(self, headers: Mapping[bytes, bytes]) -> Mapping[str, str]:
        """What the receiver wants of them."""
        passed_on = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers.items()}
        return {name: value for name, value in passed_on.items() if name in self._wanted}


async def _transcode(signal: Signal, text: bytes, hold: Hold) -> bytes:
    """JSON to protobuf, in memory that is covered."""
    hold.cover(len(text) * _JSON_COST)
    if len(text) <= _TRANSCODE_INLINE_BYTES:
        return otlp_json.encode(signal, text)
    return await asyncio.to_thread(otlp_json.encode, signal, text)
