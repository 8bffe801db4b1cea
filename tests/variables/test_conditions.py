"""Conditions of every kind, in both languages' way."""

from __future__ import annotations

from typing import Any

import pytest

from processor.variables.conditions import holds, strictly_equal
from processor.variables.patterns import Searcher
from processor.variables.variables import EvaluationError, Failure, Language

_ABSENT: dict[str, Any] = {}


def _holds(kind: str, operand: object, attributes: dict[str, Any], language: Language) -> bool:
    return holds((kind, "a", operand), attributes, language, Searcher().search)


_TABLE: list[tuple[str, object, dict[str, Any], bool, bool]] = [  # kind, operand, attributes, Python, JavaScript
    ("value-equals", "x", {"a": "x"}, True, True),
    ("value-equals", "x", {"a": "y"}, False, False),
    ("value-equals", "x", _ABSENT, False, False),
    ("value-equals", None, _ABSENT, False, False),
    ("value-equals", None, {"a": None}, True, True),
    ("value-equals", True, {"a": 1}, True, False),
    ("value-equals", True, {"a": 1.0}, True, False),
    ("value-equals", 1, {"a": 1.0}, True, True),
    ("value-equals", 0, {"a": False}, True, False),
    ("value-equals", 1, {"a": "1"}, False, False),
    ("value-equals", True, {"a": "true"}, False, False),
    ("value-equals", 2**53 + 1, {"a": 2**53}, False, True),
    ("value-equals", 10**400, {"a": 10**500}, False, True),
    ("value-equals", "b", {"a": b"b"}, False, False),
    ("value-equals", ["x"], {"a": ["x"]}, True, False),
    ("value-equals", ["x"], {"a": ("x",)}, False, False),
    ("value-equals", {"k": 1}, {"a": {"k": 1}}, True, False),
    ("value-equals", float("nan"), {"a": float("nan")}, False, False),
    ("value-does-not-equal", "x", {"a": "x"}, False, False),
    ("value-does-not-equal", "x", {"a": 3}, True, True),
    ("value-does-not-equal", "x", _ABSENT, True, True),
    ("value-is-in", ("x", "y"), {"a": "y"}, True, True),
    ("value-is-in", ("x", "y"), {"a": "z"}, False, False),
    ("value-is-in", ("x", None), _ABSENT, False, False),
    ("value-is-in", (1, 2), {"a": True}, True, False),
    ("value-is-in", (["x"],), {"a": ("x",)}, False, False),
    ("value-is-in", ("x",), {"a": ["x"]}, False, False),
    ("value-is-in", (), {"a": "x"}, False, False),
    ("value-is-not-in", ("x",), {"a": "x"}, False, False),
    ("value-is-not-in", ("x",), {"a": "y"}, True, True),
    ("value-is-not-in", ("x",), _ABSENT, True, True),
    ("value-is-not-in", (1,), {"a": True}, False, True),
    ("value-matches-regex", "b+$", {"a": "abb"}, True, True),
    ("value-matches-regex", "^b", {"a": "ab"}, False, False),
    ("value-matches-regex", "b$", {"a": "b\n"}, True, False),
    ("value-matches-regex", "B", {"a": "b"}, False, False),
    ("value-matches-regex", r"^\d$", {"a": "١"}, True, False),
    ("value-matches-regex", "", {"a": ""}, True, True),
    ("value-matches-regex", "5", {"a": 5}, False, False),
    ("value-matches-regex", "x", _ABSENT, False, False),
    ("value-does-not-match-regex", "b", {"a": "abc"}, False, False),
    ("value-does-not-match-regex", "z", {"a": "abc"}, True, True),
    ("value-does-not-match-regex", "5", {"a": 5}, True, True),
    ("value-does-not-match-regex", "x", _ABSENT, True, True),
    ("key-is-present", None, {"a": None}, True, True),
    ("key-is-present", None, {"a": ""}, True, True),
    ("key-is-present", None, {"b": 1}, False, False),
    ("key-is-not-present", None, {"a": None}, False, False),
    ("key-is-not-present", None, _ABSENT, True, True),
]


@pytest.mark.parametrize(("kind", "operand", "attributes", "python", "nodejs"), _TABLE)
def test_holds(kind: str, operand: object, attributes: dict[str, Any], python: bool, nodejs: bool) -> None:
    """S21: each kind compares as the SDK of the span's language does, with types kept."""
    assert (python, nodejs) == (
        _holds(kind, operand, attributes, "python"),
        _holds(kind, operand, attributes, "nodejs"),
    )


def test_a_text_for_values_is_searched_for_parts() -> None:
    """`values` as a text, which Python's SDK takes from a server, holds for every part of it."""
    assert _holds("value-is-in", "abc", {"a": "bc"}, "python")
    assert _holds("value-is-not-in", "abc", {"a": "cb"}, "python")


@pytest.mark.parametrize(
    ("attributes", "language"), [({"a": 5}, "python"), (_ABSENT, "python"), ({"a": "b"}, "nodejs")]
)
def test_a_text_for_values_fails_on_anything_else(attributes: dict[str, Any], language: Language) -> None:
    """What the SDK would raise on is an evaluation error."""
    with pytest.raises(EvaluationError) as caught:
        _holds("value-is-in", "abc", attributes, language)
    assert Failure.BAD_VALUES is caught.value.failure


@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_a_broken_pattern_fails_only_on_a_text(language: Language) -> None:
    """A broken pattern raises where it meets a text, and is never looked at otherwise."""
    assert not _holds("value-matches-regex", "(", {"a": 5}, language)
    assert _holds("value-does-not-match-regex", "(", _ABSENT, language)
    with pytest.raises(EvaluationError) as caught:
        _holds("value-matches-regex", "(", {"a": "x"}, language)
    assert Failure.BAD_PATTERN is caught.value.failure


def test_strict_equality_is_between_plain_values() -> None:
    """JavaScript's `===` is false between two arrays, and between numbers too large for it of two signs."""
    assert not strictly_equal([], [])
    assert not strictly_equal(10**400, -(10**400))
    assert strictly_equal(0.0, -0.0)
