from __future__ import annotations

import asyncio
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge, UnsupportedSignal
from processor.receive.admission import Admission
from processor.receive.http import HttpListener
from processor.receive.receive import Answer
from processor.signals import HOP_HEADER, Signal

MiB = 1 << 20
SPANS = b"\x0a\x00"
PROTOBUF = "application/x-protobuf"
JSON = "application/json"
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"


def error_of(response: httpx.Response) -> tuple[int, str]:
    """The code and message of a google.rpc.Status, in the encoding that the response says."""
    if response.headers["content-type"] == JSON:
        status = response.json()
        return status["code"], status["message"]
    status = status_pb2.Status.FromString(response.content)
    return status.code, status.message


@pytest.mark.parametrize("prefix", ["", "/collector", "/collector/", "/a/b/v1/traces"])
@pytest.mark.parametrize("signal", Signal)
def test_any_path_that_ends_in_otlps(post: Any, recorder: Any, signal: Signal, prefix: str):
    """R2: /v1/traces, /v1/metrics and /v1/logs, below any prefix; the bytes are handed over as they came."""
    response = post(SPANS, f"{prefix}/{signal.http_path}")
    assert (200, b"", PROTOBUF) == (response.status_code, response.content, response.headers["content-type"])
    [request] = recorder.requests
    assert (signal, SPANS, "http/protobuf", {}) == (request.signal, request.body, request.transport, request.headers)


@pytest.mark.parametrize(
    "path", ["/", "/v1/traces/", "/v1/spans", "/v1traces", "/v1/traces/x", "/xv1/traces", "/v1development/profiles"]
)
def test_any_other_path_is_not_found(post: Any, path: str):
    """R2: 404 in plain text."""
    response = post(SPANS, path)
    assert (404, "text/plain") == (response.status_code, response.headers["content-type"])


def test_a_query_is_no_part_of_the_path(post: Any):
    """R2: what stands behind a question mark does not matter."""
    assert 200 == post(SPANS, "/v1/traces?x=/v1/logs").status_code


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_only_post(post: Any, method: str):
    """R28: another method is 405 in plain text, and says which is allowed; the connection lives on."""
    response = post.client.request(method, "/v1/traces")
    assert (405, "text/plain", "POST") == (
        response.status_code,
        response.headers["content-type"],
        response.headers["allow"],
    )
    assert "connection" not in response.headers


@pytest.mark.parametrize(
    "kind", [None, "text/plain", "application/protobuf", "application/x-protobufs", "multipart/form-data", ""]
)
def test_another_media_type_is_unsupported(post: Any, recorder: Any, kind: str | None):
    """R28: 415 in plain text, also where none is named; a small body keeps its connection."""
    response = post(SPANS, kind=kind)
    assert (415, "text/plain") == (response.status_code, response.headers["content-type"])
    assert "connection" not in response.headers
    assert [] == recorder.requests


@pytest.mark.parametrize(
    "kind", [PROTOBUF, "Application/X-Protobuf", "application/x-protobuf; charset=utf-8", "application/x-protobuf;x=y"]
)
def test_media_types_in_any_case_with_any_parameters(post: Any, kind: str):
    """R3, R11: parameters and case do not matter; the answer names the bare type."""
    response = post(SPANS, kind=kind)
    assert (200, PROTOBUF) == (response.status_code, response.headers["content-type"])


@pytest.mark.parametrize("kind", [JSON, "application/json; charset=utf-8", "APPLICATION/JSON"])
def test_json_is_transcoded(post: Any, recorder: Any, kind: str):
    """R3, R11, R20: JSON on the same port comes out as protobuf, and is answered with `{}`."""
    spans = [{"traceId": TRACE_ID, "spanId": "b7ad6b7169203331", "name": "x"}]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    response = post(body, kind=kind)
    assert (200, b"{}", JSON) == (response.status_code, response.content, response.headers["content-type"])
    [request] = recorder.requests
    span = ExportTraceServiceRequest.FromString(request.body).resource_spans[0].scope_spans[0].spans[0]
    assert ("http/json", TRACE_ID, "x") == (request.transport, span.trace_id.hex(), span.name)


def test_large_json_is_transcoded_as_well(post: Any, recorder: Any, admission: Admission):
    """R3: JSON that is read off the loop comes out the same, and nothing stays in flight."""
    spans = [{"traceId": TRACE_ID, "spanId": "b7ad6b7169203331", "name": str(number)} for number in range(3000)]
    body = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": spans}]}]}).encode()
    assert 200 == post(gzip.compress(body), kind=JSON, content_encoding="gzip").status_code
    found = ExportTraceServiceRequest.FromString(recorder.requests[0].body).resource_spans[0].scope_spans[0].spans
    assert [str(number) for number in range(3000)] == [span.name for span in found]
    assert 0 == admission.in_flight_bytes


