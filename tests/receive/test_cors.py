"""Browsers: what a page of a listed origin is granted, and that another's is told nothing."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from processor.receive.access import Access
from processor.receive.cors import Cors
from processor.receive.http import HttpListener

MiB = 1 << 20
APP, PORT = "https://app.example.com", "http://localhost:3000"
WANTED = "authorization,content-type,traceparent,tracestate,x-langfuse-public-key,x-langfuse-sdk-name"
ASK = {"access-control-request-method": "POST", "access-control-request-headers": WANTED}


@pytest.fixture
def listen(start: Any, recorder: Any, admission: Any) -> Any:
    """Start a listener for these origins; the URL of its traces."""

    def listen(*origins: str) -> str:
        access = Access(cors=Cors(origins) if origins else None)
        listener = start(HttpListener("127.0.0.1:0", recorder, admission, MiB, access=access))
        return f"http://{listener.address}/v1/traces"

    return listen


def told(response: httpx.Response) -> dict[str, str]:
    """What a response tells a browser."""
    return {
        name: value for name, value in response.headers.items() if name.startswith("access-control") or name == "vary"
    }


@pytest.mark.parametrize("origin", [APP, PORT])
def test_a_preflight_of_a_listed_origin(listen: Any, origin: str, recorder: Any):
    """The page may POST with the headers that it names, for two hours."""
    response = httpx.options(listen(APP, PORT), headers={"origin": origin, **ASK})
    assert (204, b"", []) == (response.status_code, response.content, recorder.requests)
    assert {
        "access-control-allow-origin": origin,
        "access-control-allow-methods": "POST",
        "access-control-allow-headers": WANTED,
        "access-control-expose-headers": "retry-after",
        "access-control-max-age": "7200",
        "vary": "Origin",
    } == told(response)


@pytest.mark.parametrize(("kind", "body"), [("application/x-protobuf", b"\x0a\x00"), ("application/json", b"{}")])
def test_a_request_of_a_listed_origin(listen: Any, recorder: Any, kind: str, body: bytes):
    """The page may read the answer, of both encodings."""
    response = httpx.post(listen(APP), content=body, headers={"origin": APP, "content-type": kind})
    assert (200, 1) == (response.status_code, len(recorder.requests))
    assert {
        "access-control-allow-origin": APP,
        "access-control-expose-headers": "retry-after",
        "vary": "Origin",
    } == told(response)


@pytest.mark.parametrize("status", [404, 405, 415, 400, 413])
def test_a_refusal_can_be_read(listen: Any, status: int):
    """A page may read why its request was refused."""
    url, headers = listen(APP), {"origin": APP, "content-type": "application/json"}
    response = {
        404: lambda: httpx.post(url + "x", headers=headers),
        405: lambda: httpx.get(url, headers=headers),
        415: lambda: httpx.post(url, headers={"origin": APP}),
        400: lambda: httpx.post(url, content=b"{", headers=headers),
        413: lambda: httpx.post(url, content=b"x" * (MiB + 1), headers=headers),
    }[status]()
    assert (status, APP) == (response.status_code, response.headers["access-control-allow-origin"])


@pytest.mark.parametrize(
    "origin",
    [
        "https://evil.example", "http://app.example.com", "https://app.example.com.evil.example", "https://app.example.com:8443",
        "https://APP.example.com", "null", "*", "", f"{APP}, https://evil.example", f"{APP}/",
    ],
)  # fmt: skip
def test_another_origin_is_told_nothing(listen: Any, origin: str):
    """Origins are compared whole: what is not listed gets the answers of anybody, and no header that lets a page in."""
    url = listen(APP)
    preflight = httpx.options(url, headers={"origin": origin, **ASK})
    response = httpx.post(url, headers={"origin": origin, "content-type": "application/json"}, content=b"{}")
    assert (405, {"vary": "Origin"}) == (preflight.status_code, told(preflight))
    assert (200, {"vary": "Origin"}) == (response.status_code, told(response))


def test_any_origin(listen: Any):
    """`*` lets every page in, and caches need not tell them apart."""
    url = listen("*")
    preflight = httpx.options(url, headers={"origin": "https://whoever.example", **ASK})
    assert (204, "*", WANTED) == (
        preflight.status_code,
        preflight.headers["access-control-allow-origin"],
        preflight.headers["access-control-allow-headers"],
    )
    response = httpx.post(url, headers={"content-type": "application/json"}, content=b"{}")
    assert (200, {}) == (response.status_code, told(response))


def test_without_origins_nothing_is_told(listen: Any):
    """Off by default: a preflight is a method that is not allowed."""
    url = listen()
    preflight = httpx.options(url, headers={"origin": APP, **ASK})
    assert (405, {}) == (preflight.status_code, told(preflight))
    assert {} == told(httpx.post(url, headers={"origin": APP, "content-type": "application/json"}, content=b"{}"))


@pytest.mark.parametrize("wanted", ["", "a,", "a b", "a;b", "a:b", "ü"])
def test_what_is_no_header_is_not_granted(listen: Any, wanted: str):
    """Only names of headers come back."""
    headers = {"origin": APP, "access-control-request-method": "POST", "access-control-request-headers": wanted}
    response = httpx.options(listen(APP), headers={name: value.encode() for name, value in headers.items()})
    assert (204, None) == (response.status_code, response.headers.get("access-control-allow-headers"))


@pytest.mark.parametrize(
    "origins",
    [
        ["app.example.com"], ["https://app.example.com/"], ["https://APP.example.com"], ["https://app.example.com:443"],
        ["http://a:80"], ["https://*.example.com"], ["*", APP], ["https://user@host"], ["https://a b"], ["null"], ["https://"],
    ],
)  # fmt: skip
def test_what_is_no_origin_is_refused(origins: list[str]):
    """What no browser would ever send, or what would not match as meant, is told at start."""
    with pytest.raises(ValueError, match="must be origins such as"):
        Cors(origins)


@pytest.mark.parametrize("origin", [APP, PORT, "http://[::1]:8080", "chrome-extension://abcdef", "http://10.0.0.1"])
def test_what_is_an_origin(origin: str):
    """Schemes, ports, IPv6 addresses and extensions."""
    assert Cors([origin]).preflight({b"origin": origin.encode(), b"access-control-request-method": b"POST"}) is not None
