"""Records what the application sends, for tests that run without Logfire's SDK: `python tests/clients/record.py`.

Each request is written with its length before it (4 bytes, big-endian). What is of this machine is left out.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RECORDED = HERE.parent / "labels" / "recorded"
sys.path.append(str(HERE.parent / "e2e"))

from backends import Backend  # noqa: E402  # after the path is set
from google.protobuf.internal.containers import RepeatedCompositeFieldContainer  # noqa: E402
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402

# File → protocol of the sink, further arguments of the application.
WAYS = {"requests.bin": ("grpc", ()), "pending.bin": ("http/protobuf", ("--pending",))}
MACHINE = ("code.", "host.", "os.", "process.", "service.instance.id")


def record(protocol: str, arguments: tuple[str, ...]) -> list[ExportTraceServiceRequest]:
    """Run the application against a sink; the requests in the order in which they came."""
    sink = Backend(protocol).start()
    try:
        command = [sys.executable, str(HERE / "application.py"), f"http://127.0.0.1:{sink.port}", *arguments]
        subprocess.run(command, check=True, timeout=60)
    finally:
        sink.stop()
    return [received.request for received in sink.received if received.request is not None]


def clean(request: ExportTraceServiceRequest) -> bytes:
    """The request without what is of this machine, in attributes and in what resolve spans tell of them."""
    for part in request.resource_spans:
        _cut(part.resource.attributes)
        for span in [span for scope in part.scope_spans for span in scope.spans]:
            _cut(span.attributes)
            for attribute in span.attributes:
                if attribute.key == "attributes":
                    told = json.loads(attribute.value.string_value)
                    kept = {key: value for key, value in told.items() if not key.startswith(MACHINE)}
                    attribute.value.string_value = json.dumps(kept, separators=(",", ":"))
    return request.SerializeToString()


def _cut(attributes: RepeatedCompositeFieldContainer) -> None:
    kept = [attribute for attribute in attributes if not attribute.key.startswith(MACHINE)]
    del attributes[:]
    attributes.extend(kept)


def main() -> None:
    """Write every file anew."""
    for name, (protocol, arguments) in WAYS.items():
        bodies = [clean(request) for request in record(protocol, arguments)]
        content = b"".join(len(body).to_bytes(4, "big") + body for body in bodies)
        (RECORDED / name).write_bytes(content)
        print(f"{RECORDED / name}: {len(bodies)} requests, {len(content)} bytes")


if __name__ == "__main__":
    main()
