"""Why a label is what it is."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from processor.variables.explain import explain, render_json, render_text
from processor.variables.selection import CompiledVariables

Make = Callable[..., dict[str, Any]]
Compile = Callable[..., CompiledVariables]


def _config(variable: Make, compiled: Compile) -> CompiledVariables:
    plan = {"kind": "value-is-in", "attribute": "plan", "values": ["team", "enterprise"]}
    mail = {"kind": "value-matches-regex", "attribute": "email", "pattern": "@acme\\.com$"}
    out = {"kind": "key-is-present", "attribute": "opt_out"}
    overrides = [
        {"conditions": [plan, mail], "rollout": {"labels": {"v2": 1}}},
        {"conditions": [out], "rollout": {"labels": {}}},
    ]
    return compiled(variable("greeting", {"v1": 0.5, "v2": 0.4}, overrides=overrides, aliases=["hello"]))


def test_text(variable: Make, compiled: Compile) -> None:
    """The key, each override with why it does not apply, the buckets and the draw, in a few lines."""
    found = explain(_config(variable, compiled), "greeting", "user1", {"plan": "team", "email": 5})
    assert """\
greeting: v2, version 2 (resolved)
  targeting key  user1 (given), Python's way
  override 0     no: email value-matches-regex "@acme\\\\.com$"; it is 5
  override 1     no: opt_out key-is-present; it is missing
  rollout        v1 < 0.5, v2 < 0.9, code default < 1 (base)
  draw           0.541790 picks v2""" == render_text(found)


def test_text_of_an_override(variable: Make, compiled: Compile) -> None:
    """An override that applies is said to, and later ones are not mentioned."""
    found = explain(
        _config(variable, compiled), "hello", None, {"plan": "team", "email": "a@acme.com"}, "nodejs", "0" * 31 + "1"
    )
    assert """\
hello: v2, version 2 (resolved)
  variable       greeting, which has this alias
  targeting key  trace_id:00000000000000000000000000000001 (the trace id), JavaScript's way
  override 0     applies
  rollout        v2 < 1 (of override 0)
  draw           0.125377 picks v2""" == render_text(found)


def test_json(variable: Make, compiled: Compile) -> None:
    """`label --format json` is one object with these members."""
    found = explain(_config(variable, compiled), "greeting", "user1", {"opt_out": None})
    assert {
        "variable": "greeting",
        "label": None,
        "version": None,
        "reason": "code_default",
        "targeting_key": "user1",
        "override": 1,
        "draw": None,
    } == json.loads(render_json(found))
    assert "remark         the rollout is empty" in render_text(found)


def test_an_unknown_variable(variable: Make, compiled: Compile) -> None:
    """An unknown variable is the code default, as `get()` has it, and the text says why."""
    found = explain(_config(variable, compiled), "nope", "user1", {})
    assert (None, "code_default", None) == (found.selection.label, found.reason, found.name)
    assert "the configuration has no variable of this name" in render_text(found)


def test_without_any_key(variable: Make, compiled: Compile) -> None:
    """Without a targeting key the SDK draws at random, so there is no answer."""
    found = explain(_config(variable, compiled), "greeting", None, {})
    assert (None, "no_targeting_key", None) == (found.targeting_key, found.reason, found.selection.draw)
    assert "targeting key  none (none given)" in render_text(found)


def test_a_failed_evaluation(variable: Make, compiled: Compile) -> None:
    """What cannot be evaluated is the code default with `other_error`, and the text says why."""
    broken = {"kind": "value-matches-regex", "attribute": "x", "pattern": "("}
    config = compiled(variable("a", overrides=[{"conditions": [broken], "rollout": {}}]))
    found = explain(config, "a", "user1", {"x": "y"})
    assert (None, "other_error") == (json.loads(render_json(found))["label"], found.reason)
    assert "remark         bad_pattern: not a regular expression" in render_text(found)


def test_remarks(variable: Make, compiled: Compile) -> None:
    """A code default says where it is from."""
    off = variable("off", {"v1": 1}, labels={"v1": {"ref": "code_default"}})
    config = compiled(variable("rest", {"v1": 0}), off)
    assert "the draw is in what the weights leave of 1" == explain(config, "rest", "u", {}).remark
    assert "the label v1 leads to no stored value" == explain(config, "off", "u", {}).remark


def test_nothing_gets_at_the_terminal(variable: Make, compiled: Compile) -> None:
    """Control characters of a key or a configuration are escaped."""
    found = explain(compiled(variable("a", {"\x1b[31m": 1})), "a", "\x1b[2J\n", {})
    assert "\x1b" not in render_text(found)
    assert 4 == len(render_text(found).splitlines())
