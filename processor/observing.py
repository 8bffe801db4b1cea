"""What lets others look at the running process: heartbeat, admin endpoint, metrics by OTLP. Starts first, stops last.

The SDK is imported when somebody looks: at the first scrape, or where metrics go out by OTLP, in a thread, for the
event loop has other things to do in those 200 ms. Must not know what is counted where (`metrics/reading.py`).
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from processor.admin import AdminApp
from processor.export.export import Client
from processor.heartbeat import Heartbeat
from processor.metrics.metrics import Snapshot
from processor.readiness import Readiness
from processor.receive.receive import Listener
from processor.settings import SettingsError, variable

if TYPE_CHECKING:
    from processor.metrics.push import Push
    from processor.metrics.scrape import Scrape

# What is left to be said at the end must not keep the process from its exit: the last export of metrics, and answers.
_LAST_PUSH_S: Final = 0.5
_LAST_ANSWERS_S: Final = 0.25


class Observing:
    """`take` makes snapshots of the metrics, `status` what `/status` says. `client`: of the backend of own metrics."""

    def __init__(
        self,
        admin_endpoint: str,
        readiness: Readiness,
        take: Callable[[], Snapshot],
        status: Callable[[], Mapping[str, Any]],
        client: Client | None,
        interval_s: float,
    ) -> None:
        self._endpoint = admin_endpoint
        self._take = take
        self._client = client
        self._interval_s = interval_s
        self._heartbeat = Heartbeat()
        self._app = AdminApp(self._heartbeat, readiness, self._exposition, status)
        self._admin: Listener | None = None
        self._scrape: Scrape | None = None
        self._first_scrape = asyncio.Lock()  # one import, however many ask meanwhile
        self._push: Push | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Beat and listen. Raises `SettingsError` where the address cannot be bound."""
        if self._endpoint != "off":
            await self._listen()
        self._tasks.append(asyncio.create_task(self._heartbeat.beat_forever()))
        if self._client is not None:
            self._tasks.append(asyncio.create_task(self._push_forever(self._client)))

    async def stop(self) -> None:
        """Send the metrics once more, and stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._push is not None:
            await asyncio.wait([asyncio.ensure_future(self._push.send())], timeout=_LAST_PUSH_S)
        if self._client is not None:
            await self._client.close()
        if self._admin is not None:
            await self._admin.stop(_LAST_ANSWERS_S)

    async def _listen(self) -> None:
        from processor.receive.server import HttpServer

        admin = HttpServer(self._endpoint, self._app)
        try:
            await admin.start()
        except OSError as error:
            name = variable("admin_endpoint")
            problem = f"{name}: cannot listen on {self._endpoint}: {error}; choose a free port, or off"
            raise SettingsError([problem]) from None
        self._admin = admin

    async def _exposition(self) -> tuple[bytes, bytes]:
        """Content-Type and text of `/metrics`."""
        async with self._first_scrape:
            if self._scrape is None:
                module = await asyncio.to_thread(importlib.import_module, "processor.metrics.scrape")
                self._scrape = module.Scrape(self._take)
        return self._scrape.content_type, self._scrape.text()

    async def _push_forever(self, client: Client) -> None:
        module = await asyncio.to_thread(importlib.import_module, "processor.metrics.push")
        self._push = module.Push(client, self._take, self._interval_s)
        await self._push.run()
