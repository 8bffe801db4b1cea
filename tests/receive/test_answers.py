from __future__ import annotations

import json
from typing import Any

import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from processor.errors import ComeBackLater, MalformedRequest, RequestTooLarge, SenderError, UnsupportedSignal
from processor.receive import answers
from processor.receive.admission import RequestLoop
from processor.receive.receive import Answer
from processor.signals import Signal

RESPONSES: dict[Signal, tuple[Any, str, str]] = {
    Signal.TRACES: (ExportTraceServiceResponse, "rejected_spans", "rejectedSpans"),
    Signal.METRICS: (ExportMetricsServiceResponse, "rejected_data_points", "rejectedDataPoints"),
    Signal.LOGS: (ExportLogsServiceResponse, "rejected_log_records", "rejectedLogRecords"),
}
RETRYABLE_HTTP = {429, 502, 503, 504}


@pytest.mark.parametrize(
    ("error", "code", "http_status", "retry_after_s"),
    [
        (MalformedRequest("x"), "INVALID_ARGUMENT", 400, None),
        (RequestTooLarge("x"), "RESOURCE_EXHAUSTED", 413, None),
        (UnsupportedSignal("x"), "UNIMPLEMENTED", 404, None),
        (RequestLoop("x"), "FAILED_PRECONDITION", 400, None),
        (SenderError("x"), "INVALID_ARGUMENT", 400, None),
        (ComeBackLater("x"), "UNAVAILABLE", 503, 1),
        (ComeBackLater("x", 2), "UNAVAILABLE", 503, 2),
    ],
)
def test_each_error_has_its_answer(error: Any, code: str, http_status: int, retry_after_s: int | None):
    """R8, R24, R26, S30, S31: the table, and only what is to come back has a retryable status."""
    expected = answers.Refusal(code_pb2.Code.Value(code), http_status, "x", retry_after_s)
    assert expected == answers.refusal_of(error)
    assert (retry_after_s is not None) == (http_status in RETRYABLE_HTTP)


def test_an_error_that_the_table_lacks_is_answered_as_its_parent():
    """A new kind of the sender's fault is still the sender's fault."""

    class TooStrange(MalformedRequest):
        pass

    assert answers.refusal_of(TooStrange("x")).code == answers.INVALID_ARGUMENT


@pytest.mark.parametrize("refusal", [answers.FAULT, answers.STOPPING])
def test_our_own_faults_are_retryable(refusal: answers.Refusal):
    """R27: an error of ours never makes the sender drop its spans."""
    assert answers.UNAVAILABLE == refusal.code
    assert refusal.http_status in RETRYABLE_HTTP
    assert refusal.retry_after_s in (1, 2)


@pytest.mark.parametrize("signal", Signal)
def test_full_success_says_nothing(signal: Signal):
    """R20: partial_success stays unset: no bytes of protobuf, `{}` of JSON."""
    assert b"" == answers.encode_partial(signal, Answer())
    assert b"{}" == answers.encode_partial_json(signal, Answer())


@pytest.mark.parametrize("signal", Signal)
@pytest.mark.parametrize("rejected", [0, 3])
def test_a_partial_success_names_the_signals_own_items(signal: Signal, rejected: int):
    """R22, R23: rejected items and the message stand in the response of the right signal, in both encodings."""
    response, field, name = RESPONSES[signal]
    partial = response.FromString(answers.encode_partial(signal, Answer(rejected, "why"))).partial_success
    assert (rejected, "why") == (getattr(partial, field), partial.error_message)
    partial = json.loads(answers.encode_partial_json(signal, Answer(rejected, "why")))["partialSuccess"]
    assert (rejected, "why") == (int(partial.get(name, 0)), partial["errorMessage"])


@pytest.mark.parametrize("character", ["x", "ü", "𝕏", "\ud800"])
def test_a_response_stays_small(character: str):
    """R9: a message of any length and any characters is cut: the response is far below 4 MiB."""
    answer = Answer(1, character * (5 << 20))
    for body in (answers.encode_partial(Signal.TRACES, answer), answers.encode_partial_json(Signal.TRACES, answer)):
        assert len(body) < 32 * 1024


@pytest.mark.parametrize("character", ["x", "ü", "𝕏", "\ud800", "\n"])
def test_a_refusal_fits_into_metadata(character: str):
    """What a refusal takes of gRPC's trailers stays below the 8 KiB that clients accept."""
    refusal = answers.refusal_of(MalformedRequest(character * 100_000))
    percent_encoded = 3 * len(refusal.message.encode())
    base64 = sum(len(value) * 4 // 3 + len(name) for name, value in answers.trailers(refusal))
    assert percent_encoded + base64 < 8 * 1024


def test_undecodable_bytes_are_a_bad_request_with_a_reason():
    """R24: the status of a malformed request carries google.rpc.BadRequest."""
    refusal = answers.refusal_of(MalformedRequest("truncated at 7"))
    [(name, value)] = answers.trailers(refusal)
    status = status_pb2.Status.FromString(value)
    detail = error_details_pb2.BadRequest()
    assert "grpc-status-details-bin" == name
    assert status.details[0].Unpack(detail)
    assert (code_pb2.INVALID_ARGUMENT, "truncated at 7") == (status.code, status.message)
    assert "truncated at 7" == detail.field_violations[0].description


@pytest.mark.parametrize("retry_after_s", [1, 2])
def test_come_back_later_has_both_trailers(retry_after_s: int):
    """S26: RetryInfo in `grpc-status-details-bin` for Go, and bare in `google.rpc.retryinfo-bin` for Python."""
    found = dict(answers.trailers(answers.refusal_of(ComeBackLater("full", retry_after_s))))
    status = status_pb2.Status.FromString(found["grpc-status-details-bin"])
    detail = error_details_pb2.RetryInfo()
    assert status.details[0].Unpack(detail)
    bare = error_details_pb2.RetryInfo.FromString(found["google.rpc.retryinfo-bin"])
    assert (retry_after_s, retry_after_s) == (detail.retry_delay.seconds, bare.retry_delay.seconds)
    assert code_pb2.UNAVAILABLE == status.code


@pytest.mark.parametrize("error", [RequestTooLarge("x"), UnsupportedSignal("x"), RequestLoop("x")])
def test_nothing_else_carries_retry_info(error: SenderError):
    """R8, R27: RESOURCE_EXHAUSTED with RetryInfo would be retryable; what is final carries none."""
    assert () == answers.trailers(answers.refusal_of(error))


def test_a_status_is_written_in_json_too():
    """R25: the code and the message of google.rpc.Status."""
    refusal = answers.refusal_of(RequestTooLarge("too much"))
    assert {"code": 8, "message": "too much"} == json.loads(answers.encode_status_json(refusal))


def test_unexpected_errors_are_logged_once_a_window(caplog: pytest.LogCaptureFixture):
    """One traceback of a kind in ten seconds; the next says how many there were."""
    times = [0.0, 9.9, 9.9, 10.0]
    errors = [ValueError("a"), ValueError("b"), KeyError("c"), ValueError("d")]
    faults = answers.FaultLog(iter(times).__next__)
    for error in errors:
        faults.report(error, "grpc")
    logged = [(record.exc_info[1], record.getMessage().split()[-1]) for record in caplog.records if record.exc_info]
    assert [(errors[0], "suppressed=0"), (errors[2], "suppressed=1"), (errors[3], "suppressed=0")] == logged
