"""`grpc.health.v1` on the gRPC listener: Check and Watch, in step with readiness.

Both messages have one field, so they are read and written as bytes, and no package is needed. Probes bring no token.
It must not know why the process is not ready.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import grpc  # type: ignore[import-untyped]  # grpcio ships no types

from processor.readiness import Readiness
from processor.signals import Signal
from processor.wire.cursor import Malformed, fields

_SERVICE_TAG: Final = 0x0A  # HealthCheckRequest.service
# HealthCheckResponse.status
_SERVING: Final = b"\x08\x01"
_NOT_SERVING: Final = b"\x08\x02"
_SERVICE_UNKNOWN: Final = b"\x08\x03"

# The whole server, and each of OTLP's services.
_SERVICES: Final = frozenset({b"", *(signal.grpc_service.encode() for signal in Signal)})


class Health:
    """Answers for `readiness`. `poll_s`: how often a watcher's answer is looked at."""

    def __init__(self, readiness: Readiness, poll_s: float = 1.0) -> None:
        self._readiness = readiness
        self._poll_s = poll_s

    def handlers(self) -> Mapping[str, Any]:
        """grpcio's handlers, by method path."""
        return {
            "/grpc.health.v1.Health/Check": grpc.unary_unary_rpc_method_handler(self._check),
            "/grpc.health.v1.Health/Watch": grpc.unary_stream_rpc_method_handler(self._watch),
        }

    async def _check(self, body: bytes, context: Any) -> bytes:
        service = _read_service(body, context)
        if service is None:
            return b""
        if service not in _SERVICES:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details("unknown service")
            return b""
        return self._status(service)

    async def _watch(self, body: bytes, context: Any) -> AsyncIterator[bytes]:
        """Each new status, from the present one on. The stream ends when the process stops: it must not wait for it."""
        service = _read_service(body, context)
        if service is None:
            return
        told = b""
        is_draining = False
        while not is_draining:
            if (status := self._status(service)) != told:
                told = status
                yield status
            is_draining = await self._readiness.wait_draining(self._poll_s)
        if told == _SERVING:
            yield _NOT_SERVING

    def _status(self, service: bytes) -> bytes:
        if service not in _SERVICES:
            return _SERVICE_UNKNOWN
        return _SERVING if self._readiness.is_ready else _NOT_SERVING


def _read_service(body: bytes, context: Any) -> bytes | None:
    """The service that a request asks for; None, with the call's status set, where it is none."""
    try:
        names = fields(body, _SERVICE_TAG)
    except Malformed as error:
        context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
        context.set_details(f"not a HealthCheckRequest: {error}")
        return None
    return names[-1] if names else b""
