"""What the tests of the export share: time that tests hold, a client that they answer for, real backends, TLS files."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
import shutil
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from processor.export.batch import Limits
from processor.export.endpoint import Downstream
from processor.export.export import Attempt, Chunk, LossReason, Outcome
from processor.export.queue import Queue
from processor.origin import NO_ORIGIN, Headers, Origin
from processor.signals import Signal

MiB = 1024 * 1024
PATIENCE_S = 20.0  # of the real machine, before a test that waits for I/O fails
HOST = "127.0.0.1"


class HeldTime:
    """Monotonic time that stands still until the test moves it; sleepers wake in order.

    `busy`: the share of it in which the process works.
    """

    def __init__(self) -> None:
        self.now = 1000.0
        self.busy = 0.0
        self.sleeps: list[float] = []  # every duration that was asked for
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def clock(self) -> float:
        return self.now

    def worked(self) -> float:
        return self.now * self.busy

    async def sleep(self, duration_s: float) -> None:
        self.sleeps.append(duration_s)
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + duration_s, next(self._order), woken))
        await woken

    async def advance(self, duration_s: float) -> None:
        """Move on, stopping at every sleeper that is due on the way."""
        end = self.now + duration_s
        await turns()
        while self._sleepers and self._sleepers[0][0] <= end:
            at, _, woken = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not woken.done():
                woken.set_result(None)
            await turns()
        self.now = end
        await turns()


async def turns(count: int = 20) -> None:
    """Let the loop take some turns: more than any hand-over inside the queue needs."""
    for _ in range(count):
        await asyncio.sleep(0)


class HurriedTime:
    """Time before real backends: a sleep moves the clock by all of it, and takes a moment of the machine's."""

    def __init__(self) -> None:
        self.now = 1000.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, duration_s: float) -> None:
        self.now += duration_s
        await asyncio.sleep(0.01)


class AnsweredClient:
    """A client whose requests the test answers, one by one (`answer`) or by rule (`answers`)."""

    def __init__(self, answers: Callable[[Signal, bytes], Outcome | Exception] | None = None) -> None:
        self.requests: list[tuple[Signal, bytes]] = []
        self.headers: list[Headers] = []  # of each of them
        self.is_closed = False
        self._answers = answers
        self._open: list[tuple[bytes, asyncio.Future[Outcome]]] = []

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        self.requests.append((signal, body))
        self.headers.append(headers)
        if self._answers is not None:
            answer = self._answers(signal, body)
            if isinstance(answer, Exception):
                raise answer
            return answer
        request: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._open.append((body, request))
        return await request

    async def answer(self, answer: Outcome | Exception | None = None, which: int = 0) -> None:
        """Answer the oldest open request (or another), with success by default, and let it take effect."""
        _, request = self._open.pop(which)
        if isinstance(answer, Exception):
            request.set_exception(answer)
        else:
            request.set_result(answer or Outcome())
        await turns()

    @property
    def open_count(self) -> int:
        """How many requests wait for an answer."""
        return len(self._open)

    @property
    def open_body(self) -> bytes:
        """The body of the oldest of them."""
        return self._open[0][0]

    async def close(self) -> None:
        self.is_closed = True


@dataclass
class Backend:
    """What a real backend saw; `answer` is asked for each request in turn."""

    answer: Callable[..., Any]
    port: int = 0
    requests: list[tuple[str, bytes, dict[str, str]]] = field(default_factory=list)  # path or method, body, headers
    release: threading.Event = field(default_factory=threading.Event)  # set at the end, so that hanging handlers return
    stop: Callable[[], Any] = lambda: None  # may be called twice

    @property
    def bodies(self) -> list[bytes]:
        return [body for _, body, _ in self.requests]


class _AnyMethod(grpc.GenericRpcHandler):
    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            self._backend.requests.append((details.method, body, headers))
            return self._backend.answer(body, context)

        return grpc.unary_unary_rpc_method_handler(handle)