def test_json_is_counted_with_what_reading_it_costs(start: Any, recorder: Any):
    """S17: JSON needs eight times its size in memory; where that can never be, it is too large."""
    listener = start(HttpListener("127.0.0.1:0", recorder, Admission(limit_bytes=8000), MiB))
    url = f"http://{listener.address}/v1/traces"
    answers = []
    for body in (b"{}".ljust(1000), b"{}".ljust(1001)):
        answers.append(httpx.post(url, content=body, headers={"content-type": JSON}).status_code)
    assert [200, 413] == answers


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
@pytest.mark.parametrize("body", [b"", b"{}"])
def test_an_empty_request_is_a_success(post: Any, kind: str, body: bytes):
    """R21: no spans, no complaint; for JSON that is an empty object."""
    if kind == JSON:
        assert 200 == post(b"{}", kind=kind).status_code
    else:
        assert 200 == post(b"", kind=kind).status_code


@pytest.mark.parametrize("rejected", [0, 3])
def test_a_partial_success_is_a_success(post: Any, recorder: Any, rejected: int):
    """R11, R22, R23: 200 with partial_success in the request's encoding."""
    recorder.outcomes = [Answer(rejected, "why")]
    response = post(SPANS)
    partial = ExportTraceServiceResponse.FromString(response.content).partial_success
    assert (200, rejected, "why") == (response.status_code, partial.rejected_spans, partial.error_message)
    response = post(b"{}", kind=JSON)
    partial = response.json()["partialSuccess"]
    assert (200, rejected, "why") == (
        response.status_code,
        int(partial.get("rejectedSpans", 0)),
        partial["errorMessage"],
    )
    assert JSON == response.headers["content-type"]


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_a_long_message_still_fits(post: Any, recorder: Any, kind: str):
    """R9: the response stays below 4 MiB whatever there is to say."""
    recorder.outcomes = [Answer(1, "ü" * (8 * MiB))]
    assert len(post(b"" if kind == PROTOBUF else b"{}", kind=kind).content) < 4 * MiB


@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
@pytest.mark.parametrize(
    ("outcome", "status", "code", "retry_after"),
    [
        (MalformedRequest("truncated at 7"), 400, code_pb2.INVALID_ARGUMENT, None),
        (RequestTooLarge("too much"), 413, code_pb2.RESOURCE_EXHAUSTED, None),
        (UnsupportedSignal("no metrics here"), 404, code_pb2.UNIMPLEMENTED, None),
        (ComeBackLater("full"), 503, code_pb2.UNAVAILABLE, "1"),
        (ComeBackLater("full", 2), 503, code_pb2.UNAVAILABLE, "2"),
    ],
)
def test_errors_are_statuses_in_the_requests_encoding(
    post: Any, recorder: Any, kind: str, outcome: Any, status: int, code: int, retry_after: str | None
):
    """R8, R11, R24, R25, R26, R29, S26: google.rpc.Status in the request's type; Retry-After in whole seconds."""
    recorder.outcomes = [outcome]
    response = post(b"" if kind == PROTOBUF else b"{}", kind=kind)
    assert (status, kind) == (response.status_code, response.headers["content-type"])
    assert (code, str(outcome)) == error_of(response)
    assert retry_after == response.headers.get("retry-after")


def test_undecodable_bytes_are_a_bad_request_with_a_reason(post: Any, recorder: Any):
    """R24: the protobuf status carries google.rpc.BadRequest."""
    recorder.outcomes = [MalformedRequest("truncated at 7")]
    detail = error_details_pb2.BadRequest()
    assert status_pb2.Status.FromString(post().content).details[0].Unpack(detail)
    assert "truncated at 7" == detail.field_violations[0].description


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b'{"resourceSpans": 5}', b"null", b"[" * 100_000])
def test_undecodable_json_is_a_bad_request(post: Any, recorder: Any, admission: Admission, body: bytes):
    """R24, R25: what is not OTLP/JSON is 400 with a JSON status, and counted."""
    response = post(body, kind=JSON)
    assert (400, JSON) == (response.status_code, response.headers["content-type"])
    assert code_pb2.INVALID_ARGUMENT == error_of(response)[0]
    assert (1, 0, []) == (admission.refused["malformed"], admission.in_flight_bytes, recorder.requests)


def test_a_bug_of_ours_is_retryable(post: Any, recorder: Any, admission: Admission, caplog: pytest.LogCaptureFixture):
    """An unexpected error is 503 with a second's wait (never 500), logged once, and the next passes."""
    recorder.outcomes = [RuntimeError("secret"), RuntimeError("secret"), Answer()]
    for _ in range(2):
        response = post()
        assert (503, "1") == (response.status_code, response.headers["retry-after"])
        assert (code_pb2.UNAVAILABLE, "internal error") == error_of(response)
    assert 200 == post().status_code
    assert (2, 0) == (admission.refused["internal"], admission.in_flight_bytes)
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [RuntimeError]


