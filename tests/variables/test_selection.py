"""A compiled configuration."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from processor.variables.config import ConfigError
from processor.variables.patterns import Searcher
from processor.variables.selection import CompiledVariables, load_compiled
from processor.variables.variables import Selection, language_of

Make = Callable[..., dict[str, Any]]
Compile = Callable[..., CompiledVariables]
_VALUE = {"version": 1, "serialized_value": '"x"'}


def _select(compiled: CompiledVariables, name: str, key: str = "user1", **attributes: object) -> Selection:
    variable = compiled.find(name)
    assert variable is not None
    return variable.select(key, attributes, "python", Searcher().search)


def _override(weights: dict[str, float], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"conditions": list(conditions), "rollout": {"labels": weights}}


def _present(attribute: str) -> dict[str, Any]:
    return {"kind": "key-is-present", "attribute": attribute}


def test_the_first_override_that_holds_decides(variable: Make, compiled: Compile) -> None:
    """S19: overrides are tried in order, all conditions of one must hold, and the base rollout comes last."""
    both = _override({"v1": 1}, _present("p"), _present("q"))
    one = _override({"v2": 1}, _present("p"))
    config = compiled(variable("a", {"base": 1, "v1": 0, "v2": 0}, overrides=[both, one]))
    assert [("v1", 0), ("v2", 1), ("base", None)] == [
        (found.label, found.override)
        for found in (_select(config, "a", p=1, q=1), _select(config, "a", p=1), _select(config, "a", q=1))
    ]


def test_an_empty_override_is_the_code_default(variable: Make, compiled: Compile) -> None:
    """A matched override without labels gives the code default; the base rollout is not asked."""
    found = _select(compiled(variable("a", {"v1": 1}, overrides=[_override({})])), "a")
    assert Selection(None, None, "code_default", None, 0, None) == found


def test_overrides_share_one_draw(variable: Make, compiled: Compile) -> None:
    """Base and override rollouts draw the same number for a variable and a key."""
    config = compiled(variable("a", overrides=[_override({"v1": 0.1}, _present("p"))]))
    assert _select(config, "a").draw == _select(config, "a", p=1).draw


@pytest.mark.parametrize(
    ("labels", "latest", "label", "version"),
    [
        ({"a": {"ref": "b", "version": 9}, "b": {"version": 3, "serialized_value": "1"}}, None, "a", 3),
        ({"a": {"ref": "b"}, "b": {"ref": "c"}, "c": {"ref": "latest"}}, 7, "a", 7),
        ({"a": {"ref": "latest", "version": 4}}, None, None, None),
        ({"a": {"ref": "code_default", "version": 4}}, 7, None, None),
        ({"a": {"ref": "a", "version": 4}}, 7, None, None),
        ({"a": {"ref": "b"}, "b": {"ref": "a"}}, 7, None, None),
        ({"a": {"ref": "latest"}, "latest": _VALUE}, 7, "a", 7),
        ({"a": {"ref": "code_default"}, "code_default": _VALUE}, 7, None, None),
    ],
)
def test_labels_lead_to_versions(
    variable: Make,
    compiled: Compile,
    labels: dict[str, Any],
    latest: int | None,
    label: str | None,
    version: int | None,
) -> None:
    """The label that the rollout picked is reported, with the version that its references end at, or nothing at all."""
    newest = None if latest is None else {"version": latest, "serialized_value": "1"}
    found = _select(compiled(variable("v", {"a": 1}, labels=labels, latest_version=newest)), "v")
    assert (label, version, "a") == (found.label, found.version, found.selected)


def test_a_name_beats_an_alias(variable: Make, compiled: Compile) -> None:
    """Of equal aliases Python's SDK takes the last variable, JavaScript's the first; a real name comes before both."""
    config = compiled(variable("b", aliases=["x", "c"]), variable("a", aliases=["x"]), variable("c"))
    assert ["a", "b", "c", "c"] == [
        found.name
        for found in (config.find("x"), config.find("x", "nodejs"), config.find("c"), config.find("c", "nodejs"))
        if found is not None
    ]
    assert config.find("nope") is None


def test_an_alias_is_seeded_with_the_canonical_name(variable: Make, compiled: Compile) -> None:
    """Looked up by an alias, a variable draws by its own name."""
    config = compiled(variable("new", aliases=["old"]))
    assert _select(config, "new") == _select(config, "old")


def test_what_conditions_need_is_known(variable: Make, compiled: Compile) -> None:
    """S21: the attributes that any condition names are known, so that only they need be carried."""
    config = compiled(
        variable("a", overrides=[_override({}, _present("p"), _present("q"))]),
        variable("b", overrides=[_override({}, _present("q")), _override({}, _present("r"))]),
        variable("c"),
    )
    assert frozenset("pqr") == config.needs()
    assert [("p", "q"), ("q", "r"), ()] == [each.reads for each in config]
    assert (3, ["a", "b", "c"]) == (len(config), list(config.by_name))


def test_a_compiled_configuration_cannot_change(variable: Make, compiled: Compile) -> None:
    """S24: traces keep the configuration that they began with, so it is immutable."""
    config = compiled(variable("a"))
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.by_name["a"].name = "b"  # type: ignore[misc]  # that this is forbidden is what is tested


def test_a_text_compiles_to_the_same_as_its_configuration(
    variable: Make, compiled: Compile, text: Callable[..., str]
) -> None:
    """Reading variable by variable gives what reading at once gives."""
    variables = [variable("b", overrides=[_override({"v1": 1}, _present("p"))]), variable("a", aliases=["x"])]
    assert compiled(*variables) == load_compiled(text(*variables))
    with pytest.raises(ConfigError):
        load_compiled(text(*variables)[:-1])


@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.text(max_size=10),
    st.dictionaries(st.sampled_from("pqr"), st.none() | st.booleans() | st.integers() | st.text(max_size=3)),
)
def test_unrelated_variables_change_nothing(
    variable: Make, compiled: Compile, key: str, attributes: dict[str, Any]
) -> None:
    """What a variable gives does not depend on the other variables of its configuration, nor on asking twice."""
    subject = variable("a", {"v1": 0.3, "v2": 0.3}, overrides=[_override({"v2": 0.9}, _present("p"))])
    alone = compiled(subject)
    among = compiled(variable("b", {"z": 1}), subject, variable("c", overrides=[_override({"v1": 1})]))
    assert _select(alone, "a", key, **attributes) == _select(among, "a", key, **attributes)
    assert _select(alone, "a", key, **attributes) == _select(alone, "a", key, **attributes)


@pytest.mark.parametrize(
    ("told", "language"),
    [
        ("nodejs", "nodejs"),
        ("webjs", "nodejs"),
        ("python", "python"),
        ("go", "python"),
        (None, "python"),
        (5, "python"),
    ],
)
def test_whose_way_applies(told: object, language: str) -> None:
    """S19: JavaScript's SDKs have their way, everything else Python's."""
    assert language == language_of(told)


def test_values_are_left_behind(variable: Make) -> None:
    """What a label stands for is never needed, so a compiled configuration does not hold it."""
    secret = "x" * 100_000
    raw = variable("a", {"v1": 1}, labels={"v1": {"version": 1, "serialized_value": secret}}, description=secret)
    compiled = load_compiled(json.dumps({"variables": {"a": raw}}))
    assert secret not in repr(compiled)
    assert sys.getsizeof(repr(compiled)) < 10_000