@pytest.fixture
def grpc_backend() -> Iterator[Callable[..., Backend]]:
    """Starts threaded grpcio servers: `grpc_backend(answer, port=…, host=…, credentials=…, options=…)`."""
    stops: list[Callable[[], None]] = []

    def start(
        answer: Callable[..., bytes], port: int = 0, host: str = HOST, credentials: Any = None, options: Any = ()
    ) -> Backend:
        backend = Backend(answer)
        server = grpc.server(futures.ThreadPoolExecutor(8), handlers=(_AnyMethod(backend),), options=options)
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        backend.port = (
            server.add_secure_port(address, credentials) if credentials else server.add_insecure_port(address)
        )
        server.start()
        backend.stop = lambda: (backend.release.set(), server.stop(0).wait())
        stops.append(backend.stop)
        return backend

    yield start
    for stop in stops:
        stop()


@pytest.fixture
def http_backend() -> Iterator[Callable[..., Backend]]:
    """Starts http.server backends: `http_backend(answer, tls=context)`; `answer(body, handler)` writes the response."""
    stops: list[Callable[[], None]] = []

    def start(
        answer: Callable[..., None], port: int = 0, host: str = HOST, tls: ssl.SSLContext | None = None
    ) -> Backend:
        backend = Backend(answer)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = type("Server", (_Server,), {"address_family": family})
        server = made((host, port), _handler(backend))
        if tls:
            server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        backend.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        backend.stop = lambda: (
            backend.release.set(),
            server.shutdown(),
            thread.join(),
            server.hang_up(),
            server.server_close(),
        )
        stops.append(backend.stop)
        return backend

    yield start
    for stop in stops:
        stop()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # joined at the end, so that no socket outlives its test
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests do."""

    def get_request(self) -> tuple[Any, Any]:
        request, address = super().get_request()
        request.settimeout(PATIENCE_S)
        self._connections = [*getattr(self, "_connections", []), request]
        return request, address

    def hang_up(self) -> None:
        """End the connections that clients keep alive."""
        for connection in getattr(self, "_connections", []):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _handler(backend: Backend) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            backend.requests.append((self.path, body, {key.lower(): value for key, value in self.headers.items()}))
            backend.answer(body, self)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


def respond(handler: Any, status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
    """Write a whole HTTP response."""
    handler.send_response(status)
    for name, value in (headers or {}).items():
        handler.send_header(name, value)
    handler.send_header("content-length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def reset(handler: Any) -> None:
    """End a connection with RST."""
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.close_connection = True
    handler.wfile.close()
    handler.rfile.close()
    handler.connection.close()


@dataclass(frozen=True)
class TlsFixture:
    """PEM files of an authority, a server for 127.0.0.1 and localhost, a client, and of an authority nobody trusts."""

    ca: Path
    server: Path
    server_key: Path
    client: Path
    client_key: Path
    other_ca: Path


@pytest.fixture(scope="session")
def pem(tmp_path_factory: pytest.TempPathFactory) -> TlsFixture:
    """Self-signed authorities and what they issued, made once."""
    folder = tmp_path_factory.mktemp("pem")
    for name in ("ca", "other"):
        _openssl(
            folder, "req", "-x509", *_key(f"{name}.key"), "-out", f"{name}.pem", "-days", "2", "-subj", f"/CN={name}"
        )
    for name, extension in (
        ("server", "subjectAltName=IP:127.0.0.1,DNS:localhost"),
        ("client", "extendedKeyUsage=clientAuth"),
    ):
        (folder / f"{name}.ext").write_text(extension)
        _openssl(folder, "req", *_key(f"{name}.key"), "-out", f"{name}.csr", "-subj", f"/CN={name}")
        _openssl(
            folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-days", "2", "-extfile", f"{name}.ext",
        )  # fmt: skip
    return TlsFixture(
        *(folder / name for name in ("ca.pem", "server.pem", "server.key", "client.pem", "client.key", "other.pem"))
    )


def _key(path: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)


def _openssl(folder: Path, *arguments: str) -> None:
    command = shutil.which("openssl")
    assert command, "these tests need the openssl command"
    subprocess.run([command, *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture
def time() -> HeldTime:
    """Time that the test holds."""
    return HeldTime()


@pytest.fixture
def hurried() -> HurriedTime:
    """Time that jumps over every wait."""
    return HurriedTime()


@pytest.fixture
def client() -> AnsweredClient:
    """A client whose requests stay open until the test answers them."""
    return AnsweredClient()


@dataclass
class Tools:
    """Functions and values that tests share."""

    AnsweredClient = AnsweredClient
    HeldTime = HeldTime
    MiB = MiB
    respond = staticmethod(respond)
    reset = staticmethod(reset)
    turns = staticmethod(turns)

    @staticmethod
    def unused_port() -> int:
        """A port on which nothing listens."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            return int(probe.getsockname()[1])

    @staticmethod
    def limits(**overrides: Any) -> Limits:
        return Limits(**overrides)

    @staticmethod
    def chunk(body: bytes = b"x", items: int = 1, signal: Signal = Signal.TRACES, origin: Origin = NO_ORIGIN) -> Chunk:
        return Chunk(signal, body, items, origin)

    @staticmethod
    def spans(count: int, name_bytes: int = 10) -> bytes:
        """An ExportTraceServiceRequest of so many spans, each with a name of so many bytes."""
        request = ExportTraceServiceRequest()
        resource_spans = request.resource_spans.add()
        resource_spans.resource.attributes.add(key="service.name").value.string_value = "shop"
        scope_spans = resource_spans.scope_spans.add()
        for number in range(count):
            scope_spans.spans.add(trace_id=b"t" * 16, span_id=number.to_bytes(8, "big"), name="n" * name_bytes)
        return request.SerializeToString()

    @staticmethod
    def span_ids(body: bytes) -> list[int]:
        """The span ids in a request, as numbers."""
        return [
            int.from_bytes(span.span_id, "big")
            for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans
            for scope_spans in resource_spans.scope_spans
            for span in scope_spans.spans
        ]

    @staticmethod
    def split(body: bytes) -> tuple[bytes, bytes, int, int] | None:
        """An independent halving of a request with one scope, by protobuf's own runtime."""
        spans = list(ExportTraceServiceRequest.FromString(body).resource_spans[0].scope_spans[0].spans)
        if len(spans) < 2:
            return None
        middle = len(spans) // 2
        parts = []
        for part in (spans[:middle], spans[middle:]):
            request = ExportTraceServiceRequest.FromString(body)
            del request.resource_spans[0].scope_spans[0].spans[:]
            request.resource_spans[0].scope_spans[0].spans.extend(part)
            parts.append(request.SerializeToString())
        return parts[0], parts[1], middle, len(spans) - middle

    @staticmethod
    def lost(queue: Queue, signal: Signal = Signal.TRACES) -> dict[LossReason, int]:
        """The reasons that counted something."""
        return {reason: count for reason, count in queue.ledger.counts[signal].lost.items() if count}

    @staticmethod
    def assert_balanced(queue: Queue) -> None:
        """S25, for every signal."""
        for counts in queue.ledger.counts.values():
            assert counts.is_balanced, counts

    @staticmethod
    def downstream(port: int, protocol: str = "grpc", **overrides: Any) -> Downstream:
        return Downstream(protocol, port=port, **{"host": HOST, "tls": False, **overrides})


@pytest.fixture
def tools() -> Tools:
    """The shared functions."""
    return Tools()


class Watched:
    """A queue before a real client, whose attempts the test awaits one by one."""

    def __init__(self, client: Any, limits: Limits, **parts: Any) -> None:
        self.outcomes: asyncio.Queue[Attempt] = asyncio.Queue()
        self.queue = Queue(client, limits, observe=self._observe, **parts)

    def _observe(self, outcome: Attempt, _duration_s: float) -> None:
        for counts in self.queue.ledger.counts.values():
            assert counts.is_balanced, counts
        self.outcomes.put_nowait(outcome)

    async def next(self) -> Attempt:
        async with asyncio.timeout(PATIENCE_S):
            return await self.outcomes.get()

    async def __aenter__(self) -> Watched:
        self.queue.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.queue.close()


@pytest.fixture
def watched() -> type[Watched]:
    """`async with watched(client, limits, …) as w:` a running queue, closed at the end."""
    return Watched
