"""The view as a whole: warnings, the footer, readers that go, what it imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from typing import Any

from processor.attributes.read import Drop

ACCOUNTS = {"accepted": 3, "exported": 3, "lost": 0, "held": 0, "queued": 0}


def drop(key: str = "user.id", value: object = "x" * 201, reason: str = "too_long") -> Drop:
    return Drop("user_id", key.encode(), reason, value)


def test_a_reader_that_has_gone() -> None:
    """When the pipe is closed the view falls silent, and the processor goes on."""
    code = """
import sys
from rich.console import Console
from processor.attributes.keys import KeySettings
from processor.export.console import ConsoleView
from processor.span import Context, Group
view = ConsoleView(Console(), KeySettings(("user.id",), (), ("session.id",), ()))
for number in range(3):
    view.observe(b"", b"", Group(b"", b"", b"", []), None, Context({}, False), "decided")
    view.flush()
print(view.is_closed, file=sys.stderr)
"""
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run([sys.executable, "-c", code], stdout=writing, stderr=subprocess.PIPE, text=True, check=True)
    os.close(writing)
    assert "True\n" == done.stderr


def test_a_full_disk(app: Any, new_rig: Any, full_disk: Any) -> None:
    """When nothing can be written the view falls silent, and the processor goes on."""
    rig = new_rig(output=full_disk)
    app.span("ask")
    spans = app.take()
    for _ in range(2):
        rig.send(spans)
        rig.view.flush()
    rig.view.footer(ACCOUNTS)
    assert rig.view.is_closed


def test_a_dropped_value_is_said_below_the_tree(app: Any, rig: Any) -> None:
    """A dropped value is a warning line below the tree printed next, with key, reason, type and length (S8)."""
    app.make("ask", {"langfuse.user.id": "S3CR3T" * 40, "tenant": 5})
    rig.send(app.take())
    rig.view.tick(0.0)
    assert "" == rig.text()
    rig.view.tick(2.0)
    text = rig.text()
    expected = [
        "! langfuse.user.id: the value is longer than the limit (string, length 240)",
        "! tenant: the value is not a string (int)",
    ]
    assert expected == text.splitlines()[-2:]
    assert text.startswith("trace ")


def test_a_warning_does_not_stand_below_an_earlier_tree(app: Any, rig: Any, new_app: Any) -> None:
    """A tree that was about to be printed when the value came is not the one that the warning belongs to (S8)."""
    app.span("earlier")
    rig.send(app.take())
    rig.view.tick(0.0)
    other = new_app(trace_id=7)
    other.make("later", {"user.id": 5})
    rig.send(other.take())
    rig.view.tick(1.0)
    rig.view.tick(2.0)
    assert [] == rig.text().with_part("!")
    rig.view.tick(3.0)
    text = rig.text()
    assert "later" in text
    assert "! user.id: the value is not a string (int)" == text.splitlines()[-1]


def test_a_dropped_value_is_never_shown(app: Any, rig: Any) -> None:
    """A warning has the length of a value, never the value (S8)."""
    app.make("ask", {"user.id": "S3CR3T" * 40, "enduser.id": "S3CR3T" * 40})
    assert "S3CR3T" not in rig.shown(app.take())


def test_warnings_do_not_wait_for_ever(rig: Any) -> None:
    """Without a tree warnings are said alone."""
    rig.view.warn([drop()])
    rig.view.tick(10.0)
    rig.view.tick(12.9)
    assert "" == rig.text()
    rig.view.tick(13.0)
    assert "! user.id: the value is longer than the limit (string, length 201)\n" == rig.text()
    rig.view.tick(20.0)
    assert "" == rig.text()


def test_equal_warnings_are_counted(rig: Any) -> None:
    """The same warning is one line with a count; of many different ones ten are said (S8: rate-limited)."""
    rig.view.warn([drop()] * 3)
    rig.view.warn([drop("k" + str(number)) for number in range(30)])
    rig.view.flush()
    lines = rig.text().splitlines()
    assert "! user.id: the value is longer than the limit (string, length 201) ×3" == lines[0]
    assert 11 == len(lines)
    assert "! … 21 more values dropped" == lines[-1]


def test_a_warning_fits_and_is_escaped(rig: Any) -> None:
    """A key is the sender's text: cut to the width, control characters escaped (S8)."""
    rig.view.warn([drop("k\x1b\n" + "k" * 300)])
    rig.view.flush()
    text = rig.text()
    assert 1 == len(text.splitlines())
    assert len(text) <= 81
    assert r"! k\x1b\nk" in text


