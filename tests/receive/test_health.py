"""`grpc.health.v1` on the gRPC listener, asked by the real client."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub

from processor.readiness import Readiness
from processor.receive.grpc import GrpcListener
from processor.receive.health import Health
from processor.signals import Signal

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING
SERVICES = ["", *(signal.grpc_service for signal in Signal)]


class Served:
    """A listener with a health service, its readiness, and a stub that asks it."""

    def __init__(self, background: Any, start: Any, dial: Any, recorder: Any, admission: Any) -> None:
        self._call = background.call
        self.is_full = False

        def make() -> Readiness:  # asyncio's events belong to the loop
            return Readiness(lambda: self.is_full)

        self.readiness: Readiness = background.call(make)
        handlers = Health(self.readiness, poll_s=0.01).handlers()
        self.listener = start(GrpcListener("127.0.0.1:0", recorder, admission, 1 << 20, others=handlers))
        self.channel = dial(self.listener)
        self.stub = HealthStub(self.channel)

    def check(self, service: str = "") -> int:
        answer: HealthCheckResponse = self.stub.Check(HealthCheckRequest(service=service), timeout=10)
        return answer.status

    def start(self) -> None:
        self._call(self.readiness.start)

    def drain(self) -> None:
        self._call(self.readiness.drain)


@pytest.fixture
def served(background: Any, start: Any, dial: Any, recorder: Any, admission: Any) -> Served:
    return Served(background, start, dial, recorder, admission)


@pytest.mark.parametrize("service", SERVICES)
def test_check_is_in_step_with_readiness(service: str, served: Served) -> None:
    """Starting, full and draining are not serving, for the whole server and for each service of OTLP's."""
    found = [served.check(service)]
    served.start()
    found.append(served.check(service))
    served.is_full = True
    found.append(served.check(service))
    served.is_full = False
    found.append(served.check(service))
    served.drain()
    found.append(served.check(service))
    assert [NOT_SERVING, SERVING, NOT_SERVING, SERVING, NOT_SERVING] == found


def test_check_of_an_unknown_service(served: Served) -> None:
    """A service that is not here is NOT_FOUND, as the protocol has it."""
    with pytest.raises(grpc.RpcError) as caught:
        served.check("checkout.Cart")
    assert grpc.StatusCode.NOT_FOUND is caught.value.code()


@pytest.mark.parametrize("method", ["Check", "Watch"])
@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x05a", b"\x0b"])
def test_what_is_no_request(method: str, body: bytes, served: Served) -> None:
    """Bytes that are no request are the sender's fault, and the next request is answered."""
    path = f"/grpc.health.v1.Health/{method}"
    with pytest.raises(grpc.RpcError) as caught:
        list(served.channel.unary_stream(path)(body, timeout=10))
    assert grpc.StatusCode.INVALID_ARGUMENT is caught.value.code()
    assert NOT_SERVING == served.check()


def test_watch_says_each_change(served: Served) -> None:
    """The status at once, then each new one; draining ends the stream, so that it keeps no listener from stopping."""
    answers = served.stub.Watch(HealthCheckRequest(), timeout=30)
    found = [next(answers).status]
    served.start()
    found.append(next(answers).status)
    served.is_full = True
    found.append(next(answers).status)
    served.is_full = False
    found.append(next(answers).status)
    served.drain()
    found += [answer.status for answer in answers]
    assert [NOT_SERVING, SERVING, NOT_SERVING, SERVING, NOT_SERVING] == found
    assert grpc.StatusCode.OK is answers.code()


def test_watch_of_an_unknown_service(served: Served) -> None:
    """An unknown service may still come: the stream says so, and stays."""
    answers = served.stub.Watch(HealthCheckRequest(service="checkout.Cart"), timeout=30)
    assert HealthCheckResponse.SERVICE_UNKNOWN == next(answers).status
    served.drain()
    assert [] == list(answers)


def test_a_watcher_that_leaves(served: Served) -> None:
    """Watchers that go away leave nothing behind that would disturb others."""
    for _ in range(20):
        answers = served.stub.Watch(HealthCheckRequest(), timeout=30)
        next(answers)
        answers.cancel()
    assert NOT_SERVING == served.check()


def test_listener_stops_under_watchers(served: Served, background: Any) -> None:
    """A watcher does not hold up the end of the process."""
    served.start()
    answers = served.stub.Watch(HealthCheckRequest(), timeout=30)
    assert SERVING == next(answers).status
    served.drain()

    async def stop() -> None:
        await asyncio.wait_for(served.listener.stop(20), 10)

    background.run(stop())
    assert [NOT_SERVING] == [answer.status for answer in answers]


def test_spans_are_taken_beside_it(served: Served, export: Callable[..., Any], recorder: Any) -> None:
    """Health is one more method; OTLP's are what they were, and others are unknown."""
    assert b"" == export(served.listener, b"")
    assert 1 == len(recorder.requests)
    with pytest.raises(grpc.RpcError) as caught:
        served.channel.unary_unary("/grpc.health.v1.Health/List")(b"", timeout=10)
    assert grpc.StatusCode.UNIMPLEMENTED is caught.value.code()
