"""A page in headless Chromium that sends OTLP/JSON to the processor, which to a browser is another origin."""

from __future__ import annotations

import secrets
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from backends import Backend
from groups import GROUPS, HERE
from messages import assert_named, make_request, make_span, write_json
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from passage import OWNER
from running import Processor, eventually

PAGE = (HERE / "browser" / "page.html").read_bytes()


class Site:
    """Serves the page and the trace that it sends; hears from it what came of that."""

    def __init__(self) -> None:
        trace_id = secrets.token_bytes(16)
        body = make_request(make_span(trace_id, 2, 1), make_span(trace_id, 1, user__id="ann", session__id="s-1"))
        self.trace = ExportTraceServiceRequest.FromString(body)
        self._told: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(write_json(self.trace), self._told))
        self.origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def open(self, endpoint: str, folder: Path) -> str:
        """Open the page in a browser; status and body of the answer that it got, or the name of its error."""
        switches = ("--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0")
        command = [*GROUPS["browser"].client, *switches, f"--user-data-dir={folder}", f"{self.origin}/#{endpoint}"]
        with (folder / "log").open("wb") as log:
            browser = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually(lambda: self._told or browser.poll() is not None)
            assert self._told, (folder / "log").read_text(encoding="utf-8")
        finally:
            browser.terminate()
            browser.wait(timeout=20)
        return self._told[0]

    def stop(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def _handler(trace: bytes, told: list[str]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(PAGE if self.path == "/" else trace)

        def do_POST(self) -> None:
            told.append(self.rfile.read(int(self.headers["content-length"])).decode())
            self._answer(b"")

        def _answer(self, body: bytes) -> None:
            self.send_response(200)
            self.send_header("content-type", "text/html; charset=utf-8")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    return Handler


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.stop()


@pytest.mark.parametrize("is_listed", [True, False])
def test_a_page_may_send_where_its_origin_is_listed(is_listed: bool, site: Site, tmp_path: Path) -> None:
    """R3, S10: a listed origin's spans arrive named; a page of another origin is kept from sending by its browser."""
    backend = Backend("grpc").start()
    origins = site.origin if is_listed else "https://app.example.com"
    processor = Processor(tmp_path, RECEIVER_CORS_ORIGINS=origins, **backend.settings).start()
    try:
        told = site.open(f"{processor.wait_ready().http_endpoint}/v1/traces", tmp_path)
        assert ("200 {}" if is_listed else "TypeError") == told
        assert 0 == processor.stop()
        assert len(backend.spans()) == (2 if is_listed else 0)
        if is_listed:
            assert_named([site.trace], backend.requests(), OWNER)
    finally:
        processor.kill()
        backend.stop()
