"""What a downstream's answer says."""

from __future__ import annotations

import pytest
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import BadRequest, RetryInfo
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from processor.export.answers import MAX_RETRY_AFTER_S, printable, read_json, read_protobuf, retry_after_s, retry_info_s
from processor.export.export import Outcome


def test_protobuf_partial_success_of_every_signal() -> None:
    """The rejected number and the message are read from the responses of all three signals."""
    traces, metrics, logs = ExportTraceServiceResponse(), ExportMetricsServiceResponse(), ExportLogsServiceResponse()
    traces.partial_success.rejected_spans = 3
    metrics.partial_success.rejected_data_points = 3
    logs.partial_success.rejected_log_records = 3
    for response in (traces, metrics, logs):
        response.partial_success.error_message = "why"
        assert Outcome(3, "why") == read_protobuf(response.SerializeToString())


@pytest.mark.parametrize("body", [b"", b"{}", b"\xff\xff\xff", b"\x0a\x05\x08\x03"])
def test_unreadable_protobuf_is_success(body: bytes) -> None:
    """What cannot be read of a success is ignored (E7)."""
    assert Outcome() == read_protobuf(body)


@pytest.mark.parametrize(
    ("body", "outcome"),
    [
        (b"{}", Outcome()),
        (b'{"partialSuccess":{}}', Outcome()),
        (b'{"partialSuccess":{"rejectedSpans":"3","errorMessage":"why"}}', Outcome(3, "why")),
        (b'{"partialSuccess":{"rejectedSpans":3}}', Outcome(3)),
        (b'{"partialSuccess":{"rejectedDataPoints":"4"}}', Outcome(4)),
        (b'{"partialSuccess":{"rejectedLogRecords":"5"}}', Outcome(5)),
        (b'{"partialSuccess":{"errorMessage":"careful"},"new":[1]}', Outcome(0, "careful")),
        (b'{"partialSuccess":{"rejectedSpans":-3}}', Outcome(0)),
        (b'{"partialSuccess":null}', Outcome()),
        (b'{"partialSuccess":{"rejectedSpans":"many"}}', Outcome()),
        (b'{"partialSuccess":{"rejectedSpans":1e999}}', Outcome()),
        (b"[]", Outcome()),
        (b"<html>", Outcome()),
        (b"\xff", Outcome()),
        (b"[" * 100_000, Outcome()),
    ],
)
def test_json(body: bytes, outcome: Outcome) -> None:
    """A JSON response is read with its numbers as strings or not; what cannot be read is ignored (E7)."""
    assert outcome == read_json(body)


def test_message_is_bounded() -> None:
    """A message of megabytes is cut."""
    assert 500 == len(read_json(b'{"partialSuccess":{"errorMessage":"' + b"a" * 100_000 + b'"}}').message)


def info(seconds: int = 0, nanos: int = 0) -> RetryInfo:
    return RetryInfo(retry_delay=Duration(seconds=seconds, nanos=nanos))


def status(*details: object) -> bytes:
    message = Status(code=14)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        message.details.append(packed)
    return message.SerializeToString()


@pytest.mark.parametrize(
    ("metadata", "delay_s"),
    [
        ([], None),
        ([("retry-after", "3")], None),
        ([("google.rpc.retryinfo-bin", info(2).SerializeToString())], 2.0),
        ([("google.rpc.retryinfo-bin", info(0, 500_000_000).SerializeToString())], 0.5),
        ([("google.rpc.retryinfo-bin", info(-5).SerializeToString())], 0.0),
        ([("google.rpc.retryinfo-bin", info(10**9).SerializeToString())], MAX_RETRY_AFTER_S),
        ([("google.rpc.retryinfo-bin", b"\xff")], None),
        ([("google.rpc.retryinfo-bin", "text")], None),
        ([("grpc-status-details-bin", status(BadRequest(), info(2)))], 2.0),
        ([("grpc-status-details-bin", status(BadRequest()))], None),
        ([("grpc-status-details-bin", status())], None),
        ([("grpc-status-details-bin", b"\xff")], None),
        ([("grpc-status-details-bin", status(info(2)) + b"\x0a" * 10_000)], None),
        (
            [
                ("google.rpc.retryinfo-bin", info(1).SerializeToString()),
                ("grpc-status-details-bin", status(info(3))),
            ],
            3.0,
        ),
    ],
)
def test_retry_info(metadata: list[tuple[str, str | bytes]], delay_s: float | None) -> None:
    """RetryInfo is read from either trailer, the longer of two; it is bounded, and nonsense is no hint."""
    assert delay_s == retry_info_s(metadata)


NOW_S = 1_700_000_000.0  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("value", "date", "delay_s"),
    [
        (None, None, None),
        ("", None, None),
        ("2", None, 2.0),
        (" 30 ", None, 30.0),
        ("0", None, 0.0),
        ("99999999999999999999", None, MAX_RETRY_AFTER_S),
        ("-1", None, None),
        ("1.5", None, None),
        ("soon", None, None),
        ("²", None, None),
        ("Tue, 14 Nov 2023 22:13:25 GMT", None, 5.0),
        ("Tuesday, 14-Nov-23 22:13:25 GMT", None, 5.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", None, 0.0),
        ("Tue, 14 Nov 2023 22:13:25 GMT", "Tue, 14 Nov 2023 22:13:22 GMT", 3.0),
        ("Tue, 14 Nov 2023 22:13:25 GMT", "yesterday", 5.0),
        ("Wed, 99 Nov 2023 22:13:25 GMT", None, None),
    ],
)
def test_retry_after(value: str | None, date: str | None, delay_s: float | None) -> None:
    """Retry-After is seconds or a date, the latter against the response's own Date; bounded; nonsense is no hint."""
    assert delay_s == retry_after_s(value, date, NOW_S)


def test_printable() -> None:
    """Control characters are escaped and long texts cut, so that a remote text is one short log line."""
    assert "a\\nb\\x1b[31mc" == printable("a\nb\x1b[31mc")
    assert "aaa…" == printable("a" * 10, 3)
    assert "ü✓" == printable("ü✓")
