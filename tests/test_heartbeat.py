"""The event loop's heartbeat, by a clock that the test holds."""

from __future__ import annotations

import asyncio
import logging

import pytest

from processor.heartbeat import LATE_S, Heartbeat


class Clock:
    """Time that stands still but for sleeping, which takes as long as the test says; over when it says no more."""

    def __init__(self, *sleeps_s: float) -> None:
        self.now = 100.0
        self._sleeps_s = list(sleeps_s)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, _: float) -> None:
        if not self._sleeps_s:
            raise asyncio.CancelledError
        self.now += self._sleeps_s.pop(0)


def beat(*sleeps_s: float) -> tuple[Heartbeat, Clock]:
    """A heart that has slept so often and so long."""
    clock = Clock(*sleeps_s)
    heartbeat = Heartbeat(clock, clock.sleep)
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(heartbeat.beat_forever())
    return heartbeat, clock


def test_a_loop_that_turns(caplog: pytest.LogCaptureFixture) -> None:
    """While beats come in time, or nearly, nothing is late and nothing is said."""
    heartbeat, clock = beat(1.0, 1.01, 1.9, 1.0)
    clock.now += LATE_S
    assert not heartbeat.is_late
    assert [] == caplog.messages


def test_a_loop_that_stands_still() -> None:
    """A last beat of more than five seconds ago is late, also before the first one."""
    heartbeat, clock = beat(1.0)
    clock.now += LATE_S + 0.01
    assert heartbeat.is_late
    never = Heartbeat(clock)
    clock.now += LATE_S + 0.01
    assert never.is_late


def test_a_loop_that_stood_still(caplog: pytest.LogCaptureFixture) -> None:
    """A beat that came seconds late is one line in the log, with how long the loop stood; then all is well."""
    with caplog.at_level(logging.WARNING):
        heartbeat, _ = beat(1.0, 8.5, 1.0)
    assert ["the event loop stood still: seconds=7.5"] == caplog.messages
    assert not heartbeat.is_late
