"""Every setting: default, how it is read, what is said of a wrong one; and README's table of them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from processor.checking import check_settings
from processor.settings import PREFIX, Settings, SettingsError, default_memory_limit, load, origin, secret_fields
from processor.settings_table import markdown_table, replace_section, show, table

README = Path(__file__).parents[1] / "README.md"
MiB = 1 << 20

# Variable: its default as the table shows it; a text that may be set; what is then in force.
ROWS: Mapping[str, tuple[str, str, Any]] = {
    "RECEIVER_GRPC_ENDPOINT": ("127.0.0.1:4317", "[::1]:1", "[::1]:1"),
    "RECEIVER_HTTP_ENDPOINT": ("127.0.0.1:4318", "OFF", "off"),
    "RECEIVER_MAX_REQUEST_SIZE": ("", "1MiB", MiB),
    "RECEIVER_MAX_CONNECTIONS": ("1024", "64", 64),
    "RECEIVER_TLS_CERTIFICATE": ("", "/etc/tls.pem", Path("/etc/tls.pem")),
    "RECEIVER_TLS_KEY": ("", "/etc/tls.key", Path("/etc/tls.key")),
    "RECEIVER_TLS_CLIENT_CA": ("", "/etc/clients.pem", Path("/etc/clients.pem")),
    "RECEIVER_BEARER_TOKENS": ("", "one,two", SecretStr("one,two")),
    "RECEIVER_CORS_ORIGINS": ("", "https://a.example,http://b:1", ("https://a.example", "http://b:1")),
    "ADMIN_ENDPOINT": ("127.0.0.1:13133", "off", "off"),
    "EXPORTER": ("", "Console", "console"),
    "EXPORTER_OTLP_ENDPOINT": ("", "http://collector:4317", "http://collector:4317"),
    "EXPORTER_OTLP_PROTOCOL": ("grpc", "HTTP/json", "http/json"),
    "EXPORTER_OTLP_HEADERS": ("", "authorization=Basic%20x", SecretStr("authorization=Basic%20x")),
    "EXPORTER_OTLP_COMPRESSION": ("none", "GZIP", "gzip"),
    "EXPORTER_OTLP_TIMEOUT": ("10s", "500ms", 0.5),
    "EXPORTER_OTLP_INSECURE": ("false", "true", True),
    "EXPORTER_OTLP_CERTIFICATE": ("", "/etc/ca.pem", Path("/etc/ca.pem")),
    "EXPORTER_OTLP_CLIENT_CERTIFICATE": ("", "/etc/client.pem", Path("/etc/client.pem")),
    "EXPORTER_OTLP_CLIENT_KEY": ("", "/etc/client.key", Path("/etc/client.key")),
    "EXPORTER_FORWARD_HEADERS": ("", "Authorization, x-langfuse-*", ("authorization", "x-langfuse-*")),
    "EXPORTERS": ("", "langfuse,logfire", ("langfuse", "logfire")),
    "TENANT_HEADERS": ("authorization,x-langfuse-public-key", "x-tenant", ("x-tenant",)),
    "USER_ID_KEYS": (
        "langfuse.user.id,user.id,langfuse_user_id,enduser.id,traceloop.association.properties.user_id,"
        "ai.telemetry.metadata.userId,lmnr.association.properties.user_id,langsmith.metadata.user_id,usr.id",
        "a, b,,c ",
        ("a", "b", "c"),
    ),
    "USER_ID_FALLBACK_KEYS": (
        "gen_ai.user.id,gen_ai.user,gen_ai.request.user,llm.user,enduser.pseudo.id,posthog.distinct_id",
        ",",
        (),
    ),
    "SESSION_ID_KEYS": (
        "langfuse.session.id,session.id,langfuse_session_id,traceloop.association.properties.session_id,"
        "ai.telemetry.metadata.sessionId,lmnr.association.properties.session_id,langsmith.metadata.session_id,"
        "langsmith.metadata.thread_id,usr.session_id,microsoft.session.id",
        "session.id",
        ("session.id",),
    ),
    "SESSION_ID_FALLBACK_KEYS": ("gen_ai.conversation.id,gen_ai.session.id,$session_id", "a", ("a",)),
    "BAGGAGE_KEYS": ("", "tenant,app.*,langfuse", ("tenant", "app.*", "langfuse")),
    "MAX_VALUE_LENGTH": ("200", "64", 64),
    "WARN_SENDER": ("true", "False", False),
    "ROOTS": ("local", "ANY", "any"),
    "FILL": ("orphans", "trace", "trace"),
    "TRACE_QUIET": ("10s", "1m", 60.0),
    "MAX_WAIT": ("5m", "1h", 3600.0),
    "REMEMBER_TRACES": ("100000", "5", 5),
    "REMEMBER_FOR": ("10m", "0s", 0.0),
    "MAX_SPANS_PER_TRACE": ("32000", "1", 1),
    "MEMORY_LIMIT": ("", "1GiB", 1 << 30),
    "VARIABLES_FILE": ("", "/etc/variables.yaml", Path("/etc/variables.yaml")),
    "VARIABLES_URL": ("", "https://logfire.example", "https://logfire.example"),
    "VARIABLES_TOKEN": ("", "pylf_x", SecretStr("pylf_x")),
    "VARIABLES_POLL": ("30s", "5m", 300.0),
    "VARIABLES_CACHE": ("", "/var/lib/variables.json", Path("/var/lib/variables.json")),
    "VARIABLES_SELECT": ("", "prompt,model", ("prompt", "model")),
    "VARIABLES_SPANS": ("all", "Roots", "roots"),
    "TARGETING_KEY": ("user.id", "org.id", "org.id"),
    "TARGETING_KEYS": ("", "billing_config:org.id", ("billing_config:org.id",)),
    "TRACE_ID_FALLBACK": ("true", "false", False),
    "CONTEXT_ATTRIBUTES": ("", "plan", ("plan",)),
    "INCLUDE_RESOURCE_ATTRIBUTES_IN_CONTEXT": ("true", "false", False),
    "INCLUDE_BAGGAGE_IN_CONTEXT": ("true", "no", False),
    "HASH_USER_ID_KEY": ("", "0123456789abcdef", SecretStr("0123456789abcdef")),
    "JOURNAL_DIRECTORY": ("", "/var/lib/journal", Path("/var/lib/journal")),
    "JOURNAL_MAX_SIZE": ("1GiB", "4GiB", 1 << 32),
    "JOURNAL_SYNC": ("normal", "FULL", "full"),
    "JOURNAL_KEY": ("", "a long passphrase", SecretStr("a long passphrase")),
    "QUEUE_MAX_AGE": ("", "24h", 86400.0),
    "BATCH_MAX_SPANS": ("8192", "512", 512),
    "BATCH_MAX_SIZE": ("3MiB", "4096", 4096),
    "BATCH_MAX_DELAY": ("0s", "200ms", 0.2),
    "SHUTDOWN_TIMEOUT": ("25s", "2s", 2.0),
    "TELEMETRY_OTLP_ENDPOINT": ("", "http://collector:4317", "http://collector:4317"),
    "TELEMETRY_OTLP_PROTOCOL": ("grpc", "HTTP/json", "http/json"),
    "TELEMETRY_OTLP_HEADERS": ("", "authorization=Basic%20x", SecretStr("authorization=Basic%20x")),
    "LOG_LEVEL": ("info", "DEBUG", "debug"),
    "LOG_FORMAT": ("", "text", "text"),
}
# What a row needs beside itself to make sense.
WITH: Mapping[str, Mapping[str, str]] = {
    "RECEIVER_TLS_CERTIFICATE": {"RECEIVER_TLS_KEY": "/etc/tls.key"},
    "RECEIVER_TLS_KEY": {"RECEIVER_TLS_CERTIFICATE": "/etc/tls.pem"},
    "RECEIVER_TLS_CLIENT_CA": {"RECEIVER_TLS_CERTIFICATE": "/etc/tls.pem", "RECEIVER_TLS_KEY": "/etc/tls.key"},
    "VARIABLES_CACHE": {"VARIABLES_URL": "https://logfire.example", "VARIABLES_TOKEN": "pylf_x"},
    "EXPORTER_OTLP_CLIENT_CERTIFICATE": {"EXPORTER_OTLP_CLIENT_KEY": "/etc/client.key"},
    "EXPORTER_OTLP_CLIENT_KEY": {"EXPORTER_OTLP_CLIENT_CERTIFICATE": "/etc/client.pem"},
    "VARIABLES_URL": {"VARIABLES_TOKEN": "pylf_x"},
    "EXPORTERS": {f"EXPORTER_{name}_OTLP_ENDPOINT": "http://collector:4317" for name in ("LANGFUSE", "LOGFIRE")},
}
# What cannot be told from what is shown: secrets.
SECRETS = (
    "RECEIVER_BEARER_TOKENS", "EXPORTER_OTLP_HEADERS", "VARIABLES_TOKEN", "HASH_USER_ID_KEY", "JOURNAL_KEY",
    "TELEMETRY_OTLP_HEADERS",
)  # fmt: skip


pytestmark = pytest.mark.usefixtures("no_settings")


def problems() -> list[str]:
    """What `load` says of the environment."""
    with pytest.raises(SettingsError) as caught:
        load()
    return caught.value.problems


def test_every_setting_has_a_row_here() -> None:
    """No setting is without a test of its default and its reading."""
    assert list(ROWS) == [row.name for row in table()]


@pytest.mark.parametrize("name", ROWS)
def test_default(name: str) -> None:
    """With nothing set, the default that the table shows is in force, and says where it is from."""
    row = next(row for row in table() if row.name == name)
    assert ROWS[name][0] == row.default
    if name != "MEMORY_LIMIT":
        assert row.default == show(name.lower(), getattr(load(), name.lower()))
    assert origin(name.lower(), os.environ) == "default"
    assert row.meaning


@pytest.mark.parametrize("name", ROWS)
def test_reads_what_is_set(name: str, put: Any) -> None:
    """A variable's text is read into its type, enumerations in any case."""
    _, text, value = ROWS[name]
    put(**{name: text}, **WITH.get(name, {}))
    assert value == getattr(load(), name.lower())
    assert PREFIX + name == origin(name.lower(), os.environ)


