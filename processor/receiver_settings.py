"""Connects who may connect and send (`receive/access.py`) with the settings, and keeps files in force up to date.

A problem names the variable; nothing that is secret is in it. Must not know what a request holds.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, TypeVar

from processor.environment import FILE_SUFFIX, read_secret, secret_file
from processor.receive.access import Access
from processor.receive.cors import Cors
from processor.receive.tls import Certificates, TlsFiles, UnusableFile
from processor.receive.tokens import Tokens
from processor.settings import Settings, SettingsError, variable
from processor.telemetry import RateLimit

LOG: Final = logging.getLogger("processor")

_LOOK_S: Final = 1.0
# What is wrong with a file is said once a minute for as long as it is.
_SAY_S: Final = 60.0
_CERTIFICATE: Final = variable("receiver_tls_certificate")
_TOKENS: Final = "receiver_bearer_tokens"

T = TypeVar("T")


def build_access(settings: Settings, environ: Mapping[str, str]) -> Access:
    """Who may connect and send, by the settings. Raises `SettingsError` with every problem at once."""
    problems: list[str] = []
    certificates = _collect(problems, _CERTIFICATE, lambda: _certificates(settings))
    tokens = _collect(problems, _tokens_variable(environ), lambda: _tokens(settings, environ))
    cors = _collect(problems, variable("receiver_cors_origins"), lambda: _cors(settings))
    if problems:
        raise SettingsError(problems)
    return Access(certificates, tokens, cors, settings.receiver_max_connections)


def describe_access(access: Access) -> str:
    """What `span-processor check` says of it."""
    tls = access.certificates
    parts = (
        ("plain text" if tls is None else "TLS" if tls.current.client_ca is None else "TLS with client certificates"),
        ("no token needed" if access.tokens is None else "with a bearer token"),
    )
    return f"receivers: {', '.join(parts)}"


class Renewal:
    """Takes changed files of certificates and tokens into force, without a restart."""

    def __init__(self, access: Access, environ: Mapping[str, str]) -> None:
        self._certificates = access.certificates
        self._tokens = access.tokens
        self._tokens_variable = _tokens_variable(environ)
        self._limit = RateLimit(first=1, window_s=_SAY_S, then_one_in=0)

    async def run(self) -> None:
        """Look each second until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look(time.monotonic())

    def look(self, now_s: float) -> None:
        """Once: what cannot be used leaves what was before in force, loudly, and is tried again at the next look."""
        if self._certificates is not None:
            self._refresh(self._certificates.refresh, _CERTIFICATE, now_s)
        if self._tokens is not None:
            self._refresh(self._tokens.refresh, self._tokens_variable, now_s)

    def _refresh(self, refresh: Callable[[], bool], name: str, now_s: float) -> None:
        try:
            if refresh():
                LOG.info("%s: the changed file is in force", name)
        except ValueError as error:
            if self._limit.allows((str(error),), now_s):
                LOG.error("%s; what was before stays in force", _problem(name, error))


def _certificates(settings: Settings) -> Certificates | None:
    certificate, key = settings.receiver_tls_certificate, settings.receiver_tls_key
    if certificate is None or key is None:
        return None
    return Certificates(TlsFiles(certificate, key, settings.receiver_tls_client_ca))


def _tokens(settings: Settings, environ: Mapping[str, str]) -> Tokens | None:
    secret = settings.receiver_bearer_tokens
    if secret is None:
        return None
    return Tokens(secret.get_secret_value(), secret_file(_TOKENS, environ), read_secret)


def _cors(settings: Settings) -> Cors | None:
    return Cors(settings.receiver_cors_origins) if settings.receiver_cors_origins else None


def _tokens_variable(environ: Mapping[str, str]) -> str:
    return variable(_TOKENS) + (FILE_SUFFIX if secret_file(_TOKENS, environ) else "")


def _problem(name: str, error: ValueError) -> str:
    """One line that names the variable: that of the file, or `name`."""
    return f"{variable(f'receiver_tls_{error.part}') if isinstance(error, UnusableFile) else name}: {error}"


def _collect(problems: list[str], name: str, make: Callable[[], T]) -> T | None:
    """What `make` returns, or None after adding its problem."""
    try:
        return make()
    except ValueError as error:
        problems.append(_problem(name, error))
        return None


def listen_addresses(settings: Settings) -> dict[str, str]:
    """The receivers that are on: variable → host:port."""
    names = ("receiver_grpc_endpoint", "receiver_http_endpoint")
    return {variable(name): getattr(settings, name) for name in names if getattr(settings, name) != "off"}
