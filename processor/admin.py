"""The admin endpoint: `/livez`, `/readyz`, `/metrics`, `/status`. Reads what others count; changes nothing.

Answers are small and made on request; there is no framework behind them. Must not know who counts, nor the SDK.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from processor.heartbeat import Heartbeat
from processor.readiness import Readiness

Status = Callable[[], Mapping[str, Any]]
# Gives Content-Type and text of the metrics.
Metrics = Callable[[], Awaitable[tuple[bytes, bytes]]]
Answer = tuple[int, bytes, bytes]

_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"


class AdminApp:
    """An ASGI application.

    `/livez` is about the event loop alone, by the `heartbeat`; `/readyz` about whether requests are taken. `metrics`
    and `status` make the answers of these paths.
    """

    def __init__(self, heartbeat: Heartbeat, readiness: Readiness, metrics: Metrics, status: Status) -> None:
        self._heartbeat = heartbeat
        self._readiness = readiness
        self._metrics = metrics
        self._status = status

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        try:
            status, content_type, body = await self._answer(scope["method"], scope["path"])
        except asyncio.CancelledError:  # only a server that stops cancels, when its grace is over
            status, content_type, body = 503, _TEXT, b"stopping\n"
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _answer(self, method: str, path: str) -> Answer:
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"only GET and HEAD\n"
        if path == "/livez":
            return (503, _TEXT, b"late\n") if self._heartbeat.is_late else (200, _TEXT, b"alive\n")
        if path == "/readyz":
            return 200 if self._readiness.is_ready else 503, _TEXT, f"{self._readiness.state.value}\n".encode()
        if path == "/metrics":
            return 200, *await self._metrics()
        if path == "/status":
            return 200, _JSON, json.dumps(self._status(), indent=2).encode() + b"\n"
        return 404, _TEXT, b"there is /livez, /readyz, /metrics and /status\n"
