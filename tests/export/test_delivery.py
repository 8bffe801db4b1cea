"""The queue with its real clients before real backends that fail in the ways that backends fail."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from processor.export.export import Attempt, LossReason
from processor.export.otlp_grpc import GrpcClient
from processor.export.otlp_http import HttpClient
from processor.export.split import split_request
from processor.signals import Signal

PROTOCOLS = ["grpc", "http/protobuf"]

# What each rule's word is in gRPC and in HTTP.
STATUS = {
    "busy": (grpc.StatusCode.UNAVAILABLE, 503),
    "large": (grpc.StatusCode.RESOURCE_EXHAUSTED, 413),
    "invalid": (grpc.StatusCode.INVALID_ARGUMENT, 400),
    "denied": (grpc.StatusCode.UNAUTHENTICATED, 401),
    "unknown_signal": (grpc.StatusCode.UNIMPLEMENTED, 404),
}


def has_ipv6() -> bool:
    """Whether this machine's loopback has an address of IPv6."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class Server:
    """A backend of either protocol that answers by one rule: a body gives the status of its answer."""

    def __init__(self, protocol: str, rule: Callable[[bytes], str], start: Any, tools: Any, **where: Any) -> None:
        self.protocol = protocol
        self.taken: list[bytes] = []
        self._lock = threading.Lock()
        self._rule = rule
        self._tools = tools
        self.backend = start(self._grpc if protocol == "grpc" else self._http, **where)

    def client(self, **how: Any) -> Any:
        return make_client(self._tools.downstream(self.backend.port, self.protocol, **how))

    def ids(self) -> Counter[int]:
        """Every span that was taken, and how often."""
        return Counter(number for body in self.taken for number in self._tools.span_ids(body))

    def _judge(self, body: bytes) -> str:
        with self._lock:
            word = self._rule(body)
            if word in ("ok", "partial"):
                self.taken.append(body)
            return word

    def _grpc(self, body: bytes, context: grpc.ServicerContext) -> bytes:
        word = self._judge(body)
        if word == "ok":
            return b""
        if word == "partial":
            return partial_success()
        if word == "hang":
            self.backend.release.wait(20)
            return b""
        context.abort(STATUS[word][0], word)
        return b""

    def _http(self, body: bytes, handler: Any) -> None:
        word = self._judge(body)
        if word == "hang":
            self.backend.release.wait(20)
            handler.close_connection = True
        elif word == "reset":
            self._tools.reset(handler)
        else:
            status = 200 if word in ("ok", "partial") else STATUS[word][1]
            self._tools.respond(handler, status, partial_success() if word == "partial" else b"")


def partial_success() -> bytes:
    response = ExportTraceServiceResponse()
    response.partial_success.rejected_spans = 3
    return response.SerializeToString()


def make_client(downstream: Any) -> Any:
    return (GrpcClient if downstream.protocol == "grpc" else HttpClient)(downstream, hop="abc")


def chunks(tools: Any, count: int, spans: int = 1) -> list[Any]:
    """Chunks of so many spans, all with ids of their own."""
    made = []
    for number in range(count):
        body = tools.spans((number + 1) * spans)
        while len(tools.span_ids(body)) > spans:
            body = tail(body, spans)
        made.append(tools.chunk(body, items=spans))
    return made


def tail(body: bytes, spans: int) -> bytes:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    request = ExportTraceServiceRequest.FromString(body)
    held = request.resource_spans[0].scope_spans[0].spans
    del held[:-spans]
    return request.SerializeToString()


