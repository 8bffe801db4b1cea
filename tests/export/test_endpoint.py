"""The downstream that the settings name."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from processor.export.endpoint import Downstream, addresses, downstream_from, own_listener
from processor.exporters import exporters_of
from processor.settings import Settings, SettingsError
from processor.signals import Signal

ENDPOINT = "SPAN_PROCESSOR_EXPORTER_OTLP_ENDPOINT"


def read(endpoint: str, protocol: str = "grpc", **settings: Any) -> Downstream:
    named = Settings(exporter_otlp_endpoint=endpoint, exporter_otlp_protocol=protocol, **settings)
    return downstream_from(exporters_of(named)[0])


def problems(endpoint: str, protocol: str = "grpc", **settings: Any) -> list[str]:
    with pytest.raises(SettingsError) as caught:
        read(endpoint, protocol, **settings)
    return caught.value.problems


@pytest.mark.parametrize(
    ("endpoint", "insecure", "target", "tls"),
    [
        ("http://collector:4317", False, "collector:4317", False),
        ("https://collector:4317", False, "collector:4317", True),
        ("https://collector:4317", True, "collector:4317", True),
        ("http://collector:4317/", False, "collector:4317", False),
        ("HTTPS://Collector", False, "collector:4317", True),
        ("http://collector", False, "collector:4317", False),
        ("collector:4317", False, "collector:4317", True),
        ("collector:4317", True, "collector:4317", False),
        ("collector", True, "collector:4317", False),
        ("dns:///collector:9", True, "collector:9", False),
        ("http://[::1]:4317", False, "[::1]:4317", False),
        ("[::1]:14317", True, "[::1]:14317", False),
        ("http://127.0.0.1:1", False, "127.0.0.1:1", False),
    ],
)
def test_grpc_endpoint(endpoint: str, insecure: bool, target: str, tls: bool) -> None:
    """For gRPC the scheme decides on TLS and wins over INSECURE; without a scheme INSECURE does; the port is 4317."""
    downstream = read(endpoint, exporter_otlp_insecure=insecure)
    assert (target, tls) == (downstream.target, downstream.tls)


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [
        ("http://collector:4318", "http://collector:4318/v1/traces"),
        ("http://collector:4318/", "http://collector:4318/v1/traces"),
        ("http://collector:4318/mycollector/", "http://collector:4318/mycollector/v1/traces"),
        ("http://collector:4318/mycollector", "http://collector:4318/mycollector/v1/traces"),
        ("https://cloud.example/api/public/otel", "https://cloud.example:443/api/public/otel/v1/traces"),
        ("http://collector", "http://collector:80/v1/traces"),
        ("http://[::1]:4318", "http://[::1]:4318/v1/traces"),
    ],
)
def test_http_url(endpoint: str, url: str) -> None:
    """For HTTP the signal's path is appended to the base URL, and a missing port is HTTP's own."""
    assert url == read(endpoint, "http/protobuf").url(Signal.TRACES)
    assert url.replace("traces", "logs") == read(endpoint, "http/json").url(Signal.LOGS)


@pytest.mark.parametrize(
    ("endpoint", "protocol", "what"),
    [
        ("ftp://collector:4317", "grpc", "must be an address such as http://collector:4317"),
        ("collector:4318", "http/protobuf", "must be an address such as http://collector:4318"),
        ("http://", "grpc", "must be an address"),
        ("http://a b:1", "grpc", "must be an address"),
        ("::1", "grpc", "must be an address"),
        ("http://[::1", "grpc", "must be an address"),
        ("http://collector:99999", "grpc", "the port must be a number from 1 to 65535"),
        ("http://collector:0", "grpc", "the port must be a number from 1 to 65535"),
        ("http://collector:", "grpc", "the port must be a number from 1 to 65535"),
        ("collector:otlp", "grpc", "the port must be a number from 1 to 65535"),
        ("https://cloud.example/api/otel", "grpc", "SPAN_PROCESSOR_EXPORTER_OTLP_PROTOCOL=http/protobuf"),
        ("http://collector:4318/v1/traces", "http/protobuf", "leave out the v1/… that is appended"),
        ("http://collector:4318/?a=b", "http/protobuf", "must not hold a query"),
        (
            "http://user:hunter2@collector:4318",
            "http/protobuf",
            "put credentials into SPAN_PROCESSOR_EXPORTER_OTLP_HEADERS",
        ),
    ],
)
def test_bad_endpoint(endpoint: str, protocol: str, what: str) -> None:
    """An endpoint that cannot be used is one problem: the variable, what would be right, and no secret."""
    (line,) = problems(endpoint, protocol)
    assert line.startswith(f"{ENDPOINT}: ")
    assert what in line
    assert "hunter2" not in line


def test_fields_and_secrets() -> None:
    """Headers, compression and timeout come from the settings, a timeout of 0 is none, and headers do not show."""
    downstream = read(
        "http://c:1",
        exporter_otlp_headers="api-key=hunter2",
        exporter_otlp_compression="gzip",
        exporter_otlp_timeout="0s",
    )
    assert (("api-key", "hunter2"),) == downstream.headers
    assert ("gzip", None) == (downstream.compression, downstream.timeout_s)
    assert "hunter2" not in repr(downstream)
    assert 10.0 == read("http://c:1").timeout_s


def test_every_problem_at_once(tmp_path: Path) -> None:
    """All problems are reported together, each with its own variable, and header values are not quoted."""
    lines = problems(
        "ftp://c", exporter_otlp_headers="ok=1,hunter2", exporter_otlp_certificate=tmp_path / "missing.pem"
    )
    assert [
        ENDPOINT,
        "SPAN_PROCESSOR_EXPORTER_OTLP_HEADERS",
        "SPAN_PROCESSOR_EXPORTER_OTLP_CERTIFICATE",
    ] == [line.split(":")[0] for line in lines]
    assert "pair 2 has no `=`" in lines[1]
    assert "hunter2" not in "".join(lines)


def test_bad_certificates(tmp_path: Path, pem: Any) -> None:
    """Files that are no certificates, and a key of another pair, are found at start."""
    text = tmp_path / "text.pem"
    text.write_text("no certificate")
    (line,) = problems("https://c", exporter_otlp_certificate=text)
    assert "SPAN_PROCESSOR_EXPORTER_OTLP_CERTIFICATE" in line
    assert "holds no certificates" in line
    (line,) = problems(
        "https://c", exporter_otlp_client_certificate=pem.client, exporter_otlp_client_key=pem.server_key
    )
    assert "SPAN_PROCESSOR_EXPORTER_OTLP_CLIENT_CERTIFICATE" in line
    good = read("https://c", exporter_otlp_client_certificate=pem.client, exporter_otlp_client_key=pem.client_key)
    assert (pem.client, pem.client_key) == good.files.given


def test_certificates_without_tls(pem: Any) -> None:
    """Certificates for a plain endpoint are a contradiction: whoever set them believes that there is TLS."""
    (line,) = problems("http://c:4317", exporter_otlp_certificate=pem.ca)
    assert f"{ENDPOINT}: certificates are set, and the endpoint is plain; begin it with https://" == line


def resolver(names: dict[str, list[str]]) -> Any:
    def resolve(host: str, port: int) -> list[Any]:
        if host not in names:
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in names[host]]

    return resolve


NAMES = {
    "127.0.0.1": ["127.0.0.1"],
    "127.0.0.2": ["127.0.0.2"],
    "::1": ["::1"],
    "0.0.0.0": ["0.0.0.0"],
    "::": ["::"],
    "localhost": ["::1", "127.0.0.1"],
    "mapped": ["::ffff:127.0.0.1"],
    "me": ["10.0.0.5"],
    "me6": ["fd00::5"],
    "backend": ["10.9.9.9"],
}


@pytest.mark.parametrize(
    ("downstream", "listener", "is_own"),
    [
        ("127.0.0.1:4317", "127.0.0.1:4317", True),
        ("localhost:4317", "127.0.0.1:4317", True),
        ("mapped:4317", "127.0.0.1:4317", True),
        ("127.0.0.1:4317", "localhost:4317", True),
        ("127.0.0.1:4318", "127.0.0.1:4317", False),
        ("127.0.0.2:4317", "127.0.0.1:4317", False),
        ("127.0.0.2:4317", "0.0.0.0:4317", True),
        ("me:4317", "0.0.0.0:4317", True),
        ("me:4317", "[::]:4317", True),
        ("me6:4317", "[::]:4317", True),
        ("me6:4317", "0.0.0.0:4317", False),
        ("me:4317", "127.0.0.1:4317", False),
        ("0.0.0.0:4317", "127.0.0.1:4317", True),
        ("backend:4317", "0.0.0.0:4317", False),
        ("unknown:4317", "0.0.0.0:4317", False),
        ("127.0.0.1:4317", "off", False),
    ],
)
def test_own_listener(downstream: str, listener: str, is_own: bool) -> None:
    """A downstream at a listener's port and on an address that the listener takes is the processor itself (S30)."""
    message = own_listener(
        ENDPOINT,
        read(downstream, exporter_otlp_insecure=True),
        {"SPAN_PROCESSOR_RECEIVER_HTTP_ENDPOINT": "off", "SPAN_PROCESSOR_RECEIVER_GRPC_ENDPOINT": listener},
        resolver(NAMES),
        lambda address: address in ("127.0.0.2", "10.0.0.5", "fd00::5"),
    )
    assert is_own == (message is not None)
    if message:
        assert message.startswith(f"{ENDPOINT}: {downstream} is this processor's own listener ")
        assert f"SPAN_PROCESSOR_RECEIVER_GRPC_ENDPOINT={listener}" in message


def test_own_listener_on_this_machine() -> None:
    """By the system's own word an address of this machine is behind a wildcard listener, a foreign one is not."""
    listeners = {"X": "0.0.0.0:4317"}
    assert own_listener(ENDPOINT, read("http://127.0.0.1:4317"), listeners)
    assert own_listener(ENDPOINT, read("http://192.0.2.1:4317"), listeners) is None


def test_addresses() -> None:
    """A host that cannot be resolved has no addresses, an impossible name neither; IPv4-mapped addresses are IPv4."""
    assert {"127.0.0.1"} == addresses("mapped", 1, resolver(NAMES))
    assert set() == addresses("nowhere", 1, resolver(NAMES))
    assert set() == addresses("a" * 70, 1)