@pytest.mark.parametrize("name", ROWS)
def test_empty_is_unset(name: str, put: Any) -> None:
    """An empty variable is as though it were not there."""
    before = load()
    put(**{name: ""})
    assert before == load()
    assert origin(name.lower(), os.environ) == "default"


@pytest.mark.parametrize("name", [name for name in ROWS if name not in SECRETS])
def test_what_is_shown_can_be_set(name: str, put: Any) -> None:
    """The form in which a value is shown reads back as the same value."""
    _, text, value = ROWS[name]
    put(**{name: text}, **WITH.get(name, {}))
    put(**{name: show(name.lower(), value) or ","})
    assert value == getattr(load(), name.lower())


def test_names_are_taken_in_any_case(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable in lower case is the same variable, for reading and for telling where a value is from."""
    monkeypatch.setenv("span_processor_roots", "any")
    assert load().roots == "any"
    assert origin("roots", os.environ) == PREFIX + "ROOTS"


def test_the_settings_do_not_change() -> None:
    """The settings of a process are fixed at its start."""
    with pytest.raises(ValidationError, match="frozen"):
        load().roots = "any"


def test_otlp_s_own_variables_are_not_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    """OTEL_EXPORTER_OTLP_* point at this processor in a pod, and are no downstream."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4317")
    assert load().exporter_otlp_endpoint is None
    assert load().exporter_kind == "console"


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({}, "console"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:1"}, "otlp"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:1", "EXPORTER": "console"}, "console"),
        ({"EXPORTER_OTLP_ENDPOINT": "http://c:1", "EXPORTER": "otlp"}, "otlp"),
        ({"EXPORTERS": "a", "EXPORTER_A_OTLP_ENDPOINT": "http://c:1"}, "otlp"),
    ],
)
def test_exporter_follows_from_the_endpoint(given: dict[str, str], kind: str, put: Any) -> None:
    """Spans go to the terminal until an endpoint is known."""
    put(**given)
    assert kind == load().exporter_kind


