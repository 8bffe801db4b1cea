"""Every setting: its variable, type, default and meaning, once.

The README's table and `print-config` are made from this model (`settings_table.py`). `load` reads the environment,
reports every problem at once and never half-starts. Must not know any running state.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Literal, get_args
from urllib.parse import unquote

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from processor.contradictions import contradictions
from processor.environment import FILE_SUFFIX, PREFIX, explain, read_secret_files, unknown_names, variable, variables
from processor.exporters import check_names, split_names, with_exporters
from processor.header_names import check_patterns
from processor.units import parse_duration, parse_endpoint, parse_size

__all__ = ["PREFIX", "Settings", "SettingsError", "load", "origin", "secret_fields", "secret_texts", "variable"]

MiB = 1024 * 1024
GiB = 1024 * MiB
# Shorter texts are words that a log may need.
_HIDDEN_CHARACTERS: Final = 6


class SettingsError(Exception):
    """The configuration cannot be used. `problems`: one line each, naming the variable and what would be right."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _check_key(key: str) -> str:
    """An attribute key, or a variable's name, as a user can mean it."""
    if not key or "*" in key or any(char.isspace() or not char.isprintable() for char in key):
        raise ValueError("must be a name without spaces, control characters or *")
    return key


def _check_keys(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A list of them."""
    try:
        for key in keys:
            _check_key(key)
    except ValueError:
        raise ValueError("must be names without spaces, control characters or *, comma-separated") from None
    return keys


def _check_patterns(keys: tuple[str, ...]) -> tuple[str, ...]:
    """A list of keys, `*` at the end allowed."""
    try:
        _check_keys(tuple(key.removesuffix("*") or "any" for key in keys))
    except ValueError:
        right = "must be names without spaces or control characters, comma-separated, * only at the end"
        raise ValueError(right) from None
    return keys


Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]  # far from 64 bits, as the units' bounds are
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names)]
HeaderPatterns = Annotated[Names, AfterValidator(check_patterns)]
Keys = Annotated[Names, AfterValidator(_check_keys)]
Listen = Annotated[str, BeforeValidator(parse_endpoint)]


def default_memory_limit(cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """70 % of the container's memory limit in bytes, else 256 MiB."""
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((cgroup / name).read_text())
        except (OSError, ValueError):
            continue
        if limit < 1 << 50:  # cgroup v1 says "no limit" with a number near 2**63
            return limit * 7 // 10
    return 256 * MiB


class Settings(BaseSettings):
    """The settings in force. Durations are seconds, sizes are bytes."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, env_ignore_empty=True, extra="forbid", case_sensitive=False
    )

    receiver_grpc_endpoint: Listen = Field("127.0.0.1:4317", description="OTLP/gRPC listener, host:port; `off`")
    receiver_http_endpoint: Listen = Field(
        "127.0.0.1:4318",
        description="OTLP/HTTP listener, host:port; `off`. Any path that ends in `/v1/traces`, `/v1/metrics`, "
        "`/v1/logs` is taken",
    )
    receiver_max_request_size: Size | None = Field(
        None,
        description="largest request, after decompression. Default: the smaller of `64MiB` and a quarter of "
        "`MEMORY_LIMIT`",
    )
    receiver_max_connections: Count = Field(1024, description="connections to each listener at once")
    receiver_tls_certificate: Path | None = Field(
        None, description="PEM file of the listeners' certificate chain: TLS on both; reloaded when the files change"
    )
    receiver_tls_key: Path | None = Field(None, description="PEM file of its private key")
    receiver_tls_client_ca: Path | None = Field(
        None, description="PEM file of the authorities whose clients are let in (mTLS)"
    )
    receiver_bearer_tokens: SecretStr | None = Field(
        None,
        description="tokens that senders must show, one a line or comma-separated; a file is read again when it "
        "changes. Secret",
    )
    receiver_cors_origins: Names = Field(
        (), description="origins whose pages may send OTLP/HTTP from a browser, e.g. `https://app.example.com`; or `*`"
    )
    admin_endpoint: Listen = Field(
        "127.0.0.1:13133", description="`/livez`, `/readyz`, `/metrics` (Prometheus) and `/status`, host:port; `off`"
    )
    exporter: Annotated[Literal["otlp", "console"], BeforeValidator(_lower)] | None = Field(
        None, description="`otlp` or `console`. Default: `otlp` when an endpoint is known, else `console`"
    )
    exporter_otlp_endpoint: str | None = Field(
        None,
        description="the downstream, `http://…` plain or `https://…` with TLS. Nothing falls back to "
        "`OTEL_EXPORTER_OTLP_*`",
    )
    exporter_otlp_protocol: Annotated[Literal["grpc", "http/protobuf", "http/json"], BeforeValidator(_lower)] = Field(
        "grpc", description="`grpc`, `http/protobuf` or `http/json`"
    )
    exporter_otlp_headers: SecretStr | None = Field(
        None, description="`name=value,…`, percent-encoded where need be, sent with every request. Secret"
    )
    exporter_otlp_compression: Annotated[Literal["none", "gzip"], BeforeValidator(_lower)] = Field(
        "none", description="`none` or `gzip`"
    )
    exporter_otlp_timeout: Duration = Field(10.0, description="of one export attempt")
    exporter_otlp_insecure: bool = Field(
        False, description="plain text for a gRPC endpoint without a scheme (`host:port`)"
    )
    exporter_otlp_certificate: Path | None = Field(None, description="PEM file of the authorities to trust")
    exporter_otlp_client_certificate: Path | None = Field(None, description="PEM file of the client certificate (mTLS)")
    exporter_otlp_client_key: Path | None = Field(None, description="PEM file of the client's private key (mTLS)")
    exporter_forward_headers: HeaderPatterns = Field(
        (),
        description="headers of senders that go out with their spans, `*` at the end allowed, e.g. "
        "`authorization,x-langfuse-*`",
    )
    exporters: Annotated[Names, AfterValidator(check_names)] = Field(
        (),
        description="names of several downstreams, e.g. `langfuse,logfire`. Each has its own variables, such as "
        "`EXPORTER_LANGFUSE_OTLP_ENDPOINT` and `EXPORTER_LANGFUSE_FORWARD_HEADERS`, in place of `EXPORTER_OTLP_…` and "
        "`EXPORTER_FORWARD_HEADERS`",
    )
    tenant_headers: HeaderPatterns = Field(
        ("authorization", "x-langfuse-public-key"),
        description="headers that, where they are forwarded, keep the traces of their senders apart",
    )
    user_id_keys: Keys = Field(
        (
            "langfuse.user.id", "user.id", "langfuse_user_id", "enduser.id",
            "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId",
            "lmnr.association.properties.user_id", "langsmith.metadata.user_id", "usr.id",
        ),
        description="attribute keys that say whose a span is, in order",
    )  # fmt: skip
    user_id_fallback_keys: Keys = Field(
        (
            "gen_ai.user.id", "gen_ai.user", "gen_ai.request.user", "llm.user", "enduser.pseudo.id",
            "posthog.distinct_id",
        ),
        description="keys that count only where neither the span nor an ancestor has one of `USER_ID_KEYS`",
    )  # fmt: skip
    session_id_keys: Keys = Field(
        (
            "langfuse.session.id", "session.id", "langfuse_session_id",
            "traceloop.association.properties.session_id", "ai.telemetry.metadata.sessionId",
            "lmnr.association.properties.session_id", "langsmith.metadata.session_id",
            "langsmith.metadata.thread_id", "usr.session_id", "microsoft.session.id",
        ),
        description="attribute keys that say which session a span belongs to, in order",
    )  # fmt: skip
    session_id_fallback_keys: Keys = Field(
        ("gen_ai.conversation.id", "gen_ai.session.id", "$session_id"),
        description="keys that count only where neither the span nor an ancestor has one of `SESSION_ID_KEYS`",
    )
    baggage_keys: Annotated[Names, AfterValidator(_check_patterns)] = Field(
        (),
        description="further attribute keys to hand down, `*` at the end allowed; the word `langfuse` stands for "
        "`langfuse.trace.name,langfuse.trace.tags,langfuse.trace.metadata.*,langfuse.version,langfuse.environment`",
    )
    max_value_length: Count = Field(200, description="longest carried value, in characters")
    warn_sender: bool = Field(True, description="tell senders of dropped values by OTLP's `partial_success`")
    roots: Annotated[Literal["local", "any"], BeforeValidator(_lower)] = Field(
        "local",
        description="`local`: a sidecar, a span with a parent in another process is a root; `any`: a gateway that all "
        "services of a trace send to",
    )
    fill: Annotated[Literal["none", "orphans", "trace"], BeforeValidator(_lower)] = Field(
        "orphans",
        description="which spans take the one value that their trace agrees on: `none`, `orphans`, or every span of "
        "the `trace`",
    )
    trace_quiet: Duration = Field(10.0, description="how long a trace must be quiet under `FILL=trace`")
    max_wait: Duration = Field(300.0, description="longest wait of a span for its parents")
    remember_traces: Count = Field(100_000, description="released traces to remember for late spans")
    remember_for: Duration = Field(600.0, description="how long to remember them")
    max_spans_per_trace: Count = Field(32_000, description="held spans of one trace; more are released early")
    memory_limit: Size = Field(
        default_factory=default_memory_limit,
        description="bound on what is held, queued and in flight. Default: 70 % of the container's limit, else "
        "`256MiB`",
    )
    variables_file: Path | None = Field(
        None,
        description="managed variables: a configuration as Logfire's SDK serialises it, JSON or YAML; reloaded when "
        "it changes",
    )
    variables_url: str | None = Field(
        None, description="managed variables: a Logfire-compatible server, e.g. `https://logfire-us.pydantic.dev`"
    )
    variables_token: SecretStr | None = Field(None, description="the API key for `VARIABLES_URL`. Secret")
    variables_poll: Annotated[Duration, Field(ge=1)] = Field(
        30.0, description="how often `VARIABLES_URL` is asked; changes are also pushed"
    )
    variables_cache: Path | None = Field(
        None, description="file that keeps the last good configuration of `VARIABLES_URL` for the next start"
    )
    variables_select: Keys = Field(
        (), description="names of the variables to label spans with. Default: all, at most 16"
    )
    variables_spans: Annotated[Literal["all", "roots"], BeforeValidator(_lower)] = Field(
        "all", description="which spans are labelled: `all` or `roots`"
    )
    targeting_key: Annotated[str, AfterValidator(_check_key)] = Field(
        "user.id", description="the attribute that variables are targeted by"
    )
    targeting_keys: Names = Field(
        (), description="the attribute for single variables, e.g. `billing_config:org.id`; beats `TARGETING_KEY`"
    )
    trace_id_fallback: bool = Field(True, description="target by the trace id where there is no targeting key")
    context_attributes: Keys = Field((), description="attributes of the span itself that conditions may read")
    include_resource_attributes_in_context: bool = Field(True, description="whether conditions see resource attributes")
    include_baggage_in_context: bool = Field(True, description="whether conditions see what spans inherit")
    hash_user_id_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="user ids leave as their HMAC-SHA256 by this key (64 hex digits), under every key that holds one. "
        "Secret",
    )
    journal_directory: Path | None = Field(
        None,
        description="folder in which accepted spans are kept until they are delivered, over restarts. It is made where "
        "its parent is there, and is one process's own",
    )
    journal_max_size: Size = Field(GiB, description="bytes in `JOURNAL_DIRECTORY`; over it requests are refused")
    journal_sync: Annotated[Literal["off", "normal", "full"], BeforeValidator(_lower)] = Field(
        "normal",
        description="what an answer to a sender waits for: `normal` survives the process dying, `full` the machine; "
        "`off` is `normal` without checksums of spans",
    )
    journal_key: SecretStr | None = Field(
        None,
        min_length=16,
        description="encrypts the senders' headers that are kept with their spans in `JOURNAL_DIRECTORY`. Secret",
    )
    queue_max_age: Duration | None = Field(
        None,
        description="a batch that could not be delivered for so long is given up, counted. Default: `5m`, with a "
        "journal never",
    )
    batch_max_spans: Count = Field(8192, description="spans an export request")
    batch_max_size: Size = Field(3 * MiB, description="bytes an export request")
    batch_max_delay: Duration = Field(0.0, description="how long a batch may gather while an export slot is free")
    shutdown_timeout: Duration = Field(25.0, description="from SIGTERM to exit at the latest")
    telemetry_otlp_endpoint: str | None = Field(
        None,
        description="backend of the processor's own metrics, as `EXPORTER_OTLP_ENDPOINT`; never one of its own "
        "listeners. `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_METRIC_EXPORT_INTERVAL` hold for them",
    )
    telemetry_otlp_protocol: Annotated[Literal["grpc", "http/protobuf", "http/json"], BeforeValidator(_lower)] = Field(
        "grpc", description="`grpc`, `http/protobuf` or `http/json`"
    )
    telemetry_otlp_headers: SecretStr | None = Field(
        None, description="`name=value,…`, percent-encoded where need be, sent with own metrics. Secret"
    )
    log_level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = Field(
        "info", description="`debug`, `info`, `warning` or `error`"
    )
    log_format: Annotated[Literal["text", "json"], BeforeValidator(_lower)] | None = Field(
        None, description="`text` or `json`. Default: `text` on a terminal, else `json`"
    )

    @property
    def max_request_bytes(self) -> int:
        """The limit of one request after decompression."""
        return self.receiver_max_request_size or min(64 * MiB, self.memory_limit // 4)

    @property
    def exporter_kind(self) -> str:
        """`otlp` or `console`: what `EXPORTER` says, else what the endpoint implies."""
        return self.exporter or ("otlp" if self.exporter_otlp_endpoint or self.exporters else "console")


def load() -> Settings:
    """The settings of this process's environment. Raises `SettingsError` with every problem at once."""
    model = with_exporters(Settings, variables(os.environ).get(variable("exporters"), ""))
    secrets = secret_fields(model)
    problems = unknown_names(os.environ, model.model_fields, secrets)
    values, unreadable = read_secret_files(os.environ, secrets)
    problems += unreadable
    try:
        settings = model.model_validate(values)
    except ValidationError as error:
        problems += [explain(detail, secrets) for detail in error.errors()]
        raise SettingsError(problems) from None
    problems += contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def secret_fields(model: type[Settings] = Settings) -> list[str]:
    """Fields whose value must never be shown, and which `…_FILE` may supply."""
    annotations = {name: field.annotation for name, field in model.model_fields.items()}
    return [name for name, annotation in annotations.items() if SecretStr in (annotation, *get_args(annotation))]


def secret_texts(settings: Settings) -> set[str]:
    """What no output may hold: every secret, and the parts of one that is a list or has names before its values."""
    texts: set[str] = set()
    for name in secret_fields(type(settings)):
        secret = getattr(settings, name)
        if secret is None:
            continue
        whole = secret.get_secret_value()
        for part in (whole, *re.split(r"[,\n]", whole)):
            value = part.partition("=")[2] if name.endswith("headers") else part
            texts |= {part.strip(), value.strip(), unquote(value).strip()}
    return {text for text in texts if len(text) >= _HIDDEN_CHARACTERS}


def origin(name: str, environ: Mapping[str, str]) -> str:
    """Where a field's value came from: its variable, its file, or `default`."""
    given = variables(environ)
    candidates = (variable(name), variable(name) + FILE_SUFFIX)
    return next((candidate for candidate in candidates if candidate in given), "default")
