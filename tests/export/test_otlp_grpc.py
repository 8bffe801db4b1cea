"""The gRPC client against real grpcio servers."""

from __future__ import annotations

import asyncio
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from processor import __version__
from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.export import MAX_REQUEST_BYTES, LossReason, Outcome, Refused
from processor.export.otlp_grpc import GrpcClient
from processor.export.tls import TlsFiles
from processor.signals import Signal

FORWARDED = ("authorization", "x-langfuse-public-key", "x-a", "x-span-processor-hop")
SECONDS_2 = RetryInfo(retry_delay=Duration(seconds=2))


def send(downstream: Any, signal: Signal = Signal.TRACES, body: bytes = b"body") -> Outcome:
    async def main() -> Outcome:
        client = GrpcClient(downstream, hop="abc")
        try:
            return await client.send(signal, body)
        finally:
            await client.close()

    return asyncio.run(main())


def abort(code: grpc.StatusCode, details: str = "", *trailers: tuple[str, str | bytes]) -> Callable[..., bytes]:
    def answer(_body: bytes, context: grpc.ServicerContext) -> bytes:
        context.set_trailing_metadata(trailers)
        context.abort(code, details)
        return b""

    return answer


def details_with(info: RetryInfo) -> bytes:
    packed = AnyMessage()
    packed.Pack(info)
    return Status(code=8, details=[packed]).SerializeToString()


@pytest.mark.parametrize("signal", list(Signal))
def test_request(grpc_backend: Any, tools: Any, signal: Signal) -> None:
    """The body arrives as it is at the signal's method, with the configured headers, user agent and hop (E9, S30)."""
    backend = grpc_backend(lambda *_: b"")
    headers = (("authorization", "Basic x=="), ("x-scope", "a b"))
    assert Outcome() == send(tools.downstream(backend.port, headers=headers), signal, b"\x00\xff")
    ((method, body, seen),) = backend.requests
    assert (signal.grpc_method, b"\x00\xff") == (method, body)
    assert ("Basic x==", "a b", "abc") == (seen["authorization"], seen["x-scope"], seen["x-span-processor-hop"])
    assert seen["user-agent"].startswith(f"span-processor/{__version__} OTel-OTLP-Exporter-Python/{__version__} ")


def test_forwarded_headers(grpc_backend: Any, tools: Any) -> None:
    """S28: a request has the headers of its sender in place of configured ones of the same name, the next has not."""
    backend = grpc_backend(lambda *_: b"")

    async def main() -> None:
        client = GrpcClient(tools.downstream(backend.port, headers=(("authorization", "ours"), ("x-a", "1"))), "abc")
        await client.send(Signal.TRACES, b"", (("authorization", "Basic ann"), ("x-langfuse-public-key", "pk")))
        await client.send(Signal.TRACES, b"")
        await client.close()

    asyncio.run(main())
    seen = [[headers.get(name) for name in FORWARDED] for _, _, headers in backend.requests]
    assert [["Basic ann", "pk", "1", "abc"], ["ours", None, "1", "abc"]] == seen


def test_hop_may_change(grpc_backend: Any, tools: Any) -> None:
    """Whoever runs the client may extend the hop header between requests (S30)."""
    backend = grpc_backend(lambda *_: b"")

    async def main() -> None:
        client = GrpcClient(tools.downstream(backend.port), hop="abc")
        await client.send(Signal.TRACES, b"")
        client.hop = "abc,def"
        await client.send(Signal.TRACES, b"")
        await client.close()

    asyncio.run(main())
    assert ["abc", "abc,def"] == [headers["x-span-processor-hop"] for _, _, headers in backend.requests]