@pytest.mark.parametrize(
    ("given", "limit"),
    [
        ({"MEMORY_LIMIT": "1GiB"}, 64 * MiB),
        ({"MEMORY_LIMIT": "100MiB"}, 25 * MiB),
        ({"MEMORY_LIMIT": "100MiB", "RECEIVER_MAX_REQUEST_SIZE": "1MiB"}, MiB),
    ],
)
def test_request_limit_follows_from_the_memory_limit(given: dict[str, str], limit: int, put: Any) -> None:
    """The largest request is 64 MiB, or a quarter of the memory limit where that is less."""
    put(**given)
    assert limit == load().max_request_bytes


@pytest.mark.parametrize(
    ("files", "limit"),
    [
        ({"memory.max": "1000000000\n"}, 700_000_000),
        ({"memory.max": "max\n"}, 256 * MiB),
        ({"memory/memory.limit_in_bytes": "2000000000\n"}, 1_400_000_000),
        ({"memory/memory.limit_in_bytes": "9223372036854771712\n"}, 256 * MiB),
        ({}, 256 * MiB),
    ],
)
def test_memory_limit_follows_from_the_container(files: dict[str, str], limit: int, tmp_path: Path) -> None:
    """70 % of the container's memory, by either version of control groups; 256 MiB without a limit."""
    (tmp_path / "memory").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert limit == default_memory_limit(tmp_path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("MAX_WAIT", "5", "must be a duration such as 500ms, 30s or 10m, not '5'"),
        ("MAX_WAIT", "-5s", "must be a duration such as 500ms, 30s or 10m, not '-5s'"),
        ("MAX_WAIT", "87601h", "must be at most 87600h, not '87601h'"),
        ("MEMORY_LIMIT", "1048577GiB", "must be at most 1048576GiB, not '1048577GiB'"),
        ("BATCH_MAX_SIZE", "3 apples", "must be a size such as 64MiB or 1GiB, not '3 apples'"),
        ("BATCH_MAX_SIZE", "0", "must be at least 1, not '0'"),
        ("RECEIVER_GRPC_ENDPOINT", "4317", "must be host:port such as 127.0.0.1:4317, or off, not '4317'"),
        ("MAX_VALUE_LENGTH", "0", "must be at least 1, not '0'"),
        ("MAX_VALUE_LENGTH", "many", "must be a whole number, not 'many'"),
        ("MAX_VALUE_LENGTH", "1.5", "must be a whole number, not '1.5'"),
        ("MAX_VALUE_LENGTH", "1" + "0" * 12, "must be at most 1000000000, not '1000000000000'"),
        ("MAX_VALUE_LENGTH", "9" * 5000, "must be a whole number of fewer digits, not '" + "9" * 80 + "'"),
        ("WARN_SENDER", "perhaps", "must be true or false, not 'perhaps'"),
        ("ROOTS", "remote", "must be 'local' or 'any', not 'remote'"),
        ("JOURNAL_SYNC", "always", "must be 'off', 'normal' or 'full', not 'always'"),
        ("FILL", "all", "must be 'none', 'orphans' or 'trace', not 'all'"),
        ("EXPORTER", "kafka", "must be 'otlp' or 'console', not 'kafka'"),
        ("EXPORTER_OTLP_PROTOCOL", "http", "must be 'grpc', 'http/protobuf' or 'http/json', not 'http'"),
        ("EXPORTER_OTLP_COMPRESSION", "zstd", "must be 'none' or 'gzip', not 'zstd'"),
        (
            "EXPORTER_FORWARD_HEADERS", "authorization,content-type",
            "'content-type' names a header that belongs to the protocol; list names such as authorization or "
            "x-langfuse-*, not 'authorization,content-type'",
        ),
        (
            "EXPORTER_FORWARD_HEADERS", "grpc-*",
            "'grpc-*' names a header that belongs to the protocol; list names such as authorization or x-langfuse-*, "
            "not 'grpc-*'",
        ),
        (
            "EXPORTER_FORWARD_HEADERS", "*",
            "'*' has a name that is not of letters, digits, `-`, `_` and `.`; list names such as authorization or "
            "x-langfuse-*, not '*'",
        ),
        (
            "TENANT_HEADERS", "key-bin",
            "'key-bin' names a binary header, which text cannot give; list names such as authorization or "
            "x-langfuse-*, not 'key-bin'",
        ),
        ("LOG_LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error', not 'loud'"),
    ],
)  # fmt: skip
def test_says_what_would_be_right(name: str, text: str, message: str, put: Any) -> None:
    """A wrong value is one line: the variable, what would be right, and what was given."""
    put(**{name: text})
    assert [f"{PREFIX}{name}: {message}"] == problems()


