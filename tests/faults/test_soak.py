"""F29: as long as SOAK_SECONDS says, ten seconds where it is not set; `make soak` lets it run for an hour."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from load import lost, settled
from memory import Meter, MiB
from soak import Flapping, Load, growth

SECONDS = float(os.environ.get("SOAK_SECONDS", "10"))
MOST_IN_TEN_MINUTES = 1 * MiB
# What an allocator, and a queue that fills and empties, move about; over a longer time the latter evens out.
NOISE_BYTES = 2 * MiB + 60 * MiB / SECONDS
NOISE_FILES = 4


@pytest.fixture
def flapping() -> Iterator[Flapping]:
    backend = Flapping()
    backend.start()
    yield backend
    backend.stop()


def test_f29_soak(
    flapping: Flapping, run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """F29: at 2,000 spans a second, a backend that flaps and a journal, memory and open files stay as they are."""
    processor = run(
        JOURNAL_DIRECTORY=str(tmp_path / "journal"),
        MAX_WAIT=f"{min(SECONDS / 10, 5):g}s",
        REMEMBER_FOR=f"{SECONDS / 10:g}s",
        **flapping.settings,
    )
    load = Load(processor)
    with Meter(processor, SECONDS / 100) as meter:
        load.run(SECONDS)
    grown = growth(meter.looks, SECONDS)
    with capsys.disabled():
        print(f"\n{load.sent} spans: {grown}")
    flapping.is_steady = True
    accounting = settled(processor)
    assert (load.sent, 0) == (accounting["accepted"], lost(accounting))
    assert load.sent == accounting["exported"] == flapping.count
    assert flapping.refused
    assert grown.resident_bytes <= NOISE_BYTES + MOST_IN_TEN_MINUTES * grown.seconds / 600
    assert grown.files <= NOISE_FILES
    assert 0 == processor.stop()
