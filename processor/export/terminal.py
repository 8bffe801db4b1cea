"""The terminal as a downstream: takes every batch, while the view shows the spans as they leave the pipeline.

Metrics and logs are taken and not shown. Must not know the pipeline; the service connects the two.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Final

from processor.export.console import ConsoleView
from processor.export.export import Outcome
from processor.export.outlet import Outlet
from processor.origin import Headers
from processor.signals import Signal

_TICK_S: Final = 0.2


class Terminal:
    """A `Client` that is always available, and the clock of its view, which writes to `outlet`."""

    def __init__(self, view: ConsoleView, outlet: Outlet) -> None:
        self.view = view
        self._outlet = outlet
        self.hop = ""

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        """Take the batch: its spans have been shown, or are about to be."""
        return Outcome()

    async def close(self) -> None:
        """Show what has not been shown yet."""
        self.view.flush()

    def finish(self) -> None:
        """The last words are said."""
        self._outlet.finish()

    async def show_forever(self, accounting: Callable[[], Mapping[str, int]]) -> None:
        """Print what is due, and the accounting below it, until cancelled."""
        while True:
            await asyncio.sleep(_TICK_S)
            while self.view.tick(time.monotonic()):
                await asyncio.sleep(0)
            self.view.footer(accounting())
