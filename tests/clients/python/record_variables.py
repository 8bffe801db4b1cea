"""Records what variables.py sends: `python tests/clients/python/record_variables.py`, after `make test-clients GROUPS=python`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent.parent
sys.path += [str(HERE.parent), str(TESTS / "e2e")]

from groups import GROUPS  # noqa: E402  # after the path is set
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest  # noqa: E402
from recording import MACHINE, clean, record, write  # noqa: E402

# File → protocol of the sink, further arguments of the application.
WAYS = {"requests.bin": ("grpc", ()), "pending.bin": ("http/protobuf", ("--pending",))}


def clean_told(request: ExportTraceServiceRequest) -> None:
    """Leave out what resolve spans tell of this machine in their `attributes`."""
    spans = [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]
    for attribute in [attribute for span in spans for attribute in span.attributes if attribute.key == "attributes"]:
        told = json.loads(attribute.value.string_value)
        kept = {key: value for key, value in told.items() if not key.startswith(MACHINE)}
        attribute.value.string_value = json.dumps(kept, separators=(",", ":"))


def main() -> None:
    """Write every file anew."""
    for name, (protocol, arguments) in WAYS.items():
        requests = record([*GROUPS["python"].client, str(HERE / "variables.py"), "{sink}", *arguments], protocol)
        for request in requests:
            clean(request)
            clean_told(request)
        write(TESTS / "labels" / "recorded" / name, requests)


if __name__ == "__main__":
    main()
