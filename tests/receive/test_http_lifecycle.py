"""Where the HTTP listener listens, and how it stops."""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from processor.receive.admission import Admission
from processor.receive.http import HttpListener

MiB = 1 << 20
SPANS = b"\x0a\x00"


def test_a_port_in_use_is_an_error_that_names_it(
    http_listener: Any, recorder: Any, admission: Admission, background: Any
):
    """R1: a second process on the port must not start."""
    second = HttpListener(http_listener.address, recorder, admission, MiB)
    with pytest.raises(OSError, match="in use") as error:
        background.run(second.start())
    assert http_listener.address.rpartition(":")[2] in str(error.value)


@pytest.mark.parametrize(
    ("endpoint", "host"), [("[::1]:0", "::1"), ("[::]:0", "127.0.0.1"), ("localhost:0", "127.0.0.1")]
)
def test_other_addresses(start: Any, recorder: Any, admission: Admission, endpoint: str, host: str):
    """An IPv6 endpoint is written, and told, in brackets; `[::]` takes IPv4 as well."""
    listener = start(HttpListener(endpoint, recorder, admission, MiB))
    name, _, port = listener.address.rpartition(":")
    assert endpoint == f"{name}:0"
    with socket.create_connection((host, int(port)), timeout=10) as wire:
        wire.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert wire.recv(100).startswith(b"HTTP/1.1 404")


def test_draining_refuses_everything_new(post: Any, admission: Admission, recorder: Any):
    """S29: a draining process answers 503 with Retry-After and takes nothing."""
    admission.draining = True
    response = post()
    assert (503, "2") == (response.status_code, response.headers["retry-after"])
    assert [] == recorder.requests


def test_stop_lets_what_is_in_flight_finish(
    http_listener: Any, post: Any, recorder: Any, background: Any, connect: Any
):
    """S29: stopping closes idle connections, refuses new ones, finishes requests, and may be done twice."""
    idle = connect(http_listener)
    recorder.gate = background.call(asyncio.Event)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(post)
        assert recorder.waiting.acquire(timeout=10)
        stopping = background.spawn(http_listener.stop(10))
        assert idle.is_closed()
        with pytest.raises(httpx.TransportError):
            httpx.post(f"http://{http_listener.address}/v1/traces", content=SPANS)
        background.call(recorder.gate.set)
        assert (200, "close") == (future.result().status_code, future.result().headers["connection"])
    stopping.result(10)
    background.run(http_listener.stop(10))


def test_stop_aborts_what_outlasts_the_grace(
    http_listener: Any, post: Any, recorder: Any, background: Any, admission: Admission, connect: Any
):
    """S29: after the grace what is left, half sent or half done, is answered 503: the sender keeps it."""
    half = connect(http_listener)
    half.send(
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 9\r\n\r\nx"
    )
    recorder.gate = background.call(asyncio.Event)
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(post)
        assert recorder.waiting.acquire(timeout=10)
        background.run(http_listener.stop(0))
        assert (503, "2") == (future.result().status_code, future.result().headers["retry-after"])
    assert 503 == half.read_reply()[0]
    assert half.is_closed()
    assert 0 == admission.in_flight_bytes


def test_stop_before_start_does_nothing(recorder: Any, admission: Admission, background: Any):
    """`stop` may be called at any time."""
    background.run(HttpListener("127.0.0.1:0", recorder, admission, MiB).stop(1))
