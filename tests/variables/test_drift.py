"""Whether an application runs on another configuration."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from processor.variables.drift import drifted
from processor.variables.selection import CompiledVariables
from processor.variables.variables import Language

Make = Callable[..., dict[str, Any]]
Compile = Callable[..., CompiledVariables]


@pytest.fixture
def config(variable: Make, compiled: Compile) -> CompiledVariables:
    def override(label: str, **condition: object) -> dict[str, Any]:
        return {"conditions": [condition], "rollout": {"labels": {label: 1}}}

    overrides = [
        override("off", kind="value-equals", attribute="plan", value="free"),
        override("off", kind="value-equals", attribute="tags", value=["x"]),
        override("off", kind="value-matches-regex", attribute="bad", pattern="("),
    ]
    return compiled(variable("a", {"on": 1, "off": 0}, overrides=overrides, aliases=["old"]))


def _drifted(config: CompiledVariables, changed: dict[str, object], language: Language = "python") -> bool | None:
    usual: dict[str, Any] = {"name": "a", "targeting_key": "user1", "attributes_json": "{}"}
    usual |= {"label": "on", "version": 1, "reason": "resolved"}
    return drifted(config, **(usual | changed), language=language)


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        ({}, False),
        ({"name": "old"}, False),
        ({"label": "off", "version": 2}, True),
        ({"version": 2}, True),
        ({"version": "null"}, False),
        ({"name": "unknown"}, True),
        ({"attributes_json": '{"plan": "free"}'}, True),
        ({"attributes_json": '{"plan": "free"}', "label": "off", "version": 2}, False),
        ({"reason": "code_default", "label": "null"}, None),
        ({"reason": "validation_error"}, None),
        ({"label": "null"}, None),
        ({"targeting_key": "null"}, None),
        ({"targeting_key": None}, None),
        ({"targeting_key": "x" * 100_000}, None),
        ({"label": None}, None),
        ({"attributes_json": None}, None),
        ({"attributes_json": "["}, None),
        ({"attributes_json": "[]"}, None),
        ({"attributes_json": "[" * 100_000}, None),
        ({"attributes_json": json.dumps({"x": "y" * 300_000})}, None),
        ({"attributes_json": '{"bad": "x"}'}, None),
        ({"attributes_json": '{"tags": ["x"]}'}, None),
        ({"attributes_json": '{"tags": ["y"]}'}, False),
        ({"attributes_json": '{"plan": "free", "tags": ["x"]}'}, True),
    ],
)
def test_drift(config: CompiledVariables, changed: dict[str, object], verdict: bool | None) -> None:
    """S23: another label or version is drift; what cannot be told fairly is not judged."""
    assert _drifted(config, changed) is verdict


def test_drift_in_javascript(config: CompiledVariables) -> None:
    """S23: a JavaScript service is judged by its own way, where arrays equal nothing."""
    assert _drifted(config, {"attributes_json": '{"tags": ["x"]}'}, "nodejs") is False
