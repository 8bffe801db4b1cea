"""The HTTP client against real HTTP servers."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import shutil
import ssl
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from processor import __version__
from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.export import MAX_REQUEST_BYTES, LossReason, Outcome, Refused
from processor.export.otlp_http import HttpClient
from processor.export.tls import TlsFiles
from processor.signals import Signal

NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


def send(downstream: Any, signal: Signal = Signal.TRACES, body: bytes = b"body") -> Outcome:
    async def main() -> Outcome:
        client = HttpClient(downstream, hop="abc", wall_clock=lambda: NOW_S)
        try:
            return await client.send(signal, body)
        finally:
            await client.close()

    return asyncio.run(main())


@pytest.fixture
def answering(http_backend: Any, tools: Any) -> Callable[..., Any]:
    """A backend that gives every request the same response, and its downstream."""

    def start(status: int = 200, body: bytes = b"", headers: dict[str, str] | None = None, **how: Any) -> Any:
        backend = http_backend(lambda _, handler: tools.respond(handler, status, body, headers))
        return backend, tools.downstream(backend.port, **{"protocol": "http/protobuf", **how})

    return start


@pytest.mark.parametrize("signal", list(Signal))
def test_request(answering: Any, signal: Signal) -> None:
    """The body arrives as it is at the signal's path, with configured headers, user agent and hop (E7, E9, S30)."""
    backend, downstream = answering(path="/otel/")
    downstream = replace(downstream, headers=(("authorization", "Basic x=="), ("x-scope", "a b")))
    assert Outcome() == send(downstream, signal, b"\x00\xff")
    ((path, body, seen),) = backend.requests
    assert (f"/otel/v1/{signal.value}", b"\x00\xff") == (path, body)
    assert ("Basic x==", "a b", "abc") == (seen["authorization"], seen["x-scope"], seen["x-span-processor-hop"])
    assert f"span-processor/{__version__} OTel-OTLP-Exporter-Python/{__version__}" == seen["user-agent"]
    assert ("application/x-protobuf", "identity") == (seen["content-type"], seen["accept-encoding"])
    assert "content-encoding" not in seen


def test_forwarded_headers(answering: Any) -> None:
    """S28: a request has the headers of its sender in place of configured ones of the same name, the next has not."""
    backend, downstream = answering(headers={"set-cookie": "session=of-ann; Path=/"})
    downstream = replace(downstream, headers=(("authorization", "ours"), ("x-a", "1")))

    async def main() -> None:
        client = HttpClient(downstream, "abc")
        await client.send(Signal.TRACES, b"", (("authorization", "Basic ann"), ("x-langfuse-public-key", "pk")))
        await client.send(Signal.TRACES, b"")
        await client.close()

    asyncio.run(main())
    names = ("authorization", "x-langfuse-public-key", "x-a", "x-span-processor-hop", "content-type", "cookie")
    seen = [[headers.get(name) for name in names] for _, _, headers in backend.requests]
    protobuf = "application/x-protobuf"
    assert [["Basic ann", "pk", "1", "abc", protobuf, None], ["ours", None, "1", "abc", protobuf, None]] == seen


def test_connection_is_kept(http_backend: Any, tools: Any) -> None:
    """Requests share a connection (E8)."""
    peers = set()

    def answer(_body: bytes, handler: Any) -> None:
        peers.add(handler.client_address)
        tools.respond(handler)

    backend = http_backend(answer)

    async def main() -> None:
        client = HttpClient(tools.downstream(backend.port, "http/protobuf"), hop="abc")
        for _ in range(5):
            await client.send(Signal.TRACES, b"body")
        await client.close()

    asyncio.run(main())
    assert 1 == len(peers)


@pytest.mark.parametrize("size", [10, 100_000])
def test_gzip(answering: Any, size: int) -> None:
    """With gzip the body is packed and says so, small or large."""
    backend, downstream = answering(compression="gzip")
    body = bytes(index % 7 for index in range(size))
    send(downstream, body=body)
    ((_, packed, seen),) = backend.requests
    assert ("gzip", body) == (seen["content-encoding"], gzip.decompress(packed))


