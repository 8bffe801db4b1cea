"""A downstream that the settings name: address, headers and TLS, as OTLP's own variables are read.

`downstream_from` judges everything at once and at start, so that the clients need not. `own_listener` refuses the
one downstream that can never be right: this processor (S30). Must not know the clients.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, urlsplit

from processor.export.headers import parse_headers
from processor.export.tls import TlsFiles, load_client
from processor.exporters import Exporter
from processor.header_names import NO_NAMES, HeaderNames
from processor.origin import Headers
from processor.settings import SettingsError
from processor.signals import Signal
from processor.units import split_endpoint

# `socket.getaddrinfo`, or a test's own.
Resolve = Callable[[str, int], list[Any]]
T = TypeVar("T")

# OTLP's default port for gRPC; for HTTP an address without a port means HTTP's own (OTLP exporter specification).
_GRPC_PORT = 4317
_HTTP_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Downstream:
    """Where telemetry goes, and how.

    `protocol`: `grpc`, `http/protobuf` or `http/json`. `path`: of the base URL, with a slash at both ends (HTTP).
    `headers`: names in lower case; secret. `compression`: `none` or `gzip`. `timeout_s`: of one attempt; None: none.
    `forwards`: which headers of senders go out with their spans (S28).
    """

    protocol: str
    host: str
    port: int
    tls: bool
    path: str = "/"
    headers: Headers = field(default=(), repr=False)
    compression: str = "none"
    timeout_s: float | None = 10.0
    files: TlsFiles = field(default_factory=TlsFiles)
    forwards: HeaderNames = NO_NAMES

    @property
    def target(self) -> str:
        """`host:port`, an IPv6 address in brackets: what gRPC connects to."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, signal: Signal) -> str:
        """The HTTP URL of a signal: the base URL with `v1/traces` and so on appended."""
        return f"{'https' if self.tls else 'http'}://{self.target}{self.path}{signal.http_path}"


def downstream_from(exporter: Exporter) -> Downstream:
    """The downstream that its settings describe. Raises `SettingsError` with every problem at once."""
    problems: list[str] = []
    address = _collect(problems, lambda: _read_endpoint(exporter))
    headers = _collect(problems, lambda: _read_headers(exporter))
    files = TlsFiles(exporter.otlp_certificate, exporter.otlp_client_certificate, exporter.otlp_client_key)
    problems += _problems_of_files(exporter, files)
    if address is None or headers is None or problems:
        raise SettingsError(problems)
    host, port, tls, path = address
    if files.given and not tls:
        name = exporter.variable("otlp_endpoint")
        raise SettingsError([f"{name}: certificates are set, and the endpoint is plain; begin it with https://"])
    return Downstream(
        exporter.otlp_protocol, host, port, tls, path, headers, exporter.otlp_compression,
        exporter.otlp_timeout or None, files, HeaderNames(exporter.forward_headers),
    )  # fmt: skip


def addresses(host: str, port: int, resolve: Resolve = socket.getaddrinfo) -> set[str]:
    """The IP addresses of a host, IPv4-mapped ones as IPv4; empty when it cannot be resolved (now)."""
    try:
        found = resolve(host, port)
    except (OSError, UnicodeError):
        return set()
    return {_plain_address(str(entry[4][0])) for entry in found}