def _one_of(text: str) -> tuple[Mapping[str, str], str]:
    """A wrong value of a setting that needs no other, and what is said of it."""
    value, message = text.split(" → ")
    return {"": value}, message


_DURATION = _one_of("soon → must be a duration such as 500ms, 30s or 10m, not 'soon'")
_SIZE = _one_of("3 apples → must be a size such as 64MiB or 1GiB, not '3 apples'")
_COUNT = _one_of("0 → must be at least 1, not '0'")
_BOOL = _one_of("perhaps → must be true or false, not 'perhaps'")
_ADDRESS = _one_of("4317 → must be host:port such as 127.0.0.1:4317, or off, not '4317'")
_KEYS = _one_of("user id → must be names without spaces, control characters or *, comma-separated, not 'user id'")
_MISSING = "cannot read /none: No such file or directory; name a readable PEM file"
_TLS = {"RECEIVER_TLS_CERTIFICATE": "/none", "RECEIVER_TLS_KEY": "/none"}
_HTTPS = {"EXPORTER_OTLP_ENDPOINT": "https://c:1"}
_SERVER = {"VARIABLES_URL": "https://a.example", "VARIABLES_TOKEN": "t"}
# Each setting: variables that are wrong ("" for its own), and what is said of it.
BAD: Mapping[str, tuple[Mapping[str, str], str]] = {
    "RECEIVER_GRPC_ENDPOINT": _ADDRESS,
    "RECEIVER_HTTP_ENDPOINT": _ADDRESS,
    "RECEIVER_MAX_REQUEST_SIZE": _SIZE,
    "RECEIVER_MAX_CONNECTIONS": _COUNT,
    "RECEIVER_TLS_CERTIFICATE": (_TLS, _MISSING),
    "RECEIVER_TLS_KEY": ({"RECEIVER_TLS_CERTIFICATE": str(README), "": "/none"}, _MISSING),
    "RECEIVER_TLS_CLIENT_CA": (
        {"": "/none"},
        f"needs {PREFIX}RECEIVER_TLS_CERTIFICATE and {PREFIX}RECEIVER_TLS_KEY; set them",
    ),
    "RECEIVER_BEARER_TOKENS": _one_of(
        "a,b c → token 2 has a space or line break in it; write one a line, or comma-separated"
    ),
    "RECEIVER_CORS_ORIGINS": _one_of(
        "app.example → must be origins such as https://app.example.com, in lower case, without path; or * alone"
    ),
    "ADMIN_ENDPOINT": _ADDRESS,
    "EXPORTER": _one_of("kafka → must be 'otlp' or 'console', not 'kafka'"),
    "EXPORTER_OTLP_ENDPOINT": _one_of(
        "ftp://c → must be an address such as http://collector:4317, https://collector:4317 or collector:4317"
    ),
    "EXPORTER_OTLP_PROTOCOL": _one_of("http → must be 'grpc', 'http/protobuf' or 'http/json', not 'http'"),
    "EXPORTER_OTLP_HEADERS": (
        {"EXPORTER_OTLP_ENDPOINT": "http://c:1", "": "secret"},
        "pair 1 has no `=`; write name=value,name=value, percent-encoded",
    ),
    "EXPORTER_OTLP_COMPRESSION": _one_of("zstd → must be 'none' or 'gzip', not 'zstd'"),
    "EXPORTER_OTLP_TIMEOUT": _DURATION,
    "EXPORTER_OTLP_INSECURE": _BOOL,
    "EXPORTER_OTLP_CERTIFICATE": ({**_HTTPS, "": "/none"}, _MISSING),
    "EXPORTER_OTLP_CLIENT_CERTIFICATE": (
        {**_HTTPS, "": "/none", "EXPORTER_OTLP_CLIENT_KEY": str(README)},
        _MISSING,
    ),
    "EXPORTER_OTLP_CLIENT_KEY": ({**_HTTPS, "": "/none", "EXPORTER_OTLP_CLIENT_CERTIFICATE": str(README)}, _MISSING),
    "EXPORTER_FORWARD_HEADERS": _one_of(
        "content-type → 'content-type' names a header that belongs to the protocol; "
        "list names such as authorization or x-langfuse-*, not 'content-type'"
    ),
    "EXPORTERS": _one_of("a,a → must name each downstream once, not 'a,a'"),
    "TENANT_HEADERS": _one_of(
        "x-a b → 'x-a b' has a name that is not of letters, digits, `-`, `_` and `.`; "
        "list names such as authorization or x-langfuse-*, not 'x-a b'"
    ),
    "USER_ID_KEYS": _KEYS,
    "USER_ID_FALLBACK_KEYS": _KEYS,
    "SESSION_ID_KEYS": _KEYS,
    "SESSION_ID_FALLBACK_KEYS": _KEYS,
    "BAGGAGE_KEYS": _one_of(
        "a*b → must be names without spaces or control characters, comma-separated, * only at the end, not 'a*b'"
    ),
    "MAX_VALUE_LENGTH": _COUNT,
    "WARN_SENDER": _BOOL,
    "ROOTS": _one_of("remote → must be 'local' or 'any', not 'remote'"),
    "FILL": _one_of("all → must be 'none', 'orphans' or 'trace', not 'all'"),
    "TRACE_QUIET": _DURATION,
    "MAX_WAIT": _DURATION,
    "REMEMBER_TRACES": _COUNT,
    "REMEMBER_FOR": _DURATION,
    "MAX_SPANS_PER_TRACE": _COUNT,
    "MEMORY_LIMIT": _SIZE,
    "VARIABLES_FILE": ({"": "/none"}, "cannot read /none: No such file or directory; name a readable file"),
    "VARIABLES_URL": ({**_SERVER, "": "ftp://a"}, ""),
    "VARIABLES_TOKEN": ({**_SERVER, "": "a b"}, ""),
    "VARIABLES_POLL": _one_of("0s → must be at least 1, not '0s'"),
    "VARIABLES_CACHE": ({**_SERVER, "": "/none/x"}, "/none is no folder; name a file in one that is there"),
    "VARIABLES_SELECT": _KEYS,
    "VARIABLES_SPANS": _one_of("some → must be 'all' or 'roots', not 'some'"),
    "TARGETING_KEY": _one_of("user id → must be a name without spaces, control characters or *, not 'user id'"),
    "TARGETING_KEYS": ({"": "x"}, ""),
    "TRACE_ID_FALLBACK": _BOOL,
    "CONTEXT_ATTRIBUTES": _KEYS,
    "INCLUDE_RESOURCE_ATTRIBUTES_IN_CONTEXT": _BOOL,
    "INCLUDE_BAGGAGE_IN_CONTEXT": _BOOL,
    "HASH_USER_ID_KEY": _one_of("too short → must have at least 16 characters"),
    "JOURNAL_DIRECTORY": ({"": "/none/journal"}, "/none is no folder; make it, or name another"),
    "JOURNAL_MAX_SIZE": _SIZE,
    "JOURNAL_SYNC": _one_of("always → must be 'off', 'normal' or 'full', not 'always'"),
    "JOURNAL_KEY": _one_of("too short → must have at least 16 characters"),
    "QUEUE_MAX_AGE": _DURATION,
    "BATCH_MAX_SPANS": _COUNT,
    "BATCH_MAX_SIZE": _SIZE,
    "BATCH_MAX_DELAY": _DURATION,
    "SHUTDOWN_TIMEOUT": _DURATION,
    "TELEMETRY_OTLP_ENDPOINT": _one_of(
        "ftp://c → must be an address such as http://collector:4317, https://collector:4317 or collector:4317"
    ),
    "TELEMETRY_OTLP_PROTOCOL": _one_of("http → must be 'grpc', 'http/protobuf' or 'http/json', not 'http'"),
    "TELEMETRY_OTLP_HEADERS": (
        {"TELEMETRY_OTLP_ENDPOINT": "http://c:1", "": "secret"},
        "pair 1 has no `=`; write name=value,name=value, percent-encoded",
    ),
    "LOG_LEVEL": _one_of("loud → must be 'debug', 'info', 'warning' or 'error', not 'loud'"),
    "LOG_FORMAT": _one_of("xml → must be 'text' or 'json', not 'xml'"),
}


