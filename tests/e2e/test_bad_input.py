"""What is no OTLP, or not quite: the answers of the specification, neighbours unharmed, and the process goes on."""

from __future__ import annotations

import gzip
import json
import random
import secrets
import zlib
from collections.abc import Iterator
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from messages import TRACES, call_grpc, call_http, make_request, make_span, write_json
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import eventually

DETAILS = "grpc-status-details-bin"
RETRY_INFO = "google.rpc.retryinfo-bin"
OVER = b"\x0a" * (1 << 20) + b"\x0a"  # one byte over the shared processors' limit

# A Span whose attribute says that it is longer than it is.
MALFORMED = make_span(b"t" * 16, 9).SerializeToString() + b"\x4a\x7f\x0a\x01k"
WRONG_IDS = {
    "short trace id": Span(trace_id=b"t" * 15, span_id=b"s" * 8),
    "zero trace id": Span(trace_id=bytes(16), span_id=b"s" * 8),
    "no trace id": Span(span_id=b"s" * 8),
    "long span id": Span(trace_id=b"t" * 16, span_id=b"s" * 9),
    "zero span id": Span(trace_id=b"t" * 16, span_id=bytes(8)),
    "short parent id": Span(trace_id=b"t" * 16, span_id=b"s" * 8, parent_span_id=b"p"),
}


@pytest.fixture(autouse=True)
def _goes_on(grpc_way: Any) -> Iterator[None]:
    """Whatever a test sent, a good trace sent afterwards arrives."""
    yield
    # Alone in its request: bytes that are forwarded untouched may be none that the backend's protobuf takes.
    eventually(lambda: grpc_way.processor.accounting()["queued"] == 0)
    trace_id = secrets.token_bytes(16)
    assert grpc.StatusCode.OK is call_grpc(grpc_way.processor.grpc_port, make_request(make_span(trace_id, 1)))[0]
    assert 200 == call_http(grpc_way.processor.http_port, make_request(make_span(trace_id, 2)))[0]
    assert 2 == len(grpc_way.backend.collect(2, trace_id))


def read_status(body: bytes) -> tuple[int, str, list[str]]:
    """Code, message, and the types of the details of a google.rpc.Status."""
    status = status_pb2.Status.FromString(body)
    return status.code, status.message, [detail.type_url.rpartition("/")[2] for detail in status.details]


def good_request() -> bytes:
    return make_request(*(make_span(b"g" * 16, number, user__id="ann") for number in (1, 2)))


