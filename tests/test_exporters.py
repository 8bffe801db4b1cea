"""Several downstreams in the settings: a set of variables each, and what is said of wrong ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from processor.cli import main
from processor.exporters import PARTS, exporters_of
from processor.settings import PREFIX, SettingsError, load, origin
from processor.settings_table import show

A = "EXPORTER_A_OTLP_ENDPOINT"
B = "EXPORTER_B_OTLP_ENDPOINT"
BOTH = {"EXPORTERS": "a,b", A: "http://a:1", B: "http://b:1"}
# The variables of the downstream `a`: a text, and what is then in force.
TEXTS = {
    "OTLP_ENDPOINT": ("http://a:1", "http://a:1"),
    "OTLP_PROTOCOL": ("HTTP/json", "http/json"),
    "OTLP_HEADERS": ("authorization=x", SecretStr("authorization=x")),
    "OTLP_COMPRESSION": ("gzip", "gzip"),
    "OTLP_TIMEOUT": ("500ms", 0.5),
    "OTLP_INSECURE": ("true", True),
    "OTLP_CERTIFICATE": ("/a", Path("/a")),
    "OTLP_CLIENT_CERTIFICATE": ("/b", Path("/b")),
    "OTLP_CLIENT_KEY": ("/c", Path("/c")),
    "FORWARD_HEADERS": ("Authorization,x-*", ("authorization", "x-*")),
}


pytestmark = pytest.mark.usefixtures("no_settings")


def problems() -> list[str]:
    """What `load` says of the environment."""
    with pytest.raises(SettingsError) as caught:
        load()
    return caught.value.problems


def test_each_has_its_own(put: Any) -> None:
    """With EXPORTERS each downstream has every setting of the only one under its own name, and the same defaults."""
    put(**(BOTH | {f"EXPORTER_A_{name}": text for name, (text, _) in TEXTS.items()}))
    first, second = exporters_of(load())
    assert [name.lower() for name in TEXTS] == list(PARTS)
    assert [value for _, value in TEXTS.values()] == [getattr(first, part) for part in PARTS]
    assert ("a", "b") == (first.name, second.name)
    assert ("http://b:1", "grpc", 10.0, None, ()) == (
        second.otlp_endpoint, second.otlp_protocol, second.otlp_timeout, second.otlp_headers, second.forward_headers
    )  # fmt: skip


def test_the_only_one(put: Any) -> None:
    """Without EXPORTERS there is one downstream, called `otlp`, of the variables without a name."""
    put(EXPORTER_OTLP_ENDPOINT="http://a:1", EXPORTER_FORWARD_HEADERS="authorization")
    (only,) = exporters_of(load())
    assert ("otlp", "http://a:1", ("authorization",)) == (only.label, only.otlp_endpoint, only.forward_headers)
    assert PREFIX + "EXPORTER_OTLP_ENDPOINT" == only.variable("otlp_endpoint")


def test_secrets(put: Any, tmp_path: Path) -> None:
    """A downstream's headers are secret: shown as `****`, in no representation, and read from a file."""
    (tmp_path / "headers").write_text("authorization=hidden\n")
    put(**BOTH, EXPORTER_A_OTLP_HEADERS="a=hidden", EXPORTER_B_OTLP_HEADERS_FILE=str(tmp_path / "headers"))
    settings = load()
    assert SecretStr("authorization=hidden") == exporters_of(settings)[1].otlp_headers
    assert PREFIX + "EXPORTER_B_OTLP_HEADERS_FILE" == origin("exporter_b_otlp_headers", os.environ)
    assert "****" == show("exporter_a_otlp_headers", settings.exporter_a_otlp_headers)  # type: ignore[attr-defined]
    assert "hidden" not in repr(settings) + repr(exporters_of(settings))


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ("langfuse,Logfire", "names must be of lower case letters, digits and `_`, such as langfuse,logfire"),
        ("lang-fuse", "names must be of lower case letters, digits and `_`, such as langfuse,logfire"),
        ("a,b,a", "must name each downstream once"),
    ],
)
def test_bad_names(names: str, message: str, put: Any) -> None:
    """A name that cannot be part of a variable's, or that comes twice, is one line."""
    put(EXPORTERS=names)
    assert [f"{PREFIX}EXPORTERS: {message}, not {names!r}"] == problems()


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        (
            {**BOTH, "EXPORTER_OTLP_PROTOCOL": "grpc"},
            "EXPORTER_OTLP_PROTOCOL: SPAN_PROCESSOR_EXPORTERS is set too, and each of those has its own; remove this one",
        ),
        (
            {**BOTH, "EXPORTER_FORWARD_HEADERS": "authorization"},
            "EXPORTER_FORWARD_HEADERS: SPAN_PROCESSOR_EXPORTERS is set too, and each of those has its own; "
            "remove this one",
        ),
        (
            {"EXPORTERS": "a,b", A: "http://a:1"},
            f"{B}: needed where SPAN_PROCESSOR_EXPORTERS names it, e.g. http://collector:4317",
        ),
        (
            {**BOTH, "EXPORTER_B_OTLP_CLIENT_KEY": "/b"},
            "EXPORTER_B_OTLP_CLIENT_KEY: a client certificate and its key go together; set both",
        ),
        (
            {**BOTH, "EXPORTER_B_OTLP_TIMEOUT": "5"},
            "EXPORTER_B_OTLP_TIMEOUT: must be a duration such as 500ms, 30s or 10m, not '5'",
        ),
        (
            {**BOTH, "EXPORTER_A_OTLP_ENDPIONT": "x"},
            f"EXPORTER_A_OTLP_ENDPIONT: no such setting; the nearest is SPAN_PROCESSOR_{A}",
        ),
        (
            {**BOTH, "EXPORTER_C_OTLP_ENDPOINT": "x"},
            f"EXPORTER_C_OTLP_ENDPOINT: no such setting; the nearest is SPAN_PROCESSOR_{B}",
        ),
        (
            {"EXPORTER_A_OTLP_ENDPOINT": "x"},
            "EXPORTER_A_OTLP_ENDPOINT: no such setting; the nearest is SPAN_PROCESSOR_EXPORTER_OTLP_ENDPOINT",
        ),
    ],
)
def test_wrong_together(given: dict[str, str], problem: str, put: Any) -> None:
    """Both forms, a name without endpoint, a name that is none: one line that says how to resolve it."""
    put(**given)
    assert [PREFIX + problem] == problems()


