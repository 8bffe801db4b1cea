"""The real process: `python -m processor` with nothing but environment variables, in an empty folder.

So it is the package that these tests import: the installed one, or the one that PYTHONPATH names.
"""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

import processor

PATIENCE_S = 20.0  # of a busy machine, before a test that waits for another process fails


def eventually(claim: Callable[[], Any], patience_s: float = PATIENCE_S) -> Any:
    """The first truthy value of a claim about another process."""
    deadline = time.monotonic() + patience_s
    while not (value := claim()):
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.01)
    return value


# Below the ports that the system gives to outgoing connections; none is handed out twice.
_PORTS = iter(random.sample(range(20_000, 32_000), 12_000))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    return [next(port for port in _PORTS if _is_free(port)) for _ in range(count)]


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def is_listening(port: int) -> bool:
    """Whether a connection to the port is taken."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process: what Python needs, and settings, names without prefix but for `OTEL_…`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH") if name in os.environ}
    source = str(Path(processor.__file__).parent.parent)
    given = {name if name.startswith("OTEL_") else f"SPAN_PROCESSOR_{name}": value for name, value in settings.items()}
    return {**kept, "PYTHONPATH": source, **given}


class Processor:
    """A process that runs the command line. `grpc_port`, `http_port`, `admin_port`: where it listens."""

    def __init__(self, folder: Path, arguments: Iterable[str] = ("run",), **settings: str) -> None:
        self.grpc_port, self.http_port, self.admin_port = free_ports(3)
        self.folder = folder
        self.settings = {
            "RECEIVER_GRPC_ENDPOINT": f"127.0.0.1:{self.grpc_port}",
            "RECEIVER_HTTP_ENDPOINT": f"127.0.0.1:{self.http_port}",
            "ADMIN_ENDPOINT": f"127.0.0.1:{self.admin_port}",
            **settings,
        }
        self._arguments = arguments
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def grpc_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.grpc_port}"

    @property
    def http_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.http_port}"

    def start(self) -> Processor:
        """Start the process, and do not wait for it."""
        with (self.folder / "out").open("wb") as out, (self.folder / "err").open("wb") as err:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "processor", *self._arguments],
                cwd=self.folder, env=environment(**self.settings), stdin=subprocess.DEVNULL, stdout=out, stderr=err,
            )  # fmt: skip
        return self

    def wait_ready(self) -> Processor:
        """Wait until it takes connections."""
        ports = (self.grpc_port, self.http_port, self.admin_port)
        eventually(lambda: not self.is_running or all(is_listening(port) for port in ports))
        assert self.is_running, self.err
        return self

    @property
    def is_running(self) -> bool:
        assert self._process is not None
        return self._process.poll() is None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def send_signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def wait(self, patience_s: float = PATIENCE_S) -> int:
        """Its exit code, as soon as it has one."""
        assert self._process is not None
        return self._process.wait(patience_s)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to stop; its exit code."""
        self.send_signal(number)
        return self.wait()

    def kill(self) -> None:
        """Leave nothing behind."""
        if self._process is not None and self.is_running:
            self._process.kill()
            self.wait()

    @property
    def out(self) -> str:
        return (self.folder / "out").read_text(encoding="utf-8")

    @property
    def err(self) -> str:
        return (self.folder / "err").read_text(encoding="utf-8")

    @property
    def log(self) -> list[dict[str, str]]:
        """Its log lines so far, all of them JSON."""
        return [json.loads(line) for line in self.err.splitlines()]

    def status(self) -> dict[str, Any]:
        """What `/status` says."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/status", timeout=PATIENCE_S) as answer:
            return dict(json.load(answer))

    def accounting(self) -> dict[str, Any]:
        """The accounting in one snapshot, which is balanced at all times (S25); with EXPORTERS one by each name."""
        accounting: dict[str, Any] = self.status()["accounting"]
        for each in accounting.values() if "balanced" not in accounting else (accounting,):
            assert each["balanced"], each
        return accounting


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Processor]]:
    """Start a processor with settings of its own; killed when the test is over. `is_awaited=False`: do not wait."""
    started: list[Processor] = []

    def run(*arguments: str, is_awaited: bool = True, **settings: str) -> Processor:
        folder = tmp_path / str(len(started))
        folder.mkdir()
        started.append(Processor(folder, arguments or ("run",), **settings).start())
        return started[-1].wait_ready() if is_awaited else started[-1]

    yield run
    for each in started:
        each.kill()
