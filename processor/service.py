"""The whole process: makes every object, starts and stops them in order. The only place that knows all rooms.

Start: settings → downstream → pipeline → listeners → queue. A problem until then is a `SettingsError`.
Stop (S29): not ready → listeners stop → what is held is released → the queue drains → exit.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import Callable, Coroutine, Mapping
from typing import IO, TYPE_CHECKING, Any, Final, cast

from processor import __version__, allocation
from processor.attributes.keys import CarriedKeys, KeySettings
from processor.attributes.pseudonyms import Pseudonyms
from processor.export.batch import Limits
from processor.export.endpoint import addresses, downstream_from, own_listener
from processor.export.export import Client
from processor.export.queue import Queue
from processor.export.split import split_request
from processor.intake import WANTED_HEADERS, Intake
from processor.pipeline import Pipeline
from processor.receive.admission import Admission
from processor.receive.receive import Listener
from processor.receiver_settings import Renewal, build_access, describe_access
from processor.settings import Settings, SettingsError, variable
from processor.status import report_waiting, status
from processor.telemetry import Warnings
from processor.trace.settings import FILL_NONE, FILL_ORPHANS, FILL_TRACE, TreeSettings

if TYPE_CHECKING:
    from processor.export.terminal import Terminal
    from processor.labelling import Labelling

LOG: Final = logging.getLogger("processor")

_FILLS: Final = {"none": FILL_NONE, "orphans": FILL_ORPHANS, "trace": FILL_TRACE}
# Shares of MEMORY_LIMIT: requests in flight, and trees and queue together (S17).
_IN_FLIGHT_SHARE: Final = 0.25
_KEPT_SHARE: Final = 0.75
# What is left of the grace period when draining ends: time to exit in.
_EXIT_S: Final = 1.0
_LISTENER_GRACE_S: Final = 2.0
_REPORT_S: Final = 60.0
_MAX_HOPS: Final = 32
# grpcio writes to standard error past every logger, and watches for forks that do not happen here.
_GRPC_QUIET: Final = {"GRPC_VERBOSITY": "NONE", "GRPC_ENABLE_FORK_SUPPORT": "0"}


def key_settings(settings: Settings) -> KeySettings:
    """The key lists of the settings."""
    return KeySettings(
        settings.user_id_keys,
        settings.user_id_fallback_keys,
        settings.session_id_keys,
        settings.session_id_fallback_keys,
        settings.baggage_keys,
    )


def build_pipeline(settings: Settings) -> Pipeline:
    """The pipeline that the settings ask for."""
    tree = TreeSettings(
        settings.roots == "any",
        _FILLS[settings.fill],
        settings.trace_quiet,
        settings.max_wait,
        settings.remember_traces,
        settings.remember_for,
        settings.max_spans_per_trace,
    )
    keys = CarriedKeys(key_settings(settings))
    return Pipeline(
        keys,
        tree,
        settings.max_value_length,
        settings.batch_max_spans,
        settings.batch_max_size,
        build_pseudonyms(settings),
    )


def build_pseudonyms(settings: Settings) -> Pseudonyms | None:
    """What stands for user ids on spans that leave; None where they leave in clear."""
    if settings.hash_user_id_key is None:
        return None
    secret = settings.hash_user_id_key.get_secret_value().encode()
    return Pseudonyms(secret, settings.user_id_keys + settings.user_id_fallback_keys)


def build_terminal(settings: Settings) -> Terminal:
    """The console view on standard output."""
    from rich.console import Console

    from processor.export.console import ConsoleView
    from processor.export.outlet import Outlet
    from processor.export.terminal import Terminal

    outlet = Outlet(sys.stdout)
    view = ConsoleView(Console(file=cast("IO[str]", outlet)), key_settings(settings), settings.roots == "any")
    return Terminal(view, outlet)


def listen_addresses(settings: Settings) -> dict[str, str]:
    """The receivers that are on: variable → host:port."""
    names = ("receiver_grpc_endpoint", "receiver_http_endpoint")
    return {variable(name): getattr(settings, name) for name in names if getattr(settings, name) != "off"}


def build_client(settings: Settings, hop: str) -> Client:
    """The client of the downstream that the settings name. Raises `SettingsError`."""
    downstream = downstream_from(settings)
    problem = own_listener(downstream, listen_addresses(settings))
    if problem:
        raise SettingsError([problem])
    if downstream.protocol == "grpc":
        from processor.export.otlp_grpc import GrpcClient

        return GrpcClient(downstream, hop)
    from processor.export.otlp_http import HttpClient

    return HttpClient(downstream, hop)


class Service:
    """One running processor. `run` returns the exit code."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.is_ready = False
        self._hop = uuid.uuid4().hex
        self._background: list[asyncio.Task[None]] = []
        self._stop = asyncio.Event()
        self._signals = 0
        self._exit_code = 0
        self.access = build_access(settings, os.environ)
        self.pipeline = build_pipeline(settings)
        self.terminal = build_terminal(settings) if settings.exporter_kind == "console" else None
        client: Client = self.terminal or build_client(settings, self._hop)
        on_drops = None
        if self.terminal is not None:
            self.pipeline.observer = self.terminal.view.observe
            on_drops = self.terminal.view.warn
        memory = settings.memory_limit
        limits = Limits(
            capacity_bytes=int(memory * _KEPT_SHARE),
            batch_max_items=settings.batch_max_spans,
            batch_max_bytes=settings.batch_max_size,
            batch_max_delay_s=settings.batch_max_delay,
            max_age_s=settings.queue_max_age,
        )
        self.queue = Queue(client, limits, split=split_request)
        self._client = client
        self._hops: dict[str, None] = {}
        self.warnings = Warnings(settings.warn_sender)
        self.intake = Intake(self.pipeline, self.queue, self.warnings, int(memory * _KEPT_SHARE), on_drops)
        self.admission = Admission(int(memory * _IN_FLIGHT_SHARE), self._hop)
        self.intake.on_hops = self._pass_on_hops
        self.labelling: Labelling | None = None
        if settings.variables_file is not None or settings.variables_url is not None:
            from processor.labelling import Labelling

            self.labelling = Labelling(settings, key_settings(settings), self.pipeline, time.monotonic)
            self.intake.on_traces = self.labelling.judge_drift
        self.listeners: dict[str, Listener] = {}
        self.admin: Listener | None = None

    async def run(self, when_ready: Callable[[Service], Coroutine[Any, Any, None]] | None = None) -> int:
        """Start, serve until SIGTERM or SIGINT, stop; 0. Raises `SettingsError` where it cannot start."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_signal)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)
        await self._start()
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
        """Ask a running service to stop."""
        self._stop.set()

    async def _start(self) -> None:
        if self.labelling is not None:
            await self.labelling.start()
            self._spawn(self.labelling.run())
        await self._listen()
        await self._start_admin()
        self.queue.start()
        self._spawn(Renewal(self.access, os.environ).run())
        self._spawn(self.intake.tick_forever())
        self._spawn(self._report_forever())
        if self.terminal is not None:
            self._spawn(self.terminal.show_forever(lambda: self.intake.accounting().numbers()))
        self.is_ready = True

    async def _listen(self) -> None:
        """Bind the listeners. An address that cannot be bound is a problem of its setting."""
        settings = self.settings
        size = settings.max_request_bytes
        problems = []
        for name, endpoint in listen_addresses(settings).items():
            if "GRPC" in name:
                from processor.receive.grpc import GrpcListener

                listener: Listener = GrpcListener(
                    endpoint, self.intake, self.admission, size, WANTED_HEADERS, access=self.access
                )
            else:
                from processor.receive.http import HttpListener

                listener = HttpListener(endpoint, self.intake, self.admission, size, WANTED_HEADERS, access=self.access)
            try:
                await listener.start()
            except OSError as error:
                problems.append(f"{name}: cannot listen on {endpoint}: {error}; choose a free port")
            else:
                self.listeners[name] = listener
        if problems:
            await self._stop_listeners()
            raise SettingsError(problems)

    async def _start_admin(self) -> None:
        endpoint = self.settings.admin_endpoint
        if endpoint == "off":
            return
        from processor.admin import AdminApp
        from processor.receive.server import HttpServer

        self.admin = HttpServer(endpoint, AdminApp(self.status, lambda: self.is_ready))
        try:
            await self.admin.start()
        except OSError as error:
            self.admin = None
            await self._stop_listeners()
            problem = f"{variable('admin_endpoint')}: cannot listen on {endpoint}: {error}; choose a free port, or off"
            raise SettingsError([problem]) from None

    def status(self) -> Mapping[str, Any]:
        """What `/status` says in this instant."""
        found = dict(
            status(self.settings, self.intake, self.queue, self.warnings, self.admission.refused, time.monotonic())
        )
        if self.labelling is not None:
            found["variables"] = self.labelling.status()
        return found

    async def _report_forever(self) -> None:
        """Once a minute, who waits in vain (S15)."""
        while True:
            await asyncio.sleep(_REPORT_S)
            report_waiting(self.pipeline, self.settings, time.monotonic())

    async def _stop_listeners(self) -> None:
        await asyncio.gather(*(listener.stop(_LISTENER_GRACE_S) for listener in self.listeners.values()))

    async def _shut_down(self) -> None:
        """S29: everything that was accepted leaves, or is counted."""
        deadline = time.monotonic() + max(self.settings.shutdown_timeout - _EXIT_S, 0.0)
        self.is_ready = False
        self.admission.draining = True
        await self._stop_listeners()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self.intake.release_all()
        await self.queue.drain(deadline)
        await self.queue.close()
        if self.admin is not None:
            await self.admin.stop(0)
        accounting = self.intake.accounting()
        if self.terminal is not None:
            self.terminal.view.footer(accounting.numbers())
            self.terminal.finish()
        LOG.info(
            "stopped: accepted %d = exported %d + lost %d",
            accounting.accepted, accounting.exported, sum(accounting.lost.values()),
        )  # fmt: skip

    def _pass_on_hops(self, path: str) -> None:
        """The processes that spans came through go on with them, so that a loop over several is broken (S30)."""
        for hop in path.split(",")[:_MAX_HOPS]:
            self._hops.pop(hop.strip(), None)
            self._hops[hop.strip()] = None
        while len(self._hops) > _MAX_HOPS:
            del self._hops[next(iter(self._hops))]
        self._client.hop = ",".join([*self._hops, self._hop])

    def _on_signal(self) -> None:
        self._signals += 1
        if self._signals > 1:
            raise SystemExit(0)
        self._stop.set()

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        task.add_done_callback(self._on_done)
        self._background.append(task)

    def _on_done(self, task: asyncio.Task[None]) -> None:
        """A part of the process that fails takes the process down, loudly: better restarted than half alive."""
        if not task.cancelled() and task.exception() is not None:
            LOG.error("a part of the processor failed", exc_info=task.exception())
            self._exit_code = 1
            self._stop.set()

    def _where(self) -> list[str]:
        tls = "" if self.access.certificates is None else " with TLS"
        where = [
            f"{'OTLP/gRPC' if 'GRPC' in name else 'OTLP/HTTP'} on {listener.address}{tls}"
            for name, listener in self.listeners.items()
        ]
        downstream = self.settings.exporter_otlp_endpoint
        return [
            *where,
            f"to {downstream}" if downstream and self.settings.exporter_kind == "otlp" else "to the terminal",
        ]


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


def check_settings(settings: Settings) -> list[str]:
    """What `span-processor check` says of settings that can be used. Raises `SettingsError` with every problem."""
    from processor.variable_settings import check_variables

    problems: list[str] = []
    lines = ["settings: good"]
    for check in (_check_access, check_variables, _check_downstream):
        try:
            lines += check(settings) or []
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return lines


def _check_access(settings: Settings) -> list[str]:
    return [describe_access(build_access(settings, os.environ))]


def _check_downstream(settings: Settings) -> list[str]:
    if settings.exporter_kind == "console":
        return ["downstream: the terminal"]
    downstream = downstream_from(settings)
    problem = own_listener(downstream, listen_addresses(settings))
    if problem:
        raise SettingsError([problem])
    resolves = bool(addresses(downstream.host, downstream.port))
    remark = "" if resolves else ", a name that does not resolve now"
    return [f"downstream: {downstream.protocol} to {downstream.target}{remark}"]
