"""The admin endpoint: `/livez`, `/readyz`, `/status`. Reads what others count; changes nothing.

Answers are small and made on request; there is no framework behind them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

Status = Callable[[], Mapping[str, Any]]
_TEXT: Final = b"text/plain; charset=utf-8"
_JSON: Final = b"application/json"


class AdminApp:
    """An ASGI application. `status` makes the JSON of `/status`; `is_ready` says whether requests are accepted."""

    def __init__(self, status: Status, is_ready: Callable[[], bool]) -> None:
        self._status = status
        self._is_ready = is_ready

    async def __call__(self, scope: Mapping[str, Any], _receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        status, content_type, body = self._answer(scope["method"], scope["path"])
        headers = [(b"content-type", content_type), (b"content-length", str(len(body)).encode())]
        if status == 405:
            headers.append((b"allow", b"GET, HEAD"))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    def _answer(self, method: str, path: str) -> tuple[int, bytes, bytes]:
        if method not in ("GET", "HEAD"):
            return 405, _TEXT, b"only GET and HEAD\n"
        if path == "/livez":
            return 200, _TEXT, b"alive\n"
        if path == "/readyz":
            return (200, _TEXT, b"ready\n") if self._is_ready() else (503, _TEXT, b"draining\n")
        if path == "/status":
            return 200, _JSON, json.dumps(self._status(), indent=2).encode() + b"\n"
        return 404, _TEXT, b"there is /livez, /readyz and /status\n"
