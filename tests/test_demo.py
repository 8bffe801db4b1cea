"""The demo, sent to a real gRPC server."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from dataclasses import dataclass, field

import grpc
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.demo import DemoError, run_demo

IS_REMOTE = 0x300
USER_KEYS = {"langfuse.user.id", "enduser.id", "user.id", "session.id"}
GENERATION = ("gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens")


@dataclass
class Sink:
    """A backend: what it received, as (service, span)."""

    endpoint: str = ""
    spans: list[tuple[str, Span]] = field(default_factory=list)
    code: grpc.StatusCode = grpc.StatusCode.OK

    def export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        if self.code is not grpc.StatusCode.OK:
            context.abort(self.code, "no")
        for resource_spans in request.resource_spans:
            service = attributes_of(resource_spans.resource)["service.name"]
            self.spans += [(service, span) for scope_spans in resource_spans.scope_spans for span in scope_spans.spans]
        return ExportTraceServiceResponse()

    def traces(self) -> list[dict[str, dict[str, object]]]:
        """Traces in the order in which they began to arrive: attributes by span name and place."""
        by_id: dict[bytes, dict[str, dict[str, object]]] = {}
        for _, span in self.spans:
            trace = by_id.setdefault(span.trace_id, {})
            trace[f"{span.name} {span.span_id.hex()}"] = attributes_of(span)
        return list(by_id.values())


def attributes_of(message: object) -> dict[str, object]:
    return {item.key: plain(item.value) for item in message.attributes}  # type: ignore[attr-defined]  # two messages


def plain(value: AnyValue) -> object:
    kind = value.WhichOneof("value")
    return getattr(value, kind) if kind else None


def said_by(trace: dict[str, dict[str, object]]) -> dict[str, dict[str, object]]:
    """The user and session ids of a trace, by the names of the spans that say them."""
    said = {name.rsplit(" ", 1)[0]: {k: v for k, v in a.items() if k in USER_KEYS} for name, a in trace.items()}
    return {name: ids for name, ids in said.items() if ids}


@pytest.fixture
def sink() -> Iterator[Sink]:
    sink = Sink()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    method = grpc.unary_unary_rpc_method_handler(
        sink.export,
        request_deserializer=ExportTraceServiceRequest.FromString,
        response_serializer=ExportTraceServiceResponse.SerializeToString,
    )
    service = "opentelemetry.proto.collector.trace.v1.TraceService"
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {"Export": method}),))
    sink.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    yield sink
    server.stop(None).wait()


def test_all_spans_arrive(sink: Sink) -> None:
    """The demo says how many spans it sent, and that many arrive, in as many traces as were asked for."""
    assert run_demo(sink.endpoint, 6, 0, 1) == len(sink.spans)
    assert 6 == len(sink.traces())
    assert len(sink.spans) == len({span.span_id for _, span in sink.spans})


def test_the_kinds_of_trace_take_turns(sink: Sink) -> None:
    """A user id on the root only, one in the middle only, an invalid one, none; and from the beginning."""
    run_demo(sink.endpoint, 5, 0, 1)
    question, agent, invalid, anonymous, again = (said_by(trace) for trace in sink.traces())
    assert (["POST /chat"], ["langfuse.user.id"]) == (list(question), list(question["POST /chat"]))
    assert ["invoke_agent support"] == list(agent)
    assert {"enduser.id", "session.id"} == set(agent["invoke_agent support"])
    assert 201 == len(str(invalid["POST /chat"]["langfuse.user.id"]))
    assert {} == anonymous
    assert list(question) == list(again)


def test_it_is_an_llm_application(sink: Sink) -> None:
    """A trace has retrieval, a tool call and two generations with token counts, by the semantic conventions."""
    run_demo(sink.endpoint, 2, 0, 1)
    for trace in sink.traces():
        operations = Counter(said.get("gen_ai.operation.name") for said in trace.values())
        assert (1, 1, 1, 2) == tuple(operations[name] for name in ("retrieval", "embeddings", "execute_tool", "chat"))
        chats = [said for said in trace.values() if said.get("gen_ai.operation.name") == "chat"]
        assert all(isinstance(chat[key], int) for chat in chats for key in GENERATION)
        assert all(chat["gen_ai.request.model"] and chat["gen_ai.provider.name"] == "openai" for chat in chats)


def test_two_processes(sink: Sink) -> None:
    """The gateway is another process: its server spans have remote parents, and the SDK's flags say so."""
    run_demo(sink.endpoint, 1, 0, 1)
    by_id = {span.span_id: (service, span) for service, span in sink.spans}
    assert {"chat-api", "llm-gateway"} == {service for service, _ in sink.spans}
    crossings = 0
    for service, span in sink.spans:
        is_remote = span.flags & IS_REMOTE == IS_REMOTE
        if span.parent_span_id:
            assert is_remote == (by_id[span.parent_span_id][0] != service)
        crossings += is_remote
    assert 2 == crossings


def test_times_are_plausible(sink: Sink) -> None:
    """Spans take time without anybody waiting for it, and lie within their parents."""
    run_demo(sink.endpoint, 4, 0, 1)
    by_id = {span.span_id: span for _, span in sink.spans}
    for _, span in sink.spans:
        assert 1_000_000 <= span.end_time_unix_nano - span.start_time_unix_nano <= 60_000_000_000
        if span.parent_span_id:
            parent = by_id[span.parent_span_id]
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano


def test_the_seed_decides(sink: Sink) -> None:
    """With one seed the same happens, with another something else; ids differ always."""
    told = []
    for seed in (1, 1, 2):
        sink.spans = []
        run_demo(sink.endpoint, 4, 0, seed)
        told.append(
            [
                (span.name, span.end_time_unix_nano - span.start_time_unix_nano, attributes_of(span))
                for _, span in sink.spans
            ]
        )
    assert told[0] == told[1]
    assert told[0] != told[2]


def test_the_rate(sink: Sink) -> None:
    """Between two traces it waits for as long as the rate says."""
    waits: list[float] = []
    run_demo(sink.endpoint, 3, 4.0, 1, sleep=waits.append)
    assert [0.25, 0.25] == waits


def test_nothing_listens() -> None:
    """Where nothing listens there is one clear line, at once."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(DemoError) as raised:
            run_demo(endpoint, 1, 0)
    assert f"nothing listens at {endpoint}: Connection refused" == str(raised.value)


@pytest.mark.parametrize(
    "endpoint", ["127.0.0.1:4317", "ftp://127.0.0.1:4317", "http://:4317", "http://a:b", "", "http://[::1"]
)
def test_no_endpoint(endpoint: str) -> None:
    """What is no http or https endpoint is said to be none."""
    with pytest.raises(DemoError, match="is no endpoint such as"):
        run_demo(endpoint, 1, 0)


def test_spans_that_are_not_taken(sink: Sink) -> None:
    """A backend that refuses ends the demo with one clear line."""
    sink.code = grpc.StatusCode.PERMISSION_DENIED
    with pytest.raises(DemoError) as raised:
        run_demo(sink.endpoint, 3, 0)
    assert f"{sink.endpoint} did not take the spans: is it an OTLP/gRPC endpoint?" == str(raised.value)
