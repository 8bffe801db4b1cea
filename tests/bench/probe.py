"""Notices when a subject's loop stands still: empty requests, one every two milliseconds, and how long each took.

A process of its own. An empty request costs a subject next to nothing, so a slow answer means that it was busy with
something that did not let go.
"""

from __future__ import annotations

import threading
import time

from sender import GrpcSender
from worker import Answer, serve, specification

_INTERVAL_S = 0.002


class Probe:
    """Sends from a thread of its own between `start` and `stop`."""

    def __init__(self, endpoint: str) -> None:
        self._sender = GrpcSender(endpoint)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._took_ns: list[tuple[int, int]] = []

    def start(self) -> Answer:
        """Begin; the first answer has come when this returns."""
        self._sender.send(b"")
        self._thread.start()
        return {}

    def stop(self, from_ns: int, to_ns: int) -> Answer:
        """End. The slowest answer, in milliseconds, among the requests that were under way in the given time."""
        self._stopping.set()
        self._thread.join()
        during = [took for sent, took in self._took_ns if sent <= to_ns and sent + took >= from_ns]
        return {"slowest_ms": max(during, default=0) / 1e6, "requests": len(during)}

    def _run(self) -> None:
        while not self._stopping.wait(_INTERVAL_S):
            sent_ns = time.monotonic_ns()
            self._sender.send(b"")
            self._took_ns.append((sent_ns, time.monotonic_ns() - sent_ns))


def main() -> None:
    """Connect, say so, and answer commands."""
    probe = Probe(specification()["endpoint"])
    serve({}, {"start": probe.start, "stop": probe.stop})


if __name__ == "__main__":
    main()