def test_the_footer(app: Any, rig: Any) -> None:
    """After traces were printed the accounting identity is, too (S25)."""
    app.span("ask")
    rig.shown(app.take())
    rig.view.footer({"accepted": 42, "exported": 40, "lost": 1, "held": 1, "queued": 0})
    assert "accepted 42 = exported 40 + lost 1 + held 1 + queued 0\n" == rig.text()


def test_the_footer_has_all_terms_where_they_are(app: Any, rig: Any) -> None:
    """What was recovered from, and what is only in, a journal is shown where there is any (S25)."""
    app.span("ask")
    rig.shown(app.take())
    rig.view.footer({"accepted": 4, "recovered": 2, "exported": 1, "lost": 0, "held": 0, "queued": 2, "journaled": 3})
    assert "accepted 4 + recovered 2 = exported 1 + lost 0 + held 0 + queued 2 + journaled 3\n" == rig.text()


def test_the_footer_does_not_hide_a_difference(app: Any, rig: Any) -> None:
    """Where the two sides differ the sign says so."""
    app.span("ask")
    rig.shown(app.take())
    rig.view.footer({"accepted": 4, "exported": 3, "lost": 0, "held": 0, "queued": 0})
    assert "accepted 4 ≠ exported 3 + lost 0 + held 0 + queued 0\n" == rig.text()


def test_the_footer_is_not_repeated(rig: Any, new_app: Any) -> None:
    """The footer comes once after a batch of traces, and only where it has changed."""
    texts = []
    for number, accounts in enumerate((ACCOUNTS, ACCOUNTS, {**ACCOUNTS, "accepted": 4, "held": 1}), 1):
        app = new_app(trace_id=number)
        app.span("ask")
        rig.shown(app.take())
        rig.view.footer(accounts)
        rig.view.footer({**accounts, "accepted": accounts["accepted"] + 1, "queued": 1})
        texts.append(rig.text())
    assert [
        "accepted 3 = exported 3 + lost 0 + held 0 + queued 0\n",
        "",
        "accepted 4 = exported 3 + lost 0 + held 1 + queued 0\n",
    ] == texts


def test_no_footer_without_traces(rig: Any) -> None:
    """Numbers alone are no reason to print."""
    rig.view.footer(ACCOUNTS)
    assert "" == rig.text()


def test_a_long_footer_is_whole(app: Any, new_rig: Any) -> None:
    """Numbers are never cut, however narrow the terminal."""
    rig = new_rig(width=40)
    app.span("ask")
    rig.shown(app.take())
    rig.view.footer(dict.fromkeys(ACCOUNTS, 10**12))
    text = rig.text()
    assert 5 == text.count("1000000000000")
    assert max(map(len, text.splitlines())) <= 40


def test_nothing_is_imported_before_there_is_a_view() -> None:
    """Whoever exports by OTLP does not pay for rich and OTLP's messages."""
    code = "import sys, processor.export.console as c; print(sorted({m.split('.')[0] for m in sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"rich", "google", "opentelemetry"} & set(re.findall(r"'(\w+)'", done.stdout))


def test_it_is_an_observer(rig: Any) -> None:
    """The view has the shape that the pipeline asks for."""
    observer: Callable[..., None] | None = rig.pipeline.observer
    assert observer == rig.view.observe
