"""Starts that fail and stops that come early: nothing is left open, nothing is lost."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import shutil
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from craft import request, span

from processor.journal import store
from processor.journal.store import open_journal
from processor.receive.receive import Request
from processor.service import Service
from processor.settings import Settings, SettingsError
from processor.signals import Signal

MiB = 1 << 20
MARK = b"of the one that waits"
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _collector() -> Iterator[None]:
    """Puts the collector of cycles back as it was: a process that is ready sets up its own."""
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)


def settings(folder: Path, **given: object) -> Settings:
    """Of a process with a journal, on ports of its own, before a downstream that is not there."""
    parts: dict[str, object] = {
        "exporter_otlp_endpoint": NOWHERE,
        "receiver_grpc_endpoint": "127.0.0.1:0",
        "receiver_http_endpoint": "off",
        "admin_endpoint": "off",
        "journal_directory": folder,
        "shutdown_timeout": 1.0,
    }
    return Settings(**{**parts, **given})  # type: ignore[arg-type]  # fields of several types


def is_free(folder: Path) -> bool:
    """Whether another process could take the journal."""
    asyncio.run(open_journal(str(folder), 64 * MiB).close())
    return True


async def hold(service: Service) -> None:
    """Have a started service hold a span, and stop it."""
    await service.intake.take(Request(Signal.TRACES, request(span(2, 1)), "grpc"))
    service.stop()


@pytest.mark.parametrize("name", ["admin_endpoint", "receiver_grpc_endpoint"])
def test_a_start_that_fails_lets_go_of_the_journal(name: str, tmp_path: Path) -> None:
    """A listener that cannot be bound is a problem of its setting, and leaves no lock behind."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        service = Service(settings(tmp_path / "journal", **{name: f"127.0.0.1:{taken.getsockname()[1]}"}))
        with pytest.raises(SettingsError, match=name.upper()):
            asyncio.run(service.run())
    assert is_free(tmp_path / "journal")


def test_a_setting_that_is_wrong_opens_no_journal(tmp_path: Path) -> None:
    """The journal is opened once all other settings were found right."""
    with pytest.raises(SettingsError, match="TELEMETRY_OTLP_ENDPOINT"):
        Service(settings(tmp_path / "journal", telemetry_otlp_endpoint="http://user@127.0.0.1:9"))
    assert not (tmp_path / "journal").exists()


async def leave(service: Service, folder: Path) -> None:
    """Have a started service hold a span; what a crash would leave of its journal is in `folder`."""
    await service.intake.take(Request(Signal.TRACES, request(span(2, 1, {"text": MARK.decode()})), "grpc"))
    assert service.settings.journal_directory is not None
    shutil.copytree(service.settings.journal_directory, folder)
    service.stop()


def test_a_journal_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that cannot be opened while the journal is read back is one line that names the setting, and costs
    nothing.
    """
    left = tmp_path / "left"
    assert 0 == asyncio.run(Service(settings(tmp_path / "journal")).run(lambda service: leave(service, left)))
    with monkeypatch.context() as patch:
        patch.setattr(store, "read_body", _fail)
        with pytest.raises(SettingsError, match=r"JOURNAL_DIRECTORY: cannot be read now: .*; name another"):
            asyncio.run(Service(settings(left)).run())
    service = Service(settings(left))
    service.stop()
    assert 0 == asyncio.run(service.run())
    assert 1 == service.intake.accounting()["otlp"].recovered


def test_held_spans_that_are_damaged(tmp_path: Path) -> None:
    """S25, F10: held spans whose bytes on disk are damaged are counted as lost, for every downstream."""
    left = tmp_path / "left"
    assert 0 == asyncio.run(Service(settings(tmp_path / "journal")).run(lambda service: leave(service, left)))
    (segment,) = [path for path in left.iterdir() if path.suffix == ".v1"]
    segment.write_bytes(segment.read_bytes().replace(MARK, MARK.upper()))
    service = Service(settings(left))
    service.stop()
    assert 0 == asyncio.run(service.run())
    accounting = service.intake.accounting()["otlp"]
    assert (1, {"damaged": 1}) == (accounting.recovered, accounting.lost)
    assert accounting.is_balanced


def test_a_stop_before_it_is_ready(tmp_path: Path) -> None:
    """S29, S25: who is told to stop while it takes the journal back leaves there what it cannot deliver."""
    assert 0 == asyncio.run(Service(settings(tmp_path / "journal")).run(hold))
    for _ in range(2):
        service = Service(settings(tmp_path / "journal"))
        service.stop()
        assert 0 == asyncio.run(service.run())
        accounting = service.intake.accounting()["otlp"]
        assert (1, 1) == (accounting.recovered, accounting.journaled)
        assert accounting.is_balanced


def test_the_grace_period_begins_with_the_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """S29: what the start takes after a stop was asked for is time that draining has not."""
    assert 0 == asyncio.run(Service(settings(tmp_path / "journal")).run(hold))
    service = Service(settings(tmp_path / "journal", shutdown_timeout=60.0))
    with monkeypatch.context() as patch:
        long_ago = time.monotonic() - 60.0
        patch.setattr(time, "monotonic", lambda: long_ago)
        service.stop()
    assert 0 == asyncio.run(asyncio.wait_for(service.run(), 20.0))
    assert 1 == service.intake.accounting()["otlp"].journaled


def _fail(*_: object) -> bytes:
    raise OSError(errno.EACCES, os.strerror(errno.EACCES))


class Broken:
    """A pipeline that has always work to do, and fails at it."""

    has_work = True

    def __init__(self, pipeline: Any) -> None:
        self._pipeline = pipeline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipeline, name)

    def work(self, max_spans: int) -> bool:
        raise RuntimeError("a bug")


def test_a_part_that_fails_ends_the_process(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What carries contexts down large traces is a part like any other: when it fails, the process says so and ends."""

    async def break_it(service: Service) -> None:
        service.intake.pipeline = Broken(service.pipeline)  # type: ignore[assignment]  # does what is asked of it
        await service.intake.take(Request(Signal.TRACES, request(span(1)), "grpc"))

    service = Service(settings(tmp_path, journal_directory=None))
    assert 1 == asyncio.run(asyncio.wait_for(service.run(break_it), 20.0))
    assert "a part of the processor failed" in caplog.messages
    assert service.intake.accounting()["otlp"].is_balanced
