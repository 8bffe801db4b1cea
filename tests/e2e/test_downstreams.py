"""Several downstreams of one process (S27): one dead, one slow, one well; each for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from backends import Backend
from messages import TRACES, call_grpc, make_request, make_span
from running import eventually, free_ports

METRICS = "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export"
SPANS_A_REQUEST = 50
TEXT = "x" * 16_000


def settings_of(**backends: Backend) -> dict[str, str]:
    """EXPORTERS, and the variables of each."""
    own = {
        variable.replace("EXPORTER_", f"EXPORTER_{name.upper()}_"): text
        for name, backend in backends.items()
        for variable, text in backend.settings.items()
    }
    return {"EXPORTERS": ",".join(backends), **own}


def make_body(number: int) -> bytes:
    """A request of 800 KB, a trace of its own."""
    trace_id = number.to_bytes(16, "big")
    spans = [make_span(trace_id, 1, user__id="ann", text=TEXT)]
    return make_request(*spans, *(make_span(trace_id, each, 1, text=TEXT) for each in range(2, SPANS_A_REQUEST + 1)))


def send(port: int, numbers: range) -> int:
    """How many of these requests are acknowledged."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        method = channel.unary_unary(TRACES)
        calls = [method.future(make_body(number), timeout=20) for number in numbers]
        return sum(call.code() is grpc.StatusCode.OK for call in calls)


def ids(backend: Backend) -> set[tuple[bytes, bytes]]:
    return {(span.trace_id, span.span_id) for span in backend.spans()}


def test_dead_slow_and_well(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S27, S25: a dead downstream and one that hangs neither delay nor lose for the one that is well; back again they
    get what fits their share, and each account is right.
    """
    may_go = threading.Event()

    def hang(_: Any) -> bool:
        may_go.wait(20)
        return False

    well, slow = backend("http/protobuf").start(), backend(answer=hang).start()
    dead = backend(port=free_ports(1)[0])
    processor = run(**settings_of(well=well, slow=slow, dead=dead))
    try:
        assert 10 == send(processor.grpc_port, range(1, 11))
        well.collect(10 * SPANS_A_REQUEST)
        found = processor.accounting()
        assert {"well", "slow", "dead"} == set(found)
        assert [500] * 3 == [each["accepted"] for each in found.values()]
        assert [(500, 0), (0, 500), (0, 500)] == [(each["exported"], each["queued"]) for each in found.values()]
        available = {name: each["available"] for name, each in processor.status()["downstream"].items()}
        assert (True, False) == (available["well"], available["dead"])
    finally:
        may_go.set()
    dead.start()
    assert ids(well) == {(span.trace_id, span.span_id) for span in dead.collect(500)}
    slow.collect(500)
    assert ids(well) == ids(slow) == ids(dead)
    eventually(lambda: all(each["queued"] == 0 for each in processor.accounting().values()))
    assert 0 == processor.stop()
    stopped = [line["message"] for line in processor.log if line["message"].startswith("stopped")]
    assert [f"stopped {name}: accepted 500 = exported 500 + lost 0" for name in ("well", "slow", "dead")] == stopped


def test_a_full_one_loses_its_oldest(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S27: over its share the dead one loses its oldest, counted; no request is refused, and the other gets all."""
    well, dead = backend().start(), backend(port=free_ports(1)[0])
    processor = run(MEMORY_LIMIT="64MiB", **settings_of(well=well, dead=dead))
    for start in range(1, 61, 5):  # 48 MB, where its share is 25
        assert 5 == send(processor.grpc_port, range(start, start + 5))
        well.collect((start + 4) * SPANS_A_REQUEST)
    found = processor.accounting()
    assert (3000, 3000, {}) == tuple(found["well"][name] for name in ("accepted", "exported", "lost"))
    lost = found["dead"]["lost"]
    assert ["queue_full"] == list(lost)
    assert found["dead"]["queued"] == 3000 - lost["queue_full"] > 0
    dead.start()
    newest = dead.collect(3000 - lost["queue_full"])
    assert ids(dead) <= ids(well)
    assert (60).to_bytes(16, "big") in {span.trace_id for span in newest}
    assert (1).to_bytes(16, "big") not in {span.trace_id for span in newest}
    assert 0 == processor.stop()
    assert any("downstream=dead reason=queue_full" in line["message"] for line in processor.log)


def test_refuses_when_all_are_full(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S27, S26: with every downstream away requests are refused retryably before any loses; one that comes back is
    enough to take them again.
    """
    first, second = backend(port=free_ports(1)[0]), backend(port=free_ports(1)[0])
    processor = run(MEMORY_LIMIT="64MiB", **settings_of(a=first, b=second))
    accepted = 0
    code = grpc.StatusCode.OK
    while code is grpc.StatusCode.OK:
        code = call_grpc(processor.grpc_port, make_body(accepted + 1))[0]
        accepted += code is grpc.StatusCode.OK
        assert accepted < 100
    assert grpc.StatusCode.UNAVAILABLE is code
    assert [{}, {}] == [each["lost"] for each in processor.accounting().values()]
    first.start()
    eventually(lambda: call_grpc(processor.grpc_port, make_body(accepted + 1))[0] is grpc.StatusCode.OK)
    first.collect((accepted + 1) * SPANS_A_REQUEST)
    assert {} == processor.accounting()["a"]["lost"]


def test_unsupported_by_one_of_two(run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S31: metrics are taken while one downstream takes them; the other loses them for itself."""

    def refuse_metrics(handler: Any) -> bool:
        if "metrics" not in handler.path:
            return False
        handler.send_response(404)
        handler.send_header("content-length", "0")
        handler.end_headers()
        return True

    langfuse, other = backend("http/protobuf", answer=refuse_metrics).start(), backend().start()
    processor = run(**settings_of(langfuse=langfuse, other=other))
    metrics = b"\x0a\x00"
    for number in range(1, 4):
        assert grpc.StatusCode.OK is call_grpc(processor.grpc_port, metrics, METRICS)[0]
        eventually(lambda wanted=number: processor.status()["relay"]["other"]["metrics"]["exported"] == wanted)
    relay = processor.status()["relay"]
    assert {"unsupported": 3} == relay["langfuse"]["metrics"]["lost"]
    assert ["metrics"] == processor.status()["downstream"]["langfuse"]["unsupported"]
    assert [3, 3] == [relay[name]["metrics"]["accepted"] for name in ("langfuse", "other")]


@pytest.mark.parametrize("which", ["RECEIVER_GRPC_ENDPOINT", "RECEIVER_HTTP_ENDPOINT"])
def test_one_s_own_listener_is_refused(which: str, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S30: exit 2, with the variable of the downstream that leads back here."""
    port = free_ports(1)[0]
    settings = settings_of(a=backend().start(), b=backend(port=port))
    processor = run(is_awaited=False, **settings, **{which: f"127.0.0.1:{port}"})
    assert 2 == processor.wait()
    (line,) = processor.err.splitlines()
    assert line.startswith(
        f"SPAN_PROCESSOR_EXPORTER_B_OTLP_ENDPOINT: 127.0.0.1:{port} is this processor's own listener"
    )
