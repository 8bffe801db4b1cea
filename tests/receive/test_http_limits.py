"""What a careless or hostile sender does to the HTTP listener, and that it costs nobody else."""

from __future__ import annotations

import asyncio
import gzip
import threading
import zlib
from typing import Any

import httpx
import pytest

from processor.receive.access import Access
from processor.receive.admission import Admission, Hold
from processor.receive.connection import HEAD_BYTES
from processor.receive.http import HttpListener
from processor.receive.upload import Upload
from processor.signals import Signal
from processor.wire import otlp_json

MiB = 1 << 20
PROTOBUF = "application/x-protobuf"
HEAD = b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\n"


def post(listener: Any, body: Any, **headers: str) -> httpx.Response:
    named = {"content-type": PROTOBUF, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return httpx.post(f"http://{listener.address}/v1/traces", content=body, headers=named, timeout=10)


@pytest.fixture
def impatient(start: Any, recorder: Any, admission: Admission) -> HttpListener:
    """A listener that waits a quarter of a second for a request: long enough for a machine that does other things."""
    return start(HttpListener("127.0.0.1:0", recorder, admission, MiB, read_timeout_s=0.25))


def test_the_limit_itself_is_allowed(http_listener: Any, recorder: Any):
    """R7: the limit is the largest size that passes."""
    assert 200 == post(http_listener, b"x" * MiB).status_code
    assert 413 == post(http_listener, b"x" * (MiB + 1)).status_code
    assert [MiB] == [len(request.body) for request in recorder.requests]


def test_a_declared_length_over_the_limit_is_refused_unread(http_listener: Any, recorder: Any, connect: Any):
    """R7, R8: 413 before a byte of the body has come, and the connection ends."""
    wire = connect(http_listener)
    wire.send(HEAD + b"content-length: 1048577\r\n\r\n")
    status, headers, _ = wire.read_reply()
    assert (413, "close", PROTOBUF) == (status, headers["connection"], headers["content-type"])
    assert [] == recorder.requests


def test_a_chunked_body_over_the_limit_is_refused(http_listener: Any, recorder: Any, admission: Admission):
    """R7, R8: without a declared length, 413 when the limit is passed; the sender gets to read it."""
    response = post(http_listener, iter([b"x" * 65536] * 40))
    assert (413, "close") == (response.status_code, response.headers["connection"])
    assert (1, 0, []) == (admission.refused["too_large"], admission.in_flight_bytes, recorder.requests)


def test_a_sender_of_too_much_gets_its_answer(http_listener: Any, recorder: Any):
    """R8: a client that sends all before it reads finds 413, not a reset connection (10 times of 10)."""
    body = b"x" * (2 * MiB)
    assert [413] * 10 == [post(http_listener, body).status_code for _ in range(10)]


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_bomb_is_refused(
    http_listener: Any, recorder: Any, admission: Admission, background: Any, encoding: str, is_chunked: bool
):
    """R7, F24: 64 MiB of zeros in 64 KiB are 413, and no more than the limit is ever counted in flight."""
    bomb = (gzip if encoding == "gzip" else zlib).compress(b"\0" * (64 * MiB))
    assert len(bomb) < 100_000
    response = post(http_listener, iter([bomb[:9], bomb[9:]]) if is_chunked else bomb, content_encoding=encoding)
    assert 413 == response.status_code
    assert (1, 0, []) == (admission.refused["too_large"], admission.in_flight_bytes, recorder.requests)
    assert 200 == post(http_listener, b"").status_code


def test_inflated_bytes_count_as_in_flight(start: Any, recorder: Any):
    """S26: what a body inflates to must find room as well; where others hold it, the sender comes back."""
    admission = Admission(limit_bytes=3 * MiB)
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, 4 * MiB))
    body = gzip.compress(b"\0" * (2 * MiB))
    admission.enter(2 * MiB)
    response = post(listener, body, content_encoding="gzip")
    assert (503, "1", 1) == (response.status_code, response.headers["retry-after"], admission.refused["memory"])
    admission.leave(2 * MiB)
    assert 200 == post(listener, body, content_encoding="gzip").status_code
    assert 0 == admission.in_flight_bytes


