"""The event loop's heartbeat: whether the loop still turns, and a line in the log after it stood still.

Everything here runs on that loop, so while it stands still nothing is said at all, and a probe runs into its timeout.
Must not know anything that the process works on: a downstream that is away is no reason to be restarted.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

LOG: Final = logging.getLogger("processor")

_BEAT_S: Final = 1.0
# A beat may come so much later than it should without a word: a configuration being compiled takes 40 ms.
_TOLERANCE_S: Final = 1.0
# An older last beat is a stalled loop. Probes come each 10 s by default, three of which must fail.
LATE_S: Final = 5.0


class Heartbeat:
    """Beats once a second while `beat_forever` runs. `clock` is monotonic."""

    def __init__(
        self,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._clock = clock
        self._sleep = sleep
        self._beat_at = clock()

    @property
    def is_late(self) -> bool:
        """Whether the last beat is too old for a loop that turns."""
        return self._clock() - self._beat_at > LATE_S

    async def beat_forever(self) -> None:
        """Note the time, again and again, until cancelled."""
        while True:
            self._beat_at = self._clock()
            await self._sleep(_BEAT_S)
            stood_s = self._clock() - self._beat_at - _BEAT_S
            if stood_s > _TOLERANCE_S:
                LOG.warning("the event loop stood still: seconds=%.1f", stood_s)
