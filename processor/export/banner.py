"""What is said at the start, to people: where it listens, and how to point an SDK at it. ASCII, at most 80 columns."""

from __future__ import annotations

import sys
from typing import Final, TextIO

from processor import __version__
from processor.units import split_endpoint

# Addresses that mean every interface: nobody can be pointed at them.
_ANYWHERE: Final = ("0.0.0.0", "::", "*")  # noqa: S104 - compared with, not bound to


def banner(grpc: str | None, http: str | None, view: bool, file: TextIO | None = None) -> None:
    """Where it listens (`host:port`, None where it does not), and whether traces are shown here."""
    listeners = (("OTLP/gRPC", grpc), ("OTLP/HTTP", http))
    receiving = ", ".join(f"{protocol} {address}" for protocol, address in listeners if address is not None)
    lines = [f"span-processor {__version__}", f"  receives  {receiving or 'nothing: both listeners are off'}"]
    if view:
        lines.append("  shows     traces here as trees, for no downstream is set")
    print(*lines, sep="\n", file=file or sys.stdout, flush=True)


def how_to_point(grpc: str | None, http: str | None, file: TextIO | None = None) -> None:
    """How to send spans here, and how to have the same spans reach a backend."""
    lines: list[str] = []
    for address, protocol in ((grpc, "grpc"), (http, "http/protobuf")):
        if address is not None:
            lines.append("  or, by HTTP:" if lines else "  To send traces here, set for your application:")
            lines.append(f"    OTEL_EXPORTER_OTLP_ENDPOINT=http://{_reachable(address)}")
            lines.append(f"    OTEL_EXPORTER_OTLP_PROTOCOL={protocol}")
    if lines:
        lines.append("  To have the same spans reach a backend, set for this processor:")
        lines.append("    SPAN_PROCESSOR_EXPORTER_OTLP_ENDPOINT=https://backend.example:4317")
        print(*lines, sep="\n", file=file or sys.stdout, flush=True)


def _reachable(address: str) -> str:
    """The address as a client on this machine writes it."""
    host, port = split_endpoint(address)
    if host in _ANYWHERE:
        host = "localhost"
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