@pytest.mark.parametrize("is_chunked", [False, True])
def test_over_the_limit_in_flight_the_sender_comes_back(start: Any, recorder: Any, background: Any, is_chunked: bool):
    """S26: a declared length, or what has come of a chunked body, must find room; a small body keeps its connection."""
    admission = Admission(limit_bytes=100)
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB))
    with httpx.Client(base_url=f"http://{listener.address}", headers={"content-type": PROTOBUF}) as client:
        admission.enter(60)
        body = b"x" * 41
        response = client.post("/v1/traces", content=iter([body]) if is_chunked else body)
        assert (503, "1") == (response.status_code, response.headers["retry-after"])
        assert is_chunked or "connection" not in response.headers
        admission.leave(60)
        assert 200 == client.post("/v1/traces", content=body).status_code
    assert (1, 0) == (admission.refused["memory"], admission.in_flight_bytes)


def test_a_body_counts_from_its_head_to_its_answer(
    http_listener: Any, recorder: Any, admission: Admission, background: Any, connect: Any
):
    """S17: the declared length is in flight before the body has come, and until the answer."""
    recorder.gate = background.call(asyncio.Event)
    wire = connect(http_listener)
    wire.send(HEAD + b"content-length: 500\r\nexpect: 100-continue\r\n\r\n")
    assert 100 == wire.read_reply()[0]
    assert 500 == admission.in_flight_bytes
    wire.send(b"x" * 500)
    assert recorder.waiting.acquire(timeout=10)
    assert 500 == admission.in_flight_bytes
    background.call(recorder.gate.set)
    assert 200 == wire.read_reply()[0]
    assert 0 == admission.in_flight_bytes


@pytest.mark.parametrize("encoding", [b"", b"content-encoding: gzip\r\n"])
def test_a_sender_that_leaves_mid_upload_frees_everything(
    http_listener: Any, recorder: Any, admission: Admission, connect: Any, background: Any, encoding: bytes
):
    """F23: a disconnect in the middle of a body leaves nothing in flight, and is nobody's error."""
    wire = connect(http_listener)
    wire.send(HEAD + encoding + b"expect: 100-continue\r\ncontent-length: 500\r\n\r\n")
    assert 100 == wire.read_reply()[0]
    assert 500 == admission.in_flight_bytes
    wire.send(gzip.compress(b"x" * 5000)[:30])
    wire.close()
    while admission.in_flight_bytes:
        background.call(int)
    assert 200 == post(http_listener, b"").status_code
    assert {0} == set(admission.refused.values())


def test_a_body_that_drips_is_cut(impatient: Any, recorder: Any, admission: Admission, connect: Any, background: Any):
    """F23: a body that keeps coming, but not in time, is answered with 408 in plain text, and everything freed."""
    wire = connect(impatient)
    wire.send(HEAD + b"content-length: 500\r\n\r\n")
    done = threading.Event()

    def drip() -> None:
        while not done.wait(0.005):
            try:
                wire.send(b"x")
            except OSError:
                return

    dripping = threading.Thread(target=drip)
    dripping.start()
    status, headers, body = wire.read_reply()
    done.set()
    dripping.join()
    assert b"the request took too long to be sent\n" == body
    assert (408, "text/plain", "close") == (status, headers["content-type"], headers["connection"])
    assert wire.is_closed()
    while admission.in_flight_bytes:
        background.call(int)
    assert (1, []) == (admission.refused["slow"], recorder.requests)


