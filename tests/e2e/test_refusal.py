"""A real backend that does not take what one sender wrote: nobody else loses a span by it."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import pytest
from messages import TRACES, call_grpc, make_request, make_span
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from running import Processor, eventually

from processor._pb import envelope_pb2

SENDERS = 40


class Strict:
    """A service as grpcio's generated code serves it: what its protobuf does not read it answers with INTERNAL.

    Nothing is answered before `gate` is set. `taken`: ids of the spans that it took; `refused`: how many spans were in
    each request that it did not read.
    """

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.taken: list[bytes] = []
        self.refused: list[int] = []
        handler = grpc.unary_unary_rpc_method_handler(
            self._export, self._read, ExportTraceServiceResponse.SerializeToString
        )
        service, _, method = TRACES.strip("/").rpartition("/")
        self._server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.so_reuseport", 0)])
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
        self.port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()

    def stop(self) -> None:
        """Stop listening."""
        self.gate.set()
        self._server.stop(0).wait()

    def _read(self, body: bytes) -> ExportTraceServiceRequest:
        self.gate.wait()
        try:
            return ExportTraceServiceRequest.FromString(body)
        except Exception:
            parts = envelope_pb2.Request.FromString(body).resource_spans
            self.refused.append(sum(len(scope.spans) for part in parts for scope in part.scope_spans))
            raise

    def _export(self, request: ExportTraceServiceRequest, _: grpc.ServicerContext) -> ExportTraceServiceResponse:
        spans = [span for part in request.resource_spans for scope in part.scope_spans for span in scope.spans]
        self.taken += [span.trace_id for span in spans]
        return ExportTraceServiceResponse()


@pytest.fixture
def strict() -> Iterator[Strict]:
    made = Strict()
    yield made
    made.stop()


def test_one_senders_bytes_cost_no_others_spans(run: Callable[..., Processor], strict: Strict) -> None:
    """S25, S27: what leaves together comes from several senders; what the backend cannot read is lost alone, counted."""
    processor = run(EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{strict.port}")
    ids = [secrets.token_bytes(16) for _ in range(SENDERS)]
    bad = SENDERS // 2
    for number, trace_id in enumerate(ids):
        span = make_span(trace_id, 1, user__id="ann").SerializeToString()
        body = make_request(span.replace(b"span-1", b"span-\xff") if number == bad else span)
        assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, body)[0]
    strict.gate.set()
    eventually(lambda: processor.accounting()["queued"] == 0)
    assert sorted(ids[:bad] + ids[bad + 1 :]) == sorted(strict.taken)
    accounting = processor.accounting()
    assert (SENDERS - 1, {"refused": 1}) == (accounting["exported"], accounting["lost"])
    assert strict.refused[0] > 1  # it had left together with others
    assert 1 == strict.refused[-1]
    assert 0 == processor.stop()
