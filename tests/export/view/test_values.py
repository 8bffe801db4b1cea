"""Whose a span is, and who said so."""

from __future__ import annotations

import re
from typing import Any


def test_own_values_stand_plain(app: Any, rig: Any) -> None:
    """What a span says itself under the canonical key stands without a mark."""
    app.span("ask", user__id="ada", session__id="s-1", tenant="acme")
    assert "user.id=ada  session.id=s-1  tenant=acme" == rig.shown(app.take()).below("ask")


def test_an_alias_is_named(app: Any, rig: Any) -> None:
    """A canonical value written beside an alias names the alias (S1)."""
    app.span("ask", enduser__id="ada", gen_ai__conversation__id="c-1")
    expected = "user.id=ada (from enduser.id)  session.id=c-1 (from gen_ai.conversation.id)"
    assert expected == rig.shown(app.take()).below("ask")


def test_the_alias_in_force_is_named(app: Any, rig: Any) -> None:
    """Of several aliases the first of the order is named, not the one that was ignored (S1, S4)."""
    app.span("ask", enduser__id="bob", langfuse__user__id="ada", gen_ai__user="acct-1")
    assert "user.id=ada (from langfuse.user.id)" == rig.shown(app.take()).below("ask")


def test_captured_baggage_is_named(app: Any, rig: Any) -> None:
    """A value out of a captured baggage header says so (S2)."""
    app.span("ask", http__request__header__baggage=["langfuse_user_id=ada,tenant=acme"])
    assert "user.id=ada tenant=acme (from baggage)" == rig.shown(app.take()).below("ask")


def test_the_nearest_source_is_named(app: Any, rig: Any) -> None:
    """An inherited value names the nearest ancestor that said it (S10)."""
    root = app.span("ask", user__id="ada", session__id="s-1")
    agent = app.span("agent", root, user__id="eve")
    app.span("step", app.span("tool", agent))
    expected = "↳ user.id=eve (from “agent”)  ↳ session.id=s-1 (from “ask”)"
    assert expected == rig.shown(app.take()).below("step")


def test_a_fallback_value_yields_to_a_strong_one_above(app: Any, rig: Any) -> None:
    """Where an ancestor's strong value beats the span's own fallback, the ancestor is named (S1)."""
    root = app.span("ask", user__id="ada")
    app.span("tool", app.span("chat", root, gen_ai__user="acct-1"))
    text = rig.shown(app.take())
    assert "↳ user.id=ada (from “ask”)" == text.below("chat")
    assert "↳ user.id=ada (from “ask”)" == text.below("tool")


def test_a_resource_is_named(rig: Any, new_app: Any) -> None:
    """A value of the resource names the resource (S3)."""
    app = new_app(resource={"user.id": "ada"})
    app.span("tool", app.span("ask"))
    text = rig.shown(app.take())
    assert "↳ user.id=ada (from resource)" == text.below("ask")
    assert "↳ user.id=ada (from resource)" == text.below("tool")


def test_what_a_trace_agrees_on_is_marked(app: Any, new_rig: Any) -> None:
    """A value filled in because the trace agrees on it says so, and the heading says why the span left (S12, S15)."""
    rig = new_rig(max_wait_s=5.0)
    app.span("sibling", app.local(0xAB), user__id="ada")
    app.span("orphan", app.local(0xCD))
    rig.send(app.take())
    rig.pipeline.advance(10.0, 100)
    rig.view.tick(10.0)
    text = rig.text()
    assert "↳ user.id=ada (agreed in trace)" == text.below("orphan")
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans · 10 ms · given up: max_wait" == text.splitlines()[0]


def test_what_an_earlier_processor_filled_in_is_marked(app: Any, rig: Any) -> None:
    """A key that the span itself names as computed is not shown as its own (S22)."""
    app.span("ask", user__id="ada", span_processor__derived=["user.id"])
    assert "↳ user.id=ada (agreed in trace)" == rig.shown(app.take()).below("ask")


def test_nothing_known(app: Any, rig: Any) -> None:
    """A span of which nothing is known says `[no user]` in its line; with other values, before them."""
    root = app.span("ask", for_ms=0)
    app.span("tool", root, session__id="s-1")
    text = rig.shown(app.take())
    assert ["ask  [no user] · chat-api"] == text.with_part("ask")
    assert "[no user]  session.id=s-1" == text.below("tool")


def test_arrays_are_shown_in_brackets(app: Any, rig: Any) -> None:
    """Tags are an array, and inherited like any value (S11)."""
    root = app.span("ask", user__id="ada", langfuse__trace__tags=["beta", "eu"])
    app.span("tool", root)
    assert "↳ user.id=ada langfuse.trace.tags=[beta, eu] (from “ask”)" == rig.shown(app.take()).below("tool")


def test_labels(app: Any, rig: Any) -> None:
    """Variable labels have a place of their own; versions are left out, computed ones are marked (S19, S22)."""
    app.make("ask", {
        "user.id": "ada",
        "logfire.variables.prompt": "b",
        "logfire.variables.prompt.version": "3",
        "logfire.variables.tone": "<code_default>",
        "span_processor.derived": ["logfire.variables.tone"],
    })  # fmt: skip
    expected = "user.id=ada  label prompt=b  ↳ label tone=<code_default> (computed)"
    assert expected == rig.shown(app.take()).below("ask")


def test_inherited_labels_name_their_source(app: Any, rig: Any) -> None:
    """A label that an ancestor reported is inherited like any carried value (S19)."""
    said = {"logfire.variables.prompt": "b", "logfire.variables.prompt.version": "3"}
    app.span("tool", app.make("ask", {"user.id": "ada", **said}))
    assert "↳ user.id=ada (from “ask”)  ↳ label prompt=b (from “ask”)" == rig.shown(app.take()).below("tool")


def test_many_values_are_counted(app: Any, rig: Any) -> None:
    """Of very many values the first are shown, the rest is counted."""
    app.make("ask", {f"team.k{index:02}": "x" for index in range(40)})
    text = rig.shown(app.take())
    assert 16 == len(re.findall(r"team\.k\d\d=x", text))
    assert 1 == text.count("… 24 more")
