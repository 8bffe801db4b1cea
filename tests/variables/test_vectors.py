"""Labels as the SDKs of both languages gave them, case by case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from processor.variables.bucketing import draw
from processor.variables.config import load_config
from processor.variables.explain import explain
from processor.variables.selection import compile_config

_FOLDER = Path(__file__).parent / "vectors"
_PYTHON: list[dict[str, Any]] = json.loads((_FOLDER / "logfire_labels.json").read_text())["vectors"]
_NODEJS: list[dict[str, Any]] = json.loads((_FOLDER / "logfire_js_labels.json").read_text())["vectors"]

# What depends on more than the configuration, and so is not ours to find: field by field, with the reason.
_BEYOND = {
    "explicit-01": ("label", "version"),  # the call named a label; its SDK reports it (S19.1)
    "label-not-str-json-01": ("reason",),  # the stored value does not fit the type in the application's code
    "compose-05": ("reason",),  # the stored value refers to a variable that does not exist; label and version stay
}


def _differences(case: dict[str, Any], wanted: dict[str, Any], language: Any) -> dict[str, Any]:
    compiled = compile_config(load_config(json.dumps(case["config"])))
    got = explain(compiled, case["variable"], case["targeting_key"], case["attributes"] or {}, language)
    found = {"label": got.selection.label, "version": got.selection.version, "reason": got.reason}
    beyond = _BEYOND.get(case["id"], ())
    return {field: found[field] for field in found if field not in beyond and found[field] != wanted[field]}


@pytest.mark.parametrize("case", _PYTHON, ids=lambda case: case["id"])
def test_python(case: dict[str, Any]) -> None:
    """S19: what Python's SDK reported for a configuration, a key and attributes is what we evaluate."""
    assert {} == _differences(case, case["get"], "python")


@pytest.mark.parametrize("case", _NODEJS, ids=lambda case: case["id"])
def test_nodejs(case: dict[str, Any]) -> None:
    """S19: what JavaScript's SDK reported for a configuration, a key and attributes is what we evaluate."""
    assert {} == _differences(case, case, "nodejs")


@pytest.mark.parametrize("case", _PYTHON, ids=lambda case: case["id"])
def test_python_steps(case: dict[str, Any]) -> None:
    """The label that the rollout picked and the override that matched are those of the SDK."""
    compiled = compile_config(load_config(json.dumps(case["config"])))
    got = explain(compiled, case["variable"], case["targeting_key"], case["attributes"] or {}).selection
    assert (case["selected_label"], case["matched_override"]) == (got.selected, got.override)


@pytest.mark.parametrize("case", [case for case in _PYTHON if case["random"] is not None], ids=lambda case: case["id"])
def test_python_draw(case: dict[str, Any]) -> None:
    """The draw is the SDK's, to the last bit."""
    compiled = compile_config(load_config(json.dumps(case["config"])))
    variable = compiled.find(case["variable"])
    assert variable is not None
    assert case["random"] == draw("python", variable.name, case["targeting_key"])


def test_every_exception_is_a_case() -> None:
    """The list of exceptions names cases that exist."""
    assert set(_BEYOND) <= {case["id"] for case in _PYTHON}
