"""The OTLP/gRPC listener: raw bytes from grpcio to the receiver, answers back.

grpcio's own conduct breaks OTLP's retry rules (a handler's exception becomes UNKNOWN, and the sender drops its
spans), so nothing is deserialized there and no exception leaves a handler. It must not know what a request
holds; whatever costs time for each request stands in `_handler` and `service`, and nowhere else.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable, Mapping
from typing import Any, Final

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import grpc.aio  # type: ignore[import-untyped]  # grpcio ships no types

from processor.errors import ComeBackLater, MalformedRequest, SenderError
from processor.header_names import HeaderNames
from processor.receive import answers
from processor.receive.access import OPEN, Access
from processor.receive.admission import Admission
from processor.receive.receive import Receiver, Request
from processor.signals import HOP_HEADER, Signal
from processor.units import split_endpoint

TRANSPORT: Final = "grpc"

_METADATA_BYTES: Final = 16 * 1024
_RESPONSE_BYTES: Final = 4 * 1024 * 1024
# Collector clients ping every 10 s, with jitter; grpcio's default of 5 min would answer them with GOAWAY.
_LEAST_PING_INTERVAL_MS: Final = 5_000
_IDLE_MS: Final = 10 * 60_000
# TLS and HTTP/2's first frames.
_HANDSHAKE_MS: Final = 10_000

_METHODS: Final[dict[str, Signal]] = {signal.grpc_method: signal for signal in Signal}
_CODES: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}
_NO_HEADERS: Final[Mapping[str, str]] = {}
_NO_OTHERS: Final[Mapping[str, Any]] = {}


def server_options(max_request_bytes: int, max_connections: int = OPEN.max_connections) -> list[tuple[str, int]]:
    """grpcio's channel arguments for a server whose messages, decompressed, are at most so large (R7, R8)."""
    return [
        ("grpc.max_allowed_incoming_connections", max_connections),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_receive_message_length", max_request_bytes),
        ("grpc.max_send_message_length", _RESPONSE_BYTES),
        # The second is the hard limit; between the two grpcio refuses at random.
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        # One frame for a usual batch instead of fourteen: 1.1 µs of CPU a span instead of 1.4, relayed, 512 a request.
        ("grpc.http2.max_frame_size", 1 << 20),
        # Two processes on one port would each get half of a trace.
        ("grpc.so_reuseport", 0),
        # Twice what the busiest sender has in flight (R10); more wait in the sender.
        ("grpc.max_concurrent_streams", 128),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", _LEAST_PING_INTERVAL_MS),
        # Peers that are gone, and peers that say nothing, are let go.
        ("grpc.keepalive_time_ms", 60_000),
        ("grpc.keepalive_timeout_ms", 20_000),
        ("grpc.max_connection_idle_ms", _IDLE_MS),
    ]