def test_partial_success(grpc_backend: Any, tools: Any) -> None:
    """What the downstream rejected, and why, is handed on (E3)."""
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "why"
    backend = grpc_backend(lambda *_: response.SerializeToString())
    assert Outcome(3, "why") == send(tools.downstream(backend.port))
    metrics = ExportMetricsServiceResponse()
    metrics.partial_success.rejected_data_points = 4
    backend = grpc_backend(lambda *_: metrics.SerializeToString())
    assert Outcome(4) == send(tools.downstream(backend.port), Signal.METRICS)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (grpc.StatusCode.CANCELLED, TransientError),
        (grpc.StatusCode.DEADLINE_EXCEEDED, TransientError),
        (grpc.StatusCode.ABORTED, TransientError),
        (grpc.StatusCode.OUT_OF_RANGE, TransientError),
        (grpc.StatusCode.UNAVAILABLE, TransientError),
        (grpc.StatusCode.DATA_LOSS, TransientError),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, BatchTooLarge),
        (grpc.StatusCode.UNIMPLEMENTED, Unsupported),
        (grpc.StatusCode.INVALID_ARGUMENT, LossReason.INVALID),
        (grpc.StatusCode.UNAUTHENTICATED, LossReason.UNAUTHENTICATED),
        (grpc.StatusCode.PERMISSION_DENIED, LossReason.FORBIDDEN),
        (grpc.StatusCode.NOT_FOUND, LossReason.NOT_FOUND),
        (grpc.StatusCode.UNKNOWN, LossReason.REFUSED),
        (grpc.StatusCode.ALREADY_EXISTS, LossReason.REFUSED),
        (grpc.StatusCode.FAILED_PRECONDITION, LossReason.REFUSED),
        (grpc.StatusCode.INTERNAL, LossReason.REFUSED),
    ],
)
def test_status_codes(grpc_backend: Any, tools: Any, code: grpc.StatusCode, error: Any) -> None:
    """OTLP's retryable codes are transient, the others permanent with a reason; each is one attempt (R27, E1, F5)."""
    backend = grpc_backend(abort(code, "why"))
    with pytest.raises((TransientError, PermanentError)) as caught:
        send(tools.downstream(backend.port))
    assert error is (caught.value.reason if isinstance(caught.value, Refused) else type(caught.value))
    assert 1 == len(backend.requests)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
@pytest.mark.parametrize(
    "trailer",
    [("google.rpc.retryinfo-bin", SECONDS_2.SerializeToString()), ("grpc-status-details-bin", details_with(SECONDS_2))],
)
def test_retry_info(grpc_backend: Any, tools: Any, code: grpc.StatusCode, trailer: tuple[str, bytes]) -> None:
    """RetryInfo in either trailer is the wait, and makes RESOURCE_EXHAUSTED transient (E2, F4)."""
    backend = grpc_backend(abort(code, "busy", trailer))
    with pytest.raises(TransientError) as caught:
        send(tools.downstream(backend.port))
    assert 2.0 == caught.value.retry_after_s
    assert f"{code.name}: busy" == str(caught.value)


@pytest.mark.parametrize(
    ("code", "details"),
    [
        (grpc.StatusCode.OUT_OF_RANGE, "Error, decoded message length too large: found 9 bytes, the limit is: 4 bytes"),
        (grpc.StatusCode.UNKNOWN, "Received http2 header with status: 413"),
    ],
)
def test_too_large_by_another_name(grpc_backend: Any, tools: Any, code: grpc.StatusCode, details: str) -> None:
    """Servers and proxies that report a size limit under another code are understood as well (S27)."""
    backend = grpc_backend(abort(code, details))
    with pytest.raises(BatchTooLarge):
        send(tools.downstream(backend.port))


def test_over_the_servers_limit(grpc_backend: Any, tools: Any) -> None:
    """A real server's size limit asks for smaller batches (S27)."""
    backend = grpc_backend(lambda *_: b"", options=(("grpc.max_receive_message_length", 1000),))
    with pytest.raises(BatchTooLarge):
        send(tools.downstream(backend.port), body=b"x" * 1001)
    assert Outcome() == send(tools.downstream(backend.port), body=b"x" * 1000)


