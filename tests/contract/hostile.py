"""What must hold whatever the bytes (S9); shared by the mutation tests and the fuzzer."""

from __future__ import annotations

from collections import Counter

from compare import replay
from engine import Engine, Left, Setup, spans_of
from google.protobuf.message import DecodeError
from lean import Lean
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from oracle import Delivery

from processor.errors import MalformedRequest


class Checker:
    """Checks requests against upb and the oracle; one for many requests."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.lean = Lean()

    def check(self, body: bytes) -> str:
        """`malformed`, `partial` or `whole`: what the request was taken for. Raises AssertionError for what must not
        be.

        Nothing but `MalformedRequest` is raised, and only for an envelope that upb or the contract refuses; each
        span is taken or left for its
        own bytes alone; what leaves is what came with attributes behind it, and upb takes it.
        """
        engine = Engine(self.setup)
        try:
            left = engine.deliver(body)
        except MalformedRequest:
            assert not self.lean.takes_envelope(body)
            return "malformed"
        chunks = engine.chunks
        left += engine.advance(1000.0)
        assert [True for _ in chunks + engine.chunks] == [self.lean.parses(chunk) for chunk in chunks + engine.chunks]
        if not self.lean.takes_envelope(body):
            return "odd envelope"
        came = list(spans_of(body))
        taken = [each for each in came if self.lean.takes_span(each.raw)]
        assert len(came) - len(taken) == sum(engine.rejected.values())
        self._check_same(taken, left)
        if len(taken) < len(came):
            return "partial"
        self._check_meaning(body)
        return "whole"

    def _check_same(self, taken: list[Left], left: list[Left]) -> None:
        """As many spans as were taken, whose fields other than attributes are the same."""
        assert Counter(map(self._fingerprint, taken)) == Counter(map(self._fingerprint, left))

    def _fingerprint(self, each: Left) -> bytes:
        span = self.lean.span.FromString(each.raw)
        span.ClearField("attributes")
        span.ClearField("dropped_attributes_count")
        return bytes(span.SerializeToString(deterministic=True))

    def _check_meaning(self, body: bytes) -> None:
        """Where all text is text, the oracle's answer."""
        try:
            ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return
        replay(self.setup, [Delivery(0.0, body), 1000.0])
