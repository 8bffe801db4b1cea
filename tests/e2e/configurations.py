"""A server of variable configurations, as Logfire's looks from outside: ETags, a bearer token, a stream of events."""

from __future__ import annotations

import hashlib
import json
import queue
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

TOKEN = "pylf_v1_local_secret"


class ConfigurationServer:
    """Serves what `publish` was given last. `status`: the answer instead; `asked`: (path, If-None-Match) so far."""

    def __init__(self) -> None:
        self.status = 200
        self.body = b'{"variables": {}}'
        self.asked: list[tuple[str, str | None]] = []
        self._streams: list[queue.Queue[bytes | None]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    @property
    def settings(self) -> dict[str, str]:
        """The settings that ask it."""
        return {"VARIABLES_URL": f"http://127.0.0.1:{self._server.server_port}", "VARIABLES_TOKEN": TOKEN}

    def publish(self, body: bytes | Mapping[str, Any]) -> None:
        """Change the configuration, and say so to everybody who listens."""
        self.body = body if isinstance(body, bytes) else json.dumps(body).encode()
        for stream in list(self._streams):
            stream.put(b'data: {"event": "updated"}\n\n')

    def stop(self) -> None:
        for stream in self._streams:
            stream.put(None)
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def etag(self) -> str:
        return f'"{hashlib.sha256(self.body).hexdigest()}"'

    def listen(self) -> queue.Queue[bytes | None]:
        """A new stream; None ends it. The comment tells the listener that it is there."""
        stream: queue.Queue[bytes | None] = queue.Queue()
        stream.put(b": welcome\n\n")
        self._streams.append(stream)
        return stream

    @property
    def is_listened_to(self) -> bool:
        return bool(self._streams)


def _handler(server: ConfigurationServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            server.asked.append((self.path, self.headers.get("if-none-match")))
            try:
                if self.headers.get("authorization") != f"bearer {TOKEN}":
                    self._answer(401)
                elif self.path == "/v1/variables/":
                    self._variables()
                elif self.path == "/v1/variable-updates/":
                    self._updates()
                else:
                    self._answer(404)
            except OSError:  # the processor has gone
                self.close_connection = True

        def _variables(self) -> None:
            if server.status != 200:
                self._answer(server.status)
            elif self.headers.get("if-none-match") == server.etag:
                self._answer(304)
            else:
                self._answer(200, server.body, etag=server.etag)

        def _updates(self) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/event-stream")
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            stream = server.listen()
            while (event := stream.get()) is not None:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(event), event))
            self.wfile.write(b"0\r\n\r\n")

        def _answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            if status != 304:
                self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler
