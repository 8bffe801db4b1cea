"""The real process behind TLS and tokens, with real exporters; bad files at start and at reload; secrets and forgeries
in everything that it says; pseudonyms.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from authority import Authority, Pair
from messages import TRACES, attributes, call_grpc, call_http, make_request, make_span
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from running import environment, eventually, is_listening

from processor.cli import main

PREFIX = "SPAN_PROCESSOR_"
TOKEN = "a-token-of-the-house"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    (tmp_path / "tls").mkdir()
    return Authority(tmp_path / "tls")


def tls(pair: Pair) -> dict[str, str]:
    return {"RECEIVER_TLS_CERTIFICATE": str(pair.certificate), "RECEIVER_TLS_KEY": str(pair.key)}


def presented(port: int, authority: Authority) -> str:
    """The certificate that new connections get."""
    return ssl.get_server_certificate(("127.0.0.1", port), ca_certs=str(authority.ca), timeout=10)


def export(exporter: Any) -> SpanExportResult:
    """One span through a real exporter."""
    provider = TracerProvider(shutdown_on_exit=False)
    results: list[SpanExportResult] = []
    inner = exporter.export
    exporter.export = lambda spans: results.append(inner(spans)) or results[-1]
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    provider.get_tracer("shop").start_span("pay").end()
    provider.shutdown()
    return results[0]


def test_real_exporters_with_client_certificates_and_tokens(
    run: Any, backend: Any, authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's exporters, configured as they document, send over mTLS with a token on both transports."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):  # the HTTP library would trust that instead
        monkeypatch.delenv(name, raising=False)
    server, client = authority.issue("server"), authority.issue("client", is_client=True)
    to = backend("grpc").start()
    processor = run(
        **tls(server), RECEIVER_TLS_CLIENT_CA=str(authority.ca), RECEIVER_BEARER_TOKENS=TOKEN, **to.settings
    )
    headers = {"authorization": f"Bearer {TOKEN}"}
    credentials = grpc.ssl_channel_credentials(
        authority.ca.read_bytes(), client.key.read_bytes(), client.certificate.read_bytes()
    )
    over_grpc = GrpcExporter(
        endpoint=f"https://localhost:{processor.grpc_port}", credentials=credentials, headers=headers
    )
    over_http = HttpExporter(
        endpoint=f"https://localhost:{processor.http_port}/v1/traces",
        certificate_file=str(authority.ca),
        client_certificate_file=str(client.certificate),
        client_key_file=str(client.key),
        headers=headers,
    )
    assert [SpanExportResult.SUCCESS] * 2 == [export(over_grpc), export(over_http)]
    assert ["pay", "pay"] == [span.name for span in to.collect(2)]
    assert all("authorization" not in received.headers for received in to.received)
    assert " with TLS" in processor.log[0]["message"]
    assert 0 == processor.stop()


def test_renewal_while_it_runs(run: Any, authority: Authority) -> None:
    """A renewed certificate is presented within seconds; one that cannot be used is told once and changes nothing."""
    processor = run(**tls(authority.issue("server")))
    ports = (processor.grpc_port, processor.http_port)
    renewed = authority.issue("server").certificate.read_text()
    for port in ports:
        eventually(lambda port=port: presented(port, authority).strip() == renewed.strip())
    authority.issue("server", (-9, -1))
    name = PREFIX + "RECEIVER_TLS_CERTIFICATE"
    said = f"{name}: {authority.folder / 'server.crt'} has expired; renew it; what was before stays in force"
    eventually(lambda: said in [line["message"] for line in processor.log])
    assert [renewed.strip()] * 2 == [presented(port, authority).strip() for port in ports]
    assert 1 == [line["message"] for line in processor.log].count(said)
    last = authority.issue("server").certificate.read_text()
    for port in ports:
        eventually(lambda port=port: presented(port, authority).strip() == last.strip())


def test_tokens_that_change_while_it_runs(run: Any, tmp_path: Path) -> None:
    """A changed file of tokens counts within seconds; an empty one leaves the tokens before, loudly."""
    tokens = tmp_path / "tokens"
    tokens.write_text("first\n")
    processor = run(RECEIVER_BEARER_TOKENS_FILE=str(tokens))

    def status(token: str) -> int:
        return call_http(processor.http_port, b"", authorization=f"Bearer {token}")[0]

    assert (200, 401) == (status("first"), status("second"))
    tokens.write_text("second\nthird\n")
    eventually(lambda: status("second") == 200)
    assert (401, 200) == (status("first"), status("third"))
    tokens.write_text("")
    said = (
        f"{PREFIX}RECEIVER_BEARER_TOKENS_FILE: {tokens} is empty; put the value into it; what was before stays in force"
    )
    eventually(lambda: said in [line["message"] for line in processor.log])
    assert 200 == status("third")
    assert grpc.StatusCode.UNAUTHENTICATED is call_grpc(processor.grpc_port, b"")[0]
    # What looks after the process needs no token.
    assert [200, 200] == [
        httpx.get(f"http://127.0.0.1:{processor.admin_port}/{path}").status_code for path in ("livez", "readyz")
    ]


@pytest.mark.parametrize("arguments", ["run", "check"])
@pytest.mark.parametrize(
    "case", ["expired", "early", "not a pair", "missing", "empty tokens", "token with a space", "cors", "short key"]
)
def test_it_does_not_start(case: str, arguments: str, authority: Authority, tmp_path: Path) -> None:
    """What cannot be used is one line that names the variable, on standard error, and exit code 2."""
    (tmp_path / "tokens").write_text("\n" if case == "empty tokens" else "good\nnot good\n")
    folder = authority.folder
    name, settings, message = {
        "expired": ("RECEIVER_TLS_CERTIFICATE", lambda: tls(authority.issue("a", (-9, -1))), f"{folder}/a.crt has expired; renew it"),
        "early": (
            "RECEIVER_TLS_CERTIFICATE",
            lambda: tls(authority.issue("a", (1, 9))),
            f"{folder}/a.crt is not valid yet; name one that is, or set the clock right",
        ),
        "not a pair": (
            "RECEIVER_TLS_CERTIFICATE",
            lambda: tls(Pair(authority.issue("a").certificate, authority.issue("b").key)),
            f"{folder}/a.crt is no PEM certificate to the key in {folder}/b.key; name a pair, the key without password",
        ),
        "missing": (
            "RECEIVER_TLS_CLIENT_CA",
            lambda: {**tls(authority.issue("a")), "RECEIVER_TLS_CLIENT_CA": "/none"},
            "cannot read /none: No such file or directory; name a readable PEM file",
        ),
        "empty tokens": (
            "RECEIVER_BEARER_TOKENS_FILE",
            lambda: {"RECEIVER_BEARER_TOKENS_FILE": str(tmp_path / "tokens")},
            f"{tmp_path / 'tokens'} is empty; put the value into it",
        ),
        "token with a space": (
            "RECEIVER_BEARER_TOKENS_FILE",
            lambda: {"RECEIVER_BEARER_TOKENS_FILE": str(tmp_path / "tokens")},
            "token 2 has a space or line break in it; write one a line, or comma-separated",
        ),
        "cors": (
            "RECEIVER_CORS_ORIGINS",
            lambda: {"RECEIVER_CORS_ORIGINS": "example.com"},
            "must be origins such as https://app.example.com, in lower case, without path; or * alone",
        ),
        "short key": ("HASH_USER_ID_KEY", lambda: {"HASH_USER_ID_KEY": "short"}, "must have at least 16 characters"),
    }[case]  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-m", "processor", arguments],
        cwd=tmp_path, env=environment(**settings()), capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert (2, f"{PREFIX}{name}: {message}\n", "") == (done.returncode, done.stderr, done.stdout)


# What must turn up nowhere, whichever secret it was planted in.
CANARIES = {
    "EXPORTER_OTLP_HEADERS": "authorization=Basic%20canary-header,x-api-key=canary-key",
    "RECEIVER_BEARER_TOKENS": "canary-token-1,canary-token-2",
    "HASH_USER_ID_KEY": "canary-of-the-house",
}


def test_no_command_shows_a_secret(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`print-config` in each format and `check`, right or wrong: no secret on either stream."""
    monkeypatch.setenv(f"{PREFIX}EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    for arguments in (
        ["print-config"],
        ["print-config", "--format", "json"],
        ["print-config", "--format", "env"],
        ["check"],
    ):
        for extra in (
            {},
            {"MAX_WAIT": "soon"},
            {"VARIABLES_TOKEN": "canary token"},
            {"RECEIVER_BEARER_TOKENS": "canary token"},
        ):
            with monkeypatch.context() as patch:
                for name, value in {**CANARIES, **extra}.items():
                    patch.setenv(PREFIX + name, value)
                main(arguments)
    said = "".join(capsys.readouterr())
    assert "****" in said
    assert "canary" not in said


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_no_secret_and_no_forgery_in_what_it_says(run: Any, backend: Any, protocol: str, log_format: str) -> None:
    """A backend that answers with our own credentials and control characters, spans and headers that hold them: every
    line of the log is an event of ours, and neither the log, nor `/status`, nor an answer has a secret.
    """
    forged = "\n12:00:00 ERROR processor: forged\x1b[31m\r\u2028"

    def refuse(context: Any) -> bool:
        text = f"no: authorization: Basic canary-header, x-api-key canary-key {forged}"
        if protocol == "grpc":
            context.set_code(grpc.StatusCode.PERMISSION_DENIED)
            context.set_details(text)
        else:
            body = text.encode()
            context.send_response_only(403, "canary-key")
            context.send_header("content-length", str(len(body)))
            context.end_headers()
            context.wfile.write(body)
        return True

    to = backend(protocol, answer=refuse).start()
    processor = run(LOG_FORMAT=log_format, LOG_LEVEL="debug", BAGGAGE_KEYS="app.*", **to.settings, **CANARIES)
    trace_id = secrets.token_bytes(16)
    span = make_span(trace_id, 1, name=forged)
    span.attributes.add(key="app." + forged).value.int_value = 5
    span.attributes.add(key="user.id").value.string_value = "canary-user" * 30
    answers = [
        call_http(processor.http_port, make_request(span), authorization="Bearer canary-token-1", x_a="canary-token-2"),
        call_http(processor.http_port, b"", authorization="Bearer canary-token-x"),
        call_http(processor.http_port, b"{", path="/v1/traces/canary-token-1", content_encoding="canary"),
    ]
    assert [200, 401, 401] == [status for status, _, _ in answers]
    eventually(lambda: "lost" in processor.err or "reject" in processor.err or "export" in processor.err)
    status = json.dumps(processor.status())
    assert 0 == processor.stop()
    said = processor.err
    assert "canary" not in said + status + str(answers)
    assert re.search("app\\.\\\\+n12:00:00", said)  # it is told, escaped
    assert "\x1b" not in said
    if log_format == "json":
        assert all({"timestamp", "level", "logger", "message"} <= set(line) for line in processor.log)
    else:
        assert [] == [line for line in said.splitlines() if not re.match(r"\d\d:\d\d:\d\d [A-Z]+ [a-z._]+: ", line)]
        assert "ERROR processor: forged" not in [line[9:32] for line in said.splitlines()]