def test_every_setting_has_a_bad_value() -> None:
    """No setting is without a test of what is said of a wrong value."""
    assert [name.upper() for name in Settings.model_fields] == list(BAD)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_value_is_told(name: str, put: Any) -> None:
    """`check`, as `run`, says of each wrong setting one line that names it, and what would be right."""
    given, message = BAD[name]
    put(**{key or name: value for key, value in given.items()})
    with pytest.raises(SettingsError) as caught:
        check_settings(load())
    (line,) = [line for line in caught.value.problems if line.startswith(f"{PREFIX}{name}: ")]
    assert f"{PREFIX}{name}: {message}" == line or not message
    assert line.isprintable()
    assert name not in SECRETS or given[""] not in line


def test_says_every_problem_at_once(put: Any, tmp_path: Path) -> None:
    """Unknown names, unreadable files and wrong values are told together."""
    gone = tmp_path / "nothing"
    put(LOG_LEVEL="loud", MAX_WAIT="5", MAX_WIAT="5s", EXPORTER_OTLP_HEADERS_FILE=str(gone))
    assert [
        f"{PREFIX}MAX_WIAT: no such setting; the nearest is {PREFIX}MAX_WAIT",
        f"{PREFIX}EXPORTER_OTLP_HEADERS_FILE: cannot read {gone}: No such file or directory; name a readable text file",
        f"{PREFIX}MAX_WAIT: must be a duration such as 500ms, 30s or 10m, not '5'",
        f"{PREFIX}LOG_LEVEL: must be 'debug', 'info', 'warning' or 'error', not 'loud'",
    ] == problems()


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("MAX_WIAT", "MAX_WAIT"),
        ("EXPORTER_ENDPOINT", "EXPORTER_OTLP_ENDPOINT"),
        ("SESSION_ID_KEY", "SESSION_ID_KEYS"),
        ("EXPORTER_OTLP_ENDPOINT_FILE", "EXPORTER_OTLP_ENDPOINT"),
        ("EXPORTER_OTLP_HEADER_FILE", "EXPORTER_OTLP_HEADERS_FILE"),
    ],
)
def test_refuses_an_unknown_name(name: str, nearest: str, put: Any) -> None:
    """A variable with our prefix that is no setting is an error that names the nearest one."""
    put(**{name: "x"})
    assert [f"{PREFIX}{name}: no such setting; the nearest is {PREFIX}{nearest}"] == problems()


