"""TLS of both listeners: who gets in, what is refused at start, and renewal while connections stay open."""

from __future__ import annotations

import asyncio
import socket
import ssl
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from authority import Authority, Pair

from processor.receive.access import Access
from processor.receive.grpc import GrpcListener
from processor.receive.http import HttpListener
from processor.receive.tls import Certificates, TlsFiles, UnusableFile
from processor.signals import Signal

MiB = 1 << 20
LISTENERS = (GrpcListener, HttpListener)
BODY = b"\x0a\x00"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def server(authority: Authority) -> Pair:
    return authority.issue("server")


@pytest.fixture
def listen(start: Any, recorder: Any, admission: Any) -> Callable[..., Any]:
    """Start a listener of a kind with these certificates."""

    def listen(kind: Any, certificates: Certificates) -> Any:
        return start(kind("127.0.0.1:0", recorder, admission, MiB, access=Access(certificates)))

    return listen


def trusting(authority: Authority, client: Pair | None = None) -> ssl.SSLContext:
    """What a client trusts and shows."""
    context = ssl.create_default_context(cafile=authority.ca)
    if client is not None:
        context.load_cert_chain(client.certificate, client.key)
    return context


def shake(listener: Any, context: ssl.SSLContext) -> tuple[bytes, str]:
    """Connect; the server's certificate and the protocol's version. Raises `OSError` where it does not let us in."""
    host, _, port = listener.address.rpartition(":")
    context.set_alpn_protocols(["h2" if isinstance(listener, GrpcListener) else "http/1.1"])
    with (
        socket.create_connection((host, int(port)), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as tls,
    ):
        # A TLS 1.3 server judges the client's certificate after the client is done: what it sends then tells.
        tls.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"
            if isinstance(listener, GrpcListener)
            else b"GET / HTTP/1.1\r\n\r\n"
        )
        if not tls.recv(1):
            raise ConnectionResetError
        return tls.getpeercert(binary_form=True) or b"", str(tls.version())


def der(pair: Pair) -> bytes:
    return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())


def export_grpc(listener: Any, authority: Authority, client: Pair | None = None) -> Any:
    """One export over gRPC: the response, or the code it ended with."""
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), client and client.key.read_bytes(), client and client.certificate.read_bytes()
    )
    with grpc.secure_channel(listener.address, credentials) as channel:
        try:
            return channel.unary_unary(Signal.TRACES.grpc_method)(BODY, timeout=10)
        except grpc.RpcError as error:
            return error.code()


def export_http(listener: Any, context: ssl.SSLContext) -> int:
    headers = {"content-type": "application/x-protobuf"}
    with httpx.Client(verify=context, timeout=10) as client:
        return client.post(f"https://{listener.address}/v1/traces", content=BODY, headers=headers).status_code


def test_exports_over_tls(listen: Any, authority: Authority, server: Pair, recorder: Any):
    """Both listeners take requests over TLS from clients that know the authority."""
    certificates = Certificates(TlsFiles(server.certificate, server.key))
    assert b"" == export_grpc(listen(GrpcListener, certificates), authority)
    assert 200 == export_http(listen(HttpListener, certificates), trusting(authority))
    assert [BODY, BODY] == [request.body for request in recorder.requests]


@pytest.mark.parametrize("kind", LISTENERS)
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_tls_1_2_and_newer(listen: Any, authority: Authority, server: Pair, kind: Any, version: str):
    """TLS 1.2 and 1.3 are spoken."""
    context = trusting(authority)
    context.minimum_version = context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
    assert (der(server), version) == shake(
        listen(kind, Certificates(TlsFiles(server.certificate, server.key))), context
    )


@pytest.mark.parametrize("kind", LISTENERS)
def test_older_versions_are_refused(listen: Any, authority: Authority, server: Pair, kind: Any):
    """TLS 1.1, even where the client's library still has it."""
    context = trusting(authority)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(OSError):  # noqa: PT011  # an alert or a reset, as it comes
        shake(listen(kind, Certificates(TlsFiles(server.certificate, server.key))), context)


@pytest.mark.parametrize("kind", LISTENERS)
def test_plain_text_is_refused(listen: Any, server: Pair, kind: Any, connect: Any, recorder: Any):
    """Whoever does not speak TLS is not answered, and the next one is."""
    wire = connect(listen(kind, Certificates(TlsFiles(server.certificate, server.key))))
    wire.send(b"POST /v1/traces HTTP/1.1\r\ncontent-type: application/x-protobuf\r\ncontent-length: 0\r\n\r\n")
    said = b""
    while data := wire.socket.recv(100):
        said += data
    assert b"HTTP" not in said
    assert [] == recorder.requests


