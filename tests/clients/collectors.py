"""The Collector as a process, with a configuration that a test makes: OTLP in over both transports, OTLP out."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from groups import GROUPS
from running import eventually, free_ports, is_listening

# Without a queue of its own it hands the answer that it gets on to its sender.
AT_ONCE = {"sending_queue": {"enabled": False}, "retry_on_failure": {"enabled": False}}


def exporter(protocol: str, port: int, compression: str) -> dict[str, Any]:
    """An exporter's configuration, under its name."""
    if protocol == "grpc":
        return {"otlp_grpc": {"endpoint": f"127.0.0.1:{port}", "compression": compression, "tls": {"insecure": True}}}
    encoding = protocol.removeprefix("http/").replace("protobuf", "proto")
    return {"otlp_http": {"endpoint": f"http://127.0.0.1:{port}", "compression": compression, "encoding": encoding}}


class Collector:
    """Runs within a `with` block. `exporters`: name to configuration; `ports`: where it takes each protocol."""

    def __init__(self, folder: Path, exporters: Mapping[str, Mapping[str, Any]]) -> None:
        grpc, http = free_ports(2)
        self.ports = {"grpc": grpc, "http/protobuf": http, "http/json": http}
        self._log = folder / "log"
        self._configuration = folder / "configuration.json"
        listeners = {name: {"endpoint": f"127.0.0.1:{port}"} for name, port in (("grpc", grpc), ("http", http))}
        pipeline = {"receivers": ["otlp"], "exporters": list(exporters)}
        configuration = {
            "receivers": {"otlp": {"protocols": listeners}},
            "exporters": {name: {**AT_ONCE, **told} for name, told in exporters.items()},
            "service": {"telemetry": {"metrics": {"level": "none"}}, "pipelines": {"traces": pipeline}},
        }
        self._configuration.write_text(json.dumps(configuration), encoding="utf-8")

    def __enter__(self) -> Self:
        command = [*GROUPS["collector"].client, "--config", f"file:{self._configuration}"]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            eventually(lambda: self._process.poll() is not None or all(map(is_listening, self.ports.values())))
            assert self._process.poll() is None, self._log.read_text(encoding="utf-8")
        except BaseException:
            self._process.kill()
            self._process.wait()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(timeout=20)
