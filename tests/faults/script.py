"""A backend that does what it is told: takes spans, refuses them in every way that OTLP knows, is slow, hangs, resets.

An `Act` is one way to answer; a script is any iterator of acts, one a request, and the last one stays. Only requests that
are answered with success count as received.
"""

from __future__ import annotations

import itertools
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler
from typing import Any

import grpc
from backends import Backend, Received
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse


@dataclass(frozen=True, slots=True)
class Act:
    """One way to answer. `code` and `status`: of the refusal, OK and 200 to take it.

    `retry_after_s`: as RetryInfo and Retry-After, `as_date` as an HTTP date; `delay_s`: before the answer; `rejects`:
    so many spans by partial_success; `resets`: the connection is reset instead of an answer.
    """

    code: grpc.StatusCode = grpc.StatusCode.OK
    status: int = 200
    retry_after_s: int | None = None
    as_date: bool = False
    delay_s: float = 0.0
    rejects: int = 0
    resets: bool = False


TAKE = Act()
BUSY = Act(grpc.StatusCode.UNAVAILABLE, 503)
RESET = Act(grpc.StatusCode.UNAVAILABLE, 503, resets=True)


@dataclass
class Attempt:
    """One request that came, whatever became of it."""

    at_s: float
    act: Act


class Scripted:
    """A backend over one protocol that plays a script. `attempts`: every request for traces that came."""

    def __init__(self, protocol: str, port: int = 0) -> None:
        self.attempts: list[Attempt] = []
        self._acts: Iterator[Act] = itertools.repeat(TAKE)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._backend = Backend(protocol, answer=self._answer, port=port)
        self.protocol = protocol

    @property
    def settings(self) -> dict[str, str]:
        return self._backend.settings

    def play(self, *acts: Act, then: Act | None = None, forever: Iterable[Act] | None = None) -> Scripted:
        """Answer so from now on: each act once, then `then` (the last act) for ever, or `forever`."""
        rest = forever if forever is not None else itertools.repeat(then if then is not None else acts[-1])
        with self._lock:
            self._acts = itertools.chain(acts, rest)
        return self

    def start(self) -> Scripted:
        self._backend.start()
        return self

    def stop(self) -> None:
        """Listen no longer; `start` listens on the same port again."""
        self._backend.stop()

    def close(self) -> None:
        self._closed.set()
        self._backend.stop()

    @property
    def received(self) -> list[tuple[bytes, bytes]]:
        """Trace id and span id of every span that was taken, as often as it came."""
        return [(span.trace_id, span.span_id) for span in self._backend.spans()]

    @property
    def spans(self) -> list[Any]:
        return self._backend.spans()

    @property
    def requests(self) -> list[Received]:
        """Every request that was taken, of any signal."""
        return list(self._backend.received)

    def _answer(self, call: Any) -> bool | bytes:
        with self._lock:
            act = next(self._acts)
            self.attempts.append(Attempt(time.monotonic(), act))
        if act.delay_s:
            self._closed.wait(act.delay_s)
        refuse = _refuse_http if isinstance(call, BaseHTTPRequestHandler) else _refuse_grpc
        return refuse(call, act) or (partial(act.rejects) if act.rejects else False)


def _refuse_grpc(context: grpc.ServicerContext, act: Act) -> bool:
    if act.code is grpc.StatusCode.OK:
        return False
    if act.retry_after_s is not None:
        status = status_pb2.Status(code=act.code.value[0], message="busy")
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(seconds=act.retry_after_s)))
        context.set_trailing_metadata((("grpc-status-details-bin", status.SerializeToString()),))
    context.set_code(act.code)
    context.set_details("as the script says")
    return True


def _refuse_http(handler: BaseHTTPRequestHandler, act: Act) -> bool:
    if act.resets:
        _reset(handler.connection)
        handler.close_connection = True
        return True
    if act.status == 200:
        return False
    handler.send_response(act.status)
    if act.retry_after_s is not None:
        text = formatdate(time.time() + act.retry_after_s, usegmt=True) if act.as_date else str(act.retry_after_s)
        handler.send_header("retry-after", text)
    handler.send_header("content-length", "0")
    handler.end_headers()
    return True


def _reset(connection: socket.socket) -> None:
    """Close so that the peer sees a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def partial(rejected: int) -> bytes:
    """A response that rejects so many spans."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = rejected
    response.partial_success.error_message = "as the script says"
    return bytes(response.SerializeToString())
