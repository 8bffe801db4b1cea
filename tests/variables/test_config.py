"""The SDK's validation rules, and messages that say what would be right."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from processor.variables.config import ConfigError, LabeledValue, LabelRef, VariablesConfig, load_config
from processor.variables.variables import Format

Make = Callable[..., dict[str, Any]]
_VALUE = {"version": 1, "serialized_value": '"x"'}


def _problems(text: str | bytes, format: Format = "json", **options: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load_config(text, format, **options)
    return caught.value.problems


def _condition(kind: str, **fields: Any) -> dict[str, Any]:
    return {"kind": kind, "attribute": "x", **fields}


def _of(*variables: Any) -> str:
    return json.dumps({"variables": {each["name"]: each for each in variables}})


def test_reads_the_sdks_own_example(variable: Make) -> None:
    """S24: the JSON that the SDK serialises, nulls and all, is read as it is."""
    text = """{"variables":{"agent":{"name":"agent","description":"d","labels":{
        "production":{"version":3,"serialized_value":"{}"},"canary":{"version":4,"ref":"latest"},
        "staging":{"version":null,"ref":"canary"},"off":{"version":null,"ref":"code_default"}},
        "rollout":{"labels":{"production":0.85,"canary":0.1}},
        "overrides":[{"conditions":[{"attribute":"env","value":"staging","kind":"value-equals"}],
                      "rollout":{"labels":{"staging":1.0}}},
                     {"conditions":[{"attribute":"o","kind":"key-is-present"}],"rollout":{"labels":{}}}],
        "latest_version":{"version":4,"serialized_value":"{}"},"json_schema":{"type":"object"},"type_name":"T",
        "aliases":["agent_config"],"example":"{}","template_inputs_schema":null}}}"""
    agent = load_config(text).variables["agent"]
    assert ["production", "canary"] == list(agent.rollout.labels)
    assert ["LabeledValue", "LabelRef", "LabelRef", "LabelRef"] == [
        type(label).__name__ for label in agent.labels.values()
    ]


def test_unknown_fields_are_ignored_everywhere(variable: Make) -> None:
    """A newer platform may add fields at any place."""
    raw = variable(
        "a", overrides=[{"conditions": [{"kind": "key-is-present", "attribute": "x", "n": 1}], "rollout": {}, "n": 1}]
    )
    raw["labels"]["v1"]["n"] = raw["rollout"]["n"] = raw["n"] = 1
    assert {"a"} == set(load_config(json.dumps({"variables": {"a": raw}, "n": [1]})).variables)


@pytest.mark.parametrize(
    "fields",
    [
        {"rollout": {}},
        {"labels": {"v1": {"version": "3", "serialized_value": "1"}, "v2": {"version": 2.0, "serialized_value": "1"}}},
        {"rollout": {"labels": {"v1": "0.5", "v2": False}}},
        {"rollout": {"labels": {"v1": True}}},
        {"rollout": {"labels": {"v1": float("nan")}}},
        {"rollout": {"labels": {"v1": 1 + 1e-10}}},
        {"rollout": {"labels": {"v1": 0, "v2": 0}}},
        {"labels": {"v1": {"ref": "v2"}, "v2": {"ref": "v1"}}},
        {"labels": {"v1": {"ref": "v1"}, "v2": {"ref": "latest"}}},
        {"labels": {"v1": _VALUE, "v2": {"ref": "code_default", "version": 3}, "latest": _VALUE}},
        {"aliases": ["b", "b"]},
        {"overrides": [{"conditions": [], "rollout": {"labels": {"v1": 1}}}]},
        {"overrides": [{"conditions": [_condition("value-matches-regex", pattern="(")], "rollout": {}}]},
        {"overrides": [{"conditions": [_condition("value-equals", value=None)], "rollout": {}}]},
        {"json_schema": {"type": ["string"]}, "latest_version": _VALUE, "template_inputs_schema": {}},
    ],
)
def test_takes_what_the_sdk_takes(variable: Make, fields: dict[str, Any]) -> None:
    """S24: coercions, NaN, circles of references, broken patterns and empty rollouts all load."""
    assert {"a"} == set(load_config(_of(variable("a", **fields))).variables)


_NEITHER = "must have a version (a whole number) and a serialized_value (a text), or a ref (a text)"
_MOST = "they must add up to at most 1"


def _override(**condition: Any) -> dict[str, Any]:
    return {"overrides": [{"conditions": [condition], "rollout": {}}]}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"rollout": None}, ".rollout: must be an object"),
        ({"overrides": None}, ".overrides: must be a list"),
        (
            {"rollout": {"labels": {"v1": -0.5}}},
            ".rollout.labels: the weight of v1 is -0.5; weights must not be negative",
        ),
        ({"rollout": {"labels": {"v1": 0.6, "v2": 0.6}}}, f".rollout.labels: the weights add up to 1.2; {_MOST}"),
        ({"rollout": {"labels": {"v1": 1 + 1e-8}}}, f".rollout.labels: the weights add up to 1.00000001; {_MOST}"),
        ({"rollout": {"labels": {"v1": "half"}}}, ".rollout.labels.v1: must be a number, not half"),
        (
            {"rollout": {"labels": {"nope": 1}}},
            ": rollout.labels has nope, which is not in labels; labels has v1, v2",
        ),
        (
            {"labels": {"v1": {"ref": "nope"}, "v2": _VALUE}},
            ": the label v1 refers to nope, which is not in labels; refer to latest, code_default or v1, v2",
        ),
        ({"labels": {"v1": {"serialized_value": "1"}, "v2": _VALUE}}, f".labels.v1: {_NEITHER}"),
        ({"labels": {"v1": {"version": 1.5, "serialized_value": "1"}, "v2": _VALUE}}, f".labels.v1: {_NEITHER}"),
        ({"latest_version": {"version": 1}}, ".latest_version.serialized_value: missing; it is required"),
        (
            {"aliases": ["1a"]},
            ".aliases[0]: must be a name of letters, digits and _ that does not begin with a digit, not 1a",
        ),
        ({"json_schema": "x"}, ".json_schema: must be an object"),
        ({"description": 3}, ".description: must be a text, not 3"),
        ({"overrides": [{"rollout": {}}]}, ".overrides[0].conditions: missing; it is required"),
        ({"overrides": [{"conditions": []}]}, ".overrides[0].rollout: missing; it is required"),
        (
            {"overrides": [{"conditions": [], "rollout": {"labels": {"z": 1}}}]},
            ": overrides[0].rollout.labels has z, which is not in labels; labels has v1, v2",
        ),
        (
            _override(kind="value-equals", attribute="x"),
            ".overrides[0].conditions[0].value: missing; it is required",
        ),
        (
            _override(kind="value-is-in", attribute="x", values=3),
            ".overrides[0].conditions[0].values: must be a list",
        ),
        (
            _override(kind="value-is-not-in", attribute="x", values="ab"),
            ".overrides[0].conditions[0].values: must be a list, not a text",
        ),
        (_override(kind="key-is-present"), ".overrides[0].conditions[0].attribute: missing; it is required"),
        (
            _override(kind="value-matches-regex", attribute="x", pattern=1),
            ".overrides[0].conditions[0].pattern: must be a text, not 1",
        ),
    ],
)
def test_refuses_what_the_sdk_refuses(variable: Make, fields: dict[str, Any], problem: str) -> None:
    """S24: one message names the variable and the field and says what would be right."""
    assert ["variables.a" + problem] == _problems(_of(variable("a", **fields)))


@pytest.mark.parametrize("kind", [None, "value-greater-than", 3])
def test_a_condition_needs_a_known_kind(variable: Make, kind: object) -> None:
    """A condition without a kind, or of an unknown one, is refused with the kinds that there are."""
    condition = {"attribute": "x", "value": 1} | ({} if kind is None else {"kind": kind})
    (problem,) = _problems(_of(variable("a", overrides=[{"conditions": [condition], "rollout": {}}])))
    assert problem.startswith("variables.a.overrides[0].conditions[0]: its kind is ")
    assert "key-is-not-present" in problem


@pytest.mark.parametrize("name", ["a-b", "1a", "", "a\n", "é", "a.b", "x" * 1_000 + "-"])
def test_names_are_identifiers(variable: Make, name: str) -> None:
    """A name must match whole, a line feed at its end included."""
    (problem,) = _problems(_of(variable(name)))
    assert "must be a name of letters, digits and _ that does not begin with a digit" in problem
    assert len(problem) < 300


def test_a_variable_stands_under_its_name(variable: Make) -> None:
    """The key of a variable must be its name."""
    text = json.dumps({"variables": {"b": variable("a")}})
    assert ["variables.b: its name is a; it must be the one that it stands under"] == _problems(text)
    with pytest.raises(ValueError, match="make them the same"):
        VariablesConfig.model_validate(json.loads(text))


def test_one_invalid_variable_refuses_all(variable: Make) -> None:
    """S24: a bad configuration is refused whole."""
    assert ["variables.b.rollout: must be an object"] == _problems(_of(variable("a"), variable("b", rollout=1)))


def test_problems_are_told_together_and_counted(variable: Make) -> None:
    """Every problem is told at once, at most 20 of them."""
    problems = _problems(_of(*[variable(f"v{at}", rollout=1) for at in range(30)]))
    assert (21, "and 10 more") == (len(problems), problems[-1])


def test_a_message_never_shows_a_whole_value(variable: Make) -> None:
    """A value of megabytes is not repeated, and control characters are escaped."""
    (problem,) = _problems(_of(variable("a", rollout={"labels": {"v1": "\x1b[31m" + "x" * 1_000_000}})))
    assert len(problem) < 200
    assert "\x1b" not in problem


def test_a_server_may_send_values_as_a_text(variable: Make) -> None:
    """The SDK takes a text for `values` from a server, though not from a JSON text."""
    condition = {"kind": "value-is-in", "attribute": "x", "values": "ab"}
    text = _of(variable("a", overrides=[{"conditions": [condition], "rollout": {}}]))
    assert {"a"} == set(load_config(text, is_remote=True).variables)
    assert ["variables.a.overrides[0].conditions[0].values: must be a list, not a text"] == _problems(text)


@pytest.mark.parametrize(
    "target", [{"version": 1, "serialized_value": "1", "ref": "latest"}, {"serialized_value": "1", "ref": "latest"}]
)
def test_what_a_label_with_both_is(variable: Make, target: dict[str, Any]) -> None:
    """A label with a value and a reference is a value, unless it lacks the version."""
    config = load_config(_of(variable("a", {"v1": 1}, labels={"v1": target})))
    assert (LabeledValue if "version" in target else LabelRef) is type(config.variables["a"].labels["v1"])
