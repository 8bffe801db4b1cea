"""Real clients: threads with the SDK's own exporters, which remember what was acknowledged."""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from running import Processor, eventually
from script import Scripted

# As patient as a busy machine needs; the SDK's own is 10 s.
EXPORT_S = 20.0


def make_spans(count: int) -> Sequence[Any]:
    """A trace of the SDK: a root that says whose it is, and its children, in the order in which they end."""
    memory = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    tracer = provider.get_tracer("shop")
    with tracer.start_as_current_span("root", attributes={"user.id": "ann", "session.id": "s-1"}):
        for _ in range(count - 1):
            tracer.start_span("child", attributes={"text": "x" * 200}).end()
    provider.shutdown()
    return memory.get_finished_spans()


def ids_of(spans: Sequence[Any]) -> list[tuple[bytes, bytes]]:
    """Trace id and span id of each."""
    contexts = [span.get_span_context() for span in spans]
    return [(each.trace_id.to_bytes(16, "big"), each.span_id.to_bytes(8, "big")) for each in contexts]


class Clients:
    """Applications that send. `acknowledged`: the ids of spans whose export succeeded; `failed`: of the others."""

    def __init__(self, processor: Processor, transports: Sequence[str] = ("grpc", "http")) -> None:
        self.acknowledged: list[tuple[bytes, bytes]] = []
        self.failed: list[tuple[bytes, bytes]] = []
        self._processor = processor
        self._transports = transports

    def send(self, requests: int, spans_each: int = 20, senders: int = 2) -> None:
        """Each of the senders exports so many requests, all of them at the same time; until all are answered."""
        self.send_while(lambda sent: sent < requests, spans_each, senders)

    def send_while(self, go_on: Callable[[int], bool], spans_each: int = 20, senders: int = 2) -> None:
        """Each of the senders exports as long as `go_on`, given how many requests it has sent, says so."""
        threads = [
            threading.Thread(target=self._run, args=(transport, go_on, spans_each))
            for transport in itertools.islice(itertools.cycle(self._transports), senders)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _run(self, transport: str, go_on: Callable[[int], bool], spans_each: int) -> None:
        exporter = make_exporter(transport, self._processor)
        try:
            for sent in itertools.count():
                if not go_on(sent):
                    return
                spans = make_spans(spans_each)
                result = exporter.export(spans)
                answered = self.acknowledged if result is SpanExportResult.SUCCESS else self.failed
                answered += ids_of(spans)
        finally:
            exporter.shutdown()


def make_exporter(transport: str, processor: Processor) -> Any:
    """The SDK's exporter, pointed at the processor."""
    if transport == "grpc":
        return GrpcExporter(endpoint=processor.grpc_endpoint, timeout=EXPORT_S)
    return HttpExporter(endpoint=f"{processor.http_endpoint}/v1/traces", timeout=EXPORT_S)


def lost(accounting: dict[str, Any]) -> int:
    """The spans that were given up, for whatever reason."""
    return sum(accounting["lost"].values())


def settled(processor: Processor) -> dict[str, Any]:
    """The accounting once nothing waits any more; balanced at every look on the way (S25)."""

    def look() -> dict[str, Any] | None:
        accounting = processor.accounting()
        waits = accounting["held"] + accounting["queued"] + accounting["journaled"]
        return None if waits else accounting

    found: dict[str, Any] = eventually(look)
    return found


def check_arrived(clients: Clients, backend: Scripted, processor: Processor) -> dict[str, Any]:
    """Every acknowledged span arrived once, whose user it is known, and nothing was given up; the accounting."""
    accounting = settled(processor)
    arrived = Counter(backend.received)
    assert set(clients.acknowledged) == set(arrived)
    assert set(arrived.values()) == {1}
    assert 0 == lost(accounting)
    assert len(clients.acknowledged) == accounting["exported"] == accounting["accepted"]
    assert {"ann"} == {_user_of(span) for span in backend.spans}
    return accounting


def _user_of(span: Any) -> str:
    return next(each.value.string_value for each in span.attributes if each.key == "user.id")
