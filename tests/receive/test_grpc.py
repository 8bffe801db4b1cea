from __future__ import annotations

import asyncio
import gzip
import socket
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge, UnsupportedSignal
from processor.receive.access import Access
from processor.receive.admission import Admission
from processor.receive.grpc import GrpcListener, server_options
from processor.receive.receive import Answer
from processor.signals import HOP_HEADER, Signal

MiB = 1 << 20
SPANS = b"\x0a\x00"


@pytest.mark.parametrize("signal", Signal)
def test_raw_bytes_reach_the_receiver(grpc_listener: Any, recorder: Any, export: Any, signal: Signal):
    """R4, R20: each signal's Export hands over the bytes as they came; full success is an empty response."""
    assert b"" == export(grpc_listener, SPANS, signal)
    [request] = recorder.requests
    assert (signal, SPANS, "grpc", {}) == (request.signal, request.body, request.transport, request.headers)


def test_an_empty_request_is_a_success(grpc_listener: Any, export: Any):
    """R21: no spans, no complaint."""
    assert b"" == export(grpc_listener, b"")


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_every_compression_is_taken(grpc_listener: Any, recorder: Any, export: Any, compression: grpc.Compression):
    """R5: none, gzip and deflate."""
    assert b"" == export(grpc_listener, b"x" * 5000, compression=compression)
    assert b"x" * 5000 == recorder.requests[0].body


def test_an_unknown_method_is_unimplemented(grpc_listener: Any, dial: Any):
    """R4: what is not an Export of a signal is not here."""
    call = dial(grpc_listener).unary_unary(
        "/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export"
    )
    with pytest.raises(grpc.RpcError) as error:
        call(b"", timeout=10)
    assert grpc.StatusCode.UNIMPLEMENTED == error.value.code()


@pytest.mark.parametrize("rejected", [0, 3])
def test_a_partial_success_is_a_success(grpc_listener: Any, recorder: Any, export: Any, rejected: int):
    """R22, R23: rejected spans, or a warning alone, come with OK."""
    recorder.outcomes = [Answer(rejected, "why")]
    partial = ExportTraceServiceResponse.FromString(export(grpc_listener, SPANS)).partial_success
    assert (rejected, "why") == (partial.rejected_spans, partial.error_message)


def test_a_long_message_still_fits(grpc_listener: Any, recorder: Any, export: Any):
    """R9: the response stays below 4 MiB whatever there is to say."""
    recorder.outcomes = [Answer(1, "ü" * (8 * MiB))]
    assert len(export(grpc_listener, SPANS)) < 4 * MiB


def test_undecodable_bytes_are_an_invalid_argument(grpc_listener: Any, recorder: Any, export: Any):
    """R24: INVALID_ARGUMENT, with google.rpc.BadRequest in the status details."""
    recorder.outcomes = [MalformedRequest("truncated at 7")]
    error = export(grpc_listener, SPANS)
    status = status_pb2.Status.FromString(dict(error.trailing_metadata())["grpc-status-details-bin"])
    detail = error_details_pb2.BadRequest()
    assert (grpc.StatusCode.INVALID_ARGUMENT, "truncated at 7") == (error.code(), error.details())
    assert status.details[0].Unpack(detail)
    assert "truncated at 7" == detail.field_violations[0].description


@pytest.mark.parametrize(
    "compression", [grpc.Compression.NoCompression, grpc.Compression.Gzip, grpc.Compression.Deflate]
)
def test_a_message_over_the_limit_is_final(
    grpc_listener: Any, recorder: Any, export: Any, compression: grpc.Compression
):
    """R7, R8: measured after decompression, RESOURCE_EXHAUSTED without RetryInfo, and it never gets here."""
    error = export(grpc_listener, b"\0" * (MiB + 1), compression=compression)
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()
    assert not {"google.rpc.retryinfo-bin", "grpc-status-details-bin"} & set(dict(error.trailing_metadata()))
    assert [] == recorder.requests
    assert b"" == export(grpc_listener, b"\0" * MiB, compression=compression)


