"""A running event loop in a thread, as the SDK's exporters block; listeners on it; a receiver that records."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import grpc
import httpx
import pytest
import uvloop

from processor.receive.admission import Admission
from processor.receive.grpc import GrpcListener
from processor.receive.http import HttpListener
from processor.receive.receive import Answer, Request
from processor.signals import Signal

MiB = 1 << 20


class Background:
    """uvloop in a thread. `run` waits for a coroutine there; `call` for a plain function."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self) -> None:
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    def run(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        async def run() -> Any:
            return function(*arguments)

        return self.run(run())

    def close(self) -> None:
        async def drain() -> None:
            await self.loop.shutdown_default_executor()

        self.run(drain())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join(10)
        self.loop.close()


class Recorder:
    """A receiver. `outcomes` are given in order, the last for ever: an Answer, or an error to raise.

    With `gate` set, requests wait for it; `entered` is set when one has come in. Both belong to the loop's thread.
    """

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.outcomes: list[Answer | Exception] = [Answer()]
        self.gate: asyncio.Event | None = None
        self.waiting = threading.Semaphore(0)

    async def take(self, request: Request) -> Answer:
        self.requests.append(request)
        outcome = self.outcomes[0] if len(self.outcomes) == 1 else self.outcomes.pop(0)
        if self.gate is not None:
            self.waiting.release()
            await self.gate.wait()
        if isinstance(outcome, Exception):
            raise outcome
        return outcome


@pytest.fixture(scope="session")
def background() -> Iterator[Background]:
    """One event loop for all tests: grpcio has one poller for a process."""
    background = Background()
    yield background
    background.close()


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
def admission() -> Admission:
    return Admission(limit_bytes=64 * MiB, hop="me")


@pytest.fixture
def start(background: Background) -> Iterator[Callable[[Any], Any]]:
    """Start a listener and stop it when the test is over."""
    started = []

    def start(listener: Any) -> Any:
        background.run(listener.start())
        started.append(listener)
        return listener

    yield start
    for listener in started:
        background.run(listener.stop(0))


@pytest.fixture
def grpc_listener(start: Any, recorder: Recorder, admission: Admission) -> GrpcListener:
    return start(GrpcListener("127.0.0.1:0", recorder, admission, MiB))


@pytest.fixture
def http_listener(start: Any, recorder: Recorder, admission: Admission) -> HttpListener:
    return start(HttpListener("127.0.0.1:0", recorder, admission, MiB))


@pytest.fixture
def dial() -> Iterator[Callable[..., Any]]:
    """Open a gRPC channel to a listener."""
    channels = []

    def dial(listener: Any, *options: tuple[str, Any]) -> grpc.Channel:
        channel = grpc.insecure_channel(listener.address, options=options)
        channels.append(channel)
        return channel

    yield dial
    for channel in channels:
        channel.close()


@pytest.fixture
def export(dial: Any) -> Callable[..., Any]:
    """One gRPC export of raw bytes: the response's bytes, or the error that the call ended with."""

    def export(listener: Any, body: bytes, signal: Signal = Signal.TRACES, **options: Any) -> Any:
        method = dial(listener).unary_unary(signal.grpc_method)
        try:
            return method(body, timeout=10, **options)
        except grpc.RpcError as error:
            return error

    return export


class Wire:
    """A plain TCP connection: what HTTP clients are too polite to send."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self.socket = socket.create_connection((host.strip("[]"), int(port)), timeout=10)
        self._ahead = b""

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self.socket.sendall(part)

    def read_reply(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower-case names) and body of the next response."""
        head, self._ahead = self._ahead, b""
        while b"\r\n\r\n" not in head:
            data = self.socket.recv(65536)
            assert data, f"closed after {head!r}"
            head += data
        head, _, body = head.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers.get("content-length", "0"))
        while len(body) < length:
            body += self.socket.recv(65536)
        self._ahead = body[length:]
        return int(first.split()[1]), headers, body[:length]

    def is_closed(self) -> bool:
        """Whether the peer closes (waits for it)."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()


@pytest.fixture
def connect() -> Iterator[Callable[[Any], Wire]]:
    """Open a plain connection to a listener."""
    wires = []

    def connect(listener: Any) -> Wire:
        wire = Wire(listener.address)
        wires.append(wire)
        return wire

    yield connect
    for wire in wires:
        wire.close()


@pytest.fixture
def post(http_listener: Any) -> Iterator[Callable[..., httpx.Response]]:
    """POST to the listener: `post(body)` is protobuf to /v1/traces; connections are kept."""
    with httpx.Client(base_url=f"http://{http_listener.address}", timeout=10) as client:

        def post(
            body: bytes = b"\x0a\x00",
            path: str = "/v1/traces",
            kind: str | None = "application/x-protobuf",
            **headers: str,
        ) -> httpx.Response:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            return client.post(path, content=body, headers=named if kind is None else {"content-type": kind, **named})

        post.client = client  # type: ignore[attr-defined]  # for what is not a POST
        yield post
