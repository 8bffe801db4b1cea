"""TLS towards the downstream: what the certificate files become for gRPC and for HTTP.

Files are read when a connection is set up, not once at start: `fingerprint` tells a client that they changed on
disk, so that a renewed certificate is used without a restart. Must not know settings, nor any request.
"""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processor.files import Stamp, stamp


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files. `certificate`: the authorities to trust instead of the public ones; the others are for mTLS."""

    certificate: Path | None = None
    client_certificate: Path | None = None
    client_key: Path | None = None

    @property
    def given(self) -> tuple[Path, ...]:
        """The files that there are."""
        return tuple(path for path in (self.certificate, self.client_certificate, self.client_key) if path)


def fingerprint(files: TlsFiles) -> Stamp:
    """Changes when a file does."""
    return stamp(files.given)


def channel_credentials(files: TlsFiles) -> Any:
    """gRPC's credentials. Raises `OSError` when a file cannot be read."""
    import grpc  # type: ignore[import-untyped]  # grpcio ships no types

    return grpc.ssl_channel_credentials(
        root_certificates=_bytes(files.certificate),
        private_key=_bytes(files.client_key),
        certificate_chain=_bytes(files.client_certificate),
    )


def ssl_context(files: TlsFiles) -> ssl.SSLContext:
    """An HTTP client's context; hosts are verified. Raises `OSError` (`ssl.SSLError` is one) for unusable files."""
    if files.certificate:
        context = ssl.create_default_context(cafile=str(files.certificate))
        # Since Python 3.13 the default refuses authorities without a key usage, as `openssl req -x509` makes them; gRPC
        # takes them, as does every Python before.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    else:
        import httpx

        context = httpx.create_ssl_context(trust_env=False)
    if files.client_certificate:
        load_client(context, files.client_certificate, files.client_key)
    return context


def load_client(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    """Give the context the client's certificate. Raises `OSError`, also where the key needs a password."""
    # Without a password function OpenSSL would ask for one on the terminal, and a start would hang.
    context.load_cert_chain(str(certificate), str(key) if key else None, password=lambda: "")


def _bytes(path: Path | None) -> bytes | None:
    return path.read_bytes() if path else None