@pytest.mark.parametrize(("compression", "spans"), [("none", 2), ("gzip", 2), ("none", 3000)])
def test_json(answering: Any, tools: Any, compression: str, spans: int) -> None:
    """With http/json the body is OTLP/JSON: hex ids, camel-case names (S31)."""
    backend, downstream = answering(protocol="http/json", compression=compression, body=b"{}")
    send(downstream, body=tools.spans(spans))
    ((_, body, seen),) = backend.requests
    text = json.loads(gzip.decompress(body) if compression == "gzip" else body)
    written = text["resourceSpans"][0]["scopeSpans"][0]["spans"]
    assert ("application/json", spans) == (seen["content-type"], len(written))
    assert ("0000000000000001", (b"t" * 16).hex()) == (written[1]["spanId"], written[1]["traceId"])


def test_not_writable_as_json(answering: Any) -> None:
    """What is no OTLP message cannot be transcoded, and is refused here, once."""
    backend, downstream = answering(protocol="http/json")
    with pytest.raises(Refused) as caught:
        send(downstream, body=b"\xff\xff")
    assert LossReason.INVALID is caught.value.reason
    assert [] == backend.requests


def partial() -> bytes:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    response.partial_success.error_message = "why"
    return response.SerializeToString()


@pytest.mark.parametrize(
    ("status", "body", "content_type", "outcome"),
    [
        (200, b"", "application/x-protobuf", Outcome()),
        (200, b"{}", "application/json", Outcome()),
        (200, b"{}", "application/x-protobuf", Outcome()),
        (202, b"", "text/plain", Outcome()),
        (207, b"<html>fine</html>", "text/html", Outcome()),
        (200, partial(), "application/x-protobuf", Outcome(3, "why")),
        (200, partial(), "", Outcome(3, "why")),
        (200, b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"why"}}', "application/json", Outcome(3, "why")),
        (200, b'{"partialSuccess":{"rejectedSpans":3}}', "application/json; charset=utf-8", Outcome(3)),
    ],
)
def test_success(answering: Any, status: int, body: bytes, content_type: str, outcome: Outcome) -> None:
    """Every 2xx is success; partial_success is read in its own encoding, what cannot be read is ignored (E3, E7)."""
    _, downstream = answering(status, body, {"content-type": content_type} if content_type else None)
    assert outcome == send(downstream)


@pytest.mark.parametrize(
    ("status", "signal", "error"),
    [
        (429, Signal.TRACES, TransientError),
        (502, Signal.TRACES, TransientError),
        (503, Signal.LOGS, TransientError),
        (504, Signal.TRACES, TransientError),
        (413, Signal.TRACES, BatchTooLarge),
        (404, Signal.METRICS, Unsupported),
        (501, Signal.LOGS, Unsupported),
        (404, Signal.TRACES, LossReason.NOT_FOUND),
        (501, Signal.TRACES, LossReason.REFUSED),
        (400, Signal.TRACES, LossReason.INVALID),
        (401, Signal.TRACES, LossReason.UNAUTHENTICATED),
        (403, Signal.TRACES, LossReason.FORBIDDEN),
        (408, Signal.TRACES, LossReason.REFUSED),
        (415, Signal.TRACES, LossReason.INVALID),
        (500, Signal.TRACES, LossReason.REFUSED),
        (301, Signal.TRACES, LossReason.REFUSED),
    ],
)
def test_status_codes(answering: Any, status: int, signal: Signal, error: Any) -> None:
    """OTLP's retryable statuses are transient, all others permanent with a reason, after one attempt (E1, F5)."""
    backend, downstream = answering(status, b"bad user id hunter2", {"location": "http://127.0.0.1:1/"})
    with pytest.raises((TransientError, PermanentError)) as caught:
        send(downstream, signal)
    assert error is (caught.value.reason if isinstance(caught.value, Refused) else type(caught.value))
    assert f"HTTP {status}" == str(caught.value)
    assert 1 == len(backend.requests)


