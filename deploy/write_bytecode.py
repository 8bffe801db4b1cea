"""Runs the installed processor as an image's build step, so that Python leaves bytecode of what a run imports.

A container that may not write would compile at each start what lacks it, and the bytecode of everything that is
installed is more than twice as much. Fails where the processor does not get ready, take spans, or stop.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

COMMAND = Path(sys.executable).parent / "span-processor"
PREFIX = "SPAN_PROCESSOR_"
PATIENCE_S = 60.0
PROTOCOLS = {"a": "grpc", "b": "http/protobuf", "c": "http/json"}


def main() -> None:
    """One run to the terminal, and one with all that is imported only where it is wanted."""
    with tempfile.TemporaryDirectory() as folder:
        run_once(folder, {})
        run_once(folder, with_everything(folder))


def with_everything(folder: str) -> dict[str, str]:
    """A journal with a key, variables, and a downstream of each protocol, of which none is there."""
    variables = Path(folder) / "variables.json"
    variables.write_text('{"variables": {}}', encoding="utf-8")
    settings = {
        "JOURNAL_DIRECTORY": f"{folder}/journal", "JOURNAL_MAX_SIZE": "256MiB", "JOURNAL_KEY": "of this run alone",
        "VARIABLES_FILE": str(variables), "EXPORTERS": ",".join(PROTOCOLS), "SHUTDOWN_TIMEOUT": "1s",
    }  # fmt: skip
    for name, protocol in PROTOCOLS.items():
        settings[f"EXPORTER_{name.upper()}_OTLP_ENDPOINT"] = f"http://127.0.0.1:{free_port()}"
        settings[f"EXPORTER_{name.upper()}_OTLP_PROTOCOL"] = protocol
    return settings


def run_once(folder: str, settings: Mapping[str, str]) -> None:
    """Start, send over both transports, look, stop."""
    grpc, http, admin = (f"127.0.0.1:{free_port()}" for _ in range(3))
    listeners = {"RECEIVER_GRPC_ENDPOINT": grpc, "RECEIVER_HTTP_ENDPOINT": http, "ADMIN_ENDPOINT": admin}
    given = {f"{PREFIX}{name}": value for name, value in {**listeners, **settings}.items()}
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", **given}
    with subprocess.Popen([COMMAND, "run"], cwd=folder, env=environment) as process:
        try:
            wait_ready(process, f"http://{admin}/readyz")
            demo = [str(COMMAND), "demo", "--endpoint", f"http://{grpc}", "--traces", "1"]
            subprocess.run(demo, cwd=folder, env=environment, check=True)
            json_type = {"Content-Type": "application/json"}
            get(urllib.request.Request(f"http://{http}/v1/traces", b'{"resourceSpans": []}', json_type))
            get(f"http://{admin}/metrics")
            get(f"http://{admin}/status")
            process.terminate()
            if process.wait(PATIENCE_S) != 0:
                raise SystemExit(f"the processor stopped with {process.returncode}")
        finally:
            process.kill()


def wait_ready(process: subprocess.Popen[bytes], url: str) -> None:
    """Until it takes requests. Raises `SystemExit` where it never does."""
    deadline = time.monotonic() + PATIENCE_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            return get(url)
        time.sleep(0.05)
    raise SystemExit("the processor did not get ready")


def get(request: urllib.request.Request | str) -> None:
    """An answer of 200. Raises `OSError`."""
    urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def free_port() -> int:
    """A port of loopback that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


if __name__ == "__main__":
    main()