def test_a_request_that_came_through_here_is_refused(post: Any, recorder: Any):
    """S30: our own id in the hop header is a final 400 that names the loop; others' ids pass and are handed on."""
    response = post(SPANS, **{HOP_HEADER: "you, me"})
    assert (400, code_pb2.FAILED_PRECONDITION) == (response.status_code, error_of(response)[0])
    assert "loop" in error_of(response)[1]
    assert [] == recorder.requests
    assert 200 == post(SPANS, **{HOP_HEADER: "you"}).status_code
    assert {HOP_HEADER: "you"} == recorder.requests[0].headers


def test_wanted_headers_are_handed_on(start: Any, recorder: Any, admission: Admission):
    """S28: the named headers reach the receiver, in lower case, joined where they come twice, and no others."""
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB, ("authorization", "x-langfuse-public-key")))
    url = f"http://{listener.address}/v1/traces"
    sent = [("Content-Type", PROTOBUF), ("Authorization", "Basic ü"), ("X-Other", "y")]
    httpx.post(url, content=SPANS, headers=[(name.encode(), value.encode("latin-1")) for name, value in sent])
    httpx.post(
        url, content=SPANS, headers=[("content-type", PROTOBUF), *[("x-langfuse-public-key", key) for key in "ab"]]
    )
    assert [{"authorization": "Basic ü"}, {"x-langfuse-public-key": "a,b"}] == [r.headers for r in recorder.requests]


def test_wanted_beginnings(start: Any, recorder: Any, admission: Admission):
    """S28: a name that ends in `*` stands for all headers that begin so, but for those of HTTP itself."""
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB, ("x-langfuse-*", "c*")))
    sent = {"content-type": PROTOBUF, "X-Langfuse-Sdk-Name": "python", "x-langfuse-public-key": "pk", "x-other": "y"}
    assert 200 == httpx.post(f"http://{listener.address}/v1/traces", content=SPANS, headers=sent).status_code
    assert {"x-langfuse-sdk-name": "python", "x-langfuse-public-key": "pk"} == recorder.requests[0].headers
    assert "pk" not in repr(recorder.requests[0])


def test_connections_are_kept(http_listener: Any, recorder: Any, connect: Any):
    """R10: requests follow each other on a connection, also sent ahead of the answers."""
    wire = connect(http_listener)
    request = (
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\n"
    )
    wire.send(request + b"\x0a\x00" + request + b"\x12\x00", request, b"\x1a\x00")
    assert [200, 200, 200] == [wire.read_reply()[0] for _ in range(3)]
    assert [b"\x0a\x00", b"\x12\x00", b"\x1a\x00"] == [request.body for request in recorder.requests]


def test_sixty_four_requests_at_once(post: Any, recorder: Any, background: Any):
    """R10: 64 requests on as many connections are in flight together, and all are answered."""
    recorder.gate = background.call(asyncio.Event)
    with ThreadPoolExecutor(64) as pool:
        futures = [pool.submit(post, b"%d" % number) for number in range(64)]
        for _ in futures:
            assert recorder.waiting.acquire(timeout=10)
        background.call(recorder.gate.set)
        assert {200} == {future.result().status_code for future in futures}
    assert {b"%d" % number for number in range(64)} == {request.body for request in recorder.requests}


def test_expect_continue_is_answered(http_listener: Any, recorder: Any, connect: Any):
    """A sender that asks first is told to go on."""
    wire = connect(http_listener)
    wire.send(
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-protobuf\r\nexpect: 100-continue\r\n"
        b"content-length: 2\r\n\r\n"
    )
    assert 100 == wire.read_reply()[0]
    wire.send(SPANS)
    assert 200 == wire.read_reply()[0]
    assert SPANS == recorder.requests[0].body


@pytest.mark.parametrize("is_split", [False, True])
def test_an_offer_to_upgrade_loses_nothing(http_listener: Any, recorder: Any, connect: Any, is_split: bool):
    """Java's client offers HTTP/2 with its POST: the body is taken, or (the head in two pieces) refused retryably."""
    wire = connect(http_listener)
    head = (
        b"POST /v1/traces HTTP/1.1\r\nhost: x\r\nconnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABk\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n\r\n"
    )
    if is_split:
        # One more round trip on another connection: the loop has read the first piece by then.
        wire.send(head[:76])
        other = connect(http_listener)
        other.send(b"GET / HTTP/1.1\r\n\r\n")
        other.read_reply()
        wire.send(head[76:], SPANS)
        assert 503 == wire.read_reply()[0]
        assert [] == recorder.requests
    else:
        wire.send(head, SPANS)
        assert 200 == wire.read_reply()[0]
        assert SPANS == recorder.requests[0].body


def test_answers_are_never_compressed(post: Any, recorder: Any):
    """R6: compressing an answer is allowed where the sender takes it, and not worth it: answers are short."""
    recorder.outcomes = [Answer(1, "why" * 300)]
    response = post(accept_encoding="gzip")
    assert "content-encoding" not in response.headers


def test_answers_carry_a_date_and_no_product(post: Any):
    """RFC 9110, 6.6.1: a server with a clock says the date; what it runs on is nobody's business."""
    response = post()
    assert response.headers["date"].endswith("GMT")
    assert "server" not in response.headers
