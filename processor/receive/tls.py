"""TLS of the listeners: certificate, key and the clients' authorities, and their renewal while the process runs.

Connections that are set up after `refresh` found other files get the new certificate; those that are open keep what
they have. TLS 1.2 or newer. Files that cannot be used are refused whole: at start by an error, later the ones before
stay in force. Only the event loop's thread calls `refresh`; grpcio's threads read `current`. Must not know settings.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from processor.files import Stamp, stamp

CERTIFICATE: Final = "certificate"
KEY: Final = "key"
CLIENT_CA: Final = "client_ca"

# OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and …_HAS_EXPIRED.
_NOT_YET_VALID: Final = 9
_EXPIRED: Final = 10


class UnusableFile(ValueError):
    """A file that cannot be used. `part`: `certificate`, `key` or `client_ca`; the text names file and remedy."""

    def __init__(self, part: str, message: str) -> None:
        super().__init__(message)
        self.part = part


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `client_ca`: authorities; with it only clients with a certificate of one of them are let in (mTLS)."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    @property
    def given(self) -> tuple[tuple[str, Path], ...]:
        """The files that there are, by part."""
        both = ((CERTIFICATE, self.certificate), (KEY, self.key))
        return (*both, (CLIENT_CA, self.client_ca)) if self.client_ca else both


@dataclass(frozen=True, slots=True)
class Loaded:
    """What the files held at one time: bytes for grpcio, a context for HTTP."""

    certificate: bytes
    key: bytes
    client_ca: bytes | None
    context: ssl.SSLContext


class Certificates:
    """The files in force. Raises `UnusableFile` where they cannot be used at all."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = self._look()
        self.current = _load(files)

    def refresh(self) -> bool:
        """Load the files anew if they changed; whether they did. Raises `UnusableFile`, again at each call."""
        seen = self._look()
        if seen == self._stamp:
            return False
        self.current = _load(self._files)
        self._stamp = seen
        return True

    def context(self) -> ssl.SSLContext:
        """The context of the next HTTP connection."""
        return self.current.context

    def grpc_credentials(self) -> Any:
        """grpcio's credentials of a server, which ask for the files in force before each handshake."""
        import grpc  # type: ignore[import-untyped]  # grpcio ships no types

        handed = self.current

        def renew() -> Any:
            nonlocal handed
            current = self.current
            if current is handed:
                return None
            handed = current
            return _grpc_configuration(current)

        return grpc.dynamic_ssl_server_credentials(
            _grpc_configuration(handed), renew, require_client_authentication=handed.client_ca is not None
        )

    def _look(self) -> Stamp:
        return stamp(path for _, path in self._files.given)


def _grpc_configuration(loaded: Loaded) -> Any:
    import grpc

    return grpc.ssl_server_certificate_configuration([(loaded.key, loaded.certificate)], loaded.client_ca)


def _load(files: TlsFiles) -> Loaded:
    """Everything that the files hold, checked. Raises `UnusableFile`."""
    held = {part: _read(part, path) for part, path in files.given}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        # Without a password function OpenSSL would ask for one on the terminal, and a start would hang.
        context.load_cert_chain(files.certificate, files.key, password=lambda: "")
    except OSError:
        pair = f"{files.certificate} is no PEM certificate to the key in {files.key}"
        raise UnusableFile(CERTIFICATE, f"{pair}; name a pair, the key without password") from None
    _check_validity(context, files.certificate)
    if files.client_ca is not None:
        _require_clients(context, files.client_ca)
    return Loaded(held[CERTIFICATE], held[KEY], held.get(CLIENT_CA), context)


def _read(part: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UnusableFile(part, f"cannot read {path}: {error.strerror}; name a readable PEM file") from None


def _check_validity(server: ssl.SSLContext, path: Path) -> None:
    """Raise `UnusableFile` for a certificate that no client would take now, as a client finds out: by a handshake."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever issued it
    client.load_verify_locations(path)
    try:
        _shake_hands(client, server)
    except ssl.SSLCertVerificationError as error:
        remedy = {
            _EXPIRED: "has expired; renew it",
            _NOT_YET_VALID: "is not valid yet; name one that is, or set the clock right",
        }.get(error.verify_code, f"is none for a server ({error.verify_message}); name another")
        raise UnusableFile(CERTIFICATE, f"{path} {remedy}") from None


def _shake_hands(client: ssl.SSLContext, server: ssl.SSLContext) -> None:
    """A handshake in memory, until the client knows the server. Raises the client's `ssl.SSLError`."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    calls: tuple[Callable[[], None], ...] = (
        client.wrap_bio(to_client, to_server).do_handshake,
        server.wrap_bio(to_server, to_client, server_side=True).do_handshake,
    )
    for turn in range(8):  # far more than a handshake has
        try:
            calls[turn % 2]()
        except ssl.SSLWantReadError:
            continue
        return


def _require_clients(context: ssl.SSLContext, path: Path) -> None:
    try:
        context.load_verify_locations(path)
    except OSError:
        raise UnusableFile(CLIENT_CA, f"{path} holds no certificates; name a PEM file") from None
    context.verify_mode = ssl.CERT_REQUIRED
    ends_s = [ssl.cert_time_to_seconds(str(authority["notAfter"])) for authority in context.get_ca_certs()]
    if ends_s and max(ends_s) < time.time():
        raise UnusableFile(CLIENT_CA, f"every certificate in {path} has expired; renew them")
