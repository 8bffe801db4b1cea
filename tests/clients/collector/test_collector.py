"""The Go Collector on either side: its exporters to the processor, and the processor to its receiver."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path

import grpc
import pytest
from backends import Backend
from collectors import Collector, exporter
from messages import call_grpc, make_request, make_span
from passage import Passage
from running import Processor

PROTOCOLS = ("grpc", "http/protobuf", "http/json")


def make_trace() -> bytes:
    """A request of four spans, the root last, which alone says whose they are."""
    trace_id = secrets.token_bytes(16)
    spans = [make_span(trace_id, number, parent, gen_ai__system="x") for number, parent in ((4, 3), (3, 1), (2, 1))]
    spans.append(make_span(trace_id, 1, user__id="ann", session__id="s-1"))
    for span in spans:
        span.status.SetInParent()  # the Collector writes an empty status where there is none
    return make_request(*spans)


def deliver(folder: Path, way: Passage, protocol: str, compression: str) -> tuple[grpc.StatusCode, bytes]:
    """Send a trace through a Collector to the processor and, uncompressed, to the reference; the Collector's answer."""
    port = way.processor.grpc_port if protocol == "grpc" else way.processor.http_port
    exporters = {
        f"{name}/{place}": told
        for place, to, how in (("through", port, compression), ("reference", way.reference.port, "none"))
        for name, told in exporter(protocol, to, how).items()
    }
    with Collector(folder, exporters) as collector:
        return call_grpc(collector.ports["grpc"], make_trace())[:2]


@pytest.mark.parametrize(
    ("protocol", "compression"),
    [*((protocol, how) for protocol in PROTOCOLS for how in ("none", "gzip")), ("http/protobuf", "deflate")],
)
def test_its_exporters_are_understood(
    protocol: str, compression: str, passage: Callable[[str], Passage], tmp_path: Path
) -> None:
    """S10, S11, R5: what its exporters send by default (gzip) and at choice arrives named, and else as it was sent."""
    way = passage(protocol)
    assert grpc.StatusCode.OK == deliver(tmp_path, way, protocol, compression)[0]
    way.assert_arrived(4)


@pytest.mark.parametrize("compression", ["zstd", "snappy"])
@pytest.mark.parametrize(("protocol", "why"), [("grpc", "grpc-encoding"), ("http/protobuf", "{compression}")])
def test_a_compression_that_we_do_not_know_is_refused_for_good(
    protocol: str, why: str, compression: str, passage: Callable[[str], Passage], tmp_path: Path
) -> None:
    """R28: the answer is final and says why, so that the Collector loudly gives up what it must be told to compress so."""
    code, told = deliver(tmp_path, passage(protocol), protocol, compression)
    assert code in (grpc.StatusCode.INTERNAL, grpc.StatusCode.INVALID_ARGUMENT)
    assert told.startswith(b"Permanent error: ")
    assert why.format(compression=compression).encode() in told


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_its_receiver_takes_what_we_send(protocol: str, tmp_path: Path) -> None:
    """S11: a Collector behind the processor is sent named spans, in each of our protocols, and passes them on."""
    backend, reference = Backend("grpc").start(), Backend("grpc").start()
    try:
        with Collector(tmp_path, exporter("grpc", backend.port, "none")) as collector:
            endpoint = {"EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.ports[protocol]}"}
            processor = Processor(tmp_path, EXPORTER_OTLP_PROTOCOL=protocol, **endpoint).start()
            try:
                body = make_trace()
                for port in (processor.wait_ready().grpc_port, reference.port):
                    call_grpc(port, body)
                Passage(processor, backend, reference).assert_arrived(4)
                assert 0 == processor.stop()
            finally:
                processor.kill()
    finally:
        backend.stop()
        reference.stop()
