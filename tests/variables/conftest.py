"""Configurations and servers for the tests of the variables room."""

from __future__ import annotations

import asyncio
import json
import queue
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from processor.variables.config import load_config
from processor.variables.selection import CompiledVariables, compile_config


def _variable(name: str, weights: dict[str, Any] | None = None, **fields: Any) -> dict[str, Any]:
    """A variable with a label for each of its weights, versions from 1."""
    weights = {"v1": 0.5, "v2": 0.5} if weights is None else weights
    labels = {label: {"version": at + 1, "serialized_value": '"x"'} for at, label in enumerate(weights)}
    return {"name": name, "labels": labels, "rollout": {"labels": weights}, "overrides": []} | fields


@pytest.fixture
def variable() -> Callable[..., dict[str, Any]]:
    return _variable


@pytest.fixture
def text() -> Callable[..., str]:
    """The JSON of a configuration with these variables."""
    return lambda *variables: json.dumps({"variables": {each["name"]: each for each in variables}})


@pytest.fixture
def compiled(text: Callable[..., str]) -> Callable[..., CompiledVariables]:
    return lambda *variables: compile_config(load_config(text(*variables)))


class Endpoint:
    """A server on loopback that behaves as a test says: `answer` for the variables, `events` for the stream."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"variables": {}}'
        self.etag: str | None = None
        self.claimed_length: int | None = None
        self.encoding: str | None = None
        self.hangs = False
        self.stream_status = 200
        self.events: queue.Queue[bytes | None] = queue.Queue()
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=lambda: self._server.serve_forever(0.01), daemon=True)
        self._thread.start()
        self.origin = f"http://127.0.0.1:{self._server.server_port}"

    def fetches(self) -> list[dict[str, str]]:
        """The headers of the requests for variables, names in lower case."""
        return [headers for path, headers in self.requests if path == "/v1/variables/"]

    def streams(self) -> list[dict[str, str]]:
        return [headers for path, headers in self.requests if path == "/v1/variable-updates/"]

    def close(self) -> None:
        self.closing.set()
        self.events.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_args: object) -> None:
                pass

            def do_GET(self) -> None:
                endpoint.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
                try:
                    if self.path == "/v1/variable-updates/":
                        self._stream()
                    elif self.path == "/v1/variables/":
                        self._answer()
                    else:
                        self._send(404, b"")
                except OSError:
                    self.close_connection = True

            def _answer(self) -> None:
                if endpoint.hangs:
                    endpoint.closing.wait()
                    return
                if endpoint.etag is not None and self.headers.get("If-None-Match") == endpoint.etag:
                    self._send(304, b"")
                    return
                self._send(endpoint.status, endpoint.body)

            def _send(self, status: int, body: bytes) -> None:
                self.send_response(status)
                if status != 304:
                    self.send_header("Content-Length", str(endpoint.claimed_length or len(body)))
                if endpoint.etag is not None:
                    self.send_header("ETag", endpoint.etag)
                if endpoint.encoding is not None:
                    self.send_header("Content-Encoding", endpoint.encoding)
                self.end_headers()
                self.wfile.write(body)
                self.close_connection = endpoint.claimed_length is not None

            def _stream(self) -> None:
                if endpoint.stream_status != 200:
                    self._send(endpoint.stream_status, b"")
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                while (event := endpoint.events.get()) is not None:
                    self.wfile.write(f"{len(event):x}\r\n".encode() + event + b"\r\n")
                    self.wfile.flush()
                self.wfile.write(b"0\r\n\r\n")

        return Handler


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    server = Endpoint()
    yield server
    server.close()


class Waits:
    """Pauses that end when the test says so. `asked`: how long each was meant to last."""

    def __init__(self) -> None:
        self.asked: asyncio.Queue[float] = asyncio.Queue()
        self._ended: asyncio.Queue[None] = asyncio.Queue()

    def end(self) -> None:
        """Let the pause that is going on, or the next one, be over."""
        self._ended.put_nowait(None)

    async def sleep(self, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        await self._ended.get()

    async def wait(self, event: asyncio.Event, seconds: float) -> None:
        self.asked.put_nowait(seconds)
        tasks = [asyncio.create_task(event.wait()), asyncio.create_task(self._ended.get())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()


@pytest.fixture
def waits() -> type[Waits]:
    return Waits