def _is_local_address(address: str) -> bool:
    """Whether an IP address is one of this machine: only such can be bound."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def own_listener(
    endpoint: str,
    downstream: Downstream,
    listeners: Mapping[str, str],
    resolve: Resolve = socket.getaddrinfo,
    is_ours: Callable[[str], bool] = _is_local_address,
) -> str | None:
    """What to tell the user when the downstream is one of the processor's own listeners, else None (S30).

    `endpoint`: the downstream's variable. `listeners`: variable to its `host:port` or `off`. `is_ours` says whether
    an IP address belongs to this machine.
    An unresolvable downstream is none of them: it may come up later.
    """
    targets = addresses(downstream.host, downstream.port, resolve)
    for name, listener in listeners.items():
        if listener == "off" or split_endpoint(listener)[1] != downstream.port:
            continue
        bound = addresses(*split_endpoint(listener), resolve)
        if any(_reaches(target, bound, is_ours) for target in targets):
            return (
                f"{endpoint}: {downstream.target} is this processor's own listener {name}={listener}; "
                "name the backend, or move the listener to another port"
            )
    return None


def _reaches(target: str, bound: set[str], is_ours: Callable[[str], bool]) -> bool:
    """Whether a connection to `target` ends at a listener on the addresses `bound`."""
    address = ipaddress.ip_address(target)
    if target in bound:
        return True
    if address.is_unspecified:  # connecting to 0.0.0.0 or :: reaches this machine's loopback
        others = [ipaddress.ip_address(other) for other in bound]
        return any(other.is_loopback or other.is_unspecified for other in others)
    # A listener on :: takes IPv4 too, one on 0.0.0.0 does not take IPv6.
    wildcards = {"::"} if address.version == 6 else {"::", "0.0.0.0"}  # noqa: S104  # compared, not bound
    return not wildcards.isdisjoint(bound) and is_ours(target)


def _plain_address(address: str) -> str:
    ip = ipaddress.ip_address(address.partition("%")[0])
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _read_endpoint(exporter: Exporter) -> tuple[str, int, bool, str]:
    """Host, port, whether TLS, and the base path. The value is never quoted: a URL may hold a password."""
    text = (exporter.otlp_endpoint or "").strip()
    is_http = exporter.otlp_protocol != "grpc"
    url = _split_url(exporter, text.removeprefix("dns:///"), is_http)
    tls = url.scheme == "https" or (url.scheme == "" and not exporter.otlp_insecure)
    port = _port(exporter, url)
    if port is None:
        port = _HTTP_PORTS[url.scheme] if is_http else _GRPC_PORT
    return url.hostname or "", port, tls, _base_path(exporter, url, is_http)


def _split_url(exporter: Exporter, text: str, is_http: bool) -> SplitResult:
    """The parts of an endpoint; the scheme is empty for gRPC's `host:port`."""
    examples = "http://collector:4318" if is_http else "http://collector:4317, https://collector:4317 or collector:4317"
    name = exporter.variable("otlp_endpoint")
    wrong = SettingsError([f"{name}: must be an address such as {examples}"])
    try:
        url = urlsplit(text if "://" in text else f"//{text}")
    except ValueError:  # brackets that are no IPv6 address
        raise wrong from None
    if url.scheme not in (("http", "https") if is_http else ("http", "https", "")):
        raise wrong
    if not url.hostname or re.search(r"[\s\\]", text) or (":" in url.hostname and "[" not in url.netloc):
        raise wrong
    if url.username is not None:
        headers = exporter.variable("otlp_headers")
        raise SettingsError([f"{name}: must not hold a user name; put credentials into {headers}"])
    if url.query or url.fragment:
        raise SettingsError([f"{name}: must not hold a query or a fragment; end it after the path"])
    return url


def _port(exporter: Exporter, url: SplitResult) -> int | None:
    problem = SettingsError([f"{exporter.variable('otlp_endpoint')}: the port must be a number from 1 to 65535"])
    try:
        port = url.port
    except ValueError:
        raise problem from None
    if port == 0 or url.netloc.endswith(":"):
        raise problem
    return port


def _base_path(exporter: Exporter, url: SplitResult, is_http: bool) -> str:
    name = exporter.variable("otlp_endpoint")
    path = url.path.rstrip("/") + "/"
    if not is_http and path != "/":
        protocol = exporter.variable("otlp_protocol")
        raise SettingsError([f"{name}: gRPC has no path; leave it out, or set {protocol}=http/protobuf"])
    if path.endswith(tuple(f"/{signal.http_path}/" for signal in Signal)):
        raise SettingsError([f"{name}: is the base of all signals; leave out the v1/… that is appended to it"])
    return path


def _read_headers(exporter: Exporter) -> Headers:
    secret = exporter.otlp_headers
    headers, problems = parse_headers(secret.get_secret_value() if secret else "")
    if problems:
        raise SettingsError([f"{exporter.variable('otlp_headers')}: {problem}" for problem in problems])
    return headers


def _problems_of_files(exporter: Exporter, files: TlsFiles) -> list[str]:
    """One line for each file that cannot be used."""
    named = (
        (exporter.variable("otlp_certificate"), files.certificate),
        (exporter.variable("otlp_client_certificate"), files.client_certificate),
        (exporter.variable("otlp_client_key"), files.client_key),
    )
    problems = [line for name, path in named if path and (line := _problem_of_file(name, path))]
    if problems:
        return problems
    return [*_problem_of_authorities(named[0][0], files), *_problem_of_client(named[1][0], files)]


def _problem_of_file(name: str, path: Path) -> str | None:
    try:
        path.read_bytes()
    except OSError as error:
        return f"{name}: cannot read {path}: {error.strerror}; name a readable PEM file"
    return None


def _problem_of_authorities(name: str, files: TlsFiles) -> list[str]:
    if files.certificate is None:
        return []
    try:
        ssl.create_default_context(cafile=str(files.certificate))
    except OSError:
        return [f"{name}: {files.certificate} holds no certificates; name a PEM file"]
    return []


def _problem_of_client(name: str, files: TlsFiles) -> list[str]:
    if files.client_certificate is None:
        return []
    try:
        load_client(ssl.create_default_context(), files.client_certificate, files.client_key)
    except OSError:
        return [
            f"{name}: is no PEM certificate to the key in {files.client_key}; name a pair, the key without password"
        ]
    return []


def _collect(problems: list[str], read: Callable[[], T]) -> T | None:
    """What `read` gives, or None after adding its problems to the list."""
    try:
        return read()
    except SettingsError as error:
        problems += error.problems
        return None
