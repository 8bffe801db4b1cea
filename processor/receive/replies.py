"""OTLP/HTTP's responses: the two encodings by their media types, and the few answers in plain text.

What the bodies say comes from `answers.py`. It must not know requests, connections or uvicorn.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from processor.receive import answers
from processor.receive.receive import Answer
from processor.signals import Signal


@dataclass(frozen=True, slots=True)
class Codec:
    """One of OTLP/HTTP's two encodings: how its answers are written, and its name to the receiver."""

    media_type: bytes
    transport: str
    partial: Callable[[Signal, Answer], bytes]
    status: Callable[[answers.Refusal], bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """One HTTP response, before it is known whether the connection lives on."""

    status: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes


PROTOBUF: Final = Codec(b"application/x-protobuf", "http/protobuf", answers.encode_partial, answers.encode_status)
JSON: Final = Codec(b"application/json", "http/json", answers.encode_partial_json, answers.encode_status_json)
_CODECS: Final[dict[bytes, Codec]] = {codec.media_type: codec for codec in (PROTOBUF, JSON)}


def codec_of(media_type: bytes) -> Codec | None:
    """The codec of a Content-Type, whatever its case and parameters (R3); None for any other."""
    return _CODECS.get(media_type) or _CODECS.get(media_type.partition(b";")[0].strip().lower())


def accept(codec: Codec, signal: Signal, answer: Answer) -> Reply:
    """200, in the request's own encoding (R11, R20, R22, R23)."""
    return _reply(200, codec.media_type, codec.partial(signal, answer))


def refuse(codec: Codec, refusal: answers.Refusal) -> Reply:
    """A google.rpc.Status in the request's own encoding (R11, R25), with Retry-After where it is to come back."""
    body = codec.status(refusal)
    if refusal.http_status == NOT_ALLOWED.status:
        return _reply(refusal.http_status, codec.media_type, body, _CHALLENGE)
    if refusal.retry_after_s is None:
        return _reply(refusal.http_status, codec.media_type, body)
    return _reply(refusal.http_status, codec.media_type, body, (b"retry-after", str(refusal.retry_after_s).encode()))


def _reply(status: int, media_type: bytes, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    length = (b"content-length", str(len(body)).encode())
    return Reply(status, ((b"content-type", media_type), length, *headers), body)


_TEXT: Final = b"text/plain"
_CHALLENGE: Final = (b"www-authenticate", b"Bearer")
CLOSE: Final = (b"connection", b"close")
NOT_FOUND: Final = _reply(404, _TEXT, b"send OTLP to /v1/traces, /v1/metrics or /v1/logs\n")
NOT_POST: Final = _reply(405, _TEXT, b"OTLP is sent with POST\n", (b"allow", b"POST"))
NOT_ALLOWED: Final = _reply(401, _TEXT, b"show an accepted token: authorization: Bearer <token>\n", _CHALLENGE)
NOT_OTLP: Final = _reply(415, _TEXT, b"the content-type must be application/x-protobuf or application/json\n")
