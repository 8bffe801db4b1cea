"""Bearer tokens: what is accepted, and that there is no way around them on any listener, path, method or signal."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc import status_pb2

from processor.environment import read_secret
from processor.receive.access import Access
from processor.receive.cors import Cors
from processor.receive.grpc import GrpcListener
from processor.receive.http import HttpListener
from processor.receive.tokens import Tokens
from processor.signals import Signal

MiB = 1 << 20
GOOD, OTHER = "s3cret-Token_1~+/==", "another"
ACCESS = Access(tokens=Tokens(f"{GOOD},{OTHER}", None, read_secret))
PROTOBUF, JSON = "application/x-protobuf", "application/json"
# Each of them is what somebody might try.
WRONG = {
    "none": None,
    "empty": "",
    "scheme alone": "Bearer",
    "no token": "Bearer =",
    "token alone": GOOD,
    "another scheme": f"Basic {GOOD}",
    "a wrong token": "Bearer wrong",
    "the beginning": f"Bearer {GOOD[:-1]}",
    "more than it": f"Bearer {GOOD}=",
    "another case": f"Bearer {GOOD.upper()}",
    "both at once": f"Bearer {GOOD},{OTHER}",
    "all of the setting": f"Bearer {GOOD}, Bearer {OTHER}",
    "a comma": f"Bearer {GOOD},",
}


@pytest.mark.parametrize("authorization", [f"Bearer {GOOD}", f"bearer {OTHER}", f"BEARER  {GOOD} "])
def test_an_accepted_token(authorization: str):
    """Each of the tokens, the scheme in any case (RFC 7235)."""
    assert ACCESS.tokens is not None
    assert ACCESS.tokens.accepts(authorization)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "holds no token; write one a line or comma-separated"),
        (" \n,\n ", "holds no token; write one a line or comma-separated"),
        ("good,not good", "token 2 has a space or line break in it; write one a line, or comma-separated"),
        ("one,two\nthree", "token 2 has a space or line break in it; write one a line, or comma-separated"),
        ("a\tb", "token 1 has a space or line break in it; write one a line, or comma-separated"),
        ("a\rb", "token 1 has a space or line break in it; write one a line, or comma-separated"),
        ("grüße", "token 1 has a character that no token may have; use letters, digits and -._~+/"),
        ("a\x00b", "token 1 has a character that no token may have; use letters, digits and -._~+/"),
        ('"quoted"', "token 1 has a character that no token may have; use letters, digits and -._~+/"),
    ],
)
def test_unusable_tokens_are_told(text: str, message: str):
    """What is no token is one line that says which, and never the token."""
    with pytest.raises(ValueError, match=r"^token|^holds") as caught:
        Tokens(text, None, read_secret)
    assert message == str(caught.value)


@pytest.mark.parametrize("text", ["a,b", "a\nb\n", " a , b ,", "a\r\nb", "a,\nb\n"])
def test_one_a_line_or_comma_separated(text: str):
    """Both ways of writing a list, with whatever space is around."""
    tokens = Tokens(text, None, read_secret)
    assert [True, True, False] == [tokens.accepts(f"Bearer {token}") for token in ("a", "b", "c")]


def test_a_changed_file_is_read_again(tmp_path: Path):
    """New tokens count and old ones do not; a file that cannot be used leaves the tokens before, told each time."""
    path = tmp_path / "tokens"
    path.write_text("first\n")
    tokens = Tokens(read_secret(path), path, read_secret)
    assert not tokens.refresh()
    path.write_text("second\nthird\n")
    assert tokens.refresh()
    assert [False, True, True] == [tokens.accepts(f"Bearer {token}") for token in ("first", "second", "third")]
    for content in ("", "a b", None):
        path.unlink()
        if content is not None:
            path.write_text(content)
        for _ in range(2):
            with pytest.raises(ValueError, match=r"empty|token 1|cannot read"):
                tokens.refresh()
    assert tokens.accepts("Bearer third")


@pytest.fixture
def http(start: Any, recorder: Any, admission: Any) -> Any:
    return start(HttpListener("127.0.0.1:0", recorder, admission, MiB, access=ACCESS))


@pytest.fixture
def rpc(start: Any, recorder: Any, admission: Any) -> Any:
    return start(GrpcListener("127.0.0.1:0", recorder, admission, MiB, access=ACCESS))


@pytest.fixture
def send(http: Any) -> Callable[..., httpx.Response]:
    def send(method: str, path: str, authorization: str | None, body: bytes = b"", **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if authorization is not None:
            named["authorization"] = authorization
        return httpx.request(method, f"http://{http.address}{path}", content=body, headers=named, timeout=10)

    return send


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("kind", [PROTOBUF, JSON])
def test_http_refuses(send: Any, recorder: Any, admission: Any, wrong: str, signal: Signal, kind: str):
    """Each signal and encoding: 401 with a challenge and a status in the request's encoding, and nothing is taken."""
    response = send("POST", f"/{signal.http_path}", WRONG[wrong], b"{}" if kind == JSON else b"", content_type=kind)
    assert (401, "Bearer", kind) == (
        response.status_code,
        response.headers["www-authenticate"],
        response.headers["content-type"],
    )
    code = response.json()["code"] if kind == JSON else status_pb2.Status.FromString(response.content).code
    assert (16, [], 1) == (code, recorder.requests, admission.refused["unauthenticated"])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "OPTIONS", "DELETE", "PATCH", "TRACE"])
