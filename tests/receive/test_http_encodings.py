"""Content-Encoding: what is taken, and what is told of the rest."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2, status_pb2

from processor.receive.admission import Admission

SPANS = b"\x0a\x00"
PROTOBUF = "application/x-protobuf"


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


ENCODINGS = {
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("X-GZip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "members": ("gzip", lambda data: gzip.compress(data[:10]) + gzip.compress(data[10:])),
}


@pytest.mark.parametrize("name", ENCODINGS)
@pytest.mark.parametrize("size", [0, 1, 300_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_every_encoding_is_taken(http_listener: Any, recorder: Any, name: str, size: int, is_chunked: bool):
    """R5: gzip of one or many members, deflate with and without zlib's frame, with and without a length."""
    encoding, compress = ENCODINGS[name]
    data = bytes(number * 31 % 251 for number in range(size))
    body = compress(data)
    pieces = iter([body[:1], body[1:70_000], body[70_000:]]) if is_chunked else body
    headers = {"content-type": PROTOBUF, "content-encoding": encoding}
    response = httpx.post(f"http://{http_listener.address}/v1/traces", content=pieces, headers=headers)
    assert 200 == response.status_code
    assert data == recorder.requests[0].body


@pytest.mark.parametrize("encoding", ["zstd", "br", "gzip, gzip", "snappy", "gzip;q=1"])
def test_an_unknown_encoding_is_a_bad_request(post: Any, recorder: Any, encoding: str):
    """R28: 400, with a status that names it."""
    response = post(SPANS, content_encoding=encoding)
    status = status_pb2.Status.FromString(response.content)
    assert (400, code_pb2.INVALID_ARGUMENT) == (response.status_code, status.code)
    assert encoding in status.message
    assert [] == recorder.requests


@pytest.mark.parametrize("name", ["gzip", "zlib", "raw"])
def test_truncated_bodies_are_bad_requests(post: Any, recorder: Any, admission: Admission, name: str):
    """R24: compressed data that ends early is 400, wherever it ends."""
    encoding, compress = ENCODINGS[name]
    whole = compress(bytes(range(256)) * 100)
    sizes = [0, 1, 2, 9, 10, 11, len(whole) // 2, len(whole) - 8, len(whole) - 1]
    answers = [post(whole[:size], content_encoding=encoding).status_code for size in sizes]
    assert [400] * len(sizes) == answers
    assert (len(sizes), 0, []) == (admission.refused["malformed"], admission.in_flight_bytes, recorder.requests)
