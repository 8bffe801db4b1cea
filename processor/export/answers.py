"""What a downstream's answer says: partial successes, and how long it asks us to wait.

Pure functions that read leniently: OTLP lets a client ignore what it does not understand of a success, so an
unreadable answer is a success and an unreadable hint is no hint. Sizes are bounded by the callers' transports.
Must not know gRPC's or HTTP's client libraries.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from email.utils import parsedate_to_datetime
from typing import TypeGuard

from processor.export.export import Outcome

# Longest wait that a downstream may ask for. A wrong clock or unit must not silence the export for good.
MAX_RETRY_AFTER_S = 3600.0
# A status with its details is a few hundred bytes; gRPC's own bound on all metadata is 16 KiB.
_MAX_DETAILS_BYTES = 8 * 1024
_MAX_MESSAGE_CHARACTERS = 500


def read_protobuf(body: bytes) -> Outcome:
    """The outcome in an Export…ServiceResponse. The responses of all three signals have one wire form."""
    if not body:
        return Outcome()
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # ships no types
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

    try:
        partial = ExportTraceServiceResponse.FromString(body).partial_success
    except DecodeError:
        return Outcome()
    return _outcome(partial.rejected_spans, partial.error_message)


def read_json(body: bytes) -> Outcome:
    """The outcome in an OTLP/JSON response; 64-bit integers may be strings."""
    try:
        partial = json.loads(body)["partialSuccess"]
        rejected = next((int(partial[key]) for key in _REJECTED_KEYS if key in partial), 0)
        return _outcome(rejected, str(partial.get("errorMessage", "")))
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return Outcome()


def retry_info_s(metadata: Iterable[tuple[str, str | bytes]]) -> float | None:
    """Seconds of a RetryInfo in a gRPC status' trailing metadata, in either of its forms; None where there is none."""
    found = [_READERS[key](value) for key, value in metadata if key in _READERS and _is_readable(value)]
    return max((delay for delay in found if delay is not None), default=None)


def retry_after_s(value: str | None, date: str | None, now_s: float) -> float | None:
    """Seconds of a Retry-After header, in seconds or as an HTTP date; None where there is none, or no sense in it.

    `date` is the response's own Date header: the difference of the two does not depend on our clock; `now_s`, Unix
    time, stands in where it is missing.
    """
    if not value:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return _bounded(float(value.strip()[:10]))
    until = _unix_time(value)
    since = _unix_time(date) if date else None
    return None if until is None else _bounded(until - (now_s if since is None else since))


def printable(text: str, limit: int = 200) -> str:
    """At most `limit` characters with control characters escaped, so that a remote text cannot forge log lines."""
    short = text if len(text) <= limit else text[:limit] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in short)


_REJECTED_KEYS = ("rejectedSpans", "rejectedDataPoints", "rejectedLogRecords")


def _outcome(rejected: int, message: str) -> Outcome:
    return Outcome(max(rejected, 0), message[:_MAX_MESSAGE_CHARACTERS])


def _is_readable(value: str | bytes) -> TypeGuard[bytes]:
    return isinstance(value, bytes) and len(value) <= _MAX_DETAILS_BYTES


def _from_retry_info(value: bytes) -> float | None:
    from google.protobuf.message import DecodeError
    from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # ships no types

    try:
        delay = RetryInfo.FromString(value).retry_delay
    except DecodeError:
        return None
    return _bounded(delay.seconds + delay.nanos / 1e9)


def _from_status(value: bytes) -> float | None:
    from google.protobuf.message import DecodeError
    from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # ships no types

    try:
        details = Status.FromString(value).details
    except DecodeError:
        return None
    hints = (detail.value for detail in details if detail.type_url.endswith("google.rpc.RetryInfo"))
    return next((_from_retry_info(hint) for hint in hints), None)


_READERS = {"google.rpc.retryinfo-bin": _from_retry_info, "grpc-status-details-bin": _from_status}


def _unix_time(http_date: str) -> float | None:
    try:
        return parsedate_to_datetime(http_date).timestamp()
    except (ValueError, TypeError, OverflowError):
        return None


def _bounded(delay_s: float) -> float:
    return min(max(delay_s, 0.0), MAX_RETRY_AFTER_S)