BOMB = """
import asyncio, psutil, uvloop
from processor.receive.admission import Admission
from processor.receive.grpc import GrpcListener

class Nobody:
    async def take(self, request):
        raise AssertionError("a bomb got through")

async def main():
    listener = GrpcListener("127.0.0.1:0", Nobody(), Admission(1 << 26), 1 << 20)
    await listener.start()
    print(listener.address, flush=True)
    await asyncio.to_thread(input)
    print(psutil.Process().memory_info().rss, flush=True)
    await asyncio.to_thread(input)
    print(psutil.Process().memory_info().rss, flush=True)
    await listener.stop(0)

uvloop.run(main())
"""


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_a_bomb_takes_no_memory(dial: Any, compression: grpc.Compression):
    """R7, F24: 128 MiB of zeros under a limit of 1 MiB are refused while the process stays small."""
    process = subprocess.Popen([sys.executable, "-c", BOMB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None

    class Address:
        address = process.stdout.readline().strip()

    call = dial(Address).unary_unary(Signal.TRACES.grpc_method)

    def refusals(bomb: bytes, times: int) -> list[Any]:
        codes = []
        for _ in range(times):
            with pytest.raises(grpc.RpcError) as error:
                call(bomb, timeout=20, compression=compression)
            codes.append(error.value.code())
        return codes

    def resident() -> int:
        process.stdin.write("\n")
        process.stdin.flush()
        return int(process.stdout.readline())

    assert [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3 == refusals(b"\0" * (2 * MiB), 3)
    before = resident()
    assert [grpc.StatusCode.RESOURCE_EXHAUSTED] * 3 == refusals(b"\0" * (128 * MiB), 3)
    grown = resident() - before
    process.stdin.close()
    process.stdout.close()
    assert 0 == process.wait(10)
    assert grown < 24 * MiB


def test_come_back_later_carries_both_retry_infos(grpc_listener: Any, recorder: Any, export: Any):
    """S26, R26, R29: UNAVAILABLE with RetryInfo in the status details and as a trailer of its own."""
    recorder.outcomes = [ComeBackLater("full", 2)]
    error = export(grpc_listener, SPANS)
    trailers = dict(error.trailing_metadata())
    detail = error_details_pb2.RetryInfo()
    assert (grpc.StatusCode.UNAVAILABLE, "full") == (error.code(), error.details())
    assert status_pb2.Status.FromString(trailers["grpc-status-details-bin"]).details[0].Unpack(detail)
    bare = error_details_pb2.RetryInfo.FromString(trailers["google.rpc.retryinfo-bin"])
    assert (2, 2) == (detail.retry_delay.seconds, bare.retry_delay.seconds)


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (UnsupportedSignal("no metrics here"), grpc.StatusCode.UNIMPLEMENTED),
        (RequestTooLarge("too much"), grpc.StatusCode.RESOURCE_EXHAUSTED),
    ],
)
def test_final_errors_carry_no_retry_info(grpc_listener: Any, recorder: Any, export: Any, outcome: Any, code: Any):
    """R8, R27, S31: what will never be taken is not to be tried again."""
    recorder.outcomes = [outcome]
    error = export(grpc_listener, SPANS)
    assert (code, str(outcome), ()) == (error.code(), error.details(), tuple(error.trailing_metadata()))


def test_a_bug_of_ours_is_retryable(
    grpc_listener: Any, recorder: Any, admission: Admission, export: Any, caplog: pytest.LogCaptureFixture
):
    """An unexpected error is UNAVAILABLE with a second's wait (never UNKNOWN), logged once, and the next passes."""
    recorder.outcomes = [RuntimeError("secret"), RuntimeError("secret"), Answer()]
    for _ in range(2):
        error = export(grpc_listener, SPANS)
        assert (grpc.StatusCode.UNAVAILABLE, "internal error") == (error.code(), error.details())
        assert "google.rpc.retryinfo-bin" in dict(error.trailing_metadata())
    assert b"" == export(grpc_listener, SPANS)
    assert 2 == admission.refused["internal"]
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]
    assert 0 == admission.in_flight_bytes


