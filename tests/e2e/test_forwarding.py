"""Senders' headers (S28): they go out with their spans, never meet others', and are shown nowhere."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from backends import Received
from messages import attributes, call_grpc, call_http, make_request, make_span
from running import eventually

ANN, BOB = "Basic hunter-ann", "Basic hunter-bob"
LOGS = "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
T = b"t" * 16


def deliver(transport: str, processor: Any, body: bytes, authorization: str, **headers: str) -> None:
    """One request with credentials, acknowledged."""
    if transport == "grpc":
        named = (("authorization", authorization), *((name.replace("_", "-"), text) for name, text in headers.items()))
        assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, body, metadata=named)[0]
    else:
        assert 200 == call_http(processor.http_port, body, authorization=authorization, **headers)[0]


def of(backend: Any, authorization: str | None) -> list[Received]:
    """The requests that came with these credentials."""
    return [each for each in list(backend.received) if each.headers.get("authorization") == authorization]


@pytest.mark.parametrize("transport", ["grpc", "http"])
@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_spans_go_out_with_the_headers_they_came_with(
    transport: str, protocol: str, run: Callable[..., Any], backend: Callable[..., Any]
) -> None:
    """S28: of two senders who use the same trace id each gets its own spans under its own credentials, in place of the
    configured ones, and nothing of the other's user.
    """
    to = backend(protocol).start()
    processor = run(
        EXPORTER_FORWARD_HEADERS="authorization,x-langfuse-*",
        EXPORTER_OTLP_HEADERS="authorization=configured,x-scope=1",
        **to.settings,
    )
    deliver(transport, processor, make_request(make_span(T, 2, 1, name="ann")), ANN, x_langfuse_sdk_name="python")
    deliver(transport, processor, make_request(make_span(T, 2, 1, name="bob")), BOB)
    assert 2 == processor.accounting()["held"]
    deliver(transport, processor, make_request(make_span(T, 1, user__id="bob")), BOB, x_other="1")
    eventually(lambda: len(of(to, BOB)[-1:]) and sum(len(each.spans) for each in of(to, BOB)) == 2)
    assert 1 == processor.accounting()["held"]
    deliver(transport, processor, make_request(make_span(T, 1, user__id="ann")), ANN, x_langfuse_sdk_name="python")
    eventually(lambda: sum(len(each.spans) for each in of(to, ANN)) == 2)
    for authorization, user in ((ANN, "ann"), (BOB, "bob")):
        spans = [span for each in of(to, authorization) for span in each.spans]
        assert [user, user] == [attributes(span)["user.id"] for span in spans]
    assert {"python"} == {each.headers.get("x-langfuse-sdk-name") for each in of(to, ANN)}
    assert {None} == {each.headers.get("x-langfuse-sdk-name") for each in of(to, BOB)}
    assert {("1", None)} == {(each.headers["x-scope"], each.headers.get("x-other")) for each in to.received}
    call_grpc(processor.grpc_port, make_request(make_span(T, 1)))
    eventually(lambda: of(to, "configured"))
    deliver(transport, processor, make_request(make_span(T, 9, 8)), ANN)
    status = json.dumps(processor.status())
    assert 0 == processor.stop()
    assert "hunter" not in status + processor.err + processor.out


def test_credentials_never_share_a_request(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S28: what many senders send while the downstream is busy leaves in requests of one sender each, with nothing lost,
    for spans and logs alike (S31); and with one downstream that sees no headers beside, only there together.
    """
    may_go = threading.Event()

    def hang(_: Any) -> bool:
        may_go.wait(20)
        return False

    forwarding, plain = backend(answer=hang).start(), backend(answer=hang).start()
    processor = run(
        EXPORTERS="a,b",
        EXPORTER_A_OTLP_ENDPOINT=f"http://127.0.0.1:{forwarding.port}",
        EXPORTER_A_FORWARD_HEADERS="authorization",
        EXPORTER_B_OTLP_ENDPOINT=f"http://127.0.0.1:{plain.port}",
        LOG_LEVEL="debug",
    )
    senders = [f"Bearer hunter-{number}" for number in range(20)]
    try:
        for _ in range(3):
            for number, sender in enumerate(senders):
                body = make_request(make_span(bytes([number + 1]) * 16, 1, user__id=sender))
                deliver("grpc", processor, body, sender)
                log = b"\x0a\x00" * (number + 1)
                assert grpc.StatusCode.OK is call_grpc(
                    processor.grpc_port, log, LOGS, metadata=(("authorization", sender),)
                )[0]  # fmt: skip
    finally:
        may_go.set()
    forwarding.collect(60)
    plain.collect(60)
    eventually(lambda: all(each["logs"]["exported"] == 60 for each in processor.status()["relay"].values()))
    for number, sender in enumerate(senders):
        users = {attributes(span)["user.id"] for each in of(forwarding, sender) for span in each.spans}
        assert {sender} == users
        sizes = [len(each.body) for each in of(forwarding, sender) if "Logs" in each.name]
        assert 3 * 2 * (number + 1) == sum(sizes)
    assert len(plain.received) == len(of(plain, None)) < len(forwarding.received)
    status = json.dumps(processor.status())
    assert 0 == processor.stop()
    assert "hunter" not in status + processor.err + processor.out


def test_one_sender_s_bad_credentials_are_its_own(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S27, S28: a sender whom the downstream does not know loses its spans, counted; the others' arrive."""

    def judge(handler: Any) -> bool:
        if handler.headers["authorization"] == ANN:
            return False
        handler.send_response(401)
        handler.send_header("content-length", "0")
        handler.end_headers()
        return True

    to = backend("http/protobuf", answer=judge).start()
    processor = run(EXPORTER_FORWARD_HEADERS="authorization", **to.settings)
    for number in range(1, 6):
        deliver("http", processor, make_request(make_span(T, number)), BOB)
        deliver("http", processor, make_request(make_span(T, number)), ANN)
    assert {1, 2, 3, 4, 5} == {span.span_id[-1] for span in to.collect(5)}
    eventually(lambda: processor.accounting()["lost"] == {"unauthenticated": 5})
    assert 5 == processor.accounting()["exported"]
    assert "hunter" not in processor.err


def test_values_that_cannot_be_forwarded(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S28, R24: a header that no protocol carries on is the sender's fault, whose value is not quoted."""
    processor = run(EXPORTER_FORWARD_HEADERS="authorization", **backend().start().settings)
    status, _, body = call_http(processor.http_port, make_request(make_span(T, 1)), authorization="hunter\xe9")
    assert 400 == status
    assert b"authorization" in body
    assert b"hunter" not in body
    assert 0 == processor.accounting()["accepted"]