@pytest.fixture
def serve(grpc_backend: Any, http_backend: Any, tools: Any) -> Callable[..., Server]:
    def serve(protocol: str, rule: Callable[[bytes], str], port: int = 0, **where: Any) -> Server:
        start = grpc_backend if protocol == "grpc" else http_backend
        return Server(protocol, rule, start, tools, port=port, **where)

    return serve


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_steady(serve: Any, watched: Any, tools: Any, protocol: str) -> None:
    """What is offered arrives, once, whatever joined what (F1)."""
    server = serve(protocol, lambda _: "ok")

    async def main() -> None:
        async with watched(server.client(), tools.limits()) as w:
            for number, chunk in enumerate(chunks(tools, 60, spans=2)):
                w.queue.offer(chunk)
                if number % 7 == 0:
                    await tools.turns(3)
            while w.queue.used_bytes:
                await w.next()
            assert 120 == w.queue.ledger.counts[Signal.TRACES].exported

    asyncio.run(main())
    assert Counter(range(120)) == server.ids()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_down_from_the_start(serve: Any, watched: Any, hurried: Any, tools: Any, protocol: str) -> None:
    """Nothing is lost while nothing listens yet, and all arrives once a backend does (F2)."""
    port = tools.unused_port()

    async def main() -> Server:
        client = make_client(tools.downstream(port, protocol))
        async with watched(client, tools.limits(max_age_s=None), clock=hurried.clock, sleep=hurried.sleep) as w:
            for chunk in chunks(tools, 20):
                w.queue.offer(chunk)
            for _ in range(5):
                assert Attempt.TRANSIENT is await w.next()
            server: Server = serve(protocol, lambda _: "ok", port)
            while w.queue.used_bytes:
                await w.next()
            return server

    assert Counter(range(20)) == asyncio.run(main()).ids()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_backend_is_replaced(serve: Any, watched: Any, hurried: Any, tools: Any, protocol: str) -> None:
    """A backend that goes away and comes back at the same address is found again (F28)."""
    stops: list[Any] = []

    async def main() -> tuple[Server, Server]:
        first = serve(protocol, lambda _: stops[0] if stops else "ok")
        async with watched(first.client(), tools.limits(max_age_s=None), clock=hurried.clock, sleep=hurried.sleep) as w:
            one, two = chunks(tools, 2)
            w.queue.offer(one)
            assert Attempt.SUCCESS is await w.next()
            await asyncio.to_thread(first.backend.stop)
            w.queue.offer(two)
            assert Attempt.TRANSIENT is await w.next()
            second = serve(protocol, lambda _: "ok", first.backend.port)
            while w.queue.used_bytes:
                await w.next()
            return first, second

    first, second = asyncio.run(main())
    assert (Counter([0]), Counter([1])) == (first.ids(), second.ids())


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_backend_at_an_ipv6_address(serve: Any, watched: Any, tools: Any, protocol: str) -> None:
    """A backend whose address is one of IPv6 is sent to like any other (F28)."""
    server = serve(protocol, lambda _: "ok", host="::1")

    async def main() -> None:
        async with watched(server.client(host="::1"), tools.limits()) as w:
            w.queue.offer(*chunks(tools, 1))
            assert Attempt.SUCCESS is await w.next()

    asyncio.run(main())
    assert Counter([0]) == server.ids()