def test_over_the_limit_in_flight_the_sender_comes_back(
    start: Any, recorder: Any, background: Any, export: Any, dial: Any
):
    """S26: with the bytes in flight at their limit a request is UNAVAILABLE; when there is room it is taken."""
    admission = Admission(limit_bytes=100)
    listener = start(GrpcListener("127.0.0.1:0", recorder, admission, MiB))
    recorder.gate = background.call(asyncio.Event)
    first = dial(listener).unary_unary(Signal.TRACES.grpc_method).future(b"x" * 60, timeout=10)
    assert recorder.waiting.acquire(timeout=10)
    assert 60 == admission.in_flight_bytes
    assert grpc.StatusCode.UNAVAILABLE == export(listener, b"y" * 41).code()
    background.call(recorder.gate.set)
    assert b"" == first.result()
    assert b"" == export(listener, b"y" * 41)
    assert (0, 1) == (admission.in_flight_bytes, admission.refused["memory"])


def test_draining_refuses_everything_new(grpc_listener: Any, admission: Admission, recorder: Any, export: Any):
    """S29: a draining process answers UNAVAILABLE and takes nothing."""
    admission.draining = True
    error = export(grpc_listener, SPANS)
    assert grpc.StatusCode.UNAVAILABLE == error.code()
    assert "google.rpc.retryinfo-bin" in dict(error.trailing_metadata())
    assert [] == recorder.requests


def test_a_request_that_came_through_here_is_refused(grpc_listener: Any, recorder: Any, export: Any):
    """S30: our own id in the hop header is a final error that names the loop; others' ids pass and are handed on."""
    error = export(grpc_listener, SPANS, metadata=((HOP_HEADER, "you, me"),))
    assert grpc.StatusCode.FAILED_PRECONDITION == error.code()
    assert "loop" in error.details()
    assert [] == recorder.requests
    assert b"" == export(grpc_listener, SPANS, metadata=((HOP_HEADER, "you"), (HOP_HEADER, "him")))
    assert {HOP_HEADER: "you,him"} == recorder.requests[0].headers


def test_wanted_metadata_is_handed_on(start: Any, recorder: Any, admission: Admission, export: Any):
    """S28: the named headers reach the receiver, in lower case, and no others; binary ones never."""
    names = ("authorization", "x-langfuse-public-key", "key-bin")
    listener = start(GrpcListener("127.0.0.1:0", recorder, admission, MiB, names))
    sent = (("authorization", "Basic x"), ("x-other", "y"), ("key-bin", b"\1"))
    assert b"" == export(listener, SPANS, metadata=sent)
    assert b"" == export(listener, SPANS)
    assert [{"authorization": "Basic x"}, {}] == [request.headers for request in recorder.requests]


def test_wanted_beginnings(start: Any, recorder: Any, admission: Admission, export: Any):
    """S28: a name that ends in `*` stands for all metadata that begin so, but for the binary ones."""
    listener = start(GrpcListener("127.0.0.1:0", recorder, admission, MiB, ("x-langfuse-*",)))
    sent = (("x-langfuse-sdk-name", "python"), ("x-langfuse-public-key", "pk"), ("x-langfuse-bin", b"\1"), ("x", "y"))
    assert b"" == export(listener, SPANS, metadata=sent)
    assert {"x-langfuse-sdk-name": "python", "x-langfuse-public-key": "pk"} == recorder.requests[0].headers


def test_sixty_four_requests_at_once(grpc_listener: Any, recorder: Any, background: Any, dial: Any):
    """R10: 64 requests of one connection are in flight together, and all are answered."""
    recorder.gate = background.call(asyncio.Event)
    call = dial(grpc_listener).unary_unary(Signal.TRACES.grpc_method)
    futures = [call.future(b"%d" % number, timeout=20) for number in range(64)]
    for _ in futures:
        assert recorder.waiting.acquire(timeout=10)
    background.call(recorder.gate.set)
    assert [b""] * 64 == [future.result() for future in futures]
    assert {b"%d" % number for number in range(64)} == {request.body for request in recorder.requests}


def test_a_cancelled_call_frees_its_bytes(
    grpc_listener: Any, recorder: Any, admission: Admission, background: Any, dial: Any, export: Any
):
    """A sender that gives up leaves nothing in flight behind."""
    recorder.gate = background.call(asyncio.Event)
    future = dial(grpc_listener).unary_unary(Signal.TRACES.grpc_method).future(b"x" * 60, timeout=10)
    assert recorder.waiting.acquire(timeout=10)
    future.cancel()
    recorder.gate, gate = None, recorder.gate
    while admission.in_flight_bytes:
        assert b"" == export(grpc_listener, b"")
    background.call(gate.set)
    assert 0 == admission.in_flight_bytes


