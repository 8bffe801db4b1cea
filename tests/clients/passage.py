"""One trace on two ways: through the processor to a backend, and directly to a reference that records the same spans.

So a test knows what the client sent, whatever its language, and compares it with what arrived.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from backends import Backend
from messages import assert_named
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

    def assert_arrived(self, count: int) -> list[Span]:
        """S10, S11: of `count` spans that were sent each arrives once, named, and else as it was sent.

        The spans as they were sent.
        """
        sent = self.reference.spans()
        assert count == len(sent)
        self.backend.collect(count, *{span.trace_id for span in sent})
        assert_named(self.reference.requests(), self.backend.requests(), OWNER)
        return sent