def test_a_truncated_request_over_grpc(grpc_way: Any) -> None:
    """R24: cut anywhere, a request is INVALID_ARGUMENT with a BadRequest in its details, and is not retried."""
    body = good_request()
    with grpc.insecure_channel(f"127.0.0.1:{grpc_way.processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        for length in range(1, len(body)):
            with pytest.raises(grpc.RpcError) as caught:
                method(body[:length], timeout=20)
            error: Any = caught.value
            trailers = dict(error.trailing_metadata())
            assert grpc.StatusCode.INVALID_ARGUMENT is error.code(), length
            code, message, details = read_status(trailers[DETAILS])
            assert (3, ["google.rpc.BadRequest"]) == (code, details)
            assert message == error.details()
            assert RETRY_INFO not in trailers


def test_a_truncated_request_over_http(grpc_way: Any) -> None:
    """R24, R25, R11: cut anywhere, a request is 400 with a Status in the request's own encoding."""
    body = good_request()
    for length in range(1, len(body), 7):
        status, headers, answer = call_http(grpc_way.processor.http_port, body[:length])
        assert (400, "application/x-protobuf") == (status, headers["content-type"])
        assert (3, ["google.rpc.BadRequest"]) == read_status(answer)[::2]
        assert "retry-after" not in headers


def test_a_truncated_request_in_json(grpc_way: Any) -> None:
    """R24, R25, R11: cut anywhere, JSON is 400 with a Status in JSON."""
    body = write_json(ExportTraceServiceRequest.FromString(good_request()))
    for length in range(1, len(body), 11):
        status, headers, answer = call_http(
            grpc_way.processor.http_port, body[:length], content_type="application/json"
        )
        assert (400, "application/json") == (status, headers["content-type"])
        assert json.loads(answer)["message"]


def test_random_bytes(grpc_way: Any) -> None:
    """R24: bytes of no meaning are refused for good, or taken where they happen to mean something; nothing else."""
    dice = random.Random(7)
    with grpc.insecure_channel(f"127.0.0.1:{grpc_way.processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        codes = {method.future(dice.randbytes(dice.randrange(1, 200)), timeout=20).code() for _ in range(200)}
    assert {grpc.StatusCode.OK, grpc.StatusCode.INVALID_ARGUMENT} >= codes
    for _ in range(20):
        assert call_http(grpc_way.processor.http_port, dice.randbytes(50))[0] in (200, 400)


def test_damaged_requests(grpc_way: Any) -> None:
    """S9: a request with single bytes changed is refused, or its bad spans are; never an error of ours."""
    dice = random.Random(8)
    body = good_request()
    with grpc.insecure_channel(f"127.0.0.1:{grpc_way.processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        for _ in range(300):
            damaged = bytearray(body)
            for _ in range(dice.randrange(1, 4)):
                damaged[dice.randrange(len(damaged))] = dice.randrange(256)
            call = method.future(bytes(damaged), timeout=20)
            if call.code() is grpc.StatusCode.OK:
                response = ExportTraceServiceResponse.FromString(call.result())
                assert response.partial_success.rejected_spans <= 2
            else:
                assert grpc.StatusCode.INVALID_ARGUMENT is call.code()


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/v1/traces", {"content_type": "text/plain"}, b"x", 415),
        ("POST", "/v1/traces", {"content_type": ""}, b"x", 415),
        ("POST", "/v1/traces", {"content_encoding": "br"}, b"x", 400),
        ("POST", "/v1/traces", {"content_encoding": "gzip"}, b"no gzip", 400),
        ("POST", "/v1/traces", {"content_encoding": "gzip"}, gzip.compress(b"x" * 99)[:-5], 400),
        ("POST", "/v1/traces", {"content_encoding": "deflate"}, zlib.compress(b"x" * 99)[:-5], 400),
        ("GET", "/v1/traces", {}, b"", 405),
        ("POST", "/v2/traces", {}, b"x", 404),
        ("POST", "/", {}, b"x", 404),
        ("POST", "/v1/traces", {}, b"", 200),
        ("POST", "/v1/traces", {"content_type": "application/json; charset=utf-8"}, b"{}", 200),
        ("POST", "/v1/traces", {"content_type": "application/json"}, b"[]", 400),
        ("POST", "/v1/traces", {"content_type": "application/json"}, b"", 400),
        ("POST", "/v1/traces", {"content_type": "application/json"}, b'{"resourceSpans": 5}', 400),
        ("POST", "/v1/traces", {"content_type": "application/json"}, b"[" * 100_000, 400),
        ("POST", "/v1/traces", {"content_type": "application/json"}, b'{"resourceSpans": [{"x": "\xff"}]}', 400),
    ],
)  # fmt: skip
def test_answers_over_http(
    method: str, path: str, headers: dict[str, str], body: bytes, status: int, grpc_way: Any
) -> None:
    """R3, R21, R24, R28: the answers to another method, path, media type, encoding, and to a body that is not one."""
    answer = call_http(grpc_way.processor.http_port, body, method, path, **headers)
    assert status == answer[0]
    assert "retry-after" not in answer[1]
    if status == 405:
        assert answer[1]["allow"] == "POST"


def test_an_unknown_method_over_grpc(grpc_way: Any) -> None:
    """A service that is not OTLP's is UNIMPLEMENTED."""
    assert grpc.StatusCode.UNIMPLEMENTED is call_grpc(grpc_way.processor.grpc_port, b"", "/x.Y/Export")[0]


def test_a_request_over_the_limit_over_grpc(grpc_way: Any) -> None:
    """R7, R8: over the limit, even if only when decompressed, is RESOURCE_EXHAUSTED without RetryInfo."""
    with grpc.insecure_channel(f"127.0.0.1:{grpc_way.processor.grpc_port}") as channel:
        method = channel.unary_unary(TRACES)
        for compression in (grpc.Compression.NoCompression, grpc.Compression.Gzip):
            with pytest.raises(grpc.RpcError) as caught:
                method(OVER, timeout=20, compression=compression)
            error: Any = caught.value
            assert grpc.StatusCode.RESOURCE_EXHAUSTED is error.code()
            assert set() == {DETAILS, RETRY_INFO} & {name for name, _ in error.trailing_metadata()}


@pytest.mark.parametrize(
    ("body", "encoding"), [(OVER, ""), (gzip.compress(OVER), "gzip"), (zlib.compress(OVER), "deflate")]
)
def test_a_request_over_the_limit_over_http(body: bytes, encoding: str, grpc_way: Any) -> None:
    """R7, R8: over the limit, even if only when decompressed, is 413 with a Status."""
    status, headers, answer = call_http(grpc_way.processor.http_port, body, content_encoding=encoding)
    assert (413, "application/x-protobuf") == (status, headers["content-type"])
    assert 8 == read_status(answer)[0]
    assert "retry-after" not in headers


def test_a_malformed_span_goes_alone(way: Any) -> None:
    """S9, R22: a malformed span among good ones is rejected, and counted in the answer; the others are forwarded."""
    trace_id = secrets.token_bytes(16)
    good = [make_span(trace_id, 1, user__id="ann"), make_span(trace_id, 2, 1)]
    body = make_request(good[0], MALFORMED, good[1], MALFORMED)
    code, response, _ = call_grpc(way.processor.grpc_port, body)
    partial = ExportTraceServiceResponse.FromString(response).partial_success
    assert (grpc.StatusCode.OK, 2) == (code, partial.rejected_spans)
    assert partial.error_message.startswith("rejected malformed spans: 2 with ")
    assert ["ann", "ann"] == [span.attributes[-1].value.string_value for span in way.backend.collect(2, trace_id)]


@pytest.mark.parametrize("name", WRONG_IDS)
def test_a_span_with_a_wrong_id_goes_alone(name: str, grpc_way: Any) -> None:
    """S9: an id of a wrong length, or of zeros, is the end of its span alone."""
    trace_id = secrets.token_bytes(16)
    body = make_request(WRONG_IDS[name], make_span(trace_id, 1))
    status, _, answer = call_http(grpc_way.processor.http_port, body)
    partial = ExportTraceServiceResponse.FromString(answer).partial_success
    assert (200, 1) == (status, partial.rejected_spans)
    assert "_id" in partial.error_message
    assert 1 == len(grpc_way.backend.collect(1, trace_id))


def test_json_says_what_was_rejected_in_json(grpc_way: Any) -> None:
    """R11, R22: a partial success of a JSON request is JSON, its 64-bit number a string."""
    request = ExportTraceServiceRequest.FromString(make_request(WRONG_IDS["zero span id"]))
    status, headers, answer = call_http(
        grpc_way.processor.http_port, write_json(request), content_type="application/json"
    )
    assert (200, "application/json") == (status, headers["content-type"])
    assert "1" == json.loads(answer)["partialSuccess"]["rejectedSpans"]


def test_invalid_utf_8_is_forwarded(grpc_way: Any) -> None:
    """S9: what is not UTF-8 in a field that is not read leaves as it came, as do its neighbours."""
    trace_id = secrets.token_bytes(16)
    root = make_span(trace_id, 1, user__id="ann")
    odd = (
        make_span(trace_id, 2, 1).SerializeToString()
        + b"\x2a\x03a\xff\x80"
        + b"\x4a\x0a\x0a\x02k\xff\x12\x04\x0a\x02\xc3\x28"
    )
    status, _, answer = call_http(grpc_way.processor.http_port, make_request(odd, root))
    assert (200, b"") == (status, answer)

    def arrived() -> list[bytes]:
        return [raw for raw in grpc_way.backend.raw_spans() if trace_id in raw]

    eventually(lambda: len(arrived()) == 2)
    suffix = make_request()[:0] + Span(attributes=root.attributes[:1]).SerializeToString()
    assert sorted([root.SerializeToString(), odd + suffix]) == sorted(arrived())


def test_an_unknown_sender_gets_no_details(grpc_way: Any) -> None:
    """R25: what a refusal says is about the bytes, without quoting them."""
    _, _, answer = call_http(grpc_way.processor.http_port, b"\x0a\x7fs3cret")
    assert b"s3cret" not in answer
    assert error_details_pb2.BadRequest.DESCRIPTOR.full_name in read_status(answer)[2]