def test_a_name_whose_address_changes(
    serve: Any, watched: Any, hurried: Any, tools: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once a backend's name stands for another address, spans go there (F28). Over HTTP; gRPC resolves by itself."""
    protocol, resolve, hosts = "http/protobuf", socket.getaddrinfo, ["127.0.0.1"]

    def find(host: Any, *rest: Any, **how: Any) -> Any:
        return resolve(hosts[-1] if host in ("backend.test", b"backend.test") else host, *rest, **how)

    monkeypatch.setattr(socket, "getaddrinfo", find)

    async def main() -> tuple[Server, Server]:
        first = serve(protocol, lambda _: "ok")
        client = first.client(host="backend.test")
        async with watched(client, tools.limits(max_age_s=None), clock=hurried.clock, sleep=hurried.sleep) as w:
            one, two = chunks(tools, 2)
            w.queue.offer(one)
            assert Attempt.SUCCESS is await w.next()
            second = serve(protocol, lambda _: "ok", first.backend.port, host="127.0.0.2")
            hosts.append("127.0.0.2")
            await asyncio.to_thread(first.backend.stop)
            w.queue.offer(two)
            while w.queue.used_bytes:
                await w.next()
            return first, second

    first, second = asyncio.run(main())
    assert (Counter([0]), Counter([1])) == (first.ids(), second.ids())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_flapping(serve: Any, watched: Any, hurried: Any, tools: Any, protocol: str) -> None:
    """A backend that refuses 70 % of all requests gets everything in the end, each span once (F3)."""
    dice = random.Random(7)
    server = serve(protocol, lambda _: "busy" if dice.random() < 0.7 else "ok")

    async def main() -> None:
        limits = tools.limits(max_age_s=None, batch_max_items=5)
        async with watched(server.client(), limits, clock=hurried.clock, sleep=hurried.sleep) as w:
            for chunk in chunks(tools, 100):
                w.queue.offer(chunk)
            while w.queue.used_bytes:
                await w.next()
            assert 100 == w.queue.ledger.counts[Signal.TRACES].exported
            assert w.queue.ledger.attempts[Attempt.TRANSIENT] > 0

    asyncio.run(main())
    assert Counter(range(100)) == server.ids()


def retry_info(trailer: str) -> tuple[tuple[str, bytes], ...]:
    info = RetryInfo(retry_delay=Duration(seconds=2))
    packed = AnyMessage()
    packed.Pack(info)
    status = Status(code=14, details=[packed])
    return ((trailer, (info if "retryinfo" in trailer else status).SerializeToString()),)


@pytest.mark.parametrize("trailer", ["google.rpc.retryinfo-bin", "grpc-status-details-bin"])
def test_retry_info(grpc_backend: Any, watched: Any, time: Any, tools: Any, trailer: str) -> None:
    """After RetryInfo of 2 s, in either trailer, no attempt comes sooner, and the next one delivers (F4)."""

    def answer(_body: bytes, context: grpc.ServicerContext) -> bytes:
        if len(backend.requests) == 1:
            context.set_trailing_metadata(retry_info(trailer))
            context.abort(grpc.StatusCode.UNAVAILABLE, "busy")
        return b""

    backend = grpc_backend(answer)
    asyncio.run(waits_two_seconds(GrpcClient(tools.downstream(backend.port), "abc"), watched, time, tools))
    assert 3 == len(backend.requests)


@pytest.mark.parametrize("value", ["2", "Tue, 14 Nov 2023 22:13:22 GMT"])
def test_retry_after(http_backend: Any, watched: Any, time: Any, tools: Any, value: str) -> None:
    """After Retry-After of 2 s, in seconds or as a date, no attempt comes sooner, and the next one delivers (F4)."""

    def answer(_body: bytes, handler: Any) -> None:
        handler.date_time_string = lambda: "Tue, 14 Nov 2023 22:13:20 GMT"
        tools.respond(handler, *((429, b"", {"retry-after": value}) if len(backend.requests) == 1 else ()))

    backend = http_backend(answer)
    client = HttpClient(tools.downstream(backend.port, "http/protobuf"), "abc")
    asyncio.run(waits_two_seconds(client, watched, time, tools))
    assert 3 == len(backend.requests)


async def waits_two_seconds(client: Any, watched: Any, time: Any, tools: Any) -> None:
    async with watched(client, tools.limits(), clock=time.clock, sleep=time.sleep, random=lambda: 0.0) as w:
        w.queue.offer(tools.chunk(tools.spans(1)))
        assert Attempt.TRANSIENT is await w.next()
        w.queue.offer(tools.chunk(tools.spans(1)))
        await time.advance(1.999)
        assert (0, 1) == (w.queue.in_flight, sum(w.queue.ledger.attempts.values()))
        await time.advance(0.001)
        assert [Attempt.SUCCESS, Attempt.SUCCESS] == [await w.next(), await w.next()]
        assert 2 == w.queue.ledger.counts[Signal.TRACES].exported


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("word", "reason"), [("invalid", LossReason.INVALID), ("denied", LossReason.UNAUTHENTICATED)])
def test_permanent(serve: Any, watched: Any, tools: Any, protocol: str, word: str, reason: LossReason) -> None:
    """A refused batch costs one attempt and is lost with its reason, and others flow (F5)."""
    server = serve(protocol, lambda _: word if len(server.backend.requests) == 1 else "ok")

    async def main() -> None:
        async with watched(server.client(), tools.limits()) as w:
            w.queue.offer(tools.chunk(tools.spans(3), items=3))
            assert Attempt.PERMANENT is await w.next()
            w.queue.offer(tools.chunk(tools.spans(2), items=2))
            assert Attempt.SUCCESS is await w.next()
            assert ({reason: 3}, 2) == (tools.lost(w.queue), w.queue.ledger.counts[Signal.TRACES].exported)

    asyncio.run(main())
    assert 2 == len(server.backend.requests)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_partial_success(serve: Any, watched: Any, tools: Any, protocol: str) -> None:
    """Three rejected spans are counted, after one attempt (F6)."""
    server = serve(protocol, lambda _: "partial")

    async def main() -> None:
        async with watched(server.client(), tools.limits()) as w:
            w.queue.offer(tools.chunk(tools.spans(8), items=8))
            assert Attempt.SUCCESS is await w.next()
            assert ({LossReason.REJECTED: 3}, 5) == (tools.lost(w.queue), w.queue.ledger.counts[Signal.TRACES].exported)

    asyncio.run(main())
    assert 1 == len(server.backend.requests)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("most_spans", [1, 7])
