"""A downstream that leads back (S30): refused by whoever sees its own id, and counted."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from messages import call_grpc, call_http, make_request, make_span
from running import eventually, free_ports

from processor.signals import HOP_HEADER


class Detour:
    """A TCP proxy: what a service's address, a load balancer or an alias is to a process that is its own downstream."""

    def __init__(self, port: int, target: int) -> None:
        self._target = target
        self._server = socket.create_server(("127.0.0.1", port))
        self._sockets = [self._server]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._sockets += [near, far]
            for source, sink in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pass_on, args=(source, sink)))
                self._threads[-1].start()

    def _pass_on(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            return

    def close(self) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()


@pytest.fixture
def detour() -> Iterator[Callable[[int, int], Detour]]:
    """Lead a port to another: `detour(port, target)`."""
    made: list[Detour] = []

    def make(port: int, target: int) -> Detour:
        made.append(Detour(port, target))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf", "http/json"])
def test_a_loop_by_a_detour(protocol: str, run: Callable[..., Any], detour: Callable[..., Any]) -> None:
    """S30: a process refuses, for good, a request that carries its own id; what was accepted is counted as lost."""
    port = free_ports(1)[0]
    processor = run(EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{port}", EXPORTER_OTLP_PROTOCOL=protocol)
    detour(port, processor.grpc_port if protocol == "grpc" else processor.http_port)
    call_grpc(processor.grpc_port, make_request(make_span(b"t" * 16, 1)))
    eventually(lambda: processor.accounting()["lost"])
    assert (1, 0, 1) == tuple(_sum(processor.accounting()[name]) for name in ("accepted", "exported", "lost"))
    assert 0 == processor.stop()


def test_a_loop_over_two_processes(run: Callable[..., Any]) -> None:
    """S30: a hop header lists process ids, so a request that comes back by way of another process is refused, too."""
    ports = free_ports(2)
    first, second = (
        run(
            is_awaited=False,
            RECEIVER_GRPC_ENDPOINT=f"127.0.0.1:{own}",
            EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{other}",
        )
        for own, other in (ports, reversed(ports))
    )
    for processor, port in zip((first, second), ports, strict=True):
        processor.grpc_port = port
        processor.wait_ready()
    call_grpc(first.grpc_port, make_request(make_span(b"t" * 16, 1)))
    eventually(lambda: _sum(first.accounting()["lost"]) + _sum(second.accounting()["lost"]), patience_s=5.0)
    assert (1, 1) == (first.accounting()["accepted"], second.accounting()["accepted"])


def _sum(count: Any) -> int:
    return sum(count.values()) if isinstance(count, dict) else int(count)


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_only_process_ids_go_on(protocol: str, run: Callable[..., Any], backend: Callable[..., Any]) -> None:
    """S30: a sender's hop header that lists no process ids changes nothing of what goes out, now or later."""
    to = backend(protocol).start()
    processor = run(**to.settings)
    for path in ("\xe9t\xe9", "a" * 8000, "0" * 32):
        assert 200 == call_http(processor.http_port, make_request(make_span(b"t" * 16, 1)), **{HOP_HEADER: path})[0]
    eventually(lambda: processor.accounting()["exported"] == 3)
    hops = {hop for each in to.received for hop in each.headers[HOP_HEADER].split(",")}
    assert (2, {32}) == (len(hops), {len(hop) for hop in hops})
    assert "0" * 32 in hops
    assert 0 == processor.stop()