@pytest.mark.parametrize("kind", LISTENERS)
def test_a_client_must_show_a_certificate(listen: Any, authority: Authority, server: Pair, tmp_path: Path, kind: Any):
    """mTLS: a certificate of the authority lets in; none, another authority's and an expired one do not."""
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other", "other")
    listener = listen(kind, Certificates(TlsFiles(server.certificate, server.key, authority.ca)))
    assert der(server) == shake(listener, trusting(authority, authority.issue("client", is_client=True)))[0]
    for wrong in (None, other.issue("stranger", is_client=True), authority.issue("late", (-9, -1), is_client=True)):
        with pytest.raises(OSError):  # noqa: PT011  # an alert or a reset, as it comes
            shake(listener, trusting(authority, wrong))


def test_mtls_exports(listen: Any, authority: Authority, server: Pair):
    """mTLS with real clients of both transports."""
    client = authority.issue("client", is_client=True)
    certificates = Certificates(TlsFiles(server.certificate, server.key, authority.ca))
    assert b"" == export_grpc(listen(GrpcListener, certificates), authority, client)
    assert grpc.StatusCode.UNAVAILABLE == export_grpc(listen(GrpcListener, certificates), authority)
    assert 200 == export_http(listen(HttpListener, certificates), trusting(authority, client))


@pytest.mark.parametrize("kind", LISTENERS)
def test_a_renewed_certificate_is_taken(listen: Any, authority: Authority, server: Pair, background: Any, kind: Any):
    """New connections get the new certificate, without a restart and as often as it changes."""
    certificates = Certificates(TlsFiles(server.certificate, server.key))
    listener = listen(kind, certificates)
    assert not background.call(certificates.refresh)
    for _ in range(2):
        renewed = authority.issue("server")
        assert der(renewed) != shake(listener, trusting(authority))[0]
        assert background.call(certificates.refresh)
        assert der(renewed) == shake(listener, trusting(authority))[0]


def test_an_open_connection_outlives_a_renewal(listen: Any, authority: Authority, server: Pair, background: Any):
    """A sender that is connected is not cut off by a renewal."""
    certificates = Certificates(TlsFiles(server.certificate, server.key))
    grpc_listener, http_listener = listen(GrpcListener, certificates), listen(HttpListener, certificates)
    credentials = grpc.ssl_channel_credentials(authority.ca.read_bytes())
    headers = {"content-type": "application/x-protobuf"}
    with (
        grpc.secure_channel(grpc_listener.address, credentials) as channel,
        httpx.Client(
            verify=trusting(authority), base_url=f"https://{http_listener.address}", headers=headers
        ) as client,
    ):
        call = channel.unary_unary(Signal.TRACES.grpc_method)
        assert (b"", 200) == (call(BODY, timeout=10), client.post("/v1/traces", content=BODY).status_code)
        authority.issue("server")
        assert background.call(certificates.refresh)
        assert (b"", 200) == (call(BODY, timeout=10), client.post("/v1/traces", content=BODY).status_code)


@pytest.mark.parametrize("kind", LISTENERS)
def test_renewed_authorities_are_taken(
    listen: Any, authority: Authority, server: Pair, tmp_path: Path, background: Any, kind: Any
):
    """When the clients' authority is exchanged, clients of the one before are let in no more."""
    (tmp_path / "next").mkdir()
    successor, ca = Authority(tmp_path / "next", "successor"), tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    certificates = Certificates(TlsFiles(server.certificate, server.key, ca))
    listener = listen(kind, certificates)
    before, after = authority.issue("before", is_client=True), successor.issue("after", is_client=True)
    assert shake(listener, trusting(authority, before))
    ca.write_bytes(successor.ca.read_bytes())
    assert background.call(certificates.refresh)
    assert shake(listener, trusting(authority, after))
    with pytest.raises(OSError):  # noqa: PT011  # an alert or a reset, as it comes
        shake(listener, trusting(authority, before))


