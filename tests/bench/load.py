"""The load: eight connections that send a workload, as fast as it is taken or at a rate.

A process of its own. Each connection has one thread and one request in flight; a refused request is sent again.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from sender import SENDERS, Sender, send_until_taken
from worker import Answer, serve, specification
from workload import Template, Workload

_CONNECTIONS = 8
_PATIENCE_S = 60.0
_LAST_TRIES_S = 10.0


class Load:
    """Connections to one subject, each with its own template and thread."""

    def __init__(self, endpoint: str, workload: Workload, ca: str) -> None:
        self._workload = workload
        make = SENDERS[workload.transport]
        self._lanes: list[tuple[Sender, Template]] = [
            (make(endpoint, ca), Template(workload)) for _ in range(_CONNECTIONS)
        ]

    def closed(self, seconds: float, requests: int | None = None) -> Answer:
        """Send for `seconds`, each connection its next request once the last was taken; at most `requests` in all."""
        until = time.monotonic() + (seconds if requests is None else _PATIENCE_S)
        numbers = iter(range(requests)) if requests is not None else itertools.count()

        def due() -> Iterator[int]:
            while time.monotonic() < until and next(numbers, None) is not None:
                yield time.monotonic_ns()

        return self._run(due, until + _LAST_TRIES_S)

    def until_refused(self) -> Answer:
        """Send as fast as requests are taken, each connection until it is refused once."""
        with ThreadPoolExecutor(len(self._lanes)) as threads:
            taken = sum(threads.map(lambda lane: _drive_until_refused(lane[0], lane[1]), self._lanes))
        return {"spans": taken * self._workload.spans_per_request}

    def paced(self, seconds: float, requests_per_s: float, requests: int | None = None) -> Answer:
        """Send at a fixed rate, whether answers come or not as long as a connection is free.

        Requests bear the time at which they were due, so that a subject that stalls does not hide its stall.
        """
        start_ns = time.monotonic_ns()
        number = max(2, int(seconds * requests_per_s)) if requests is None else requests
        numbers = iter(range(number))

        def due() -> Iterator[int]:
            while (index := next(numbers, None)) is not None:
                due_ns = start_ns + int(index / requests_per_s * 1e9)
                time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
                yield due_ns

        return self._run(due, time.monotonic() + seconds + _LAST_TRIES_S)

    def _run(self, due: Callable[[], Iterator[int]], until: float) -> Answer:
        start_ns = time.monotonic_ns()
        with ThreadPoolExecutor(len(self._lanes)) as threads:
            outcomes = list(threads.map(lambda lane: _drive(lane[0], lane[1], due(), until), self._lanes))
        taken = sum(requests for requests, _, _ in outcomes)
        return {
            "start_ns": start_ns,
            "requests": taken,
            "spans": taken * self._workload.spans_per_request,
            "bytes": sum(size for _, size, _ in outcomes),
            "refusals": sum(refusals for _, _, refusals in outcomes),
        }


def _drive(sender: Sender, template: Template, due: Iterator[int], until: float) -> tuple[int, int, int]:
    """One connection's part: requests taken, their bytes, refusals."""
    requests = size = refusals = 0
    for due_ns in due:
        body = template.stamp(due_ns)
        taken, refused = send_until_taken(sender, body, until)
        requests, size, refusals = requests + taken, size + taken * len(body), refusals + refused
    return requests, size, refusals


def _drive_until_refused(sender: Sender, template: Template) -> int:
    """How many requests were taken before the first refusal."""
    until = time.monotonic() + _PATIENCE_S
    requests = 0
    while sender.send(template.stamp(time.monotonic_ns())):
        requests += 1
        if time.monotonic() > until:
            break
    return requests


def main() -> None:
    """Connect, say so, and answer commands."""
    asked = specification()
    load = Load(asked["endpoint"], Workload(**asked["workload"]), asked["ca"])
    serve({}, {"closed": load.closed, "paced": load.paced, "until_refused": load.until_refused})


if __name__ == "__main__":
    main()
