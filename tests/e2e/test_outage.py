"""Downstreams that go and come, and senders that send more than fits."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from messages import TRACES, attributes, call_grpc, call_http, make_request, make_span
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from running import PATIENCE_S, Processor, eventually, free_ports

CAPACITY = {"MEMORY_LIMIT": "64MiB"}
SPANS_A_REQUEST = 100


def make_sdk_spans() -> Any:
    """Two spans of the SDK, ready to be exported."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("checkout")
    with tracer.start_as_current_span("root", attributes={"user.id": "ann"}), tracer.start_as_current_span("child"):
        pass
    provider.shutdown()
    return memory.get_finished_spans()


def make_exporter(transport: str, processor: Processor) -> Any:
    """An exporter of the SDK, patient enough for a busy machine."""
    if transport == "grpc":
        return GrpcExporter(endpoint=processor.grpc_endpoint, timeout=PATIENCE_S)
    return HttpExporter(endpoint=f"{processor.http_endpoint}/v1/traces", timeout=PATIENCE_S)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_backend_that_comes_late(protocol: str, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S25, S27: what is sent while the downstream is down arrives when it is up, once, and nothing is lost."""
    to = backend(protocol, port=free_ports(1)[0])
    processor = run(**to.settings)
    for number in range(1, 6):
        assert (
            b"" == call_grpc(processor.grpc_port, make_request(make_span(bytes([number]) * 16, 1, user__id="ann")))[1]
        )
    eventually(lambda: any("unavailable" in line["message"] for line in processor.log))
    assert (5, 5) == (processor.accounting()["accepted"], processor.accounting()["queued"])
    to.start()
    spans = to.collect(5)
    assert 0 == processor.stop()
    assert [1, 2, 3, 4, 5] == sorted(span.trace_id[0] for span in to.spans())
    assert [{"user.id": "ann"}] * 5 == [attributes(span) for span in spans]
    assert "available again" in "".join(line["message"] for line in processor.log)


def test_a_backend_that_goes_and_comes(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S25, S27: a downstream that restarts on its port gets what was sent meanwhile."""
    first = backend().start()
    processor = run(**first.settings)
    call_grpc(processor.grpc_port, make_request(make_span(b"a" * 16, 1)))
    first.collect(1)
    first.stop()
    call_grpc(processor.grpc_port, make_request(make_span(b"b" * 16, 1)))
    eventually(lambda: any("unavailable" in line["message"] for line in processor.log))
    second = backend(port=first.port).start()
    second.collect(1, b"b" * 16)
    assert {} == processor.accounting()["lost"]


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_a_processor_that_comes_late(
    transport: str, run: Callable[..., Any], backend: Callable[..., Any], tmp_path: Any
) -> None:
    """The SDK's own retries bridge the start of the process, so an application may start first."""
    to = backend().start()
    folder = tmp_path / "late"
    folder.mkdir()
    processor = Processor(folder, **to.settings)
    results: list[Any] = []
    exporter = make_exporter(transport, processor)
    sender = threading.Thread(target=lambda: results.append(exporter.export(make_sdk_spans())))
    sender.start()
    try:
        processor.start().wait_ready()
        sender.join()
        assert ["SUCCESS"] == [result.name for result in results]
        assert ["ann", "ann"] == [attributes(span)["user.id"] for span in to.collect(2)]
        assert 0 == processor.stop()
    finally:
        sender.join()
        exporter.shutdown()
        processor.kill()


def test_more_than_fits(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S26, S17, S25: a full processor says when to come back, in 1 or 2 s, drops nothing, and recovers."""
    to = backend(port=free_ports(1)[0])
    processor = run(**CAPACITY, **to.settings)
    accepted = 0
    bodies = make_bodies()
    code, trailers = grpc.StatusCode.OK, dict[str, bytes]()
    while code is grpc.StatusCode.OK:
        code, _, trailers = call_grpc(processor.grpc_port, next(bodies))
        accepted += code is grpc.StatusCode.OK
        assert accepted < 200
    assert grpc.StatusCode.UNAVAILABLE is code
    assert {1, 2} >= retry_delays(trailers)
    status, headers, _ = call_http(processor.http_port, next(bodies))
    assert (503, True) == (status, headers["retry-after"] in ("1", "2"))
    assert accepted * SPANS_A_REQUEST == processor.accounting()["accepted"]

    to.start()
    last = next(bodies)
    eventually(lambda: call_grpc(processor.grpc_port, last)[0] is grpc.StatusCode.OK)
    spans = to.collect((accepted + 1) * SPANS_A_REQUEST)
    assert (accepted + 1) * SPANS_A_REQUEST == len({(span.trace_id, span.span_id) for span in spans}) == len(spans)
    assert 0 == processor.stop()
    assert processor.log[-1]["message"].endswith("lost 0")


def make_bodies() -> Any:
    """Requests of 1 MiB, each a trace of its own."""
    number = 0
    while True:
        number += 1
        trace_id = number.to_bytes(16, "big")
        spans = [make_span(trace_id, 1, user__id="ann", text="x" * 10_000)]
        yield make_request(*spans, *(make_span(trace_id, each, 1, text="x" * 10_000) for each in range(2, 101)))


def fill(processor: Processor, body: bytes) -> None:
    """Send a request until it is refused."""
    with grpc.insecure_channel(f"127.0.0.1:{processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        assert any(method.future(body, timeout=20).code() is grpc.StatusCode.UNAVAILABLE for _ in range(1000))


def retry_delays(trailers: dict[str, bytes]) -> set[int]:
    """The seconds in both forms of RetryInfo."""
    bare = error_details_pb2.RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    status = status_pb2.Status.FromString(trailers["grpc-status-details-bin"])
    packed = error_details_pb2.RetryInfo()
    (detail,) = status.details
    assert detail.Unpack(packed)
    return {bare.retry_delay.seconds, packed.retry_delay.seconds}


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_the_sdk_waits_for_room(transport: str, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S26: the delay that a full processor asks for lets the SDK deliver once there is room."""
    to = backend(port=free_ports(1)[0])
    processor = run(**CAPACITY, **to.settings)
    for size in (400_000, 40_000, 2000, 1):
        fill(processor, make_request(make_span(b"fill" * 4, 1, name="x" * size)))
    results: list[Any] = []
    exporter = make_exporter(transport, processor)
    spans = make_sdk_spans()
    refused = processor.status()["refused"]["memory"]
    sender = threading.Thread(target=lambda: results.append(exporter.export(spans)))
    sender.start()
    try:
        eventually(lambda: processor.status()["refused"]["memory"] > refused)
        to.start()
        sender.join()
        assert ["SUCCESS"] == [result.name for result in results]
        assert 2 == len(to.collect(2, spans[0].get_span_context().trace_id.to_bytes(16, "big")))
    finally:
        sender.join()
        exporter.shutdown()
