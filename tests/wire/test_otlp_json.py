"""OTLP/JSON to protobuf: what is read, refused, and kept apart. upb reads the results.

Random requests are in test_otlp_json_oracle.py, single values in test_otlp_scalars.py.
"""

from __future__ import annotations

import json
import math

import pytest
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from hypothesis import given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.errors import MalformedRequest
from processor.signals import Signal
from processor.wire.otlp_json import MALFORMED_SPAN, encode

TRACE_ID, SPAN_ID = "5B8EFFF798038103d269b633813fc60c", "eee19b7ec3c1b174"


def pieces(body: bytes, number: int) -> list[bytes]:
    """The bytes of a length-delimited field, read without knowing the message."""
    return [field.data for field in UnknownFieldSet(Empty.FromString(body)) if field.field_number == number]


def raw_spans(body: bytes) -> list[bytes]:
    """The bytes of each span of a trace request."""
    return [
        span for resource in pieces(body, 1) for scope in pieces(resource, 2) for span in pieces(scope, 2)
    ]  # fmt: skip


def spans_document(*spans: str) -> bytes:
    """A trace request around spans that are already JSON text."""
    return f'{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{",".join(spans)}]}}]}}]}}'.encode()


def span_text(fields: str = "") -> str:
    """A good span as JSON text, with more fields."""
    return f'{{"traceId":"{TRACE_ID}","spanId":"{SPAN_ID}"{"," if fields else ""}{fields}}}'


def read_span(fields: str) -> Span:
    """The span that upb reads when a good span has these fields more."""
    (raw,) = raw_spans(encode(Signal.TRACES, spans_document(span_text(fields))))
    return Span.FromString(raw)


def read_attribute(value: str) -> AnyValue:
    return read_span(f'"attributes":[{{"key":"k","value":{value}}}]').attributes[0].value


