"""The backend of a run: counts requests, bytes and every span, and looks into a sample.

A process of its own. Between `reset` and `report` it keeps one small record a request; where `keep` is asked for, the
requests too, to find each one's time of travel when the run is over and nobody waits.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from wire import EXPORT_TRACES, LeanView
from worker import Answer, serve

sys.path.append(str(Path(__file__).resolve().parents[1] / "receive"))

from authority import Authority  # after the path is set

_SAMPLE_EVERY = 128
_SAMPLES = 8


class Sink(grpc.GenericRpcHandler):  # type: ignore[misc]  # grpcio has no annotations
    """What arrived since the last `reset`. The server's threads only append to lists."""

    def __init__(self) -> None:
        self._view = LeanView()
        self._handler = grpc.unary_unary_rpc_method_handler(self._take)
        self.reset()

    def service(self, handler_call_details: Any) -> Any:
        return self._handler if handler_call_details.method == EXPORT_TRACES else None

    def _take(self, body: bytes, _context: Any) -> bytes:
        arrived_ns = time.monotonic_ns()
        seen = len(self._records)
        if self._keep:
            self._kept.append((arrived_ns, body))
        elif seen % _SAMPLE_EVERY == 0 and len(self._sample) < _SAMPLES:
            self._sample.append(body)
        self._records.append((arrived_ns, len(body), self._view.count(body)))
        return b""

    def reset(self, keep: bool = False) -> Answer:
        """Forget everything. `keep`: hold on to requests until the report, which then has times of travel."""
        self._keep = keep
        self._records: list[tuple[int, int, int]] = []
        self._kept: list[tuple[int, bytes]] = []
        self._sample: list[bytes] = []
        return {}

    def count(self) -> Answer:
        """How many spans arrived so far."""
        return {"spans": sum(spans for _, _, spans in self._records)}

    def report(self, keys: Sequence[str] = ()) -> Answer:
        """Totals, and how many of the sampled spans lack one of the attributes `keys` or disagree with their trace."""
        records = self._records
        checked, wrong = _check(self._sample, tuple(keys))
        return {
            "requests": len(records),
            "bytes": sum(size for _, size, _ in records),
            "spans": sum(spans for _, _, spans in records),
            "last_arrival_ns": max((arrived_ns for arrived_ns, _, _ in records), default=0),
            "checked": checked,
            "wrong": wrong,
            **self._travel(),
        }

    def _travel(self) -> Answer:
        """Milliseconds from when a request was due to be sent, which its trace ids say, to when its spans arrived."""
        took_ms = sorted(
            (arrived_ns - sent_ns) / 1e6
            for arrived_ns, body in self._kept
            for sent_ns in {int.from_bytes(self._view.trace_id(span)[:8], "big") for span in self._view.spans(body)}
        )
        if len(took_ms) < 2:
            return {}
        return {"p50_ms": statistics.median(took_ms), "p99_ms": took_ms[int(len(took_ms) * 0.99)]}


def _check(sample: Sequence[bytes], keys: tuple[str, ...]) -> tuple[int, int]:
    """Spans looked at, and those that lack a key or say something else than another span of their trace."""
    checked = wrong = 0
    said: dict[bytes, list[str]] = {}
    for body in sample if keys else ():
        for resource_spans in ExportTraceServiceRequest.FromString(body).resource_spans:
            for scope_spans in resource_spans.scope_spans:
                for span in scope_spans.spans:
                    values = {one.key: one.value.string_value for one in span.attributes}
                    own = [values.get(key, "") for key in keys]
                    checked += 1
                    wrong += not all(own) or said.setdefault(span.trace_id, own) != own
    return checked, wrong


def main() -> None:
    """Listen on free ports, plain and TLS, say which and what certificates there are, and answer commands."""
    with TemporaryDirectory(prefix="bench-") as folder:
        _serve(Path(folder))


def _serve(folder: Path) -> None:
    authority = Authority(folder)
    pair = authority.issue("server")
    credentials = grpc.ssl_server_credentials([(pair.key.read_bytes(), pair.certificate.read_bytes())])
    sink = Sink()
    server = grpc.server(ThreadPoolExecutor(4), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((sink,))
    port = server.add_insecure_port("127.0.0.1:0")
    tls_port = server.add_secure_port("127.0.0.1:0", credentials)
    server.start()
    ready = {
        "endpoint": f"127.0.0.1:{port}",
        "tls_endpoint": f"127.0.0.1:{tls_port}",
        "ca": str(authority.ca),
        "certificate": str(pair.certificate),
        "key": str(pair.key),
    }
    serve(ready, {"reset": sink.reset, "count": sink.count, "report": sink.report})
    server.stop(None)


if __name__ == "__main__":
    main()
