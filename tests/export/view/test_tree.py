"""A trace as a tree: what each span is, and where it stands."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.trace import Span, SpanKind
from rich.cells import cell_len


def pending(app: Any, real: Span, name: str, parent_id: int = 0, **said: str) -> None:
    """What Logfire's exporter sends when a span starts."""
    extra = {"logfire.span_type": "pending_span", "logfire.pending_parent_id": f"{parent_id:016x}"}
    app.make(name, {**extra, **{key.replace("__", "."): value for key, value in said.items()}}, real, for_ms=0)


def test_a_whole_trace(app: Any, new_app: Any, new_rig: Any) -> None:
    """A trace is a tree that says of every span what it is and whose it is, over processes, at 80 columns."""
    rig = new_rig(roots_any=True)
    gateway = new_app("llm-gateway")
    gateway.ids.span_id = 100
    root = app.span("POST /chat", None, SpanKind.SERVER, 0, 2410, langfuse__user__id="ada", session__id="s-1")
    retrieval = app.span("retrieve documents", root, at_ms=5, for_ms=180)
    app.span("SELECT documents", retrieval, SpanKind.CLIENT, 90, 12, tenant="acme")
    call = app.span("POST", root, SpanKind.CLIENT, 200, 1230)
    app.span("execute_tool search", root, at_ms=1500, for_ms=135, user__id="eve", logfire__variables__prompt="b")
    crossed = app.remote(call.get_span_context().span_id)
    entry = gateway.span("POST /v1/chat", crossed, SpanKind.SERVER, 210, 1210)
    gateway.span(
        "chat gpt-4o-mini", entry, SpanKind.CLIENT, 215, 1200,
        gen_ai__request__model="gpt-4o-mini", gen_ai__usage__input_tokens=812, gen_ai__usage__output_tokens=64,
    )  # fmt: skip
    rig.send(gateway.take())
    expected = """\
trace 4bf92f3577b34da6a3ce929d0e0e4736 · 7 spans · 2.41 s
POST /chat  server · chat-api                                             2.41 s
│  user.id=ada (from langfuse.user.id)  session.id=s-1
├─ retrieve documents                                                     180 ms
│  │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│  └─ SELECT documents  client                                             12 ms
│        ↳ user.id=ada session.id=s-1 (from “POST /chat”)  tenant=acme
├─ POST  client                                                           1.23 s
│  │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│  └─ POST /v1/chat  server · llm-gateway                                 1.21 s
│     │  ↳ user.id=ada session.id=s-1 (from “POST /chat”)
│     └─ chat gpt-4o-mini  812→64 tok · client                            1.20 s
│           ↳ user.id=ada session.id=s-1 (from “POST /chat”)
└─ execute_tool search                                                    135 ms
      user.id=eve  ↳ session.id=s-1 (from “POST /chat”)  label prompt=b
"""
    assert expected == rig.shown(app.take())


def test_model_and_tokens(app: Any, rig: Any) -> None:
    """The model is shown where the span's name lacks it, tokens as in→out, and one-sided counts say which."""
    app.span("generate", gen_ai__request__model="gpt-4o-mini", gen_ai__usage__input_tokens=812)
    app.span("chat m1", gen_ai__request__model="m1", gen_ai__usage__input_tokens=9, gen_ai__usage__output_tokens=2)
    app.span("speak", gen_ai__usage__output_tokens=5, gen_ai__usage__input_tokens="many")
    text = rig.shown(app.take())
    assert "generate  [no user] · gpt-4o-mini 812 tok in · chat-api" in text
    assert "chat m1  [no user] · 9→2 tok · chat-api" in text
    assert "speak  [no user] · 5 tok out · chat-api" in text


def test_errors_are_words(app: Any, rig: Any) -> None:
    """A failed span says so in characters, not only in colour."""
    app.fail("ask")
    assert "ask  [no user] · error · chat-api" in rig.shown(app.take())


def test_the_service_is_named_where_it_changes(app: Any, new_app: Any, new_rig: Any) -> None:
    """Within a process its service is named once."""
    rig = new_rig(roots_any=True)
    gateway = new_app("llm-gateway")
    root = app.span("ask")
    app.span("tool", root)
    gateway.ids.span_id = 100
    gateway.span("chat", app.remote(root.get_span_context().span_id))
    rig.send(gateway.take())
    text = rig.shown(app.take())
    assert (1, 1) == (text.count("chat-api"), text.count("llm-gateway"))


def test_a_remote_parent_is_said(app: Any, rig: Any, new_app: Any) -> None:
    """A span whose parent is in another process says why it inherits nothing, whether the parent is shown or not."""
    gateway = new_app("llm-gateway")
    gateway.ids.span_id = 100
    root = app.span("ask", user__id="ada")
    gateway.span("seen", app.remote(root.get_span_context().span_id))
    gateway.span("unseen", app.remote(0xEE))
    rig.send(gateway.take())
    text = rig.shown(app.take())
    assert 1 == len(text.with_part("└─ seen  [no user] · llm-gateway · remote parent"))
    assert 1 == len([line for line in text.splitlines() if line.startswith("unseen  [no user] · llm-gateway · remote")])