@pytest.mark.parametrize(
    "name",
    [
        "SERVICE_HOST", "SERVICE_PORT", "SERVICE_PORT_GRPC", "PORT", "PORT_4317_TCP", "PORT_4317_TCP_ADDR",
        "PORT_4317_TCP_PORT", "PORT_53_UDP_PROTO", "HEADLESS_SERVICE_HOST", "HEADLESS_PORT_4317_TCP",
    ],
)  # fmt: skip
def test_ignores_what_kubernetes_injects(name: str, put: Any) -> None:
    """The variables that Kubernetes makes for a Service named span-processor are not ours."""
    put(**{name: "tcp://10.0.0.1:4317"})
    assert isinstance(load(), Settings)


def test_ignores_other_programs_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable without our prefix is none of our business."""
    monkeypatch.setenv("SPAN_PROCESSORS", "x")
    assert isinstance(load(), Settings)


def test_reads_a_secret_from_a_file(put: Any, tmp_path: Path) -> None:
    """`_FILE` behind a secret's name reads it from a file, without the line break at its end."""
    path = tmp_path / "headers"
    path.write_text("authorization=Basic%20x\n")
    put(EXPORTER_OTLP_HEADERS_FILE=str(path))
    assert SecretStr("authorization=Basic%20x") == load().exporter_otlp_headers
    assert PREFIX + "EXPORTER_OTLP_HEADERS_FILE" == origin("exporter_otlp_headers", os.environ)