@pytest.mark.parametrize(
    ("tokens", "forwarded", "is_handed_on"),
    [
        ("a-long-enough-token-of-the-receiver", "authorization", True),
        ("a-long-enough-token-of-the-receiver", "a*", True),
        ("a-long-enough-token-of-the-receiver", "x-langfuse-*", False),
        ("", "authorization", False),
    ],
)
def test_the_receiver_s_token_is_not_handed_on(tokens: str, forwarded: str, is_handed_on: bool, put: Any) -> None:
    """S28: where the receiver has tokens of its own, forwarding `authorization` is refused."""
    put(**BOTH, EXPORTER_B_FORWARD_HEADERS=forwarded, RECEIVER_BEARER_TOKENS=tokens)
    if not is_handed_on:
        assert 2 == len(exporters_of(load()))
        return
    (line,) = problems()
    assert line.startswith(f"{PREFIX}EXPORTER_B_FORWARD_HEADERS: forwards authorization, which with {PREFIX}RECEIVER_B")
    assert tokens not in line


def test_check_says_where_each_goes(put: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` has a line for each downstream; problems of all are told at once, one's own listener by name (S30)."""
    put(EXPORTERS="a,b", EXPORTER_A_OTLP_ENDPOINT="http://127.0.0.1:1", EXPORTER_B_OTLP_ENDPOINT="https://127.0.0.1:2")
    assert 0 == main(["check"])
    assert "downstream a: grpc to 127.0.0.1:1\ndownstream b: grpc to 127.0.0.1:2\n" in capsys.readouterr().out
    put(EXPORTER_A_OTLP_ENDPOINT="ftp://a", EXPORTER_B_OTLP_ENDPOINT="http://127.0.0.1:4317")
    assert 2 == main(["check"])
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith(f"{PREFIX}{A}: must be an address such as")
    assert second.startswith(f"{PREFIX}{B}: 127.0.0.1:4317 is this processor's own listener")


def test_print_config_shows_each(put: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """`print-config` has the settings of every downstream, secrets as `****`."""
    put(**BOTH, EXPORTER_A_OTLP_HEADERS="a=hidden", EXPORTER_B_FORWARD_HEADERS="authorization")
    assert 0 == main(["print-config", "--format", "env"])
    out = capsys.readouterr().out
    lines = (f"{A}=http://a:1", "EXPORTER_A_OTLP_HEADERS=****", "EXPORTER_B_FORWARD_HEADERS=authorization")
    assert all(f"{PREFIX}{line}\n" in out for line in lines)
    assert "hidden" not in out