def test_pseudonyms_leave_and_targeting_does_not_see_them(run: Any, backend: Any, tmp_path: Path) -> None:
    """The backend sees one pseudonym for a user, whatever key said it; a label is that of the clear id."""
    variables = tmp_path / "variables.json"
    condition = {"kind": "value-equals", "attribute": "user.id", "value": "alice"}
    override = {"conditions": [condition], "rollout": {"labels": {"hers": 1.0}}}
    labels = {name: {"version": 1, "serialized_value": '"x"'} for name in ("hers", "theirs")}
    variable = {"name": "v", "labels": labels, "rollout": {"labels": {"theirs": 1.0}}, "overrides": [override]}
    variables.write_text(json.dumps({"variables": {"v": variable}}))
    to = backend("grpc").start()
    processor = run(HASH_USER_ID_KEY="k" * 16, VARIABLES_FILE=str(variables), **to.settings)
    first, second = secrets.token_bytes(16), secrets.token_bytes(16)
    spans = [
        make_span(first, 1, user__id="alice"), make_span(first, 2, 1),
        make_span(second, 1, enduser__id="alice"), make_span(second, 2, 1),
    ]  # fmt: skip
    assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, make_request(*spans))[0]
    alice = hmac.new(b"k" * 16, b"alice", hashlib.sha256).hexdigest()
    seen = [attributes(span) for span in to.collect(4)]
    assert [(alice, "hers")] * 4 == [(each["user.id"], each["logfire.variables.v"]) for each in seen]
    assert all(b"alice" not in received.body for received in to.received)
    assert "alice" not in json.dumps(processor.status()) + processor.err


def test_the_console_shows_pseudonyms(run: Any) -> None:
    """The view in the terminal shows what would leave, not the clear id, wherever a value comes from."""
    processor = run(HASH_USER_ID_KEY="k" * 16, ROOTS="any")
    trace_id = secrets.token_bytes(16)
    spans = [make_span(trace_id, 1, enduser__id="alice"), make_span(trace_id, 2, 1), make_span(trace_id, 3, 9)]
    assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, make_request(*spans))[0]
    alice = hmac.new(b"k" * 16, b"alice", hashlib.sha256).hexdigest()
    eventually(lambda: alice[:12] in processor.out)
    assert 0 == processor.stop()
    assert "alice" not in processor.out + processor.err
    assert is_listening(processor.grpc_port) is False


def test_the_demo_does_not_get_in(run: Callable[..., Any]) -> None:
    """The demo shows no token: with tokens it is refused at start instead of failing later."""
    processor = run("run", "--demo", is_awaited=False, RECEIVER_BEARER_TOKENS=TOKEN)
    assert 2 == processor.wait()
    right = "the demo sends in plain text without a token; leave it out"
    assert f"{PREFIX}RECEIVER_BEARER_TOKENS: {right}\n" == processor.err
    assert TRACES
