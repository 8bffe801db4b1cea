"""Every setting: its variable, type, default and meaning, once.

The README's table and `print-config` are made from this model (`settings_table.py`). `load` reads the environment,
reports every problem at once and never half-starts. Must not know any running state.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from processor.environment import FILE_SUFFIX, PREFIX, explain, read_secret_files, unknown_names, variable, variables
from processor.exporters import check_names, exporters_of, problems_of_exporters, split_names, with_exporters
from processor.header_names import check_patterns
from processor.units import format_size, parse_duration, parse_endpoint, parse_size, split_endpoint

__all__ = ["PREFIX", "Settings", "SettingsError", "load", "origin", "secret_fields", "variable"]

MiB = 1024 * 1024
# Less is no room to work in: an idle process takes as much.
_LEAST_MEMORY = 64 * MiB
GiB = 1024 * MiB
# A full journal still takes a request of any size: it needs room for what the request becomes, and to move items in.
_REQUESTS_IN_JOURNAL = 4


class SettingsError(Exception):
    """The configuration cannot be used. `problems`: one line each, naming the variable and what would be right."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


Size = Annotated[int, BeforeValidator(parse_size), Field(ge=1)]
Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0)]
Count = Annotated[int, Field(ge=1, le=10**9)]  # far from 64 bits, as the units' bounds are
Names = Annotated[tuple[str, ...], NoDecode, BeforeValidator(split_names)]
HeaderPatterns = Annotated[Names, AfterValidator(check_patterns)]
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
    user_id_keys: Names = Field(
        (
            "langfuse.user.id", "user.id", "langfuse_user_id", "enduser.id",
            "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId",
            "lmnr.association.properties.user_id", "langsmith.metadata.user_id", "usr.id",
        ),
        description="attribute keys that say whose a span is, in order",
    )  # fmt: skip
    user_id_fallback_keys: Names = Field(
        (
            "gen_ai.user.id", "gen_ai.user", "gen_ai.request.user", "llm.user", "enduser.pseudo.id",
            "posthog.distinct_id",
        ),
        description="keys that count only where neither the span nor an ancestor has one of `USER_ID_KEYS`",
    )  # fmt: skip
    session_id_keys: Names = Field(
        (
            "langfuse.session.id", "session.id", "langfuse_session_id",
            "traceloop.association.properties.session_id", "ai.telemetry.metadata.sessionId",
            "lmnr.association.properties.session_id", "langsmith.metadata.session_id",
            "langsmith.metadata.thread_id", "usr.session_id", "microsoft.session.id",
        ),
        description="attribute keys that say which session a span belongs to, in order",
    )  # fmt: skip
    session_id_fallback_keys: Names = Field(
        ("gen_ai.conversation.id", "gen_ai.session.id", "$session_id"),
        description="keys that count only where neither the span nor an ancestor has one of `SESSION_ID_KEYS`",
    )
    baggage_keys: Names = Field(
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
    variables_select: Names = Field(
        (), description="names of the variables to label spans with. Default: all, at most 16"
    )
    variables_spans: Annotated[Literal["all", "roots"], BeforeValidator(_lower)] = Field(
        "all", description="which spans are labelled: `all` or `roots`"
    )
    targeting_key: str = Field("user.id", min_length=1, description="the attribute that variables are targeted by")
    targeting_keys: Names = Field(
        (), description="the attribute for single variables, e.g. `billing_config:org.id`; beats `TARGETING_KEY`"
    )
    trace_id_fallback: bool = Field(True, description="target by the trace id where there is no targeting key")
    context_attributes: Names = Field((), description="attributes of the span itself that conditions may read")
    include_resource_attributes_in_context: bool = Field(True, description="whether conditions see resource attributes")
    include_baggage_in_context: bool = Field(True, description="whether conditions see what spans inherit")
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
    problems += _contradictions(settings)
    if problems:
        raise SettingsError(problems)
    return settings


def secret_fields(model: type[Settings] = Settings) -> list[str]:
    """Fields whose value must never be shown, and which `…_FILE` may supply."""
    annotations = {name: field.annotation for name, field in model.model_fields.items()}
    return [name for name, annotation in annotations.items() if SecretStr in (annotation, *get_args(annotation))]


def origin(name: str, environ: Mapping[str, str]) -> str:
    """Where a field's value came from: its variable, its file, or `default`."""
    given = variables(environ)
    candidates = (variable(name), variable(name) + FILE_SUFFIX)
    return next((candidate for candidate in candidates if candidate in given), "default")


def _contradictions(settings: Settings) -> list[str]:
    """Settings that are each right and together wrong."""
    problems = problems_of_exporters(settings)
    if settings.receiver_grpc_endpoint == "off" and settings.receiver_http_endpoint == "off":
        problems.append(f"{PREFIX}RECEIVER_GRPC_ENDPOINT: both receivers are off; give one of them a host:port")
    problems += _shared_addresses(settings)
    quarter = settings.memory_limit // 4
    if settings.max_request_bytes > quarter:
        right = f"must be at most {format_size(quarter)}, a quarter of {PREFIX}MEMORY_LIMIT"
        problems.append(f"{PREFIX}RECEIVER_MAX_REQUEST_SIZE: {right}")
    least = _REQUESTS_IN_JOURNAL * settings.max_request_bytes
    if settings.journal_directory is not None and settings.journal_max_size < least:
        right = f"must be at least {format_size(least)}, {_REQUESTS_IN_JOURNAL} requests of the largest size"
        problems.append(f"{PREFIX}JOURNAL_MAX_SIZE: {right}; or set {PREFIX}RECEIVER_MAX_REQUEST_SIZE lower")
    forwards = any(exporter.forward_headers for exporter in exporters_of(settings))
    if forwards and settings.journal_directory is not None and settings.journal_key is None:
        why = f"needed where {PREFIX}JOURNAL_DIRECTORY is set and headers of senders are forwarded"
        problems.append(f"{PREFIX}JOURNAL_KEY: {why}; set a secret that stays the same over restarts")
    if settings.memory_limit < _LEAST_MEMORY:
        right = f"must be at least {format_size(_LEAST_MEMORY)} (unset it is 70 % of the container's limit)"
        problems.append(f"{PREFIX}MEMORY_LIMIT: {right}")
    if settings.variables_url and settings.variables_file:
        problems.append(f"{PREFIX}VARIABLES_URL: {PREFIX}VARIABLES_FILE is set too; keep one of them")
    if settings.variables_url and not settings.variables_token:
        problems.append(f"{PREFIX}VARIABLES_TOKEN: needed where {PREFIX}VARIABLES_URL is set; put the API key into it")
    return problems


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