@pytest.mark.parametrize(
    "path", ["/", "/v1/traces", "/otlp/v1/traces", "/v1/traces/", "//v1/traces", "/%76%31/traces", "/V1/TRACES", "/livez", "/status", "/v1/traces?x=/v1/logs"]
)  # fmt: skip
def test_http_refuses_on_every_path(send: Any, recorder: Any, method: str, path: str):
    """Whatever the path and method: who shows no token learns nothing."""
    response = send(method, path, None)
    assert (401, "Bearer", []) == (response.status_code, response.headers["www-authenticate"], recorder.requests)


def test_http_takes(send: Any, recorder: Any):
    """With a token everything is as it is without tokens."""
    for signal in Signal:
        assert 200 == send("POST", f"/{signal.http_path}", f"Bearer {GOOD}", content_type=PROTOBUF).status_code
    assert (404, 405) == tuple(send("GET", path, f"Bearer {OTHER}").status_code for path in ("/", "/v1/traces"))
    assert 3 == len(recorder.requests)
    assert [{}] * 3 == [request.headers for request in recorder.requests]  # the token is not passed on


def test_http_refuses_two_headers(http: Any, connect: Any, recorder: Any):
    """Two Authorization headers, one of them right, are none."""
    wire = connect(http)
    wire.send(
        b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n"
        b"authorization: Bearer wrong\r\nauthorization: Bearer another\r\n\r\n"
    )
    assert (401, []) == (wire.read_reply()[0], recorder.requests)


def test_http_refuses_unread(http: Any, connect: Any, admission: Any):
    """The answer comes before the body: nothing of it is held, nothing inflated."""
    wire = connect(http)
    wire.send(
        b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-encoding: gzip\r\ncontent-length: 2000000\r\n\r\n"
    )
    assert (401, 0) == (wire.read_reply()[0], admission.in_flight_bytes)


def test_http_judges_every_request_of_a_connection(http: Any, connect: Any, recorder: Any):
    """A token holds for its request, not for its connection."""
    wire = connect(http)
    head = b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 2\r\n"
    codes = []
    for line in (b"authorization: Bearer another\r\n", b"", b"authorization: Bearer another\r\n"):
        wire.send(head + line + b"\r\n\x0a\x00")
        codes.append(wire.read_reply()[0])
    assert ([200, 401, 200], 2) == (codes, len(recorder.requests))


