"""OTLP's signals and the names that each has on the wire. A table, nothing else."""

from __future__ import annotations

from enum import Enum

# Lists, comma-separated, the ids of the processes that a request came through, so that a loop is broken (S30).
HOP_HEADER = "x-span-processor-hop"


class Signal(Enum):
    """One of OTLP's signals, with its gRPC method and HTTP path (OTLP specification 1.11.0)."""

    TRACES = "traces"
    METRICS = "metrics"
    LOGS = "logs"

    @property
    def grpc_service(self) -> str:
        """The full gRPC service name."""
        return f"opentelemetry.proto.collector.{_SERVICE[self][0]}.v1.{_SERVICE[self][1]}"

    @property
    def grpc_method(self) -> str:
        """The full gRPC method path, as a channel wants it."""
        return f"/{self.grpc_service}/Export"

    @property
    def http_path(self) -> str:
        """The default path of OTLP/HTTP, without a leading slash."""
        return f"v1/{self.value}"


_SERVICE = {
    Signal.TRACES: ("trace", "TraceService"),
    Signal.METRICS: ("metrics", "MetricsService"),
    Signal.LOGS: ("logs", "LogsService"),
}
