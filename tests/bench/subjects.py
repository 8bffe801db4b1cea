"""What is measured: the relay, the processor compiled and not, the Collector. Each is a process with an OTLP port.

A subject says how it is launched at a place; `Running` starts and ends it. Nothing here knows what is measured.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Protocol, Self

from meter import Meter
from workload import GRPC, GRPC_TLS, HTTP

_FOLDER = Path(__file__).resolve().parent
_START_S = 20.0
_STOP_S = 10.0


class SubjectError(Exception):
    """A subject cannot be measured: it is not there, did not start, or died. One line that says why."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a subject is to listen and to send, each host:port, and a folder of its own.

    `sink_tls`: the sink behind TLS; `ca`, `certificate`, `key`: PEM files for whoever speaks it.
    """

    grpc: str
    http: str
    admin: str
    sink: str
    sink_tls: str
    ca: str
    certificate: str
    key: str
    scratch: Path


@dataclass(frozen=True, slots=True)
class Launch:
    """A command and the variables it gets beside those of this process."""

    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)


class Subject(Protocol):
    """Something that takes OTLP and sends it on."""

    def launch(self, place: Place) -> Launch:
        """How it is started there. Raises `SubjectError` where it cannot be."""
        ...


@dataclass(frozen=True, slots=True)
class Relay:
    """The anchor."""

    def launch(self, place: Place) -> Launch:
        return Launch((sys.executable, str(_FOLDER / "relay.py"), place.grpc, place.sink))


@dataclass(frozen=True, slots=True)
class Processor:
    """The processor at its defaults, but for `settings`: variables without prefix; the place's fields in braces.

    `python` has it installed. `source`: run the plain files of this package folder instead of what is installed.
    """

    python: str
    settings: Mapping[str, str] = field(default_factory=dict)
    source: Path | None = None

    def without_downstream(self) -> Processor:
        """The same, sending to where nobody listens."""
        return replace(self, settings={**self.settings, "EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"})

    def launch(self, place: Place) -> Launch:
        settings = {
            "RECEIVER_GRPC_ENDPOINT": place.grpc,
            "RECEIVER_HTTP_ENDPOINT": place.http,
            "ADMIN_ENDPOINT": place.admin,
            "EXPORTER_OTLP_ENDPOINT": f"http://{place.sink}",
            **{name: value.format_map(asdict(place)) for name, value in self.settings.items()},
        }
        environment = {f"SPAN_PROCESSOR_{name}": value for name, value in settings.items()}
        if self.source is None:
            self._require_compiled(place.scratch)
        else:
            environment["PYTHONPATH"] = str(_plain_copy(self.source, place.scratch))
        return Launch((self.python, "-m", "processor", "run"), environment)

    def _require_compiled(self, scratch: Path) -> None:
        """A figure of plain files must never pass for one of compiled modules."""
        tell = "import processor, pathlib; print(sum(1 for _ in pathlib.Path(processor.__file__).parent.rglob('*.so')))"
        told = subprocess.run([self.python, "-c", tell], cwd=scratch, capture_output=True, text=True, check=False)
        if told.returncode:
            raise SubjectError(f"{self.python} has no processor installed; name another with --python")
        if int(told.stdout) == 0:
            raise SubjectError(f"the processor of {self.python} is installed without compiled modules")


@dataclass(frozen=True, slots=True)
class Collector:
    """The OpenTelemetry Collector, configured by a file in `collector/`. `wait`: how long groupbytrace holds spans."""

    binary: Path
    configuration: str
    wait: str = "1s"

    def launch(self, place: Place) -> Launch:
        if not self.binary.exists():
            raise SubjectError(f"{self.binary} is not built")
        configuration = _FOLDER / "collector" / f"{self.configuration}.yaml"
        environment = {
            "BENCH_RECEIVER": place.grpc,
            "BENCH_SINK": place.sink,
            "BENCH_SCRATCH": str(place.scratch),
            "BENCH_WAIT": self.wait,
        }
        return Launch((str(self.binary), "--config", f"file:{configuration}"), environment)


class Running:
    """A started subject: its addresses by transport, and its meter. Ends with the `with` block.

    `admin`: the processor's admin endpoint; `started_s`: when it was launched, by the monotonic clock.

    `sink`: what the sink said when it was ready.
    """

    def __init__(self, subject: Subject, sink: Mapping[str, str], scratch: Path) -> None:
        grpc, http, admin = (f"127.0.0.1:{port}" for port in _free_ports(3))
        self.endpoints = {GRPC: grpc, GRPC_TLS: grpc, HTTP: http}
        self.admin = admin
        plain, tls, files = sink["endpoint"], sink["tls_endpoint"], (sink["ca"], sink["certificate"], sink["key"])
        launch = subject.launch(Place(grpc, http, admin, plain, tls, *files, scratch))
        self._log = scratch / "log"
        with self._log.open("wb") as log:
            self.started_s = time.monotonic()
            self._process = subprocess.Popen(
                launch.command, cwd=scratch, env={**_clean_environment(), **launch.environment}, stdout=log, stderr=log
            )
        self.meter = Meter(self._process.pid)

    def __enter__(self) -> Self:
        try:
            self._wait_until_listening()
        except SubjectError:
            self.kill()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once: what it holds need not be drained."""
        self._process.kill()
        self._process.wait()

    def require_alive(self) -> None:
        """Raises `SubjectError` where the process has ended by itself."""
        if (code := self._process.poll()) is not None:
            lines = self._log.read_text(errors="replace").strip().splitlines() or ["it said nothing"]
            raise SubjectError(f"ended with code {code}: {lines[-1][:300]}")

    def _wait_until_listening(self) -> None:
        host, _, port = self.endpoints[GRPC].rpartition(":")
        until = time.monotonic() + _START_S
        while time.monotonic() < until:
            self.require_alive()
            try:
                socket.create_connection((host, int(port)), timeout=1).close()
            except OSError:
                time.sleep(0.01)
                continue
            return
        raise SubjectError(f"did not listen within {_START_S:g} s")


def _clean_environment() -> dict[str, str]:
    """This process's variables without those that would steer a subject."""
    steering = ("SPAN_PROCESSOR_", "OTEL_", "PYTHON", "GRPC_", "MALLOC_", "GOGC", "GOMEMLIMIT", "GOMAXPROCS")
    return {name: value for name, value in os.environ.items() if not name.startswith(steering)}


def _plain_copy(source: Path, scratch: Path) -> Path:
    """A folder with the package's plain files only: beside a compiled module Python would take that one."""
    plain = scratch / "plain" / source.name
    shutil.copytree(source, plain, ignore=shutil.ignore_patterns("*.so", "__pycache__"), dirs_exist_ok=True)
    return scratch / "plain"


def _free_ports(number: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports
