"""What grpcio leaves behind for the cycle collector must not pile up: freeing it stops the loop."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from processor import allocation

CALLS = 2_000


@pytest.fixture
def settled() -> Iterator[None]:
    """The collector as the process sets it when it has started."""
    before = gc.get_threshold()
    allocation.settle()
    yield
    gc.set_threshold(*before)
    gc.unfreeze()


@pytest.mark.usefixtures("settled")
def test_little_is_collected_at_a_time(grpc_listener: Any, recorder: Any, export: Any) -> None:
    """However many requests came, no collection has more to free than a few hundred of them leave behind."""
    collected: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "stop":
            collected.append(info["collected"])

    gc.callbacks.append(note)
    try:
        for _ in range(CALLS):
            export(grpc_listener, b"")
            recorder.requests.clear()
    finally:
        gc.callbacks.remove(note)
    assert collected, "there was nothing to collect: the thresholds may be Python's own again"
    assert max(collected) < 4_000