@pytest.mark.parametrize("is_first", [True, False])
@pytest.mark.parametrize("sent", [b"", b"POST", HEAD])
def test_a_head_that_never_ends_is_cut(impatient: Any, connect: Any, background: Any, sent: bytes, is_first: bool):
    """F23: a connection that says nothing, or half of a head, is closed; one that waits between two requests is not."""
    between = connect(impatient)
    between.send(b"GET / HTTP/1.1\r\n\r\n")
    assert 404 == between.read_reply()[0]
    wire = connect(impatient)
    if not is_first:
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        assert 404 == wire.read_reply()[0]
        sent = sent or b"P"
    for line in sent.splitlines(keepends=True):
        wire.send(line)
        background.call(int)
    assert wire.is_closed()
    between.send(b"GET / HTTP/1.1\r\n\r\n")
    assert 404 == between.read_reply()[0]


def test_a_slow_receiver_is_not_the_senders_fault(impatient: Any, recorder: Any, background: Any, connect: Any):
    """The time limit is for sending: a request that came whole waits for its answer as long as it takes."""
    recorder.gate = background.call(asyncio.Event)
    wire = connect(impatient)
    wire.send(HEAD + b"content-length: 2\r\n\r\n", b"\x0a\x00")
    assert recorder.waiting.acquire(timeout=10)
    silent = connect(impatient)
    assert silent.is_closed()
    background.call(recorder.gate.set)
    assert 200 == wire.read_reply()[0]