class TestReading:
    @pytest.mark.parametrize("signal", list(Signal))
    def test_an_empty_request_is_an_empty_message(self, signal: Signal) -> None:
        """R21: no spans is a request like any other."""
        assert b"" == encode(signal, b"{}")

    def test_unknown_keys_are_ignored_whatever_they_hold(self) -> None:
        """OTLP/JSON: unknown keys MUST be ignored, at any level, snake_case and profiles' keys among them."""
        odd = (
            '"x":{"deep":[[[NaN]]]},"start_time_unix_nano":"5","trace_id":"00","":[null],"keyStrindex":{},"k":"\\ud800"'
        )
        assert Span(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID)) == read_span(odd)
        document = (
            f'{{{odd},"resourceSpans":[{{{odd},"resource":{{{odd}}},"scopeSpans":[{{{odd},"scope":{{{odd}}}}}]}}]}}'
        )
        expected = ExportTraceServiceRequest(resource_spans=[{"resource": {}, "scope_spans": [{"scope": {}}]}])
        assert expected == ExportTraceServiceRequest.FromString(encode(Signal.TRACES, document.encode()))
        assert AnyValue() == read_attribute('{"stringValueStrindex":3}')

    def test_null_is_absence(self) -> None:
        """A field that is null is as if it were not there, of any type."""
        fields = ",".join(
            f'"{field.json_name}":null' for field in Span.DESCRIPTOR.fields if field.name not in ("trace_id", "span_id")
        )
        assert Span(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID)) == read_span(fields)
        assert AnyValue(string_value="a") == read_attribute('{"stringValue":"a","intValue":null}')
        assert b"" == encode(Signal.TRACES, b'{"resourceSpans":null}')

    def test_of_duplicate_keys_the_last_value_counts(self) -> None:
        """The last of several equal keys is the field's value, even where the first could not be read."""
        assert "b" == read_span('"name":5,"name":"a","name":"b"').name

    def test_of_several_members_the_last_counts(self) -> None:
        """A oneof with several members holds the last of the document, and only that is written."""
        assert AnyValue(int_value=0) == read_attribute('{"stringValue":"a","intValue":"0"}')
        assert AnyValue(string_value="") == read_attribute('{"arrayValue":{"values":[{}]},"stringValue":""}')
        body = encode(
            Signal.TRACES, spans_document(span_text('"attributes":[{"value":{"intValue":1,"boolValue":true}}]'))
        )
        assert [b"\x12\x02\x10\x01"] == pieces(raw_spans(body)[0], 9)

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("{}", AnyValue()),
            ('{"stringValue":""}', AnyValue(string_value="")),
            ('{"boolValue":false}', AnyValue(bool_value=False)),
            ('{"intValue":"0"}', AnyValue(int_value=0)),
            ('{"doubleValue":0}', AnyValue(double_value=0.0)),
            ('{"bytesValue":""}', AnyValue(bytes_value=b"")),
            ('{"arrayValue":{}}', AnyValue(array_value={})),
            ('{"kvlistValue":{}}', AnyValue(kvlist_value={})),
            ('{"arrayValue":{"values":[{},{"intValue":1}]}}', AnyValue(array_value={"values": [{}, {"int_value": 1}]})),
            (
                '{"kvlistValue":{"values":[{"key":"a"},{"key":"b","value":{}}]}}',
                AnyValue(kvlist_value={"values": [{"key": "a"}, {"key": "b", "value": {}}]}),
            ),
        ],
    )
    def test_a_member_is_there_even_with_its_default(self, text: str, expected: AnyValue) -> None:
        """Presence: an empty string is not an absent value, and the empty AnyValue is neither."""
        read = read_attribute(text)
        assert expected == read
        assert expected.WhichOneof("value") == read.WhichOneof("value")

    def test_optional_numbers_are_there_even_with_their_default(self) -> None:
        """Presence of a histogram's sum, min and max, of a number point's 0, and of an empty metric's kind."""
        point = '{"count":"0","sum":0,"min":0.0,"max":-0.0,"bucketCounts":[],"explicitBounds":[]}'
        metrics = (
            f'{{"histogram":{{"dataPoints":[{point}]}}}},{{"gauge":{{"dataPoints":[{{"asInt":"0"}}]}}}},{{"sum":{{}}}}'
        )
        text = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{metrics}]}}]}}]}}'.encode()
        request = ExportMetricsServiceRequest.FromString(encode(Signal.METRICS, text))
        histogram, gauge, total = request.resource_metrics[0].scope_metrics[0].metrics
        assert [True] * 3 == [histogram.histogram.data_points[0].HasField(name) for name in ("sum", "min", "max")]
        assert -1.0 == math.copysign(1.0, histogram.histogram.data_points[0].max)
        assert "as_int" == gauge.gauge.data_points[0].WhichOneof("value")
        assert "sum" == total.WhichOneof("data")

    def test_a_byte_order_mark_is_tolerated(self) -> None:
        """F25: a UTF-8 BOM before the document is no reason to refuse it; one more is not JSON."""
        assert b"" == encode(Signal.TRACES, b"\xef\xbb\xbf{}")
        with pytest.raises(MalformedRequest):
            encode(Signal.TRACES, b"\xef\xbb\xbf\xef\xbb\xbf{}")


JSON_KEYS = st.sampled_from(
    [
        "resourceSpans",
        "resource",
        "scopeSpans",
        "scope",
        "spans",
        "attributes",
        "key",
        "value",
        "intValue",
        "arrayValue",
    ]
)
JSON_LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)

BAD_SPANS = [
    "5", "null", "true", '"x"', "[]",
    *(span_text(fields) for fields in (
        '"attributes":{}', '"attributes":"x"', '"attributes":[5]', '"attributes":[null]', '"attributes":[[]]',
        '"attributes":[{"key":5}]', '"attributes":[{"value":5}]', '"attributes":[{"value":[]}]',
        '"attributes":[{"value":{"arrayValue":[]}}]', '"attributes":[{"value":{"arrayValue":{"values":{}}}}]',
        '"attributes":[{"value":{"arrayValue":{"values":[null]}}}]',
        '"attributes":[{"value":{"kvlistValue":{"values":[5]}}}]',
        '"events":{}', '"events":[{"timeUnixNano":-1}]', '"links":[5]', '"links":[{"traceId":5}]',
        '"status":5', '"status":[]',
        '"status":{"code":"STATUS_CODE_ERROR"}', '"kind":"SPAN_KIND_SERVER"', '"name":"\\ud800"', '"name":NaN',
        '"startTimeUnixNano":Infinity', '"traceId":5', '"parentSpanId":"zz"', '"startTimeUnixNano":' + "9" * 5000,
    )),
]  # fmt: skip