def test_a_preflight_needs_no_token(start: Any, recorder: Any, admission: Any):
    """Browsers send preflights without credentials; the request after it needs them, and its refusal can be read."""
    access = Access(tokens=ACCESS.tokens, cors=Cors(["https://app.example"]))
    listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB, access=access))
    url, origin = f"http://{listener.address}/v1/traces", {"origin": "https://app.example"}
    preflight = httpx.options(url, headers={**origin, "access-control-request-method": "POST"})
    assert (204, 401) == (preflight.status_code, httpx.options(url, headers=origin).status_code)
    refused = httpx.post(url, headers=origin)
    assert (401, "https://app.example") == (refused.status_code, refused.headers["access-control-allow-origin"])
    other = {"origin": "https://evil.example", "access-control-request-method": "POST"}
    assert 401 == httpx.options(url, headers=other).status_code


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("signal", Signal)
def test_grpc_refuses(rpc: Any, export: Any, recorder: Any, admission: Any, wrong: str, signal: Signal):
    """Each signal: UNAUTHENTICATED, without a hint to try again, and nothing is taken."""
    shown = WRONG[wrong]
    error = export(rpc, b"\x0a\x00", signal, metadata=[] if shown is None else [("authorization", shown)])
    assert grpc.StatusCode.UNAUTHENTICATED == error.code()
    assert {} == {
        name: value for name, value in error.trailing_metadata() if "retry" in name or "status-details" in name
    }
    assert ([], 1) == (recorder.requests, admission.refused["unauthenticated"])


def test_grpc_takes(rpc: Any, export: Any, recorder: Any):
    """With a token each signal is taken; the token is not passed on."""
    for signal in Signal:
        assert b"" == export(rpc, b"\x0a\x00", signal, metadata=[("authorization", f"Bearer {GOOD}")])
    assert [{}] * 3 == [request.headers for request in recorder.requests]


def test_grpc_refuses_two_values(rpc: Any, export: Any, recorder: Any):
    """Two authorization values, one of them right, are none; a binary one counts for nothing."""
    two = [("authorization", "Bearer wrong"), ("authorization", f"Bearer {GOOD}")]
    for metadata in (two, two[::-1], [("authorization-bin", f"Bearer {GOOD}".encode())]):
        assert grpc.StatusCode.UNAUTHENTICATED == export(rpc, b"", metadata=metadata).code()
    assert [] == recorder.requests


def test_grpc_refuses_unread(rpc: Any, dial: Any, recorder: Any):
    """The refusal comes before the message: a call that has sent none is refused, and a bomb is not inflated."""
    call = dial(rpc).stream_unary(Signal.TRACES.grpc_method)
    with pytest.raises(grpc.RpcError) as error:
        call(iter(()), timeout=10)
    assert grpc.StatusCode.UNAUTHENTICATED == error.value.code()
    with pytest.raises(grpc.RpcError) as error:  # without a token it would be RESOURCE_EXHAUSTED
        dial(rpc).unary_unary(Signal.TRACES.grpc_method)(
            b"\0" * (8 * MiB), timeout=10, compression=grpc.Compression.Gzip
        )
    assert (grpc.StatusCode.UNAUTHENTICATED, []) == (error.value.code(), recorder.requests)


def test_grpc_has_nothing_else(rpc: Any, dial: Any):
    """Other services and methods are not here, token or none: what is added beside OTLP decides for itself."""
    for method in ("/grpc.health.v1.Health/Check", Signal.TRACES.grpc_method + "x", "/x/y"):
        for metadata in ((), (("authorization", f"Bearer {GOOD}"),)):
            with pytest.raises(grpc.RpcError) as error:
                dial(rpc).unary_unary(method)(b"", timeout=10, metadata=metadata)
            assert grpc.StatusCode.UNIMPLEMENTED == error.value.code()


def test_a_refusal_does_not_show_the_token(send: Any, export: Any, rpc: Any):
    """What was shown, wrong as it is, comes back in no answer."""
    shown = "Bearer canary-of-a-token"
    response = send("POST", "/v1/traces", shown, content_type=JSON)
    error = export(rpc, b"", metadata=[("authorization", shown)])
    assert "canary" not in response.text + str(response.headers) + str(error.details()) + str(error.trailing_metadata())
    assert 16 == json.loads(response.text)["code"]
    assert 401 == send("POST", "/v1/traces", shown, gzip.compress(b"x" * 999), content_encoding="gzip").status_code
