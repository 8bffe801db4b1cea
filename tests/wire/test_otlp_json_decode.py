"""Protobuf to OTLP/JSON, from bytes that no encoder writes, and the JSON of answers."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from google.protobuf import json_format
from google.rpc.status_pb2 import Status
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.errors import MalformedRequest
from processor.signals import Signal
from processor.wire.otlp_json import decode, encode, encode_partial_success, encode_status

RESPONSES: dict[Signal, type[Any]] = {
    Signal.TRACES: ExportTraceServiceResponse,
    Signal.METRICS: ExportMetricsServiceResponse,
    Signal.LOGS: ExportLogsServiceResponse,
}
SIGNALS = list(Signal)
MERGED = {
    "resource": {"attributes": [{"key": "a"}, {"key": "b"}], "dropped_attributes_count": 7},
    "scope_spans": [{"scope": {"attributes": [{"key": "l", "value": {"bool_value": True}}]}}],
}


def field(number: int, payload: bytes) -> bytes:
    """A length-delimited field, made by hand."""
    size, length = len(payload), bytearray()
    while size >= 0x80:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    return bytes((number << 3 | 2,)) + bytes((*length, size)) + payload


def request_bytes() -> bytes:
    """A trace request with a resource, a scope, and a span."""
    pair = KeyValue(key="k", value={"double_value": 1.0})
    span = Span(name="n", flags=1, attributes=[pair]).SerializeToString()
    return field(1, field(1, field(1, pair.SerializeToString())) + field(2, field(1, b"") + field(2, span)))


class TestDepth:
    def test_decoding_is_bounded_too(self) -> None:
        """Protobuf that nests deeper than protobuf's own readers go is refused, a little or by far."""
        for levels in (48, 10_000):
            value = b""
            for _ in range(levels):
                inner = field(1, value)
                value = field(5, inner)
            with pytest.raises(MalformedRequest, match=r"^body: nested too deep$"):
                decode(Signal.LOGS, field(1, field(2, field(2, field(5, value)))))

    def test_a_limit_beyond_the_interpreters_own_is_no_crash(self) -> None:
        """Even where the caller sets no bound worth the name, ten thousand levels are refused."""
        value = b""
        for _ in range(5_000):
            inner = field(1, value)
            value = field(5, inner)
        with pytest.raises(MalformedRequest, match=r"^body: nested too deep$"):
            decode(Signal.LOGS, field(1, field(2, field(2, field(5, value)))), max_depth=1_000_000)

    def test_the_deepest_that_decodes(self) -> None:
        """5 messages down to a log's body, and 2 for each of 47 arrays in it, are within the 100."""
        record = LogRecord()
        value, expected = record.body, "{}"
        for _ in range(47):
            value = value.array_value.values.add()
            expected = f'{{"arrayValue":{{"values":[{expected}]}}}}'
        text = decode(Signal.LOGS, field(1, field(2, field(2, record.SerializeToString()))))
        assert f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{"body":{expected}}}]}}]}}]}}' == text.decode()