class TestIsolation:
    @pytest.mark.parametrize("bad", BAD_SPANS, ids=lambda text: text[-40:])
    def test_a_span_that_cannot_be_read_does_not_fail_its_neighbours(self, bad: str) -> None:
        """S9: the bad span becomes bytes that no reader takes, in its place, and the others are as without it."""
        good = [span_text('"name":"a"'), span_text('"name":"b"')]
        first, second = raw_spans(encode(Signal.TRACES, spans_document(*good)))
        assert [first, MALFORMED_SPAN, second] == raw_spans(
            encode(Signal.TRACES, spans_document(good[0], bad, good[1]))
        )

    def test_the_malformed_span_is_malformed_to_others_too(self) -> None:
        """Field number 0 is refused by upb as well, so such a span cannot slip through anywhere."""
        with pytest.raises(DecodeError):
            Span.FromString(MALFORMED_SPAN)

    def test_ids_of_any_length_reach_the_pipeline(self) -> None:
        """S9: hex ids of either case and any length are transcoded, so that a wrong length is refused alone."""
        fields = '"parentSpanId":"AbCd","links":[{"traceId":"0102","spanId":""}]'
        expected = {"parent_span_id": b"\xab\xcd", "links": [{"trace_id": b"\x01\x02"}]}
        assert Span(trace_id=bytes.fromhex(TRACE_ID), span_id=bytes.fromhex(SPAN_ID), **expected) == read_span(fields)
        (raw,) = raw_spans(encode(Signal.TRACES, spans_document('{"traceId":"abc0","spanId":"' + "0" * 64 + '"}')))
        assert Span(trace_id=b"\xab\xc0", span_id=bytes(32)) == Span.FromString(raw)

    @pytest.mark.parametrize("text", ["xyz!", "abc", "0x01", "ab cd", " ab", "ａｂ", "\\ud800"])
    def test_an_id_that_is_not_hex_is_empty(self, text: str) -> None:
        """S9: the span is refused for its id; a link, a log record or an exemplar only loses the reference."""
        ids = f'"traceId":"{text}","spanId":"{text}"'
        (raw,) = raw_spans(encode(Signal.TRACES, spans_document(f'{{{ids},"name":"n","links":[{{{ids},"flags":1}}]}}')))
        assert Span(name="n", links=[{"flags": 1}]) == Span.FromString(raw)
        log = f'{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{ids},"severityNumber":9}}]}}]}}]}}'
        assert LogRecord(severity_number=9) == ExportLogsServiceRequest.FromString(
            encode(Signal.LOGS, log.encode())
        ).resource_logs[0].scope_logs[0].log_records[0]  # fmt: skip
        point = f'{{"exemplars":[{{{ids},"asInt":1}}]}}'
        metric = f'{{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{"gauge":{{"dataPoints":[{point}]}}}}]}}]}}]}}'
        read = ExportMetricsServiceRequest.FromString(encode(Signal.METRICS, metric.encode()))
        assert (
            Metric(gauge={"data_points": [{"exemplars": [{"as_int": 1}]}]})
            == read.resource_metrics[0].scope_metrics[0].metrics[0]
        )


LOG = '{{"resourceLogs":[{{}},{{"scopeLogs":[{{"logRecords":[{{}},{}]}}]}}]}}'
AT_LOG = "resourceLogs[1].scopeLogs[0].logRecords[1]"


