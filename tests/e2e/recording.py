"""Records what an application sends, for tests that run without its libraries. What is of this machine is left out.

A recording is a file of requests, each with its length before it (4 bytes, big-endian).
"""

from __future__ import annotations

import getpass
import os
import re
import socket
import subprocess
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from backends import Backend
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

MACHINE = (
    "code.",
    "gen_ai.openai.api_base",
    "host.",
    "os.",
    "process.",
    "server.",
    "service.instance.id",
    "telemetry.distro.",
)


def record(
    command: Sequence[str], protocol: str, environment: Mapping[str, str] | None = None
) -> list[ExportTraceServiceRequest]:
    """Run a command against a sink, whose endpoint `{sink}` stands for; the requests in the order in which they came."""
    sink = Backend(protocol).start()
    endpoint = f"http://127.0.0.1:{sink.port}"
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    told = {name: text.format(sink=endpoint) for name, text in (environment or {}).items()}
    try:
        with tempfile.TemporaryDirectory() as empty:  # some libraries tell the commit of the folder that they run in
            arguments = [part.format(sink=endpoint) for part in command]
            subprocess.run(arguments, cwd=empty, env=kept | told, check=True, timeout=60)
    finally:
        sink.stop()
    return sink.requests()


def clean(request: ExportTraceServiceRequest) -> None:
    """Leave out what is of this machine."""
    for part in request.resource_spans:
        _cut(part.resource.attributes)
        for scope in part.scope_spans:
            for span in scope.spans:
                _cut(span.attributes)


def _cut(attributes: RepeatedCompositeFieldContainer) -> None:
    kept = [attribute for attribute in attributes if not attribute.key.startswith(MACHINE)]
    del attributes[:]
    attributes.extend(kept)


def write(file: Path, requests: Iterable[ExportTraceServiceRequest]) -> None:
    """Write a recording. Raises `ValueError` where it names this machine, its folders or its user."""
    bodies = [request.SerializeToString() for request in requests]
    content = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
    for name in {socket.gethostname(), str(Path.home()), os.getcwd(), getpass.getuser()}:
        if re.search(rb"\b" + re.escape(name.encode()) + rb"\b", content):
            raise ValueError(f"{file.name} would say {name!r}")
    file.write_bytes(content)
    print(f"{file.name}: {len(bodies)} requests, {len(content)} bytes")