def test_over_our_own_limit(grpc_backend: Any, tools: Any) -> None:
    """A request over 64 MiB is never sent (E5)."""
    backend = grpc_backend(lambda *_: b"", options=(("grpc.max_receive_message_length", -1),))
    with pytest.raises(BatchTooLarge):
        send(tools.downstream(backend.port), body=bytes(MAX_REQUEST_BYTES + 1))
    assert [] == backend.requests


@pytest.mark.parametrize("compression", ["none", "gzip"])
def test_answer_too_large(grpc_backend: Any, tools: Any, compression: str) -> None:
    """An answer over 4 MiB is not read, and its batch is not sent again (E6)."""
    backend = grpc_backend(lambda *_: bytes(5 * tools.MiB))
    with pytest.raises(Refused) as caught:
        send(tools.downstream(backend.port, compression=compression))
    assert LossReason.RESPONSE_TOO_LARGE is caught.value.reason


def test_refusal_is_not_quoted(grpc_backend: Any, tools: Any) -> None:
    """A server's own words about a refused request stay out of the error's text: they may quote the request."""
    backend = grpc_backend(abort(grpc.StatusCode.INVALID_ARGUMENT, "bad user id hunter2"))
    with pytest.raises(Refused, match=r"^INVALID_ARGUMENT$"):
        send(tools.downstream(backend.port))


def test_timeout(grpc_backend: Any, tools: Any) -> None:
    """A downstream that hangs is left after the timeout of the attempt (F7)."""
    backend = grpc_backend(lambda *_: (backend.release.wait(20), b"")[1])
    with pytest.raises(TransientError, match="DEADLINE_EXCEEDED"):
        send(tools.downstream(backend.port, timeout_s=0.1))


def test_nothing_listens(tools: Any) -> None:
    """A refused connection is transient, and says what happened (E4)."""
    with pytest.raises(TransientError, match=r"UNAVAILABLE: .*Connection refused"):
        send(tools.downstream(tools.unused_port()))