def test_too_large(serve: Any, watched: Any, tools: Any, protocol: str, most_spans: int) -> None:
    """Batches that the backend finds too large arrive in halves, down to single spans (S27)."""
    server = serve(protocol, lambda body: "ok" if len(tools.span_ids(body)) <= most_spans else "large")

    async def main() -> None:
        async with watched(server.client(), tools.limits(), split=split_request) as w:
            for chunk in chunks(tools, 4, spans=10):
                w.queue.offer(chunk)
            while w.queue.used_bytes:
                await w.next()
            assert ({}, 40) == (tools.lost(w.queue), w.queue.ledger.counts[Signal.TRACES].exported)

    asyncio.run(main())
    assert Counter(range(40)) == server.ids()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_hang(serve: Any, watched: Any, hurried: Any, tools: Any, protocol: str) -> None:
    """A backend that hangs is left at the timeout and tried again; meanwhile chunks are taken without waiting (F7)."""
    server = serve(protocol, lambda _: "hang" if len(server.backend.requests) == 1 else "ok")

    async def main() -> None:
        client = server.client(timeout_s=0.2)
        async with watched(client, tools.limits(), clock=hurried.clock, sleep=hurried.sleep) as w:
            one, two = chunks(tools, 2)
            w.queue.offer(one)
            assert Attempt.TRANSIENT is await w.next()
            w.queue.offer(two)
            while w.queue.used_bytes:
                assert Attempt.SUCCESS is await w.next()

    asyncio.run(main())
    assert Counter(range(2)) == server.ids()


def test_reset(serve: Any, watched: Any, hurried: Any, tools: Any) -> None:
    """After a connection that was reset the batch is tried again (E4, F7)."""
    server = serve("http/protobuf", lambda _: "reset" if len(server.backend.requests) == 1 else "ok")

    async def main() -> None:
        async with watched(server.client(), tools.limits(), clock=hurried.clock, sleep=hurried.sleep) as w:
            w.queue.offer(tools.chunk(tools.spans(1)))
            assert [Attempt.TRANSIENT, Attempt.SUCCESS] == [await w.next(), await w.next()]

    asyncio.run(main())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_unsupported(serve: Any, watched: Any, tools: Any, protocol: str) -> None:
    """A backend for traces only: logs are lost{unsupported} once, then turned away; spans flow (S31)."""
    server = serve(protocol, lambda body: "unknown_signal" if body == b"" else "ok")

    async def main() -> None:
        async with watched(server.client(), tools.limits()) as w:
            w.queue.offer(tools.chunk(b"", signal=Signal.LOGS))
            assert Attempt.UNSUPPORTED is await w.next()
            assert [True, True, False] == [w.queue.takes(signal) for signal in Signal]
            w.queue.offer(tools.chunk(tools.spans(1)))
            assert Attempt.SUCCESS is await w.next()
            assert {LossReason.UNSUPPORTED: 1} == tools.lost(w.queue, Signal.LOGS)

    asyncio.run(main())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_drain(serve: Any, watched: Any, tools: Any, protocol: str) -> None:
    """What is queued at the end is delivered before the drain returns (S29, F12)."""
    server = serve(protocol, lambda _: "ok")

    async def main() -> None:
        async with watched(server.client(), tools.limits(batch_max_items=3)) as w:
            for chunk in chunks(tools, 50):
                w.queue.offer(chunk)
            await w.queue.drain(asyncio.get_running_loop().time() + 20.0)
            assert ({}, 50) == (tools.lost(w.queue), w.queue.ledger.counts[Signal.TRACES].exported)

    asyncio.run(main())
    assert Counter(range(50)) == server.ids()