class GrpcListener:
    """Listens for OTLP/gRPC of all signals on `endpoint`, gzip and deflate included.

    `max_request_bytes` holds after decompression. `headers`: lower-case names of the metadata that the receiver
    wants in `Request.headers`, `*` at the end allowed, besides the hop header; binary metadata (`-bin`) is not passed
    on. `others`: grpcio's handlers of methods that are not OTLP's, by path; they need no token. `access`: who may
    connect and send. `read_timeout_s`: from a request's metadata to the end of its message.
    """

    def __init__(
        self,
        endpoint: str,
        receiver: Receiver,
        admission: Admission,
        max_request_bytes: int,
        headers: Iterable[str] = (),
        others: Mapping[str, Any] = _NO_OTHERS,
        access: Access = OPEN,
        read_timeout_s: float = 30.0,
    ) -> None:
        self._endpoint = endpoint
        self._access = access
        self._tokens = access.tokens
        self._stranger = grpc.stream_unary_rpc_method_handler(self._turn_away)
        self._receiver = receiver
        self._admission = admission
        self._max_request_bytes = max_request_bytes
        self._wanted = HeaderNames((*headers, HOP_HEADER))
        self._others = others
        self._faults = answers.FaultLog()
        self._handlers = {signal: self._handler(signal, _NO_HEADERS) for signal in Signal}
        self._read_timeout_s = read_timeout_s
        self._reading: dict[asyncio.Task[Any], float] = {}  # since when, oldest first
        self._timer: asyncio.TimerHandle | None = None
        self._server: Any = None
        self._port = split_endpoint(endpoint)[1]

    @property
    def address(self) -> str:
        """The host:port it listens on."""
        return f"{self._endpoint.rpartition(':')[0]}:{self._port}"

    async def start(self) -> None:
        """Bind and serve. Raises `OSError` when the address cannot be bound."""
        if self._port:
            check_bindable(self._endpoint)
        options = server_options(self._max_request_bytes, self._access.max_connections)
        server = grpc.aio.server(handlers=(self,), options=options)
        certificates = self._access.certificates
        try:
            if certificates is None:
                self._port = server.add_insecure_port(self._endpoint)
            else:
                self._port = server.add_secure_port(self._endpoint, certificates.grpc_credentials())
        except RuntimeError as error:
            raise OSError(f"cannot listen on {self._endpoint}: {error}") from error
        await server.start()
        self._server = server
        self._cut_slow()

    async def stop(self, grace_s: float) -> None:
        """Refuse new requests at once, let those in flight finish for at most `grace_s` seconds.

        What is not finished then is answered UNAVAILABLE: the sender keeps it.
        """
        if self._server is not None:
            await self._server.stop(grace_s)
        if self._timer is not None:
            self._timer.cancel()

    def service(self, details: Any) -> Any:
        """grpcio's hook (GenericRpcHandler): the handler of a call, None for an unknown method.

        grpcio has decoded the metadata for this call already; asking the context for it costs 1 µs more a request.
        """
        signal = _METHODS.get(details.method)
        if signal is None:
            return self._others.get(details.method)
        if self._tokens is not None and not self._tokens.accepts(_authorization(details.invocation_metadata)):
            return self._stranger
        wanted = self._wanted
        for name, _ in details.invocation_metadata:
            if name in wanted:
                return self._handler(signal, self._select(details.invocation_metadata))
        return self._handlers[signal]

    async def _turn_away(self, _messages: Any, context: Any) -> bytes:
        """Refuse a call without having read its message: so nothing is inflated, and nothing held."""
        self._admission.refused["unauthenticated"] += 1
        return _refuse(context, answers.STRANGER)

    def _select(self, metadata: Iterable[tuple[str, str | bytes]]) -> Mapping[str, str]:
        """The wanted metadata; of a name that comes twice, the values joined as HTTP does."""
        found: dict[str, str] = {}
        for name, value in metadata:
            if name in self._wanted and isinstance(value, str):
                found[name] = f"{found[name]},{value}" if name in found else value
        return found

    def _handler(self, signal: Signal, headers: Mapping[str, str]) -> Any:
        """grpcio's handler for a signal's Export. Making one takes 0.7 µs, so one for each request is no matter."""
        take = self._receiver.take
        admission = self._admission

        async def export(_messages: Any, context: Any) -> bytes:
            try:
                if headers:
                    admission.check_hop(headers)
                body = await self._read(context)
                size_bytes = len(body)
                admission.enter(size_bytes)
                try:
                    answer = await take(Request(signal, body, TRANSPORT, headers))
                finally:
                    admission.leave(size_bytes)
                return answers.encode_partial(signal, answer)
            except (SenderError, ComeBackLater) as error:
                return _refuse(context, answers.refusal_of(error))
            except Exception as error:
                admission.refused["internal"] += 1
                self._faults.report(error, TRANSPORT)
                return _refuse(context, answers.FAULT)

        return grpc.stream_unary_rpc_method_handler(export)

    async def _read(self, context: Any) -> bytes:
        """The request's message. Raises `ComeBackLater` where it takes too long, `MalformedRequest` where none comes.

        A handler that is called with the message could neither bound the time it takes, nor refuse it unread.
        """
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task is not None
        self._reading[task] = loop.time()
        try:
            body = await context.read()
        except asyncio.CancelledError:
            if task in self._reading:
                raise
            task.uncancel()
            self._admission.refused["slow"] += 1
            raise ComeBackLater("the request took too long to be sent") from None
        finally:
            self._reading.pop(task, None)
        if not isinstance(body, bytes):
            raise MalformedRequest("a call without a message")
        return body

    def _cut_slow(self) -> None:
        """Now and again: stop waiting for the messages that take too long."""
        loop = asyncio.get_running_loop()
        overdue = loop.time() - self._read_timeout_s
        for task in [task for task, since in self._reading.items() if since < overdue]:
            del self._reading[task]  # so it knows why
            task.cancel()
        self._timer = loop.call_later(min(1.0, self._read_timeout_s / 2), self._cut_slow)


def _authorization(metadata: Iterable[tuple[str, str | bytes]]) -> str:
    """The one value of the authorization metadata; two are none, for nobody could tell which counts."""
    values = [value for name, value in metadata if name == "authorization" and isinstance(value, str)]
    return values[0] if len(values) == 1 else ""


def _refuse(context: Any, refusal: answers.Refusal) -> bytes:
    """Set the call's status. grpcio leaves the response out where the status is not OK."""
    context.set_code(_CODES[refusal.code])
    context.set_details(refusal.message)
    context.set_trailing_metadata(answers.trailers(refusal))
    return b""


def check_bindable(endpoint: str) -> None:
    """Raise the system's own `OSError` where an address cannot be bound.

    grpcio only says that it failed, and writes to stderr past every logger.
    """
    host, port = split_endpoint(endpoint)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    socket.create_server((host, port), family=family).close()
