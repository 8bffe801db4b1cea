"""OTLP/gRPC out: one channel, raw bytes, one attempt a call; and what gRPC's status codes mean to the queue.

The channel comes up on the first request and reconnects on its own. gRPC's retries are off, for the queue's must obey
what the downstream asks for. Proxies of the environment are not used: telemetry goes to the endpoint that was
configured or nowhere. Must not know batches, trees or settings.
"""

from __future__ import annotations

import asyncio
from typing import Any

import grpc  # type: ignore[import-untyped]  # grpcio ships no types
import grpc.aio  # type: ignore[import-untyped]  # grpcio ships no types

from processor.errors import BatchTooLarge, PermanentError, TransientError, Unsupported
from processor.export.answers import printable, read_protobuf, retry_info_s
from processor.export.endpoint import Downstream
from processor.export.export import MAX_REQUEST_BYTES, MAX_RESPONSE_BYTES, USER_AGENT, LossReason, Outcome, Refused
from processor.export.headers import override
from processor.export.tls import channel_credentials, fingerprint
from processor.origin import Headers
from processor.signals import HOP_HEADER, Signal

_OPTIONS = (
    ("grpc.primary_user_agent", USER_AGENT),
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_RESPONSE_BYTES),
    ("grpc.max_metadata_size", 16 * 1024),
    ("grpc.enable_retries", 0),
    ("grpc.enable_http_proxy", 0),
    ("grpc.service_config_disable_resolution", 1),
    # A dead peer is noticed during a call; idle connections are not pinged, for which grpc-go's defaults hang up.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # gRPC's own wait between connections grows to 120 s. Measured with these on a backend that came back: 1.1 s.
    ("grpc.initial_reconnect_backoff_ms", 500),
    ("grpc.min_reconnect_backoff_ms", 5_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # A backend that moved behind its name is found in 5 s, not in gRPC's 30 s (F28).
    ("grpc.dns_min_time_between_resolutions_ms", 5_000),
    ("grpc.use_local_subchannel_pool", 1),
)
_COMPRESSION = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}

# OTLP's retryable codes; RESOURCE_EXHAUSTED joins them where RetryInfo comes with it (R27).
_TRANSIENT = frozenset(
    (
        grpc.StatusCode.CANCELLED,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.OUT_OF_RANGE,
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DATA_LOSS,
    )
)
_REASONS = {
    grpc.StatusCode.INVALID_ARGUMENT: LossReason.INVALID,
    grpc.StatusCode.UNAUTHENTICATED: LossReason.UNAUTHENTICATED,
    grpc.StatusCode.PERMISSION_DENIED: LossReason.FORBIDDEN,
    grpc.StatusCode.NOT_FOUND: LossReason.NOT_FOUND,
}
# Servers that say "too large" under another code: tonic (OUT_OF_RANGE), a proxy's HTTP 413 (UNKNOWN).
_TOO_LARGE_TEXTS = ("message length too large", "status: 413")
_RESPONSE_TOO_LARGE_TEXTS = ("CLIENT: Received message larger", "CLIENT: Decompressed message larger")


class GrpcClient:
    """The downstream over gRPC. Belongs to the event loop that first sends.

    `hop`: the value of the hop header; whoever runs the client may replace it between requests (S30).
    """

    def __init__(self, downstream: Downstream, hop: str) -> None:
        self.hop = hop
        self._downstream = downstream
        self._channel: Any = None
        self._methods: dict[Signal, Any] = {}
        self._fingerprint = fingerprint(downstream.files)
        self._closing: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def send(self, signal: Signal, body: bytes, headers: Headers = ()) -> Outcome:
        """Deliver one request. Raises `TransientError`, or a `PermanentError` by what the status code means."""
        metadata = (*override(self._downstream.headers, headers), (HOP_HEADER, self.hop))
        try:
            answer = await self._method(signal)(body, timeout=self._downstream.timeout_s, metadata=metadata)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                self._renew_credentials()
            raise translate(error) from None
        except asyncio.CancelledError:
            if _is_being_cancelled():
                raise
            raise TransientError("the channel was closed") from None  # gRPC's way to say so
        except (OSError, grpc.aio.UsageError) as error:  # a certificate file is gone just now; the channel was closed
            raise TransientError(f"no channel: {type(error).__name__}") from None
        return read_protobuf(answer)

    async def close(self) -> None:
        """Close the channel; requests in flight end at once."""
        self._is_closed = True
        self._methods.clear()
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()
        await asyncio.gather(*self._closing)

    def _method(self, signal: Signal) -> Any:
        method = self._methods.get(signal)
        if method is None:
            if self._is_closed:
                raise grpc.aio.UsageError("closed")
            self._channel = self._channel or self._open()
            method = self._methods[signal] = self._channel.unary_unary(signal.grpc_method)
        return method

    def _open(self) -> Any:
        target, compression = self._downstream.target, _COMPRESSION[self._downstream.compression]
        if not self._downstream.tls:
            return grpc.aio.insecure_channel(target, _OPTIONS, compression)
        credentials = channel_credentials(self._downstream.files)
        return grpc.aio.secure_channel(target, credentials, _OPTIONS, compression)

    def _renew_credentials(self) -> None:
        """A channel keeps the certificates that it was made with: make another once the files have changed."""
        now = fingerprint(self._downstream.files)
        if now == self._fingerprint or self._channel is None:
            return
        self._fingerprint = now
        old, self._channel = self._channel, None
        self._methods.clear()
        closing = asyncio.ensure_future(old.close(self._downstream.timeout_s))
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def translate(error: Any) -> TransientError | PermanentError:
    """What an `AioRpcError` means: try again, never try again, or divide.

    Only transient errors quote the details, which the transport writes; a server's own words about a refused request
    may quote the request.
    """
    code, details = error.code(), error.details() or ""
    delay_s = retry_info_s(error.trailing_metadata() or ())
    if any(text in details for text in _RESPONSE_TOO_LARGE_TEXTS):
        return Refused(LossReason.RESPONSE_TOO_LARGE, "the answer is over 4 MiB")
    if any(text in details for text in _TOO_LARGE_TEXTS):
        return BatchTooLarge(code.name)
    if code in _TRANSIENT or (code is grpc.StatusCode.RESOURCE_EXHAUSTED and delay_s is not None):
        return TransientError(f"{code.name}: {printable(details)}", delay_s)
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return BatchTooLarge(code.name)
    if code is grpc.StatusCode.UNIMPLEMENTED:
        return Unsupported(code.name)
    return Refused(_REASONS.get(code, LossReason.REFUSED), code.name)
