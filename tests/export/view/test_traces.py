"""When a trace is printed, and how much is kept."""

from __future__ import annotations

import re
from typing import Any

import pytest

from processor.export.console import STEP
from processor.export.view.traces import Limits


def test_two_seconds_after_the_root(app: Any, rig: Any) -> None:
    """A trace is printed 2 s after its root was released, not before."""
    app.span("tool", app.span("ask", user__id="ada"))
    rig.send(app.take())
    rig.view.tick(50.0)
    rig.view.tick(51.9)
    assert "" == rig.text()
    rig.view.tick(52.0)
    assert "trace 4bf92f3577b34da6a3ce929d0e0e4736 · 2 spans" in rig.text()


def test_spans_that_come_in_time_stand_in_the_tree(app: Any, rig: Any) -> None:
    """What comes within these 2 s is part of the same tree, and does not put it off."""
    root = app.span("ask", user__id="ada")
    rig.send(app.take())
    rig.view.tick(0.0)
    app.span("tool", root)
    rig.send(app.take())
    rig.view.tick(1.5)
    rig.view.tick(2.0)
    assert "· 2 spans ·" in rig.text()


def test_late_spans_are_additions(app: Any, rig: Any) -> None:
    """Later spans come as additions to the trace that say where they belong and still name their sources."""
    root = app.span("ask", user__id="ada")
    rig.shown(app.take())
    late = app.span("tool", root, for_ms=20)
    app.span("query", late, at_ms=1)
    rig.send(app.take())
    rig.view.tick(200.0)
    assert "" == rig.text()
    rig.view.tick(202.0)
    expected = """
… 2 more spans of trace 4bf92f3577b34da6a3ce929d0e0e4736
tool  under “ask”                                                          20 ms
│  ↳ user.id=ada (from “ask”)
└─ query                                                                   10 ms
      ↳ user.id=ada (from “ask”)
"""
    assert expected == rig.text()


def test_a_given_up_trace_is_printed_at_once(app: Any, new_rig: Any) -> None:
    """What was given up is printed at the next tick (interface: when it was given up)."""
    rig = new_rig(max_wait_s=1.0)
    app.span("orphan", app.local(0xAB))
    rig.send(app.take())
    rig.pipeline.advance(5.0, 100)
    rig.view.tick(5.0)
    assert 1 == len(rig.text().with_part("given up: max_wait"))


def test_a_trace_without_its_root_is_not_kept_back_for_ever(app: Any, rig: Any) -> None:
    """Spans that are decided while their root is still running are shown when nothing more comes for 30 s (S14)."""
    app.span("tool", app.local(0xAB))
    rig.view.observe(*app.observed())
    rig.view.tick(0.0)
    rig.view.tick(29.9)
    assert "" == rig.text()
    rig.view.tick(30.0)
    assert "tool" in rig.text()


def test_traces_do_not_wait_for_each_other(app: Any, rig: Any, new_app: Any) -> None:
    """Each trace has its own time."""
    other = new_app(trace_id=7)
    app.span("first")
    rig.send(app.take())
    rig.view.tick(0.0)
    other.span("second")
    rig.send(other.take())
    rig.view.tick(1.0)
    rig.view.tick(2.0)
    text = rig.text()
    assert (True, False) == ("first" in text, "second" in text)
    rig.view.tick(3.0)
    assert "second" in rig.text()


def test_a_tick_is_bounded(rig: Any, new_app: Any) -> None:
    """A tick prints about STEP spans and says that there is more, so that others can run in between."""
    apps = [new_app(trace_id=number) for number in range(1, 31)]
    for app in apps:
        root = app.span("ask")
        for _ in range(9):
            app.span("tool", root)
        rig.send(app.take())
    rig.view.tick(0.0)
    assert [True, True, False] == [rig.view.tick(2.0) for _ in range(3)]
    assert len(apps) == len(rig.text().with_part("trace 0"))
    assert STEP == 100


def test_flush_prints_what_is_left(app: Any, rig: Any) -> None:
    """At shutdown everything that waits is printed, and warnings with it."""
    app.make("ask", {"user.id": "x" * 201})
    rig.send(app.take())
    rig.view.flush()
    text = rig.text()
    assert "ask" in text
    assert text.endswith("! user.id: the value is longer than the limit (string, length 201)\n")
    rig.view.flush()
    assert "" == rig.text()


def test_many_spans_of_a_trace_are_printed_early(app: Any, new_rig: Any) -> None:
    """Over the limit of spans a trace, what there is is printed, and what was printed is forgotten."""
    rig = new_rig(limits=Limits(spans_per_trace=10))
    root = app.span("ask", user__id="ada")
    for _ in range(14):
        app.span("tool", root)
    rig.send(app.take())
    text = rig.text()
    assert "· 10 spans ·" in text
    rig.view.flush()
    text = rig.text()
    assert "… 5 more spans" in text
    assert "↳ user.id=ada (from an earlier span)" == text.below("tool")


def test_many_traces_are_printed_early(new_app: Any, new_rig: Any) -> None:
    """Over the limit of traces the one that is untouched for longest is printed and forgotten."""
    rig = new_rig(limits=Limits(traces=3))
    for number in range(1, 6):
        app = new_app(trace_id=number)
        app.span(f"ask-{number}")
        rig.send(app.take())
    text = rig.text()
    assert [True, True, False, False, False] == [f"ask-{number}" in text for number in range(1, 6)]


def test_many_spans_of_all_traces_are_printed_early(new_app: Any, new_rig: Any) -> None:
    """Over the limit of spans in all, the trace that is untouched for longest goes first, printed ones included."""
    rig = new_rig(limits=Limits(spans=10))
    for number in range(1, 5):
        app = new_app(trace_id=number)
        root = app.span(f"ask-{number}")
        for _ in range(3):
            app.span("tool", root)
        rig.send(app.take())
    text = rig.text()
    assert [True, True, False, False] == [f"ask-{number}" in text for number in range(1, 5)]


@pytest.mark.parametrize("limits", [Limits(1, 1, 1), Limits(2, 3, 4), Limits(1, 100, 5)])
def test_nothing_is_left_out_at_the_limits(new_app: Any, new_rig: Any, limits: Limits) -> None:
    """However small the limits, every span is printed once."""
    rig = new_rig(limits=limits)
    names = []
    for number in range(1, 4):
        app = new_app(trace_id=number)
        root = app.span(f"ask-{number}-")
        names.append(f"ask-{number}-")
        for index in range(5):
            names.append(f"tool-{number}-{index}")
            app.span(names[-1], root)
        rig.send(app.take())
    rig.view.flush()
    text = rig.text()
    assert [1] * len(names) == [len(re.findall(rf"(?<!“){name}(?!”)", text)) for name in names]
