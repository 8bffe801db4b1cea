"""One trace on two ways: through the processor to a backend, and directly to a reference that records the same spans.

So a test knows what the client sent, whatever its language, and compares it with what arrived.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends import Backend
from messages import attributes, walk
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from running import Processor

OWNER = {"user.id": "ann", "session.id": "s-1"}


@dataclass(frozen=True, slots=True)
class Passage:
    """The processor, the backend behind it, and the reference."""

    processor: Processor
    backend: Backend
    reference: Backend

    @property
    def sent_to(self) -> str:
        """The reference's endpoint."""
        return f"http://127.0.0.1:{self.reference.port}"

    def run(self, *command: str, **environment: str) -> None:
        """Run a command to its end, with these variables and little more."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        subprocess.run(command, env={**kept, **environment}, check=True, timeout=60)

    def run_client(self, client: Sequence[str], compression: str) -> None:
        """Run a client that takes protocol, compression and both endpoints as arguments, to its end."""
        protocol = self.reference.protocol
        through = self.processor.grpc_endpoint if protocol == "grpc" else self.processor.http_endpoint
        self.run(*client, protocol, compression, through, self.sent_to)

    def assert_arrived(self, count: int, owner: Mapping[str, str] = OWNER) -> list[Span]:
        """S10, S11: of `count` spans that were sent each arrives once, with its owner, and else as it was sent.

        The spans as they were sent.
        """
        sent = {span.span_id: (around, span) for each in self.reference.received for around, span in walk(each.request)}
        assert count == len(sent) == len(self.reference.spans())
        traces = {span.trace_id for _, span in sent.values()}
        self.backend.collect(count, *traces)
        arrived = [
            (around, span)
            for each in self.backend.received
            if each.request is not None
            for around, span in walk(each.request)
            if span.trace_id in traces
        ]
        assert sorted(sent) == sorted(span.span_id for _, span in arrived)
        for around, span in arrived:
            found = attributes(span)
            assert owner == {key: found.get(key) for key in owner}, span
            added = len(span.attributes) - len(sent[span.span_id][1].attributes)
            assert added == len(owner.keys() - attributes(sent[span.span_id][1]).keys())
            del span.attributes[len(span.attributes) - added :]
            assert sent[span.span_id] == (around, span)
        return [span for _, span in sent.values()]
