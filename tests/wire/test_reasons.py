"""Every text that says why a span is malformed has its word."""

from __future__ import annotations

import ast
from pathlib import Path

import processor
from processor.wire.reasons import REQUEST, WORDS

PACKAGE = Path(processor.__file__).parent
# Of JSON: its request is malformed as a whole, and is counted where its body is read.
ONLY_JSON = "otlp_json.py"


def texts() -> set[str]:
    """The texts in `raise Malformed(…)` and `_reject(…)` of the wire code."""
    calls = [
        node
        for path in (PACKAGE / "wire").glob("*.py")
        if path.name != ONLY_JSON
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
    ]
    named = [(getattr(call.func, "id", "") or getattr(call.func, "attr", ""), call.args) for call in calls]
    return {
        arguments[0].value
        for name, arguments in named
        if name in ("Malformed", "_reject") and isinstance(arguments[0], ast.Constant)
    }


def test_every_text_has_a_word() -> None:
    """The table has the texts that the code has, and the one for a whole request."""
    found = texts()
    assert len(found) > 10
    assert found | {REQUEST} == set(WORDS)
