"""The whole process: makes every object, starts and stops them in order. The only place that knows all rooms.

Start: settings → the journal's lock → admin endpoint → what the journal holds → listeners → queue. A problem until then
is a `SettingsError`, and nothing stays open.
Stop (S29): not ready → listeners stop → what is held is released → the queue drains → journal → admin endpoint → exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import secrets
import signal
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import IO, TYPE_CHECKING, Any, Final, cast

from processor import __version__, allocation
from processor.delivery import (
    TERMINAL,
    build_downstreams,
    forwarded_headers,
    resolve_downstreams,
)
from processor.exporters import exporters_of
from processor.header_names import HeaderNames
from processor.intake import WANTED_HEADERS, Intake
from processor.journal_settings import journaling_from, sealer_from
from processor.keeping import InMemory, Keeping
from processor.metrics import reading
from processor.metrics.destination import build_own_client, interval_s
from processor.metrics.metrics import Snapshot
from processor.observing import Observing
from processor.origin import Origins
from processor.pipeline_settings import build_pipeline, key_settings
from processor.readiness import Readiness
from processor.receive.admission import Admission
from processor.receive.receive import Listener
from processor.receiver_settings import Renewal, build_access, listen_addresses
from processor.settings import Settings, SettingsError, variable
from processor.status import report_waiting, status
from processor.telemetry import Accounting, Warnings

if TYPE_CHECKING:
    from processor.export.terminal import Terminal
    from processor.journaling import Journaling
    from processor.labelling import Labelling

LOG: Final = logging.getLogger("processor")

# Shares of MEMORY_LIMIT: requests in flight, and trees and queue together (S17).
_IN_FLIGHT_SHARE: Final = 0.25
_KEPT_SHARE: Final = 0.75
# What is left of the grace period when draining ends: time to exit in.
_EXIT_S: Final = 1.0
_LISTENER_GRACE_S: Final = 2.0
_REPORT_S: Final = 60.0
_MAX_HOPS: Final = 32
# A process's id. Nothing else of a sender's hop header goes on: it goes out with everybody's spans.
_HOPS: Final = re.compile(r"\b[0-9a-f]{32}\b")
_KEY_BYTES: Final = 32
# grpcio writes to standard error past every logger, and watches for forks that do not happen here.
_GRPC_QUIET: Final = {"GRPC_VERBOSITY": "NONE", "GRPC_ENABLE_FORK_SUPPORT": "0"}


def build_terminal(settings: Settings) -> Terminal:
    """The console view on standard output."""
    from rich.console import Console

    from processor.export.console import ConsoleView
    from processor.export.outlet import Outlet
    from processor.export.terminal import Terminal

    outlet = Outlet(sys.stdout)
    view = ConsoleView(Console(file=cast("IO[str]", outlet)), key_settings(settings), settings.roots == "any")
    return Terminal(view, outlet)


class Service:
    """One running processor. `run` returns the exit code."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._hop = uuid.uuid4().hex
        self._background: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._stop_since_s = 0.0
        self._signals = 0
        self._exit_code = 0
        self.access = build_access(settings, os.environ)
        found = resolve_downstreams(settings, listen_addresses(settings))
        own_client = build_own_client(settings, self._hop, listen_addresses(settings))
        own_interval_s = interval_s(os.environ)
        self.pipeline = build_pipeline(settings)
        self.labelling: Labelling | None = None
        if settings.variables_file is not None or settings.variables_url is not None:
            from processor.labelling import Labelling

            self.labelling = Labelling(settings, key_settings(settings), self.pipeline, time.monotonic)
        self.terminal = build_terminal(settings) if settings.exporter_kind == "console" else None
        on_drops = None
        if self.terminal is not None:
            self.pipeline.observer = self.terminal.view.observe
            on_drops = self.terminal.view.warn
        memory = settings.memory_limit
        kept_bytes = int(memory * _KEPT_SHARE)
        self._forwarded = forwarded_headers(settings)
        sealer = sealer_from(settings)
        # Traces that are known after a restart must have the same keys then.
        key = sealer.derive(b"trace keys") if sealer is not None else secrets.token_bytes(_KEY_BYTES)
        forwarded, tenants = HeaderNames(self._forwarded), HeaderNames(settings.tenant_headers)
        origins = Origins(forwarded, tenants, key, self.pipeline.forget_groups)
        # The last of what may find a problem in the settings: it locks a folder.
        self.journaling = journaling_from(settings, self.pipeline, tuple(found) or (TERMINAL,), origins, sealer)
        keeping: Keeping = self.journaling or InMemory()
        self.downstreams = build_downstreams(
            settings, self._hop, found, self.terminal, kept_bytes,
            lambda: self.pipeline.cost + keeping.cost_bytes, self.journaling,
        )  # fmt: skip
        self._hops: dict[str, None] = {}
        self.warnings = Warnings(settings.warn_sender)
        self.intake = Intake(self.pipeline, self.downstreams, origins, self.warnings, keeping, on_drops)
        self.admission = Admission(int(memory * _IN_FLIGHT_SHARE), self._hop)
        self.intake.on_hops = self._pass_on_hops
        self.intake.on_worked_off = self._on_done
        if self.labelling is not None:
            self.intake.on_traces = self.labelling.judge_drift
        self.listeners: dict[str, Listener] = {}
        self.readiness = Readiness(lambda: self.intake.is_full)
        self._sources = reading.Sources(
            self.intake, self.admission, self.warnings, self.labelling, self.journaling, memory
        )
        self._observing = Observing(
            settings.admin_endpoint, self.readiness, self.snapshot, self.status, own_client, own_interval_s
        )

    async def run(self, when_ready: Callable[[Service], Coroutine[Any, Any, None]] | None = None) -> int:
        """Start, serve until SIGTERM or SIGINT, stop; 0. Raises `SettingsError` where it cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        try:
            await self._observing.start()
            await self._start()
        except Exception:
            await self._stop_taking()
            await self._close()
            raise
        LOG.info("span-processor %s ready: %s", __version__, ", ".join(self._where()))
        if when_ready is not None:
            self._spawn(when_ready(self))
        allocation.settle()
        await self._stop.wait()
        await self._shut_down()
        return self._exit_code

    def address(self, name: str) -> str | None:
        """Where the listener of this variable listens; None where it is off."""
        listener = self.listeners.get(name)
        return listener.address if listener is not None else None

    def stop(self) -> None:
        """Ask a service to stop, running or still starting."""
        if not self._stop.is_set():
            self._stop_since_s = time.monotonic()
            self._stop.set()

    async def _start(self) -> None:
        if self.labelling is not None:
            await self.labelling.start()
            self._spawn(self.labelling.run())
        if self.journaling is not None:
            await self._recover(self.journaling)
        await self._listen()
        self.downstreams.start()
        self._spawn(Renewal(self.access, os.environ).run())
        self._spawn(self.intake.tick_forever())
        self._spawn(self._report_forever())
        if self.terminal is not None:
            self._spawn(self.terminal.show_forever(lambda: self.intake.accounting()[TERMINAL].numbers()))
        self.readiness.start()

    async def _recover(self, journaling: Journaling) -> None:
        """Take back what an earlier process acknowledged and did not deliver."""
        from processor.journal.journal import JournalFailed
        from processor.journal.sealer import WrongKey

        try:
            await journaling.restore(
                self.downstreams.recover, self.downstreams.lose_damaged, self.intake.flush_recovered, time.monotonic()
            )
        except WrongKey as error:
            problem = f"does not open what the journal holds ({error}); set the key that it was written with"
            raise SettingsError([f"{variable('journal_key')}: {problem}"]) from None
        except JournalFailed as error:
            problem = f"cannot be read now: {error}; name another"
            raise SettingsError([f"{variable('journal_directory')}: {problem}"]) from None
        for name, accounting in self.intake.accounting().items():
            if accounting.recovered:
                LOG.info("recovered %d spans from the journal, for %s", accounting.recovered, name)

    async def _listen(self) -> None:
        """Bind the listeners. An address that cannot be bound is a problem of its setting."""
        settings = self.settings
        size = settings.max_request_bytes
        wanted = [*WANTED_HEADERS, *self._forwarded]
        problems = []
        for name, endpoint in listen_addresses(settings).items():
            if "GRPC" in name:
                from processor.receive.grpc import GrpcListener
                from processor.receive.health import Health

                listener: Listener = GrpcListener(
                    endpoint, self.intake, self.admission, size, wanted, Health(self.readiness).handlers(), self.access
                )
            else:
                from processor.receive.http import HttpListener

                listener = HttpListener(endpoint, self.intake, self.admission, size, wanted, access=self.access)
            try:
                await listener.start()
            except OSError as error:
                problems.append(f"{name}: cannot listen on {endpoint}: {error}; choose a free port")
            else:
                self.listeners[name] = listener
        if problems:
            raise SettingsError(problems)

    def snapshot(self) -> Snapshot:
        """All metrics in this instant."""
        return reading.take_snapshot(self._sources)

    def status(self) -> Mapping[str, Any]:
        """What `/status` says in this instant."""
        found = dict(
            status(
                self.settings, self.readiness.state, self.intake, self.warnings, self.admission.refused,
                time.monotonic(),
            )
        )  # fmt: skip
        if self.labelling is not None:
            found["variables"] = self.labelling.status()
        if self.journaling is not None:
            found["journal"] = self.journaling.status()
        return found

    async def _report_forever(self) -> None:
        """Once a minute, who waits in vain (S15)."""
        while True:
            await asyncio.sleep(_REPORT_S)
            report_waiting(self.pipeline, self.settings, time.monotonic())

    async def _stop_taking(self) -> None:
        """Stop the listeners, and what runs besides."""
        await asyncio.gather(*(listener.stop(_LISTENER_GRACE_S) for listener in self.listeners.values()))
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _close(self) -> None:
        """Let go of downstreams, journal and admin endpoint."""
        await self.downstreams.close()
        if self.journaling is not None:
            await self.journaling.close()
        await self._observing.stop()

    async def _shut_down(self) -> None:
        """S29: everything that was accepted leaves, or is counted."""
        deadline = self._stop_since_s + max(self.settings.shutdown_timeout - _EXIT_S, 0.0)
        LOG.info("stopping: held=%d queue_bytes=%d", self.pipeline.held, self.downstreams.used_bytes)
        self.readiness.drain()
        self.admission.draining = True
        await self._stop_taking()
        await self.intake.release_all()
        await self.downstreams.drain(deadline)
        await self._close()
        accounting = self.intake.accounting()
        if self.terminal is not None:
            self.terminal.view.footer(accounting[TERMINAL].numbers())
            self.terminal.finish()
        for name, each in accounting.items():
            LOG.info(
                "stopped%s: accepted %d = exported %d + lost %d%s",
                f" {name}" if self.settings.exporters else "",
                each.accepted, each.exported, sum(each.lost.values()), self._journaled(each),
            )  # fmt: skip

    def _journaled(self, accounting: Accounting) -> str:
        """What the last log line says of the journal, where there is one."""
        if self.journaling is None:
            return ""
        return f" + journaled {accounting.journaled}, recovered {accounting.recovered}"

    def _pass_on_hops(self, path: str) -> None:
        """The processes that spans came through go on with them, so that a loop over several is broken (S30)."""
        for hop in _HOPS.findall(path)[:_MAX_HOPS]:
            self._hops.pop(hop, None)
            self._hops[hop] = None
        while len(self._hops) > _MAX_HOPS:
            del self._hops[next(iter(self._hops))]
        self.downstreams.mark(",".join([*self._hops, self._hop]))

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            raise SystemExit(0)
        self.stop()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._on_done)
        self._background.append(task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """A part of the process that fails takes the process down, loudly: better restarted than half alive."""
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a part of the processor failed", exc_info=task.exception())
            self._exit_code = 1
            self.stop()

    def _where(self) -> list[str]:
        tls = "" if self.access.certificates is None else " with TLS"
        where = [
            f"{'OTLP/gRPC' if 'GRPC' in name else 'OTLP/HTTP'} on {listener.address}{tls}"
            for name, listener in self.listeners.items()
        ]
        if self.terminal is not None:
            return [*where, "to the terminal"]
        return [*where, *(f"to {exporter.otlp_endpoint}" for exporter in exporters_of(self.settings))]


def run_service(settings: Settings, when_ready: Callable[[Service], Coroutine[Any, Any, None]] | None = None) -> int:
    """Run a processor in this process until it is told to stop; the exit code."""
    import uvloop

    allocation.prepare()
    for name, value in _GRPC_QUIET.items():
        os.environ.setdefault(name, value)

    async def main() -> int:
        return await Service(settings).run(when_ready)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner, contextlib.suppress(KeyboardInterrupt):
        return runner.run(main())
    return 0
