"""What can go wrong, by who must act.

Inner code raises one of these; the boundary (`receive/` towards senders, `export/` towards
downstreams) translates it to gRPC and HTTP once. Nothing here knows either protocol.
"""

from __future__ import annotations


class SenderError(Exception):
    """The sender's fault: the same request will never be taken. Answered without a retry hint."""


class MalformedRequest(SenderError):
    """The bytes are not the OTLP message that they claim to be (OTLP: INVALID_ARGUMENT, HTTP 400)."""


class RequestTooLarge(SenderError):
    """The request is over the size limit (OTLP: RESOURCE_EXHAUSTED without RetryInfo, HTTP 413)."""


class UnsupportedSignal(SenderError):
    """No downstream takes this signal (OTLP: UNIMPLEMENTED, HTTP 404)."""


class ComeBackLater(Exception):
    """We cannot take it now; the sender keeps it and tries again (OTLP: UNAVAILABLE, HTTP 503).

    `retry_after_s` is 1 or 2 seconds, never more (S26).
    """

    def __init__(self, message: str, retry_after_s: int = 1) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TransientError(Exception):
    """The downstream may take the same batch later.

    `retry_after_s`: the least wait the downstream asked for, in seconds; None when it asked for none.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class PermanentError(Exception):
    """The downstream will never take this batch: count it as lost, do not try again."""


class BatchTooLarge(PermanentError):
    """The downstream finds the batch too large; halves of it may pass (S27)."""


class Unsupported(PermanentError):
    """The downstream does not know this signal at all (S31)."""