@pytest.mark.parametrize("piece", [1000, HEAD_BYTES * 8])
def test_a_head_is_bounded(http_listener: Any, connect: Any, piece: int):
    """§7: a head of more than 16 KiB is 431, in one piece or in many, and ends the connection."""
    wire = connect(http_listener)
    wire.send(b"POST /v1/traces HTTP/1.1\r\nx-big: ")
    try:
        for _ in range(HEAD_BYTES * 8 // piece):
            wire.send(b"x" * piece)
    except OSError:  # it was cut on the way
        return
    status, headers, body = wire.read_reply()
    assert (431, "close", b"the request head is too large\n") == (status, headers["connection"], body)
    assert wire.is_closed()


def test_a_large_head_passes(http_listener: Any):
    """§7: below 16 KiB any header is fine."""
    assert 200 == post(http_listener, b"", x_big="x" * 15_000).status_code


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:443 HTTP/1.1\r\n\r\n",
        b"POST /\xff/v1/traces HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"POST http://[/v1/traces HTTP/1.1\r\ncontent-length: 0\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: x\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
        b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_garbage_is_a_bad_request(
    http_listener: Any, connect: Any, caplog: Any, admission: Admission, background: Any, garbage: bytes
):
    """F24, R12: what is not HTTP/1.1, gRPC included, ends its connection, fills no log and leaves nothing behind."""
    wire = connect(http_listener)
    wire.send(garbage)
    assert 400 == wire.read_reply()[0]
    assert wire.is_closed()
    assert [] == caplog.records
    while admission.in_flight_bytes:
        background.call(int)


def test_a_refused_body_is_read_no_further_than_the_limit(http_listener: Any, connect: Any):
    """An endless body behind an answer is not read for ever."""
    wire = connect(http_listener)
    wire.send(b"POST /nowhere HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000000\r\n\r\n")
    status, headers, _ = wire.read_reply()
    assert (404, "close") == (status, headers["connection"])
    with pytest.raises(OSError, match=r"reset|[Bb]roken"):
        wire.send(*[b"x" * 65536] * 1000)


def test_inflating_lets_others_have_their_turns():
    """A body that inflates for long gives the loop a turn after every step of 1 MiB."""
    body = gzip.compress(b"".join(index.to_bytes(16, "big") * 16 for index in range(MiB // 16)))

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def main() -> tuple[int, int]:
        headers = {b"content-encoding": b"gzip", b"content-length": b"%d" % len(body)}
        reading = asyncio.create_task(Upload(headers, receive).read(16 * MiB, Hold(Admission(16 * MiB), 0)))
        turns = 0
        while not reading.done():
            await asyncio.sleep(0)
            turns += 1
        return turns, len(reading.result())

    turns, size = asyncio.run(main())
    assert size == 16 * MiB
    assert turns >= 16


def test_large_json_is_read_off_the_loop(
    http_listener: Any, background: Any, recorder: Any, monkeypatch: pytest.MonkeyPatch
):
    """64 KiB of JSON are read at once, more in a thread of its own: the loop goes on meanwhile."""
    threads = []
    inner = otlp_json.encode

    def encode(signal: Signal, text: bytes) -> bytes:
        threads.append((len(text), threading.current_thread() is background.thread))
        return inner(signal, text)

    monkeypatch.setattr(otlp_json, "encode", encode)
    for size in (64 * 1024, 64 * 1024 + 1):
        assert 200 == post(http_listener, b"{}".ljust(size), content_type="application/json").status_code
    assert [(65536, True), (65537, False)] == threads


def test_trailers_are_bounded(http_listener: Any, connect: Any, recorder: Any, admission: Admission, background: Any):
    """What comes behind a body's last chunk is kept by the parser: over 16 KiB of it are refused."""
    wire = connect(http_listener)
    wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n2\r\n\x0a\x00\r\n0\r\n", b"x: ")
    status = 0
    for _ in range(64):
        try:
            wire.send(b"y" * 1024)
        except OSError:
            break
    try:
        status = wire.read_reply()[0]
    except OSError:
        status = 431  # the reset overtook the answer
    assert (431, []) == (status, recorder.requests)
    while admission.in_flight_bytes:  # the answer overtakes the end of the request
        background.call(int)


def test_a_body_in_small_chunks_is_whole(http_listener: Any, connect: Any, recorder: Any):
    """What frames a body counts only while the body does not grow: 20,000 chunks of a byte are a body."""
    wire = connect(http_listener)
    wire.send(HEAD + b"transfer-encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 20_000, b"0\r\nx: y\r\n\r\n")
    assert (200, [b"x" * 20_000]) == (wire.read_reply()[0], [request.body for request in recorder.requests])


def test_requests_ahead_of_their_answers_are_bounded(
    http_listener: Any, connect: Any, recorder: Any, background: Any, admission: Admission
):
    """A sender that does not wait for answers has 16 requests waiting at most; with more its connection ends."""
    recorder.gate = background.call(asyncio.Event)
    request = HEAD + b"content-length: 2\r\n\r\n\x0a\x00"
    patient, greedy = connect(http_listener), connect(http_listener)
    patient.send(request * 10)
    greedy.send(request * 100)
    assert greedy.is_closed()
    background.call(recorder.gate.set)
    assert [200] * 10 == [patient.read_reply()[0] for _ in range(10)]


def test_connections_are_bounded(start: Any, recorder: Any, admission: Admission, connect: Any, background: Any):
    """The connection beyond the limit is closed at once and counted; when one ends the next is let in."""
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB, access=Access(max_connections=3)))
    wires = [connect(listener) for _ in range(3)]
    for wire in wires:
        wire.send(HEAD + b"content-length: 0\r\n\r\n")
        assert 200 == wire.read_reply()[0]
    assert connect(listener).is_closed()
    assert 1 == admission.refused["connections"]
    wires[0].close()
    while len(listener._server._connections) == 3:
        background.call(int)
    assert 200 == post(listener, b"").status_code


@pytest.mark.parametrize("encoding", ["gzip, gzip", "gzip,gzip", "deflate, gzip", "zstd", "br"])
def test_nested_encodings_are_refused(http_listener: Any, recorder: Any, encoding: str):
    """Layers are not peeled off one by one: an encoding in an encoding is refused unread."""
    response = post(http_listener, gzip.compress(gzip.compress(b"x")), content_encoding=encoding)
    assert (400, []) == (response.status_code, recorder.requests)
