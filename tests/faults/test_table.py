"""The table of scenarios in README.md: complete, and every function in it is there."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROW = re.compile(r"^\| (F\d+) \| (.+) \| (.+) \|$", re.MULTILINE)
ROWS = {name: (what, by) for name, what, by in ROW.findall((HERE / "README.md").read_text(encoding="utf-8"))}
SCENARIOS = [f"F{number}" for number in range(1, 32)]


def functions_in(path: Path) -> Iterator[str]:
    """The test functions of a module, as pytest names them."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        prefix = f"{node.name}::" if isinstance(node, ast.ClassDef) else ""
        for each in (node, *inner):
            if isinstance(each, ast.FunctionDef) and each.name.startswith("test_"):
                yield prefix + each.name


def test_every_scenario_has_its_row() -> None:
    """F1 to F31, in order, each with what is shown."""
    assert SCENARIOS == list(ROWS)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_function_is_there(scenario: str) -> None:
    """What a row names exists, so that no test goes without its row noticing."""
    named = ROWS[scenario][1].split("<br>")
    for each in named:
        path, _, function = each.strip("`").partition("::")
        assert function in functions_in(HERE.parent / path), each


def test_every_test_of_a_scenario_is_in_its_row() -> None:
    """A test of this folder whose name begins with the number of a scenario is named in the row of that scenario."""
    for path in HERE.glob("test_*.py"):
        for function in functions_in(path):
            if number := re.match(r"test_f(\d+)_", function):
                assert f"`faults/{path.name}::{function}`" in ROWS[f"F{number[1]}"][1]