class TestDecoding:
    def test_unknown_fields_are_left_out(self) -> None:
        """JSON has no place for a field without a name: it goes, whatever its wire type, and what is known stays."""
        unknown = b"\xa8\x7d\x05" + b"\xa9\x7d" + bytes(8) + b"\xaa\x7d\x01x" + b"\xad\x7d" + bytes(4)
        span = unknown + Span(name="n").SerializeToString() + unknown
        body = field(1, field(2, field(2, span) + unknown)) + unknown
        assert {"resourceSpans": [{"scopeSpans": [{"spans": [{"name": "n"}]}]}]} == json.loads(
            decode(Signal.TRACES, body)
        )

    def test_a_known_number_with_another_wire_type_is_unknown(self) -> None:
        """As every protobuf reader has it."""
        assert {} == json.loads(decode(Signal.TRACES, b"\x08\x05"))

    def test_a_message_that_comes_in_parts_is_merged(self) -> None:
        """Protobuf merges a singular message that comes twice, and takes the last of a value and of a oneof."""
        resources = field(1, field(1, field(1, b"a"))) + field(1, field(1, field(1, b"b")) + b"\x10\x07")
        values = field(2, b"\x18\x01" + field(1, b"text")) + field(2, b"\x10\x01")
        body = field(1, resources + field(2, field(1, field(3, field(1, b"k") + values + field(1, b"l")))))
        expected = {
            "resource": {"attributes": [{"key": "a"}, {"key": "b"}], "droppedAttributesCount": 7},
            "scopeSpans": [{"scope": {"attributes": [{"key": "l", "value": {"boolValue": True}}]}}],
        }
        assert {"resourceSpans": [expected]} == json.loads(decode(Signal.TRACES, body))
        assert ExportTraceServiceRequest(resource_spans=[MERGED]) == ExportTraceServiceRequest.FromString(body)

    def test_numbers_decode_packed_and_unpacked(self) -> None:
        """A repeated number may come in one piece, in many, or in both."""
        buckets = b"\x10\x01" + field(2, b"\x02\x96\x01") + b"\x10\x03"
        point = field(8, buckets) + field(9, b"")
        body = field(1, field(2, field(2, field(10, field(1, point)))))
        (metric,) = json.loads(decode(Signal.METRICS, body))["resourceMetrics"][0]["scopeMetrics"][0]["metrics"]
        expected = {"positive": {"bucketCounts": ["1", "2", "150", "3"]}, "negative": {}}
        assert expected == metric["exponentialHistogram"]["dataPoints"][0]

    def test_text_that_is_not_utf8_is_shown_as_such(self) -> None:
        """S9: bytes that cannot be Unicode are replaced, since failing the batch would lose the rest."""
        body = field(1, field(2, field(2, field(5, b"caf\xe9"))))
        (span,) = json.loads(decode(Signal.TRACES, body))["resourceSpans"][0]["scopeSpans"][0]["spans"]
        assert {"name": "caf\ufffd"} == span

    def test_a_truncated_message_is_refused(self) -> None:
        """Cut anywhere but between two fields of the request, the bytes are refused."""
        body = request_bytes()
        for length in range(1, len(body)):
            with pytest.raises(MalformedRequest, match=r"^body: "):
                decode(Signal.TRACES, body[:length])

    @pytest.mark.parametrize(
        "body", [b"\x00", b"\x07", b"\x0b\x0c", b"\xff" * 11, b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"]
    )
    def test_what_is_not_protobuf_is_refused(self, body: bytes) -> None:
        """Field number 0, groups, endless varints and lengths beyond the end are errors."""
        with pytest.raises(MalformedRequest, match=r"^body: "):
            decode(Signal.TRACES, body)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.sampled_from(SIGNALS), st.binary(max_size=60))
    def test_any_bytes_are_read_or_refused(self, signal: Signal, body: bytes) -> None:
        """Whatever bytes come, each direction gives an answer or MalformedRequest, never another error."""
        for convert in (encode, decode):
            with contextlib.suppress(MalformedRequest):
                assert isinstance(convert(signal, body), bytes)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(st.data())
    def test_a_damaged_request_is_read_or_refused(self, data: st.DataObject) -> None:
        """One byte changed anywhere gives valid JSON or MalformedRequest."""
        body = bytearray(request_bytes())
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(MalformedRequest):
            assert isinstance(json.loads(decode(Signal.TRACES, bytes(body))), dict)


class TestAnswers:
    @pytest.mark.parametrize("signal", SIGNALS)
    def test_full_success_is_an_empty_object(self, signal: Signal) -> None:
        """R20: nothing rejected and nothing to say leaves partial_success unset."""
        assert b"{}" == encode_partial_success(signal, 0, "")

    @pytest.mark.parametrize(("rejected", "message"), [(3, "bad ids"), (0, "a warning ☂"), (2**40, "")])
    @pytest.mark.parametrize("signal", SIGNALS)
    def test_a_partial_success_reads_as_the_response(self, signal: Signal, rejected: int, message: str) -> None:
        """R22, R23: the count, under the signal's own name, and the message come out of protobuf's own reader."""
        names = {Signal.TRACES: "spans", Signal.METRICS: "data_points", Signal.LOGS: "log_records"}
        partial = {f"rejected_{names[signal]}": rejected, "error_message": message}
        expected = RESPONSES[signal](partial_success=partial)
        assert expected == json_format.Parse(encode_partial_success(signal, rejected, message), RESPONSES[signal]())

    def test_a_count_is_a_decimal_string(self) -> None:
        """OTLP/JSON writes 64-bit integers as strings."""
        assert {"partialSuccess": {"rejectedSpans": "3", "errorMessage": "x"}} == json.loads(
            encode_partial_success(Signal.TRACES, 3, "x")
        )

    def test_a_status_reads_as_google_rpc_status(self) -> None:
        """R25: an error's body is a google.rpc.Status, here without details, whatever characters it has."""
        assert Status(code=3, message='a "quoted" ☂') == json_format.Parse(encode_status(3, 'a "quoted" ☂'), Status())