def test_a_port_in_use_is_an_error_that_names_it(
    grpc_listener: Any, recorder: Any, admission: Admission, background: Any
):
    """R1: a second process on the port must not start: it would take half of each trace."""
    second = GrpcListener(grpc_listener.address, recorder, admission, MiB)
    with pytest.raises(OSError, match="in use") as error:
        background.run(second.start())
    assert grpc_listener.address.rpartition(":")[2] in str(error.value)


def test_a_foreign_socket_on_the_port_is_an_error_too(recorder: Any, admission: Admission, background: Any):
    """R1: whatever listens there."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        listener = GrpcListener(f"127.0.0.1:{taken.getsockname()[1]}", recorder, admission, MiB)
        with pytest.raises(OSError, match="in use"):
            background.run(listener.start())


def test_ipv6_in_brackets(start: Any, recorder: Any, admission: Admission, export: Any):
    """An IPv6 endpoint is written, and told, in brackets."""
    listener = start(GrpcListener("[::1]:0", recorder, admission, MiB))
    assert listener.address.startswith("[::1]:")
    assert b"" == export(listener, SPANS)


def test_stop_lets_what_is_in_flight_finish(grpc_listener: Any, recorder: Any, background: Any, dial: Any, export: Any):
    """S29: stopping refuses new calls (retryably), finishes those in flight, and may be done twice."""
    recorder.gate = background.call(asyncio.Event)
    future = dial(grpc_listener).unary_unary(Signal.TRACES.grpc_method).future(SPANS, timeout=10)
    assert recorder.waiting.acquire(timeout=10)
    recorder.gate, gate = None, recorder.gate
    stopping = background.spawn(grpc_listener.stop(10))
    while (answer := export(grpc_listener, SPANS)) == b"":
        pass
    assert answer.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
    background.call(gate.set)
    assert b"" == future.result()
    stopping.result(10)
    background.run(grpc_listener.stop(10))


def test_stop_aborts_what_outlasts_the_grace(grpc_listener: Any, recorder: Any, background: Any, dial: Any):
    """S29: after the grace what is left ends with UNAVAILABLE: the sender keeps it."""
    recorder.gate = background.call(asyncio.Event)
    future = dial(grpc_listener).unary_unary(Signal.TRACES.grpc_method).future(SPANS, timeout=10)
    assert recorder.waiting.acquire(timeout=10)
    background.run(grpc_listener.stop(0))
    assert grpc.StatusCode.UNAVAILABLE == future.exception(10).code()


def test_stop_before_start_does_nothing(recorder: Any, admission: Admission, background: Any):
    """`stop` may be called at any time."""
    background.run(GrpcListener("127.0.0.1:0", recorder, admission, MiB).stop(1))


def test_large_metadata_is_refused(grpc_listener: Any, export: Any):
    """§7: metadata is at most 16 KiB, and just below it is fine."""
    assert b"" == export(grpc_listener, SPANS, metadata=(("x-big", "x" * 14_000),))
    error = export(grpc_listener, SPANS, metadata=(("x-big", "x" * 17_000),))
    assert grpc.StatusCode.RESOURCE_EXHAUSTED == error.code()


def test_pings_every_ten_seconds_are_permitted():
    """§1.5: Collector clients ping each 10 s, also without a call; a strict server would send them away."""
    options = dict(server_options(MiB))
    assert 1 == options["grpc.keepalive_permit_without_calls"]
    assert options["grpc.http2.min_ping_interval_without_data_ms"] < 10_000
    assert options["grpc.http2.min_recv_ping_interval_without_data_ms"] < 10_000


@pytest.mark.parametrize(
    "garbage", [b"\xff" * 100, b"GET / HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\xff" * 50]
)
def test_garbage_on_the_port_harms_nobody(grpc_listener: Any, connect: Any, export: Any, garbage: bytes):
    """F24: bytes that are not HTTP/2 end their connection, and no other."""
    wire = connect(grpc_listener)
    wire.send(garbage)
    while not wire.is_closed():
        pass
    assert b"" == export(grpc_listener, SPANS)


def test_truncated_protobuf_is_the_receivers_to_judge(grpc_listener: Any, recorder: Any, export: Any):
    """The listener passes every prefix of a request on as it is."""
    whole = ExportTraceServiceRequest(resource_spans=[{"schema_url": "x"}]).SerializeToString()
    with ThreadPoolExecutor(4) as pool:
        assert [b""] * len(whole) == list(pool.map(lambda size: export(grpc_listener, whole[:size]), range(len(whole))))
    assert {zlib.crc32(whole[:size]) for size in range(len(whole))} == {zlib.crc32(r.body) for r in recorder.requests}


@pytest.fixture
def impatient(start: Any, recorder: Any, admission: Admission) -> GrpcListener:
    """A listener that waits a quarter of a second for a message, and takes three connections."""
    access = Access(max_connections=3)
    return start(GrpcListener("127.0.0.1:0", recorder, admission, MiB, access=access, read_timeout_s=0.25))


def test_a_message_that_does_not_come_is_given_up(impatient: Any, dial: Any, recorder: Any, admission: Admission):
    """F23: a call that opens and sends nothing ends as UNAVAILABLE, counted; its neighbours are served."""
    never = threading.Event()

    def messages() -> Iterator[bytes]:
        never.wait(20)
        yield b""

    channel = dial(impatient)
    call = channel.stream_unary(Signal.TRACES.grpc_method)
    try:
        with pytest.raises(grpc.RpcError) as error:
            call(messages(), timeout=10)
    finally:
        never.set()
    assert grpc.StatusCode.UNAVAILABLE == error.value.code()
    assert (1, 0, []) == (admission.refused["slow"], admission.in_flight_bytes, recorder.requests)
    assert b"" == channel.unary_unary(Signal.TRACES.grpc_method)(SPANS, timeout=10)


def test_a_slow_receiver_is_not_the_senders_fault(impatient: Any, dial: Any, recorder: Any, background: Any):
    """The time limit is for sending: a request that came whole waits for its answer as long as it takes."""
    recorder.gate = background.call(asyncio.Event)
    call = dial(impatient).unary_unary(Signal.TRACES.grpc_method).future(SPANS, timeout=10)
    assert recorder.waiting.acquire(timeout=10)
    background.run(asyncio.sleep(0.5))
    background.call(recorder.gate.set)
    assert b"" == call.result()


def test_a_call_without_a_message_is_malformed(grpc_listener: Any, dial: Any, recorder: Any):
    """R24: what ends before it began is an invalid argument."""
    with pytest.raises(grpc.RpcError) as error:
        dial(grpc_listener).stream_unary(Signal.TRACES.grpc_method)(iter(()), timeout=10)
    assert (grpc.StatusCode.INVALID_ARGUMENT, []) == (error.value.code(), recorder.requests)


def test_connections_are_bounded(impatient: Any, connect: Any):
    """The connection beyond the limit is closed at once; the ones before stay."""
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
    wires = [connect(impatient) for _ in range(3)]
    for wire in wires:
        wire.send(preface)
        assert wire.socket.recv(9)
    assert connect(impatient).is_closed()
    assert [False] * 3 == [wire.is_closed() for wire in wires]


def test_streams_are_bounded(grpc_listener: Any, connect: Any):
    """HTTP/2's settings allow 128 streams a connection, and 16 KiB of metadata."""
    wire = connect(grpc_listener)
    wire.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0")
    size = int.from_bytes(wire.socket.recv(9, socket.MSG_WAITALL)[:3], "big")
    payload = wire.socket.recv(size, socket.MSG_WAITALL)
    settings = {
        int.from_bytes(payload[at : at + 2], "big"): int.from_bytes(payload[at + 2 : at + 6], "big")
        for at in range(0, size, 6)
    }
    assert (128, 16 * 1024) == (settings[3], settings[6])


def test_a_bomb_of_many_members_is_refused(grpc_listener: Any, export: Any, recorder: Any):
    """R7: what inflates to more than the limit is refused however small it came; what is nested is inflated once."""
    error = export(grpc_listener, b"\0" * (64 * MiB), compression=grpc.Compression.Gzip)
    assert (grpc.StatusCode.RESOURCE_EXHAUSTED, []) == (error.code(), recorder.requests)
    nested = gzip.compress(b"\0" * (64 * MiB))
    assert b"" == export(grpc_listener, nested, compression=grpc.Compression.Gzip)
    assert [nested] == [request.body for request in recorder.requests]
