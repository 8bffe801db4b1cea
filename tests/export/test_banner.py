"""What is said at the start."""

from __future__ import annotations

import io

import pytest

from processor import __version__
from processor.export.banner import banner, how_to_point


def test_the_banner() -> None:
    """The banner says where it listens and that traces are shown here."""
    output = io.StringIO()
    banner("127.0.0.1:4317", "127.0.0.1:4318", True, output)
    expected = f"""\
span-processor {__version__}
  receives  OTLP/gRPC 127.0.0.1:4317, OTLP/HTTP 127.0.0.1:4318
  shows     traces here as trees, for no downstream is set
"""
    assert expected == output.getvalue()


@pytest.mark.parametrize(
    ("grpc", "http", "receives"),
    [
        ("[::1]:4317", None, "OTLP/gRPC [::1]:4317"),
        (None, "127.0.0.1:4318", "OTLP/HTTP 127.0.0.1:4318"),
        (None, None, "nothing: both listeners are off"),
    ],
)
def test_listeners_that_are_off(
    capsys: pytest.CaptureFixture[str], grpc: str | None, http: str | None, receives: str
) -> None:
    """Only listeners that listen are named; without a file it goes to the standard output."""
    banner(grpc, http, False)
    assert f"span-processor {__version__}\n  receives  {receives}\n" == capsys.readouterr().out


def test_how_to_point() -> None:
    """The user sees which variables make an SDK send here, and which one sends the same spans to a backend."""
    output = io.StringIO()
    how_to_point("127.0.0.1:4317", "127.0.0.1:4318", output)
    expected = """\
  To send traces here, set for your application:
    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4317
    OTEL_EXPORTER_OTLP_PROTOCOL=grpc
  or, by HTTP:
    OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:4318
    OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf
  To have the same spans reach a backend, set for this processor:
    SPAN_PROCESSOR_EXPORTER_OTLP_ENDPOINT=https://backend.example:4317
"""
    assert expected == output.getvalue()


@pytest.mark.parametrize(
    ("address", "reachable"),
    [("0.0.0.0:4317", "localhost:4317"), ("[::]:4317", "localhost:4317"), ("[::1]:7", "[::1]:7"), ("box:7", "box:7")],
)
def test_addresses_that_can_be_reached(capsys: pytest.CaptureFixture[str], address: str, reachable: str) -> None:
    """Nobody is pointed at an address that means every interface."""
    how_to_point(address, None)
    assert f"    OTEL_EXPORTER_OTLP_ENDPOINT=http://{reachable}" == capsys.readouterr().out.splitlines()[1]


def test_nothing_to_point_at(capsys: pytest.CaptureFixture[str]) -> None:
    """Where nothing listens there is nothing to say."""
    how_to_point(None, None)
    assert "" == capsys.readouterr().out