class TestRefusing:
    @pytest.mark.parametrize(
        ("signal", "text", "message"),
        [
            (Signal.TRACES, b"", "body: is not JSON at character 0"),
            (Signal.TRACES, b'{"a":1', "body: is not JSON at character 6"),
            (Signal.TRACES, b"{} {}", "body: is not JSON at character 3"),
            (Signal.TRACES, b'{"a":"\xff hunter2"}', "body: is not UTF-8 at byte 6"),
            (Signal.TRACES, '{"a":"ü"}'.encode("utf-16"), "body: is not UTF-8 at byte 0"),
            (Signal.TRACES, b"[]", "body: must be an object"),
            (Signal.TRACES, b"null", "body: must be an object"),
            (Signal.TRACES, b'"hunter2"', "body: must be an object"),
            (Signal.TRACES, b'{"resourceSpans":{}}', "resourceSpans: must be an array"),
            (Signal.TRACES, b'{"resourceSpans":[null]}', "resourceSpans[0]: must be an object"),
            (
                Signal.TRACES,
                b'{"resourceSpans":[{},{"scopeSpans":[{"spans":"hunter2"}]}]}',
                "resourceSpans[1].scopeSpans[0].spans: must be an array",
            ),
            (
                Signal.TRACES,
                b'{"resourceSpans":[{"resource":{"attributes":[{},{"value":{"intValue":"hunter2"}}]}}]}',
                "resourceSpans[0].resource.attributes[1].value.intValue: must be an integer from -2^63 to 2^63-1",
            ),
            (
                Signal.LOGS,
                LOG.format('{"timeUnixNano":"hunter2"}').encode(),
                f"{AT_LOG}.timeUnixNano: must be an integer from 0 to 2^64-1",
            ),
            (
                Signal.LOGS,
                LOG.format('{"body":{"bytesValue":"hunter2!"}}').encode(),
                f"{AT_LOG}.body.bytesValue: must be a string in base64",
            ),
            (
                Signal.LOGS,
                LOG.format('{"severityNumber":"hunter2"}').encode(),
                f"{AT_LOG}.severityNumber: must be an enum's integer, from -2^31 to 2^31-1",
            ),
            (
                Signal.LOGS,
                LOG.format('{"spanId":5}').encode(),
                f"{AT_LOG}.spanId: must be a string of hexadecimal digits",
            ),
            (
                Signal.METRICS,
                b'{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"histogram":{"dataPoints":[{"explicitBounds":[1,"x"]}]}}]}]}]}',
                "resourceMetrics[0].scopeMetrics[0].metrics[0].histogram.dataPoints[0].explicitBounds[1]: "
                'must be a number, "NaN", "Infinity" or "-Infinity"',
            ),
        ],
    )
    def test_the_error_names_the_place_and_never_the_value(self, signal: Signal, text: bytes, message: str) -> None:
        """R24: what cannot be read outside of a span fails the request, with its path, without what it holds."""
        with pytest.raises(MalformedRequest) as caught:
            encode(signal, text)
        assert message == str(caught.value)

    @settings(max_examples=300, deadline=None, derandomize=True)
    @given(
        st.recursive(
            JSON_LEAVES,
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(JSON_KEYS, inner, max_size=4),
            max_leaves=20,
        )
    )
    def test_any_document_is_read_or_refused(self, document: object) -> None:
        """Whatever JSON comes, the answer is bytes that have the form of a request, or MalformedRequest."""
        try:
            body = encode(Signal.TRACES, json.dumps(document).encode())
        except MalformedRequest:
            return
        for resource in pieces(body, 1):
            for scope in pieces(resource, 2):
                for raw in pieces(scope, 2):
                    assert raw == MALFORMED_SPAN or Span.FromString(raw) is not None


def nested(levels: int) -> str:
    """A log body of arrays inside one another, as JSON text."""
    return '{"arrayValue":{"values":[' * levels + "{}" + "]}}" * levels


class TestDepth:
    # The request, ResourceLogs, ScopeLogs, LogRecord, and the body's AnyValue are 5 messages; each array is 2 more.
    def test_the_deepest_that_is_allowed_is_read(self) -> None:
        """`max_depth` counts messages: 5 around a log's body, two for each array; one more is refused with its path."""
        request = ExportLogsServiceRequest.FromString(
            encode(Signal.LOGS, LOG.format(f'{{"body":{nested(2)}}}').encode(), 9)
        )
        body = request.resource_logs[1].scope_logs[0].log_records[1].body
        assert AnyValue() == body.array_value.values[0].array_value.values[0]
        with pytest.raises(MalformedRequest) as caught:
            encode(Signal.LOGS, LOG.format(f'{{"body":{nested(2)}}}').encode(), 8)
        expected = f"{AT_LOG}.body.arrayValue.values[0].arrayValue.values[0]: is nested too deep"
        assert expected == str(caught.value)

    def test_a_span_that_nests_too_deep_is_refused_alone(self) -> None:
        """S9: depth is a fault of the span that has it."""
        deep = span_text(f'"attributes":[{{"value":{nested(100)}}}]')
        good = span_text()
        spans = raw_spans(encode(Signal.TRACES, spans_document(good, deep, good)))
        assert [False, True, False] == [raw == MALFORMED_SPAN for raw in spans]

    @pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"x":' + "[" * 100_000 + "]" * 100_000 + "}"])
    def test_a_hundred_thousand_brackets_are_refused(self, text: str) -> None:
        """Nesting beyond the parser's own limit, even below an unknown key, is an error and not a crash."""
        with pytest.raises(MalformedRequest, match=r"^body: is nested too deep$"):
            encode(Signal.TRACES, text.encode())
