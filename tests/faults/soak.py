"""A long steady load with a backend that flaps: nothing is lost, and neither memory nor open files grow (F29).

The length is a parameter: ten seconds show that it works, an hour that nothing leaks. The time after which the process
forgets should be a tenth of it, so that what is remembered no longer grows after the first third.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

import grpc
from backends import Backend, Received
from memory import MiB
from messages import TRACES, make_request, make_span
from running import Processor

from processor._pb import envelope_pb2

SPANS_A_SECOND = 2000
SPANS = 20
# Of each period the backend refuses this part.
PERIOD_S, AWAY_S = 4.0, 1.0
# Of its traces every so-manyth never gets a root.
ORPHANED = 10
PLACEHOLDER = b"#" * 16


class Flapping(Backend):
    """A backend over gRPC that refuses everything for a second of every four, and counts what it takes."""

    def __init__(self) -> None:
        super().__init__("grpc", answer=self._refuse)
        self.count = 0
        self.refused = 0
        self.is_steady = False
        self._lock = threading.Lock()

    def record(self, received: Received) -> None:
        """Count the spans, and keep nothing: an hour has millions."""
        request = envelope_pb2.Request.FromString(received.body)
        spans = sum(len(scope.spans) for part in request.resource_spans for scope in part.scope_spans)
        with self._lock:
            self.count += spans

    def _refuse(self, context: Any) -> bool:
        if self.is_steady or time.monotonic() % PERIOD_S >= AWAY_S:
            return False
        self.refused += 1
        context.set_code(grpc.StatusCode.UNAVAILABLE)
        return True


class Load:
    """One sender at a steady rate: traces whose children come a request before their roots. `sent`: acknowledged spans."""

    def __init__(self, processor: Processor) -> None:
        self.sent = 0
        self._port = processor.grpc_port
        children = [make_span(PLACEHOLDER, each, 1, text="x" * 200) for each in range(2, SPANS + 1)]
        self._children = make_request(*children)
        self._root = make_request(make_span(PLACEHOLDER, 1, user__id="ann"))

    def run(self, seconds: float) -> None:
        """Send for so long."""
        began = time.monotonic()
        with grpc.insecure_channel(f"127.0.0.1:{self._port}") as channel:
            method = channel.unary_unary(TRACES)
            for step in itertools.count(1):
                due = began + step * SPANS / SPANS_A_SECOND
                if due > began + seconds:
                    return
                time.sleep(max(due - time.monotonic(), 0.0))
                self._deliver(method, step)

    def _deliver(self, method: Any, step: int) -> None:
        trace_id = step.to_bytes(16, "big")
        method(self._children.replace(PLACEHOLDER, trace_id), timeout=20)
        self.sent += SPANS - 1
        if step % ORPHANED:
            method(self._root.replace(PLACEHOLDER, trace_id), timeout=20)
            self.sent += 1


@dataclass(frozen=True)
class Growth:
    """What became more between the second third of the looks and the last one."""

    resident_bytes: float
    files: float
    seconds: float

    @property
    def bytes_in_ten_minutes(self) -> float:
        return self.resident_bytes / self.seconds * 600

    def __str__(self) -> str:
        return (
            f"resident memory {self.resident_bytes / MiB:+.2f} MiB in {self.seconds:.0f} s "
            f"({self.bytes_in_ten_minutes / MiB:+.2f} MiB in ten minutes), open files {self.files:+.1f}"
        )


def growth(looks: Sequence[tuple[int, int]], seconds: float) -> Growth:
    """Of looks at resident bytes and open files, evenly over so many seconds; the first third is the warm-up."""
    third = len(looks) // 3
    middle, last = looks[third : 2 * third], looks[-third:]
    resident, files = (fmean(each[at] for each in last) - fmean(each[at] for each in middle) for at in (0, 1))
    return Growth(resident, files, seconds / 3)