def test_connection_breaks(tools: Any) -> None:
    """A connection that ends without an answer is transient (E4)."""

    async def main() -> None:
        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.close()

        server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
        client = GrpcClient(tools.downstream(server.sockets[0].getsockname()[1]), hop="abc")
        with pytest.raises(TransientError, match="UNAVAILABLE"):
            await client.send(Signal.TRACES, b"body")
        await client.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_gzip(grpc_backend: Any, tools: Any) -> None:
    """With gzip far fewer bytes cross the wire, and the server reads the same body."""
    backend = grpc_backend(lambda *_: b"")
    body = tools.spans(5000)

    async def main() -> int:
        crossed = 0

        async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal crossed
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", backend.port)
            back = asyncio.create_task(copy(to_reader, writer))
            crossed += await copy(reader, to_writer)
            await back

        async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> int:
            size = 0
            while data := await reader.read(65536):
                size += len(data)
                writer.write(data)
                await writer.drain()
            writer.close()
            return size

        server = await asyncio.start_server(relay, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = GrpcClient(tools.downstream(port, compression="gzip"), hop="abc")
        await client.send(Signal.TRACES, body)
        await client.close()
        server.close()
        await server.wait_closed()
        relays = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        await asyncio.wait(relays, timeout=20) if relays else None
        return crossed

    crossed = asyncio.run(main())
    assert [body] == backend.bodies
    assert 0 < crossed < len(body) / 4


def test_proxies_of_the_environment_are_not_used(
    grpc_backend: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Telemetry goes to the configured endpoint, whatever proxy the environment names."""
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{tools.unused_port()}")
    backend = grpc_backend(lambda *_: b"")
    assert Outcome() == send(tools.downstream(backend.port))


def test_closed(grpc_backend: Any, tools: Any) -> None:
    """A closed client refuses transiently, and may be closed again."""
    backend = grpc_backend(lambda *_: b"")

    async def main() -> None:
        client = GrpcClient(tools.downstream(backend.port), hop="abc")
        await client.send(Signal.TRACES, b"")
        await client.close()
        await client.close()
        with pytest.raises(TransientError):
            await client.send(Signal.TRACES, b"")

    asyncio.run(main())


def test_closed_amid_a_request(grpc_backend: Any, tools: Any) -> None:
    """A request whose connection is closed from this side ends transiently; a cancelled one is cancelled."""
    seen = threading.Event()
    backend = grpc_backend(lambda *_: (seen.set(), backend.release.wait(20), b"")[2])

    async def main() -> None:
        client = GrpcClient(tools.downstream(backend.port), hop="abc")
        cancelled = asyncio.create_task(client.send(Signal.TRACES, b""))
        await asyncio.to_thread(seen.wait, 20)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        seen.clear()
        closed = asyncio.create_task(client.send(Signal.TRACES, b""))
        await asyncio.to_thread(seen.wait, 20)
        await client.close()
        with pytest.raises(TransientError):
            await closed

    asyncio.run(main())


def server_credentials(pem: Any, wants_client: bool = False) -> Any:
    pair = (pem.server_key.read_bytes(), pem.server.read_bytes())
    return grpc.ssl_server_credentials([pair], pem.ca.read_bytes() if wants_client else None, wants_client)


def test_tls(grpc_backend: Any, tools: Any, pem: Any) -> None:
    """A server of the given authority is trusted, one of another authority is not (F27)."""
    backend = grpc_backend(lambda *_: b"", credentials=server_credentials(pem))
    assert Outcome() == send(tools.downstream(backend.port, tls=True, files=TlsFiles(pem.ca)))
    for files in (TlsFiles(pem.other_ca), TlsFiles()):
        with pytest.raises(TransientError, match="UNAVAILABLE"):
            send(tools.downstream(backend.port, tls=True, files=files))
    assert 1 == len(backend.requests)


def test_mtls(grpc_backend: Any, tools: Any, pem: Any) -> None:
    """A server that asks for a client certificate gets ours, and refuses without one (F27)."""
    backend = grpc_backend(lambda *_: b"", credentials=server_credentials(pem, wants_client=True))
    files = TlsFiles(pem.ca, pem.client, pem.client_key)
    assert Outcome() == send(tools.downstream(backend.port, tls=True, files=files))
    with pytest.raises(TransientError):
        send(tools.downstream(backend.port, tls=True, files=TlsFiles(pem.ca)))


def test_certificates_are_read_again(grpc_backend: Any, tools: Any, pem: Any, tmp_path: Path) -> None:
    """After a failure to connect, certificates that changed on disk are used without a restart (F27)."""
    backend = grpc_backend(lambda *_: b"", credentials=server_credentials(pem))
    ca = tmp_path / "ca.pem"
    shutil.copy(pem.other_ca, ca)

    async def main() -> None:
        client = GrpcClient(tools.downstream(backend.port, tls=True, files=TlsFiles(ca)), hop="abc")
        with pytest.raises(TransientError):
            await client.send(Signal.TRACES, b"")
        shutil.copy(pem.ca, ca)
        os.utime(ca, (1, 1))  # another time for certain
        with pytest.raises(TransientError):
            await client.send(Signal.TRACES, b"")
        assert Outcome() == await client.send(Signal.TRACES, b"")
        ca.unlink()
        await client.close()

    asyncio.run(main())


def test_missing_certificate_is_transient(tools: Any, tmp_path: Path) -> None:
    """A certificate file that is gone for a moment, as in a renewal, costs an attempt and no more."""
    with pytest.raises(TransientError, match="FileNotFoundError"):
        send(tools.downstream(1, tls=True, files=TlsFiles(tmp_path / "gone.pem")))
