"""Whatever spans say, the terminal shows it as text that fits."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import SpanKind
from rich.cells import cell_len

from processor.span import Context, Group

LONG = {
    "user.id": "u" * 200,
    "session.id": "s-" + "0123456789" * 15,
    "tenant": "ten" * 40,
    "team." + "k" * 150: "v" * 150,
    "gen_ai.request.model": "m" * 300,
    "gen_ai.usage.input_tokens": 10**18,
    "gen_ai.usage.output_tokens": 10**18,
    "logfire.variables." + "n" * 200: "l" * 200,
}


def test_invalid_utf8_is_shown_as_far_as_it_goes(rig: Any) -> None:
    """A span that is forwarded with invalid UTF-8 in a field that we do not read is still shown (S9)."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="NAME")
    span.attributes.add(key="user.id").value.string_value = "ada"
    span.attributes.add(key="other").value.string_value = "OTHER"
    body = request.SerializeToString().replace(b"NAME", b"A\xff\xfeB").replace(b"OTHER", b"\xff\xff\xff\xff\xff")
    rig.send_bytes(body)
    text = rig.shown()
    assert 1 == len(text.with_part("A��B"))
    assert "user.id=ada" == text.below("A��B")


@given(raw=st.binary(max_size=200), suffix=st.binary(max_size=50), resource=st.binary(max_size=50))
def test_any_bytes(new_rig: Any, raw: bytes, suffix: bytes, resource: bytes) -> None:
    """Whatever the bytes, the view does not fail."""
    rig = new_rig()
    rig.view.observe(raw, suffix, Group(b"", resource, b"", []), None, Context({}, False), "decided")
    rig.view.flush()
    assert rig.text().startswith("trace ")


@pytest.mark.parametrize("width", [20, 40, 60, 80, 120])
@pytest.mark.parametrize("name", ["n" * 500, "漢字" * 100, "e\u0301" * 200, "👩‍👩‍👧" * 50, "a b " * 100])
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_nothing_is_wider_than_the_terminal(new_app: Any, new_rig: Any, width: int, name: str, encoding: str) -> None:
    """Long names and values are cut, never wrapped: two lines of a span at 80 columns stay few, and fit."""
    rig = new_rig(width=width, encoding=encoding)
    app = new_app("service-" * 30)
    root = app.make(name, dict(LONG), None, SpanKind.SERVER, 0, 10**9)
    app.make(name, {}, root, SpanKind.CLIENT)
    text = rig.shown(app.take())
    assert max(cell_len(line) for line in text.splitlines()) <= width
    assert len(text.splitlines()) <= 22


def test_values_are_cut_in_the_middle(app: Any, rig: Any) -> None:
    """Of a long value the beginning and the end stay, and an ellipsis between them."""
    app.span("ask", user__id="begin" + "-" * 100 + "end")
    line = rig.shown(app.take()).below("ask")
    assert re.fullmatch(r"user\.id=begin-+…-+end", line)
    assert len(line) == len("user.id=") + 40


def test_no_ansi_in_a_pipe(app: Any, new_rig: Any) -> None:
    """Without a terminal there is no escape sequence; with one, the same characters (marks are not only colours)."""
    app.span("tool", app.span("ask", user__id="ada"))
    spans = app.take()
    piped, terminal = new_rig().shown(spans), new_rig(is_terminal=True).shown(spans)
    assert "\x1b" not in piped
    assert "\x1b[" in terminal
    assert piped == re.sub(r"\x1b\[[\d;]*m", "", terminal)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "x-unheard-of"])
def test_an_output_that_is_not_unicode(app: Any, new_rig: Any, encoding: str) -> None:
    """Where the encoding is not a UTF, guides, marks and span text are ASCII."""
    rig = new_rig(encoding=encoding)
    root = app.span("frage é漢", for_ms=50, user__id="zoë")
    app.span("tool", root, gen_ai__usage__input_tokens=1, gen_ai__usage__output_tokens=2)
    expected = r"""trace 4bf92f3577b34da6a3ce929d0e0e4736 - 2 spans - 50 ms
frage \xe9\u6f22  chat-api                                                 50 ms
|  user.id=zo\xeb
`- tool  1->2 tok                                                          10 ms
      -> user.id=zo\xeb (from "frage \xe9\u6f22")
"""
    assert expected == rig.shown(app.take())


def test_an_output_that_does_not_say_its_encoding(app: Any, new_rig: Any) -> None:
    """Where a stream has no encoding it takes text as it is."""
    app.span("é")
    assert "é" in new_rig(encoding=None).shown(app.take())


@pytest.mark.parametrize(
    "text", ["a\nb", "a\x1b[31mb", "a\rb", "a\x00b", "a\tb", "a\u202eb", "a\u2028b", "a\x9bb", "a\x07b"]
)
def test_control_characters_are_escaped(new_app: Any, new_rig: Any, text: str) -> None:
    """Span text cannot start a line, move the cursor or reverse the reading order."""
    rig = new_rig()
    app = new_app("service" + text)
    said = {"user.id": text, "team." + text: text, "gen_ai.request.model": text, "logfire.variables." + text: text}
    root = app.make("name" + text, dict(said))
    app.make("below", {}, root)
    shown = rig.shown(app.take())
    escaped = text.encode("unicode_escape").decode()
    assert all(character.isprintable() for character in shown.replace("\n", ""))
    assert 1 == len([line for line in shown.splitlines() if line.startswith("name" + escaped)])
    assert f"↳ user.id={escaped}" in shown


def test_markup_is_text(app: Any, rig: Any) -> None:
    """What looks like rich's markup, emoji codes or links is shown as it is."""
    name = "[bold red]x[/] :smile: [link=http://a.b]y[/link]"
    app.span(name, user__id="[red]ada[/red]")
    text = rig.shown(app.take())
    assert 1 == len(text.with_part(name))
    assert "user.id=[red]ada[/red]" == text.below(name)


def test_nothing_is_highlighted(app: Any, new_rig: Any) -> None:
    """Numbers and URLs in a span's text get no colours of their own."""
    app.span("GET http://a.b/1234", user__id="ada")
    assert "\x1b[1mGET http://a.b/1234\x1b[0m" in new_rig(is_terminal=True).shown(app.take())
