"""What is said to a sender: one table from errors to gRPC and HTTP, and the bytes of bodies and trailers.

Both listeners translate here and nowhere else. The message classes come from libraries and are imported on the
rare paths that need them: full success, the common answer, is no bytes at all (R20). It must not know a
transport's library, nor why a request was refused.
"""

from __future__ import annotations

import importlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge, SenderError, UnsupportedSignal
from processor.receive.admission import RequestLoop
from processor.receive.receive import Answer
from processor.signals import Signal
from processor.wire import otlp_json

# gRPC status codes, as numbers: google.rpc.Status carries them over HTTP as well.
INVALID_ARGUMENT: Final = 3
RESOURCE_EXHAUSTED: Final = 8
FAILED_PRECONDITION: Final = 9
UNIMPLEMENTED: Final = 12
UNAVAILABLE: Final = 14
UNAUTHENTICATED: Final = 16

# gRPC code and HTTP status. All are on OTLP's lists of what a sender must not try again, but UNAVAILABLE and 503.
_CODES: Final[dict[type[Exception], tuple[int, int]]] = {
    MalformedRequest: (INVALID_ARGUMENT, 400),
    RequestTooLarge: (RESOURCE_EXHAUSTED, 413),
    UnsupportedSignal: (UNIMPLEMENTED, 404),
    RequestLoop: (FAILED_PRECONDITION, 400),
    SenderError: (INVALID_ARGUMENT, 400),
    ComeBackLater: (UNAVAILABLE, 503),
}

# A partial success is read by people; the response stays far below OTLP's 4 MiB (R9).
PARTIAL_MESSAGE_CHARACTERS: Final = 2000
# A refusal travels three times in gRPC's trailers: percent-encoded (12 bytes for the widest character), and
# twice in base64 (6 bytes each). 256 of them stay below the 8 KiB of metadata that clients take.
REFUSAL_MESSAGE_CHARACTERS: Final = 256

# Python's exporters read the second of these and not the first, Go's the other way round (S26).
STATUS_TRAILER: Final = "grpc-status-details-bin"
RETRY_TRAILER: Final = "google.rpc.retryinfo-bin"

_PARTIAL: Final[dict[Signal, tuple[str, str, str]]] = {
    Signal.TRACES: ("trace", "ExportTraceServiceResponse", "rejected_spans"),
    Signal.METRICS: ("metrics", "ExportMetricsServiceResponse", "rejected_data_points"),
    Signal.LOGS: ("logs", "ExportLogsServiceResponse", "rejected_log_records"),
}

# One traceback of a kind in so many seconds: enough to find a bug, too little to fill a disk.
_FAULT_WINDOW_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class Refusal:
    """A request that was not taken, in both protocols' terms. `retry_after_s`: None means never again."""

    code: int
    http_status: int
    message: str
    retry_after_s: int | None = None


def refusal_of(error: SenderError | ComeBackLater) -> Refusal:
    """The refusal that an error of `processor.errors` stands for."""
    code, http_status = next(_CODES[kind] for kind in type(error).__mro__ if kind in _CODES)
    retry_after_s = error.retry_after_s if isinstance(error, ComeBackLater) else None
    return Refusal(code, http_status, _cut(str(error), REFUSAL_MESSAGE_CHARACTERS), retry_after_s)


# A bug of ours is not the sender's: it keeps the request, and a second's wait keeps this from being a hot loop.
FAULT: Final = Refusal(UNAVAILABLE, 503, "internal error", 1)
STRANGER: Final = Refusal(UNAUTHENTICATED, 401, "show an accepted token: authorization: Bearer <token>")
STOPPING: Final = Refusal(UNAVAILABLE, 503, "shutting down", 2)


def encode_partial(signal: Signal, answer: Answer) -> bytes:
    """The protobuf Export…ServiceResponse of an answer; no bytes for full success (R20, R22, R23)."""
    if not answer.rejected and not answer.message:
        return b""
    module, response, rejected = _PARTIAL[signal]
    service = importlib.import_module(f"opentelemetry.proto.collector.{module}.v1.{module}_service_pb2")
    message: Any = getattr(service, response)()
    setattr(message.partial_success, rejected, answer.rejected)
    message.partial_success.error_message = _cut(answer.message, PARTIAL_MESSAGE_CHARACTERS)
    return bytes(message.SerializeToString())


def encode_partial_json(signal: Signal, answer: Answer) -> bytes:
    """The same as OTLP/JSON; `{}` for full success."""
    return otlp_json.encode_partial_success(signal, answer.rejected, _cut(answer.message, PARTIAL_MESSAGE_CHARACTERS))


def encode_status(refusal: Refusal) -> bytes:
    """The protobuf google.rpc.Status of a refusal, with BadRequest or RetryInfo as its detail (R24, R25, R26)."""
    from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]  # the package has no types

    status = status_pb2.Status(code=refusal.code, message=refusal.message)
    if refusal.retry_after_s is not None:
        status.details.add().Pack(_retry_info(refusal.retry_after_s))
    elif refusal.code == INVALID_ARGUMENT:
        violation = error_details_pb2.BadRequest.FieldViolation(field="body", description=refusal.message)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    return bytes(status.SerializeToString())


def encode_status_json(refusal: Refusal) -> bytes:
    """The same as JSON, without details (OTLP leaves them optional)."""
    return otlp_json.encode_status(refusal.code, refusal.message)


def trailers(refusal: Refusal) -> tuple[tuple[str, bytes], ...]:
    """gRPC's trailing metadata of a refusal: a status where it has a detail, and both forms of RetryInfo (S26, R24)."""
    if refusal.retry_after_s is not None:
        retry_info = bytes(_retry_info(refusal.retry_after_s).SerializeToString())
        return (STATUS_TRAILER, encode_status(refusal)), (RETRY_TRAILER, retry_info)
    if refusal.code == INVALID_ARGUMENT:
        return ((STATUS_TRAILER, encode_status(refusal)),)
    return ()


class FaultLog:
    """Unexpected errors into the log with their traceback, one of a kind in a window; the rest is told by number."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._log = logging.getLogger(__name__)
        self._quiet_until: dict[type[BaseException], float] = {}
        self._suppressed = 0

    def report(self, error: BaseException, transport: str) -> None:
        """Log the error, or count it."""
        now = self._clock()
        if now < self._quiet_until.get(type(error), now):
            self._suppressed += 1
            return
        self._quiet_until[type(error)] = now + _FAULT_WINDOW_S
        self._log.error(
            "request failed on an unexpected error: transport=%s suppressed=%d",
            transport,
            self._suppressed,
            exc_info=error,
        )
        self._suppressed = 0


def _retry_info(retry_after_s: int) -> Any:
    from google.rpc import error_details_pb2

    retry_info = error_details_pb2.RetryInfo()
    retry_info.retry_delay.seconds = retry_after_s
    return retry_info


def _cut(message: str, characters: int) -> str:
    """The message's beginning, as text that every encoder takes (a lone surrogate is none)."""
    return message[:characters].encode("utf-8", "replace").decode()