def test_a_missing_parent_is_said(app: Any, new_rig: Any) -> None:
    """A span whose parent never came stands at the top and says so."""
    rig = new_rig(max_wait_s=1.0)
    app.span("orphan", app.local(0xAB))
    rig.send(app.take())
    rig.pipeline.advance(5.0, 100)
    assert "orphan  [no user] · chat-api · parent not received" in rig.shown()


def test_children_stand_in_the_order_of_their_starts(app: Any, rig: Any) -> None:
    """Children are shown in the order in which they began, not in which they ended."""
    root = app.span("ask", at_ms=0)
    app.span("third", root, at_ms=30)
    app.span("first", root, at_ms=10)
    app.span("second", root, at_ms=20)
    text = rig.shown(app.take())
    assert sorted(("first", "second", "third"), key=text.index) == ["first", "second", "third"]


def test_a_pending_span_stands_in(app: Any, rig: Any) -> None:
    """A pending span stands for the real one, with its place in the tree, as long as that has not come (S5)."""
    pending(app, app.local(0xAA), "agent", user__id="ada")
    pending(app, app.local(0xBB), "tool", parent_id=0xAA)
    text = rig.shown(app.take())
    assert "agent  chat-api · not ended" in text
    assert 1 == len(text.with_part("└─ tool"))
    assert "↳ user.id=ada (from “agent”)" == text.below("tool")


def test_a_pending_span_gives_way(app: Any, new_rig: Any) -> None:
    """A pending span is not shown beside the real one, in whatever order they come (S5)."""
    real = app.span("agent", user__id="ada")
    spans = app.take()
    pending(app, real, "agent", user__id="ada")
    twin = app.take()
    for first, second in ((spans, twin), (twin, spans)):
        rig = new_rig()
        rig.send(first)
        text = rig.shown(second)
        assert (1, 0) == (len(text.with_part("agent  chat-api")), text.count("not ended"))
        assert "· 1 span ·" in text


def test_a_deep_chain(rig: Any) -> None:
    """A chain of thousands of spans is drawn without recursion, within the width, its guides cut (S13)."""
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for index in range(1, 3001):
        parent = (index - 1).to_bytes(8, "big") if index > 1 else b""
        spans.add(trace_id=b"t" * 16, span_id=index.to_bytes(8, "big"), parent_span_id=parent, name=f"<{index}>")
    rig.send_bytes(request.SerializeToString())
    text = rig.shown()
    assert [f"<{index}>" for index in range(1, 3001)] == re.findall(r"<\d+>", text)
    assert max(map(len, text.splitlines())) <= 80
    assert 1 == len(text.with_part("…" + " " * 32 + "└─ <3000>  [no user]"))


def test_circles_and_twins(rig: Any) -> None:
    """Spans whose parents run in circles, that are their own parents, or share an id, are each shown once (S13)."""
    ids = {"a": b"a" * 8, "b": b"b" * 8, "c": b"c" * 8, "d": b"d" * 8}
    request = ExportTraceServiceRequest()
    spans = request.resource_spans.add().scope_spans.add().spans
    for name, own, parent in (
        ("one", "a", "b"),
        ("two", "b", "a"),
        ("self", "c", "c"),
        ("twin1", "d", ""),
        ("twin2", "d", ""),
    ):
        spans.add(trace_id=b"t" * 16, span_id=ids[own], parent_span_id=ids.get(parent, b""), name=name)
    rig.send_bytes(request.SerializeToString())
    rig.give_up()
    text = rig.shown()
    assert [1] * 5 == [len(re.findall(rf"(?<!“)\b{name}\b", text)) for name in ("one", "two", "self", "twin1", "twin2")]
    assert "given up: shutdown" in text


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    parents=st.lists(st.integers(0, 12), min_size=1, max_size=12),
    users=st.dictionaries(st.integers(1, 12), st.sampled_from(["ada", "eve"])),
    order=st.randoms(use_true_random=False),
    width=st.integers(30, 120),
)
def test_any_tree_in_any_order(
    new_rig: Any, parents: list[int], users: dict[int, str], order: object, width: int
) -> None:
    """Whatever the tree and the order of arrival, each span is shown once, in the width, and every source is true."""
    request = ExportTraceServiceRequest()
    spans = []
    for index, parent in enumerate(parents, 1):
        span = request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, name=f"<{index}>")
        span.span_id = index.to_bytes(8, "big")
        span.parent_span_id = parent.to_bytes(8, "big") if parent else b""
        if index in users:
            span.attributes.add(key="user.id").value.string_value = users[index]
        spans.append(request.SerializeToString())
        request.Clear()
    order.shuffle(spans)  # type: ignore[attr-defined]  # hypothesis' random
    rig = new_rig(width=width)
    for body in spans:
        rig.send_bytes(body)
    rig.give_up()
    text = rig.shown()
    shown = re.findall(r"^[│├└─… ]*<(\d+)>", text, re.MULTILINE)
    assert sorted(str(index) for index in range(1, len(parents) + 1)) == sorted(shown)
    assert max(cell_len(line) for line in text.splitlines()) <= min(width, 100)
    for user, source in re.findall(r"↳ user\.id=(\w+) \(from “<(\d+)>”\)", text):
        assert users[int(source)] == user