def test_takes_an_empty_name_of_a_file_as_unset(put: Any) -> None:
    """An empty `_FILE` variable is as though it were not there."""
    put(EXPORTER_OTLP_HEADERS_FILE="")
    assert load().exporter_otlp_headers is None


@pytest.mark.parametrize("name", [name.upper() for name in secret_fields()])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read {path}: No such file or directory; name a readable text file"),
        (b" \n", "{path} is empty; put the value into it"),
        (b"\xff\xfe", "{path} is not UTF-8 text; name a text file"),
    ],
)
def test_refuses_a_secret_s_file(name: str, content: bytes | None, message: str, put: Any, tmp_path: Path) -> None:
    """A secret's file that is missing, empty or no text is an error that names variable and file."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    put(**{f"{name}_FILE": str(path)})
    assert [f"{PREFIX}{name}_FILE: {message.format(path=path)}"] == problems()


def test_refuses_a_secret_that_is_given_twice(put: Any, tmp_path: Path) -> None:
    """A secret both in its variable and in a file is an error that shows neither."""
    path = tmp_path / "headers"
    path.write_text("a=in-the-file")
    put(EXPORTER_OTLP_HEADERS="a=in-the-variable", EXPORTER_OTLP_HEADERS_FILE=str(path))
    name = PREFIX + "EXPORTER_OTLP_HEADERS"
    assert [f"{name}_FILE: {name} is set too; keep one of them"] == problems()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {"EXPORTER": "otlp"},
            "EXPORTER_OTLP_ENDPOINT: needed where SPAN_PROCESSOR_EXPORTER=otlp, e.g. http://collector:4317",
        ),
        (
            {"RECEIVER_GRPC_ENDPOINT": "off", "RECEIVER_HTTP_ENDPOINT": "off"},
            "RECEIVER_GRPC_ENDPOINT: both receivers are off; give one of them a host:port",
        ),
        (
            {"RECEIVER_HTTP_ENDPOINT": "127.0.0.1:4317"},
            "RECEIVER_HTTP_ENDPOINT: 127.0.0.1:4317 is SPAN_PROCESSOR_RECEIVER_GRPC_ENDPOINT too; "
            "give each its own port",
        ),
        (
            {"ADMIN_ENDPOINT": "127.0.0.1:4318"},
            "ADMIN_ENDPOINT: 127.0.0.1:4318 is SPAN_PROCESSOR_RECEIVER_HTTP_ENDPOINT too; give each its own port",
        ),
        (
            {"MEMORY_LIMIT": "100MiB", "RECEIVER_MAX_REQUEST_SIZE": "26MiB"},
            "RECEIVER_MAX_REQUEST_SIZE: must be at most 25MiB, a quarter of SPAN_PROCESSOR_MEMORY_LIMIT",
        ),
        ({"MEMORY_LIMIT": "63MiB"}, "MEMORY_LIMIT: must be at least 64MiB (unset it is 70 % of the container's limit)"),
        (
            {"JOURNAL_DIRECTORY": "/journal", "EXPORTER_OTLP_ENDPOINT": "http://a", "EXPORTER_FORWARD_HEADERS": "x-a"},
            "JOURNAL_KEY: needed where SPAN_PROCESSOR_JOURNAL_DIRECTORY is set and headers of senders are forwarded; "
            "set a secret that stays the same over restarts",
        ),
        (
            {"JOURNAL_DIRECTORY": "/journal", "JOURNAL_MAX_SIZE": "3MiB", "RECEIVER_MAX_REQUEST_SIZE": "1MiB"},
            "JOURNAL_MAX_SIZE: must be at least 4MiB, 4 requests of the largest size; "
            "or set SPAN_PROCESSOR_RECEIVER_MAX_REQUEST_SIZE lower",
        ),
        (
            {"VARIABLES_URL": "https://a", "VARIABLES_TOKEN": "t", "VARIABLES_FILE": "/a"},
            "VARIABLES_URL: SPAN_PROCESSOR_VARIABLES_FILE is set too; keep one of them",
        ),
        (
            {"VARIABLES_URL": "https://a"},
            "VARIABLES_TOKEN: needed where SPAN_PROCESSOR_VARIABLES_URL is set; put the API key into it",
        ),
        (
            {"VARIABLES_CACHE": "/tmp/x"},
            "VARIABLES_CACHE: is for SPAN_PROCESSOR_VARIABLES_URL, which is not set; set it, or leave it out",
        ),
        (
            {"RECEIVER_CORS_ORIGINS": "*", "RECEIVER_HTTP_ENDPOINT": "off"},
            "RECEIVER_CORS_ORIGINS: is for SPAN_PROCESSOR_RECEIVER_HTTP_ENDPOINT, which is off; leave it out",
        ),
        (
            {"RECEIVER_TLS_CERTIFICATE": "/a.pem"},
            "RECEIVER_TLS_KEY: the listeners' certificate and its key go together; set both",
        ),
        (
            {"RECEIVER_TLS_KEY": "/a.key"},
            "RECEIVER_TLS_KEY: the listeners' certificate and its key go together; set both",
        ),
        (
            {"EXPORTER_OTLP_CLIENT_CERTIFICATE": "/a.pem"},
            "EXPORTER_OTLP_CLIENT_KEY: a client certificate and its key go together; set both",
        ),
        (
            {"EXPORTER_OTLP_CLIENT_KEY": "/a.key"},
            "EXPORTER_OTLP_CLIENT_KEY: a client certificate and its key go together; set both",
        ),
    ],
)
def test_refuses_a_contradiction(given: dict[str, str], problem: str, put: Any) -> None:
    """Settings that are each right and together wrong are one line that says how to resolve it."""
    put(**given)
    assert [PREFIX + problem] == problems()


def test_the_system_may_choose_every_port(put: Any) -> None:
    """Port 0 is no shared address."""
    put(RECEIVER_GRPC_ENDPOINT="127.0.0.1:0", RECEIVER_HTTP_ENDPOINT="127.0.0.1:0", ADMIN_ENDPOINT="127.0.0.1:0")
    assert isinstance(load(), Settings)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("exporter_otlp_headers", SecretStr("a=b"), "****"),
        ("exporter_otlp_headers", None, ""),
        ("exporter_otlp_endpoint", "http://me:secret@host:4317/x", "http://****@host:4317/x"),
        ("exporter_otlp_endpoint", "http://host:4317/a@b", "http://host:4317/a@b"),
        ("receiver_max_request_size", MiB, "1MiB"),
        ("max_spans_per_trace", 1024, "1024"),
        ("warn_sender", True, "true"),
    ],
)
def test_shows_a_value(name: str, value: Any, shown: str) -> None:
    """A value is shown as it would be written, and a secret is not shown."""
    assert shown == show(name, value)


def test_a_secret_is_in_no_representation(put: Any) -> None:
    """The model's own text keeps secrets."""
    put(**dict.fromkeys(SECRETS, "a=hidden-for-ever"))
    assert "hidden" not in repr(load())
    assert [name.lower() for name in SECRETS] == secret_fields()


def test_readme_has_the_table() -> None:
    """README's section of settings is the one that `python -m processor.settings_table README.md` writes."""
    text = README.read_text(encoding="utf-8")
    assert replace_section(text) == text


def test_the_table_stands_in_markdown() -> None:
    """One line a setting; a bar within a cell does not end it."""
    lines = markdown_table().splitlines()
    assert len(ROWS) + 2 == len(lines)
    assert {4} == {line.replace("\\|", "").count("|") for line in lines}


def test_the_section_needs_its_markers() -> None:
    """A document without markers is left alone, with a word why."""
    with pytest.raises(ValueError, match="<!-- settings -->"):
        replace_section("# nothing\n")
