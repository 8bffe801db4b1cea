"""The journal on a real disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from processor.journal import store


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a journal may be made."""
    return tmp_path / "journal"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of 4 KiB and copies of 2 KiB at a time, and no turn of the worker that the test did not ask for."""
    monkeypatch.setattr(store, "_MIN_SEGMENT_BYTES", 4096)
    monkeypatch.setattr(store, "_SEGMENTS", 1 << 40)
    monkeypatch.setattr(store, "_CARRY_BYTES", 2048)
    monkeypatch.setattr(store, "SETTLE_S", 3600.0)
    monkeypatch.setattr(store, "RETRY_S", 3600.0)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is sent at once, and again at once after a failure."""
    monkeypatch.setattr(store, "SETTLE_S", 0.0)
    monkeypatch.setattr(store, "RETRY_S", 0.0)