def test_an_unusable_renewal_leaves_the_old_one(authority: Authority, server: Pair):
    """What cannot be used is told each time, and the next good one is taken."""
    certificates = Certificates(TlsFiles(server.certificate, server.key))
    before = certificates.current
    for days in ((-9, -1), (1, 9)):
        authority.issue("server", days)
        for _ in range(2):
            with pytest.raises(UnusableFile):
                certificates.refresh()
    server.key.unlink()
    with pytest.raises(UnusableFile, match="cannot read"):
        certificates.refresh()
    assert before is certificates.current
    authority.issue("server")
    assert certificates.refresh()
    assert before is not certificates.current


def _files(authority: Authority, case: str) -> TlsFiles:
    good = authority.issue("good")
    text = authority.folder / "text.pem"
    text.write_text("no certificate")
    cases = {
        "no certificate": TlsFiles(authority.folder / "none", good.key),
        "no key": TlsFiles(good.certificate, authority.folder / "none"),
        "a folder": TlsFiles(authority.folder, good.key),
        "text": TlsFiles(text, good.key),
        "two pairs": TlsFiles(good.certificate, authority.issue("other").key),
        "swapped": TlsFiles(good.key, good.certificate),
        "no authorities": TlsFiles(good.certificate, good.key, authority.folder / "none"),
        "text for authorities": TlsFiles(good.certificate, good.key, text),
    }  # fmt: skip
    if case in cases:
        return cases[case]
    if case == "old authorities":
        return TlsFiles(good.certificate, good.key, Authority(authority.folder, "old", (-9, -1)).ca)
    pairs: dict[str, Callable[[], Pair]] = {
        "expired": lambda: authority.issue("bad", (-9, -1)),
        "early": lambda: authority.issue("bad", (1, 9)),
        "a client's": lambda: authority.issue("bad", is_client=True),
        "a password": lambda: authority.issue("bad", password=b"secret"),
    }
    pair = pairs[case]()
    return TlsFiles(pair.certificate, pair.key)


@pytest.mark.parametrize(
    ("case", "part", "message"),
    [
        ("no certificate", "certificate", "cannot read {0}/none: No such file or directory; name a readable PEM file"),
        ("no key", "key", "cannot read {0}/none: No such file or directory; name a readable PEM file"),
        ("a folder", "certificate", "cannot read {0}: Is a directory; name a readable PEM file"),
        ("text", "certificate", "{0}/text.pem is no PEM certificate to the key in {0}/good.key; name a pair, the key without password"),
        ("two pairs", "certificate", "{0}/good.crt is no PEM certificate to the key in {0}/other.key; name a pair, the key without password"),
        ("swapped", "certificate", "{0}/good.key is no PEM certificate to the key in {0}/good.crt; name a pair, the key without password"),
        ("a password", "certificate", "{0}/bad.crt is no PEM certificate to the key in {0}/bad.key; name a pair, the key without password"),
        ("expired", "certificate", "{0}/bad.crt has expired; renew it"),
        ("early", "certificate", "{0}/bad.crt is not valid yet; name one that is, or set the clock right"),
        ("a client's", "certificate", "{0}/bad.crt is none for a server (unsuitable certificate purpose); name another"),
        ("no authorities", "client_ca", "cannot read {0}/none: No such file or directory; name a readable PEM file"),
        ("text for authorities", "client_ca", "{0}/text.pem holds no certificates; name a PEM file"),
        ("old authorities", "client_ca", "every certificate in {0}/old.pem has expired; renew them"),
    ],
)  # fmt: skip
def test_unusable_files_are_told(authority: Authority, case: str, part: str, message: str):
    """A file that cannot be used is one line: which, what is wrong with it, what would be right."""
    with pytest.raises(UnusableFile) as caught:
        Certificates(_files(authority, case))
    assert (part, message.format(authority.folder)) == (caught.value.part, str(caught.value))


def test_a_handshake_that_hangs_keeps_nobody_waiting(
    listen: Any, authority: Authority, server: Pair, connect: Any, background: Any
):
    """A peer that connects and says nothing holds one place, until the listener stops at the latest."""
    listener = listen(HttpListener, Certificates(TlsFiles(server.certificate, server.key)))
    silent = connect(listener)
    assert 200 == export_http(listener, trusting(authority))
    background.run(listener.stop(0))
    assert silent.is_closed()
    background.run(asyncio.sleep(0))


def test_what_is_made_for_tests_passes_strict_clients(listen: Any, authority: Authority, server: Pair):
    """Newer Pythons verify strictly by RFC 5280: the certificates of these tests, and the listener's chain, pass."""
    context = trusting(authority)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert 200 == export_http(listen(HttpListener, Certificates(TlsFiles(server.certificate, server.key))), context)
