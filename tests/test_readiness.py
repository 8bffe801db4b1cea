"""Readiness: starting, ready, full, draining."""

from __future__ import annotations

import asyncio

from processor.readiness import Readiness, State


def test_the_way_of_a_process() -> None:
    """It is ready when it has started and memory is not full, until it drains, for good."""
    full = [False]
    readiness = Readiness(lambda: full[0])
    assert (State.STARTING, False) == (readiness.state, readiness.is_ready)
    readiness.start()
    assert (State.READY, True) == (readiness.state, readiness.is_ready)
    full[0] = True
    assert (State.FULL, False) == (readiness.state, readiness.is_ready)
    full[0] = False
    assert State.READY is readiness.state
    readiness.drain()
    full[0] = True
    assert (State.DRAINING, False) == (readiness.state, readiness.is_ready)


def test_stopping_before_it_has_started() -> None:
    """A process that is told to stop while it starts is draining."""
    readiness = Readiness(lambda: False)
    readiness.drain()
    readiness.start()
    assert State.DRAINING is readiness.state


def test_waiting_for_the_end() -> None:
    """Whoever waits hears of draining at once, and otherwise waits as long as it wants."""

    async def wait() -> list[bool]:
        readiness = Readiness(lambda: False)
        found = [await readiness.wait_draining(0.001)]
        waiting = asyncio.create_task(readiness.wait_draining(60))
        await asyncio.sleep(0)
        readiness.drain()
        return [*found, await waiting, await readiness.wait_draining(60)]

    assert [False, True, True] == asyncio.run(wait())
