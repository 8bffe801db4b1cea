"""One connection of the load, over gRPC or HTTP. Knows nothing of what it sends."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
from wire import EXPORT_TRACES
from workload import GRPC, GRPC_TLS, HTTP

_TIMEOUT_S = 30.0
_WAIT_AFTER_REFUSAL_S = 0.05


class Sender(Protocol):
    """One connection. Only one thread may use it."""

    def send(self, body: bytes) -> bool:
        """Send one request and wait for the answer; whether it was taken."""
        ...


class GrpcSender:
    """OTLP/gRPC over a connection of its own: channels of equal options share one where this is not said.

    `ca`: PEM file of the authority to trust, for TLS.
    """

    def __init__(self, endpoint: str, ca: str | None = None) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        channel: Any = (
            grpc.insecure_channel(endpoint, options)
            if ca is None
            else grpc.secure_channel(endpoint, grpc.ssl_channel_credentials(Path(ca).read_bytes()), options)
        )
        grpc.channel_ready_future(channel).result(timeout=_TIMEOUT_S)
        self._export = channel.unary_unary(EXPORT_TRACES)

    def send(self, body: bytes) -> bool:
        try:
            self._export(body, timeout=_TIMEOUT_S)
        except grpc.RpcError:
            return False
        return True


class HttpSender:
    """OTLP/HTTP with protobuf bodies over one kept connection."""

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        self._connection = http.client.HTTPConnection(host, int(port), timeout=_TIMEOUT_S)
        self._connection.connect()

    def send(self, body: bytes) -> bool:
        try:
            self._connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
            answer = self._connection.getresponse()
            answer.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()  # the next request connects again
            return False
        return answer.status == 200


# By transport, of an endpoint and the authority to trust.
SENDERS: dict[str, Callable[[str, str], Sender]] = {
    GRPC: lambda endpoint, _: GrpcSender(endpoint),
    GRPC_TLS: GrpcSender,
    HTTP: lambda endpoint, _: HttpSender(endpoint),
}


def send_until_taken(sender: Sender, body: bytes, until: float) -> tuple[bool, int]:
    """Send and send again as real senders do, until `until` on the monotonic clock. Taken or not, and refusals."""
    refusals = 0
    while not sender.send(body):
        refusals += 1
        if time.monotonic() >= until:
            return False, refusals
        time.sleep(_WAIT_AFTER_REFUSAL_S)
    return True, refusals
