"""Settings that are each right and together wrong. Must not know any running state."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from processor.environment import PREFIX, variable
from processor.exporters import exporters_of, problems_of_exporters
from processor.units import format_size, split_endpoint

if TYPE_CHECKING:
    from processor.settings import Settings

MiB: Final = 1024 * 1024
# Less is no room to work in: an idle process takes as much.
_LEAST_MEMORY: Final = 64 * MiB
# A full journal still takes a request of any size: it needs room for what the request becomes, and to move items in.
_REQUESTS_IN_JOURNAL: Final = 4


def contradictions(settings: Settings) -> list[str]:
    """One line for each, naming a variable of them and what would be right."""
    problems = problems_of_exporters(settings)
    if settings.receiver_grpc_endpoint == "off" and settings.receiver_http_endpoint == "off":
        problems.append(f"{PREFIX}RECEIVER_GRPC_ENDPOINT: both receivers are off; give one of them a host:port")
    for part in (_shared_addresses, _half_tls, _sizes, _journal, _variables):
        problems += part(settings)
    if settings.receiver_cors_origins and settings.receiver_http_endpoint == "off":
        problems.append(
            f"{PREFIX}RECEIVER_CORS_ORIGINS: is for {PREFIX}RECEIVER_HTTP_ENDPOINT, which is off; leave it out"
        )
    return problems


def _half_tls(settings: Settings) -> list[str]:
    """Certificate, key and the clients' authorities of the listeners: which of them miss another."""
    if (settings.receiver_tls_certificate is None) != (settings.receiver_tls_key is None):
        return [f"{PREFIX}RECEIVER_TLS_KEY: the listeners' certificate and its key go together; set both"]
    if settings.receiver_tls_client_ca is not None and settings.receiver_tls_certificate is None:
        needed = f"needs {PREFIX}RECEIVER_TLS_CERTIFICATE and {PREFIX}RECEIVER_TLS_KEY; set them"
        return [f"{PREFIX}RECEIVER_TLS_CLIENT_CA: {needed}"]
    return []


def _shared_addresses(settings: Settings) -> list[str]:
    """One problem for each listener whose address another one has taken."""
    taken: dict[str, str] = {}
    problems = []
    for name in ("receiver_grpc_endpoint", "receiver_http_endpoint", "admin_endpoint"):
        endpoint = getattr(settings, name)
        if endpoint == "off" or split_endpoint(endpoint)[1] == 0:  # 0: the system chooses, and not the same twice
            continue
        if endpoint in taken:
            problems.append(f"{variable(name)}: {endpoint} is {taken[endpoint]} too; give each its own port")
        taken.setdefault(endpoint, variable(name))
    return problems


def _sizes(settings: Settings) -> list[str]:
    """Memory, and what has to fit into a part of it."""
    problems = []
    quarter = settings.memory_limit // 4
    if settings.max_request_bytes > quarter:
        right = f"must be at most {format_size(quarter)}, a quarter of {PREFIX}MEMORY_LIMIT"
        problems.append(f"{PREFIX}RECEIVER_MAX_REQUEST_SIZE: {right}")
    if settings.memory_limit < _LEAST_MEMORY:
        right = f"must be at least {format_size(_LEAST_MEMORY)} (unset it is 70 % of the container's limit)"
        problems.append(f"{PREFIX}MEMORY_LIMIT: {right}")
    return problems


def _journal(settings: Settings) -> list[str]:
    """What a journal needs beside its folder."""
    if settings.journal_directory is None:
        return []
    problems = []
    least = _REQUESTS_IN_JOURNAL * settings.max_request_bytes
    if settings.journal_max_size < least:
        right = f"must be at least {format_size(least)}, {_REQUESTS_IN_JOURNAL} requests of the largest size"
        problems.append(f"{PREFIX}JOURNAL_MAX_SIZE: {right}; or set {PREFIX}RECEIVER_MAX_REQUEST_SIZE lower")
    forwards = any(exporter.forward_headers for exporter in exporters_of(settings))
    if forwards and settings.journal_key is None:
        why = f"needed where {PREFIX}JOURNAL_DIRECTORY is set and headers of senders are forwarded"
        problems.append(f"{PREFIX}JOURNAL_KEY: {why}; set a secret that stays the same over restarts")
    return problems


def _variables(settings: Settings) -> list[str]:
    """Where managed variables come from."""
    problems = []
    if settings.variables_url and settings.variables_file:
        problems.append(f"{PREFIX}VARIABLES_URL: {PREFIX}VARIABLES_FILE is set too; keep one of them")
    if settings.variables_cache and not settings.variables_url:
        problems.append(
            f"{PREFIX}VARIABLES_CACHE: is for {PREFIX}VARIABLES_URL, which is not set; set it, or leave it out"
        )
    if settings.variables_url and not settings.variables_token:
        problems.append(f"{PREFIX}VARIABLES_TOKEN: needed where {PREFIX}VARIABLES_URL is set; put the API key into it")
    return problems
