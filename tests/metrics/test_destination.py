"""Where own metrics go: read as a downstream is, refused where it is one of our own listeners."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr

from processor.metrics.destination import destination_from, interval_s
from processor.settings import Settings, SettingsError

GRPC = "SPAN_PROCESSOR_RECEIVER_GRPC_ENDPOINT"
LISTENERS = {GRPC: "127.0.0.1:4317"}


def settings(**values: Any) -> Settings:
    return Settings(exporter_otlp_endpoint="https://elsewhere:1", **values)


def problems(**values: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        destination_from(settings(**values), LISTENERS)
    return caught.value.problems


def test_nowhere() -> None:
    """Without an endpoint metrics go nowhere, whatever OpenTelemetry's exporters are told."""
    assert destination_from(settings(), LISTENERS) is None


def test_a_destination() -> None:
    """Endpoint, protocol and headers are its own; nothing of the downstream's is taken over."""
    found = destination_from(
        settings(
            telemetry_otlp_endpoint="http://metrics:4318/x",
            telemetry_otlp_protocol="http/json",
            telemetry_otlp_headers=SecretStr("A=b"),
            exporter_otlp_headers=SecretStr("secret=1"),
            exporter_otlp_compression="gzip",
        ),
        LISTENERS,
    )
    assert found is not None
    assert ("http/json", "metrics:4318", "/x/", False) == (found.protocol, found.target, found.path, found.tls)
    assert ((("a", "b"),), "none") == (found.headers, found.compression)


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4317", "http://localhost:13133"])
def test_own_listeners_are_refused(endpoint: str) -> None:
    """S30: none of our own listeners, the admin endpoint included."""
    (problem,) = problems(telemetry_otlp_endpoint=endpoint)
    assert problem.startswith("SPAN_PROCESSOR_TELEMETRY_OTLP_ENDPOINT: ")
    assert "own listener" in problem


def test_problems_name_what_was_set() -> None:
    """Every problem names the variable of ours that is wrong."""
    (problem,) = problems(telemetry_otlp_endpoint="ftp://x")
    assert problem.startswith("SPAN_PROCESSOR_TELEMETRY_OTLP_ENDPOINT: must be an address")
    found = problems(telemetry_otlp_endpoint="http://x:0", telemetry_otlp_headers=SecretStr("no pair"))
    assert ["ENDPOINT", "HEADERS"] == [each.partition(":")[0].rpartition("_")[2] for each in found]
    assert "EXPORTER" not in "".join(found)


@pytest.mark.parametrize(("text", "seconds"), [(None, 60.0), ("", 60.0), (" 250 ", 0.25), ("86400000", 86_400.0)])
def test_interval(text: str | None, seconds: float) -> None:
    """OpenTelemetry's variable in milliseconds; a minute without it."""
    environ = {} if text is None else {"OTEL_METRIC_EXPORT_INTERVAL": text}
    assert seconds == interval_s(environ)


@pytest.mark.parametrize("text", ["0", "-1", "1s", "1.5", "86400001", "٣x"])
def test_bad_interval(text: str) -> None:
    """A wrong one is one line that names the variable."""
    with pytest.raises(SettingsError, match="OTEL_METRIC_EXPORT_INTERVAL: must be a whole number"):
        interval_s({"OTEL_METRIC_EXPORT_INTERVAL": text})