@pytest.mark.parametrize(
    ("headers", "delay_s"),
    [
        ({}, None),
        ({"retry-after": "2"}, 2.0),
        ({"retry-after": "Tue, 14 Nov 2023 22:13:25 GMT", "date": "Tue, 14 Nov 2023 22:13:22 GMT"}, 3.0),
        ({"retry-after": "whenever"}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_retry_after(
    http_backend: Any, tools: Any, status: int, headers: dict[str, str], delay_s: float | None
) -> None:
    """Retry-After is the wait, in seconds or as a date (E2, F4)."""

    def answer(_body: bytes, handler: Any) -> None:
        handler.date_time_string = lambda: headers.get("date", "Tue, 14 Nov 2023 22:13:20 GMT")
        tools.respond(handler, status, headers={name: value for name, value in headers.items() if name != "date"})

    backend = http_backend(answer)
    with pytest.raises(TransientError) as caught:
        send(tools.downstream(backend.port, "http/protobuf"))
    assert delay_s == caught.value.retry_after_s


@pytest.mark.parametrize("declared", [True, False])
def test_answer_too_large(http_backend: Any, tools: Any, declared: bool) -> None:
    """An answer over 4 MiB, declared or not, is not read to its end, and its batch is not sent again (E6)."""

    def answer(_body: bytes, handler: Any) -> None:
        handler.send_response(200)
        handler.send_header(*(("content-length", str(50 * tools.MiB)) if declared else ("connection", "close")))
        handler.end_headers()
        for _ in range(50):
            handler.wfile.write(bytes(tools.MiB))

    backend = http_backend(answer)
    with pytest.raises(Refused) as caught:
        send(tools.downstream(backend.port, "http/protobuf"))
    assert LossReason.RESPONSE_TOO_LARGE is caught.value.reason


def test_packed_answer_is_not_inflated(answering: Any) -> None:
    """A compressed answer, which nobody asked for, is a success that is not read: it cannot be a bomb (E6)."""
    _, downstream = answering(200, gzip.compress(bytes(10_000_000)), {"content-encoding": "gzip"})
    assert Outcome() == send(downstream)


def test_over_our_own_limit(answering: Any) -> None:
    """A request over 64 MiB is never sent (E5)."""
    backend, downstream = answering()
    with pytest.raises(BatchTooLarge):
        send(downstream, body=bytes(MAX_REQUEST_BYTES + 1))
    assert [] == backend.requests


def test_timeout(http_backend: Any, tools: Any) -> None:
    """A downstream that hangs, before the answer or amid it, is left after the timeout of the attempt (F7)."""

    def hang(_body: bytes, handler: Any) -> None:
        if backend.requests[1:]:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
        backend.release.wait(20)
        handler.close_connection = True

    backend = http_backend(hang)
    for _ in range(2):
        with pytest.raises(TransientError, match=r"^timeout$"):
            send(tools.downstream(backend.port, "http/protobuf", timeout_s=0.1))


def test_reset(http_backend: Any, tools: Any) -> None:
    """A connection that is reset before the answer or amid it is transient (E4, F7)."""

    def answer(_body: bytes, handler: Any) -> None:
        if backend.requests[1:]:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
            handler.wfile.flush()
        tools.reset(handler)

    backend = http_backend(answer)
    for _ in range(2):
        with pytest.raises(TransientError):
            send(tools.downstream(backend.port, "http/protobuf"))


def test_no_http(tools: Any) -> None:
    """An answer that is no HTTP is transient: something else listens there just now."""

    async def main() -> None:
        async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(1)
            writer.write(b"hello\r\n\r\n")
            writer.close()

        server = await asyncio.start_server(babble, "127.0.0.1", 0)
        client = HttpClient(tools.downstream(server.sockets[0].getsockname()[1], "http/protobuf"), hop="abc")
        with pytest.raises(TransientError, match="RemoteProtocolError"):
            await client.send(Signal.TRACES, b"body")
        await client.close()
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_nothing_listens(tools: Any) -> None:
    """A refused connection is transient, and says what happened (E4)."""
    with pytest.raises(TransientError, match=r"ConnectError: .*refused|ConnectError: .*Connect call failed"):
        send(tools.downstream(tools.unused_port(), "http/protobuf"))


def test_nothing_is_taken_from_the_environment(
    answering: Any, tools: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither proxies nor `.netrc` credentials of the environment are used."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login a password hunter2")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{tools.unused_port()}")
    backend, downstream = answering()
    assert Outcome() == send(downstream)
    assert "authorization" not in backend.requests[0][2]


def test_closed(answering: Any) -> None:
    """A closed client refuses transiently, and may be closed again."""
    _, downstream = answering()

    async def main() -> None:
        client = HttpClient(downstream, hop="abc")
        await client.send(Signal.TRACES, b"")
        await client.close()
        await client.close()
        with pytest.raises(TransientError):
            await client.send(Signal.TRACES, b"")

    asyncio.run(main())


def test_closed_amid_a_request(http_backend: Any, tools: Any) -> None:
    """A request whose connection is closed from this side ends transiently; a cancelled one is cancelled."""
    seen = threading.Event()
    backend = http_backend(lambda *_: (seen.set(), backend.release.wait(20)))

    async def main() -> None:
        client = HttpClient(tools.downstream(backend.port, "http/protobuf"), hop="abc")
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


def test_bad_hop_is_not_quoted(answering: Any) -> None:
    """A header that HTTP does not allow is a fault of ours, and its value stays out of the error's text."""
    _, downstream = answering()

    async def main() -> None:
        client = HttpClient(downstream, hop="hunter2\r\nx: y")
        with pytest.raises(Refused) as caught:
            await client.send(Signal.TRACES, b"")
        assert LossReason.FAULT is caught.value.reason
        assert "hunter2" not in str(caught.value)
        await client.close()

    asyncio.run(main())


def server_context(pem: Any, wants_client: bool = False) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem.server, pem.server_key)
    if wants_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pem.ca)
    return context


@pytest.fixture
def tls_backend(http_backend: Any, tools: Any, pem: Any) -> Callable[..., Any]:
    def start(wants_client: bool = False) -> Any:
        return http_backend(lambda _, handler: tools.respond(handler), tls=server_context(pem, wants_client))

    return start


def test_tls(tls_backend: Any, tools: Any, pem: Any) -> None:
    """A server of the given authority is trusted; one of another authority, or under another name, is not (F27)."""
    backend = tls_backend()

    def downstream(files: TlsFiles) -> Any:
        return tools.downstream(backend.port, "http/protobuf", tls=True, files=files)

    assert Outcome() == send(downstream(TlsFiles(pem.ca)))
    for files in (TlsFiles(pem.other_ca), TlsFiles()):
        with pytest.raises(TransientError, match="certificate verify failed"):
            send(downstream(files))
    assert 1 == len(backend.requests)


def test_mtls(tls_backend: Any, tools: Any, pem: Any) -> None:
    """A server that asks for a client certificate gets ours, and refuses without one (F27)."""
    backend = tls_backend(wants_client=True)
    files = TlsFiles(pem.ca, pem.client, pem.client_key)
    assert Outcome() == send(tools.downstream(backend.port, "http/protobuf", tls=True, files=files))
    with pytest.raises(TransientError):
        send(tools.downstream(backend.port, "http/protobuf", tls=True, files=TlsFiles(pem.ca)))


def test_certificates_are_read_again(tls_backend: Any, tools: Any, pem: Any, tmp_path: Path) -> None:
    """After a failure to connect, certificates that changed on disk are used without a restart (F27)."""
    backend = tls_backend()
    ca = tmp_path / "ca.pem"
    shutil.copy(pem.other_ca, ca)

    async def main() -> None:
        client = HttpClient(tools.downstream(backend.port, "http/protobuf", tls=True, files=TlsFiles(ca)), hop="abc")
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
    files = TlsFiles(tmp_path / "gone.pem")
    with pytest.raises(TransientError, match="FileNotFoundError"):
        send(tools.downstream(1, "http/protobuf", tls=True, files=files))
