"""Real backends, a grpcio server and an HTTP server, that record what they are sent."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Callable
from concurrent import futures
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from messages import read_json
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import eventually

from processor._pb import envelope_pb2


@dataclass
class Received:
    """One request that a backend took. `name`: gRPC method or HTTP path; `body`: decompressed."""

    name: str
    body: bytes
    headers: dict[str, str]
    request: ExportTraceServiceRequest | None = field(default=None, repr=False)

    @property
    def is_json(self) -> bool:
        return self.headers.get("content-type") == "application/json"

    @property
    def spans(self) -> list[Span]:
        """Its spans, as opentelemetry-proto reads them."""
        parts = self.request.resource_spans if self.request else ()
        return [span for part in parts for scope in part.scope_spans for span in scope.spans]


# Given the gRPC context or HTTP handler: True where it refused, else the response's body (False: an empty one).
Answer = Callable[[Any], bool | bytes]


class Backend:
    """A backend that records what it does not refuse."""

    def __init__(self, protocol: str, port: int = 0, answer: Answer = lambda _: False) -> None:
        self.protocol = protocol
        self.port = port
        self.received: list[Received] = []
        self._answer = answer
        self._stop: Callable[[], Any] | None = None

    @property
    def settings(self) -> dict[str, str]:
        """The settings that send to it."""
        return {"EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{self.port}", "EXPORTER_OTLP_PROTOCOL": self.protocol}

    def start(self) -> Backend:
        """Listen; on a port that was reserved, that one."""
        self._stop = self._start_grpc() if self.protocol == "grpc" else self._start_http()
        return self

    def stop(self) -> None:
        """Stop listening. May be called twice."""
        stop, self._stop = self._stop, None
        if stop is not None:
            stop()

    def record(self, received: Received) -> None:
        if "trace" in received.name.lower():
            received.request = read_json(received.body) if received.is_json else _parse(received.body)
        self.received.append(received)

    def spans(self, *trace_ids: bytes) -> list[Span]:
        """The spans of these traces, or of all."""
        spans = [span for each in list(self.received) for span in each.spans]
        return [span for span in spans if not trace_ids or span.trace_id in trace_ids]

    def requests(self) -> list[ExportTraceServiceRequest]:
        """The requests with spans, as opentelemetry-proto reads them."""
        return [each.request for each in list(self.received) if each.request is not None]

    def raw_spans(self) -> list[bytes]:
        """The bytes of all spans."""
        requests = [envelope_pb2.Request.FromString(each.body) for each in list(self.received) if "race" in each.name]
        return [
            raw
            for request in requests
            for part in request.resource_spans
            for scope in part.scope_spans
            for raw in scope.spans
        ]

    def collect(self, count: int, *trace_ids: bytes) -> list[Span]:
        """The spans of these traces, as soon as there are so many."""
        eventually(lambda: len(self.spans(*trace_ids)) >= count)
        return self.spans(*trace_ids)

    def _start_grpc(self) -> Callable[[], Any]:
        options = [("grpc.so_reuseport", 0)]
        server = grpc.server(futures.ThreadPoolExecutor(4), handlers=(_AnyMethod(self, self._answer),), options=options)
        self.port = server.add_insecure_port(f"127.0.0.1:{self.port}")
        server.start()
        return lambda: server.stop(0).wait()

    def _start_http(self) -> Callable[[], Any]:
        server = _Server(("127.0.0.1", self.port), _handler(self, self._answer))
        self.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()

        def stop() -> None:
            server.shutdown()
            thread.join()
            server.server_close()

        return stop


def _parse(body: bytes) -> ExportTraceServiceRequest | None:
    """The request, or None where protobuf's runtime does not take it (invalid UTF-8, which is forwarded)."""
    try:
        return ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return None


class _AnyMethod(grpc.GenericRpcHandler):
    def __init__(self, backend: Backend, answer: Answer) -> None:
        self._backend = backend
        self._answer = answer

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        def handle(body: bytes, context: grpc.ServicerContext) -> bytes:
            response = self._answer(context)
            if response is True:
                return b""
            headers = {key: str(value) for key, value in context.invocation_metadata()}
            self._backend.record(Received(details.method, body, headers))
            return response or b""

        return grpc.unary_unary_rpc_method_handler(handle)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hangs up is what some tests do."""


def _handler(backend: Backend, answer: Answer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self._read_body()
            response = answer(self)
            if response is True:
                return
            if self.headers.get("content-encoding") == "gzip":
                body = gzip.decompress(body)
            backend.record(Received(self.path, body, {name.lower(): text for name, text in self.headers.items()}))
            self.send_response(200)
            self.send_header("content-length", str(len(response or b"")))
            self.end_headers()
            self.wfile.write(response or b"")

        def _read_body(self) -> bytes:
            if "content-length" in self.headers:
                return self.rfile.read(int(self.headers["content-length"]))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler
