"""What the spans get."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from processor.variables.evaluator import Evaluator, Labels
from processor.variables.patterns import MAX_TEXT, Searcher
from processor.variables.remembered import Remembered
from processor.variables.selection import CompiledVariables
from processor.variables.targeting import Targeting
from processor.variables.variables import Failure, Language
from processor.variables.writing import Written, active_variables

Make = Callable[..., dict[str, Any]]
Compile = Callable[..., CompiledVariables]
_TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
_USER = {"user.id": "user1"}


def _condition(kind: str, attribute: str, **fields: object) -> dict[str, Any]:
    return {"kind": kind, "attribute": attribute, **fields}


def _override(label: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"conditions": list(conditions), "rollout": {"labels": {label: 1}}}


def _pairs(labels: Labels) -> dict[bytes, str]:
    return dict(pair for each in labels.written for pair in each.pairs)


def test_labels_and_versions_are_written(variable: Make, compiled: Compile) -> None:
    """S22: the label and the version as a decimal text, in the order of the variables' names."""
    evaluator = Evaluator(compiled(variable("b", {"v1": 1}), variable("a", {"on": 0, "off": 1})), Targeting())
    labels = evaluator.labels(_USER, _TRACE, {})
    assert ["a", "b"] == [each.variable for each in labels.written]
    assert {
        b"logfire.variables.a": "off",
        b"logfire.variables.a.version": "2",
        b"logfire.variables.b": "v1",
        b"logfire.variables.b.version": "1",
    } == _pairs(labels)


def test_the_code_default_is_written_without_a_version(variable: Make, compiled: Compile) -> None:
    """S22: where nothing is selected, or the label stands for the code default, that is what is said."""
    off = variable("b", {"off": 1}, labels={"off": {"ref": "code_default", "version": 3}})
    evaluator = Evaluator(compiled(variable("a", {}), off), Targeting())
    wanted = {b"logfire.variables.a": "<code_default>", b"logfire.variables.b": "<code_default>"}
    assert wanted == _pairs(evaluator.labels(_USER, _TRACE, {}))


def test_reported_variables_are_left_alone(variable: Make, compiled: Compile) -> None:
    """S19: what the span or an ancestor reported is not evaluated, under whichever of its names."""
    evaluator = Evaluator(compiled(variable("a"), variable("b", aliases=["old"]), variable("c")), Targeting())
    labels = evaluator.labels(_USER, _TRACE, {}, "python", frozenset(("a", "old", "other")))
    assert ["c"] == [each.variable for each in labels.written]


def test_an_alias_that_is_a_name_means_the_name(variable: Make, compiled: Compile) -> None:
    """S19: where one variable's alias is another's name, reporting it is about the other."""
    evaluator = Evaluator(compiled(variable("a", aliases=["b"]), variable("b")), Targeting(by_variable={"b": "org.id"}))
    labels = evaluator.labels(_USER, _TRACE, {}, "python", frozenset(("b",)))
    assert ["a"] == [each.variable for each in labels.written]


def test_each_variable_has_its_targeting_key(variable: Make, compiled: Compile) -> None:
    """S20: a variable's own attribute beats the default one, and the trace id comes last."""
    config = compiled(variable("a"), variable("b"))
    evaluator = Evaluator(config, Targeting(by_variable={"b": "org.id"}))

    def label(name: str, key: str) -> str:
        lone = Evaluator(config, Targeting(), [name])
        return lone.labels({"user.id": key}, "", {}).written[0].label

    for user in range(20):
        keys = {"user.id": f"u{user}", "org.id": f"o{user}"}
        told = [each.label for each in evaluator.labels(keys, _TRACE, {}).written]
        assert [label("a", f"u{user}"), label("b", f"o{user}")] == told
        trace = f"{user:032x}"
        told = [each.label for each in evaluator.labels({}, trace, {}).written]
        assert [label("a", f"trace_id:{trace}"), label("b", f"trace_id:{trace}")] == told


def test_without_a_key_nothing_is_written(variable: Make, compiled: Compile) -> None:
    """S20: with the fallback off, a span without a key has no label."""
    evaluator = Evaluator(compiled(variable("a")), Targeting(falls_back_to_trace_id=False))
    assert Labels() == evaluator.labels({"user.id": 5}, _TRACE, {})


def test_conditions_see_the_attributes(variable: Make, compiled: Compile) -> None:
    """S21: a condition's attribute decides, with its type."""
    beta = _override("on", _condition("value-equals", "beta", value=True))
    evaluator = Evaluator(compiled(variable("a", {"on": 0, "off": 1}, overrides=[beta])), Targeting())
    seen: list[tuple[Any, Language, str]] = [
        (True, "python", "on"),
        (1, "python", "on"),
        (1.0, "python", "on"),
        ("true", "python", "off"),
        (None, "python", "off"),
        (True, "nodejs", "on"),
        (1, "nodejs", "off"),
        (1.0, "nodejs", "off"),
    ]
    for value, language, label in seen * 2:
        assert label == evaluator.labels(_USER, _TRACE, {"beta": value}, language).written[0].label


def test_present_without_a_value_is_not_missing(variable: Make, compiled: Compile) -> None:
    """S21: an attribute without a value is null, which is present; remembered answers keep them apart."""
    evaluator = Evaluator(
        compiled(variable("a", {"on": 0, "off": 1}, overrides=[_override("on", _condition("key-is-present", "k"))])),
        Targeting(),
    )
    for attributes, label in [({}, "off"), ({"k": None}, "on")] * 2:
        assert label == evaluator.labels(_USER, _TRACE, attributes).written[0].label


def test_lists_and_tuples_are_kept_apart(variable: Make, compiled: Compile) -> None:
    """S21: an array that is a list equals a list of the configuration; the SDK's resource arrays, tuples, never do."""
    tags = _override("on", _condition("value-equals", "tags", value=["x"]))
    evaluator = Evaluator(compiled(variable("a", {"on": 0, "off": 1}, overrides=[tags])), Targeting())
    for value, label in [(["x"], "on"), (("x",), "off"), ({"k": ["x"]}, "off")] * 2:
        assert label == evaluator.labels(_USER, _TRACE, {"tags": value}).written[0].label


def test_the_same_question_has_the_same_answer(variable: Make, compiled: Compile) -> None:
    """Spans that agree share one object, whatever else is among the attributes."""
    evaluator = Evaluator(compiled(variable("a")), Targeting())
    assert evaluator.labels(_USER, _TRACE, {"x": 1}) is evaluator.labels(dict(_USER), "0" * 32, {"x": 2})


def test_what_fails_is_left_out_and_told(variable: Make, compiled: Compile) -> None:
    """S24: a broken pattern fails where it is evaluated; the other variables are none the worse."""
    broken = _override("v1", _condition("value-matches-regex", "x", pattern="("))
    nan = variable("c", {"v1": float("nan")})
    evaluator = Evaluator(compiled(variable("a", overrides=[broken]), variable("b"), nan), Targeting())
    for _ in range(2):
        labels = evaluator.labels(_USER, _TRACE, {"x": "y"})
        assert (("a", Failure.BAD_PATTERN), ("c", Failure.BAD_WEIGHTS)) == labels.failed
        assert ["b"] == [each.variable for each in labels.written]
    assert ["a", "b"] == [each.variable for each in evaluator.labels(_USER, _TRACE, {"x": 5}).written]


def test_an_endless_targeting_key_is_none(variable: Make, compiled: Compile) -> None:
    """A key of megabytes is not hashed."""
    labels = Evaluator(compiled(variable("a")), Targeting()).labels({"user.id": "x" * (MAX_TEXT + 1)}, _TRACE, {})
    assert (("a", Failure.LONG_VALUE),) == labels.failed


def test_a_suspended_pattern_is_tried_again(variable: Make, compiled: Compile) -> None:
    """That searches are suspended is not remembered beyond the suspension."""
    now_s = [0.0]

    def clock() -> float:
        now_s[0] += 0.03
        return now_s[0]

    slow = _override("v1", _condition("value-matches-regex", "x", pattern=r"^(a|aa)+$"))
    config = compiled(variable("a", overrides=[slow]))
    evaluator = Evaluator(config, Targeting(), searcher=Searcher(clock))

    def failure(text: str) -> Failure:
        return evaluator.labels(_USER, _TRACE, {"x": text}).failed[0][1]

    text = "a" * 60
    assert (Failure.SLOW_PATTERN, Failure.SUSPENDED_PATTERN) == (failure(text + "!"), failure(text + "?"))
    assert Failure.SLOW_PATTERN is failure(text + "!")  # remembered
    now_s[0] += 5
    assert Failure.SLOW_PATTERN is failure(text + "?")


def test_at_most_sixteen_variables(variable: Make, compiled: Compile) -> None:
    """S22: the first sixteen by name, the rest counted."""
    config = compiled(*[variable(f"v{at:02}") for at in range(20)])
    evaluator = Evaluator(config, Targeting())
    assert (16, 4) == (len(evaluator.labels(_USER, _TRACE, {}).written), evaluator.active.overflow)
    assert ("v15", ()) == (evaluator.active.names[-1], evaluator.active.unknown)


def test_variables_are_selected_by_name(variable: Make, compiled: Compile) -> None:
    """S22: settings select variables by name or alias; a name that is not there is told."""
    config = compiled(variable("a"), variable("b", aliases=["old"]), variable("c"))
    active = active_variables(config, ["c", "old", "b", "nope"])
    assert (("b", "c"), 0, ("nope",)) == (active.names, active.overflow, active.unknown)


def test_what_is_needed_is_told(variable: Make, compiled: Compile) -> None:
    """S21: keys for targeting and for the conditions of the selected variables are to be carried, others not."""
    config = compiled(
        variable("a", overrides=[_override("v1", _condition("key-is-present", "p"))]),
        variable("b", overrides=[_override("v1", _condition("key-is-present", "q"))]),
    )
    evaluator = Evaluator(config, Targeting(by_variable={"a": "org.id"}), ["a"])
    assert frozenset(("user.id", "org.id", "p")) == evaluator.needs
    assert (("user.id", "org.id"), ("p",)) == (evaluator.targeting_attributes, evaluator.condition_attributes)
    assert frozenset() == Evaluator(compiled(), Targeting()).needs


def test_memory_is_bounded(variable: Make, compiled: Compile) -> None:
    """However many users there are, only so many answers are remembered, and long values not at all."""
    evaluator = Evaluator(compiled(variable("a")), Targeting(), limit=10)
    for user in range(100):
        evaluator.labels({"user.id": f"u{user}"}, _TRACE, {})
    assert 10 >= max(len(evaluator._answers), len(evaluator._selected))
    kept = len(evaluator._answers)
    evaluator.labels({"user.id": "x" * 300}, _TRACE, {})
    assert kept == len(evaluator._answers)


@pytest.mark.parametrize("limit", [1, 2, 7])
def test_what_is_in_use_stays_remembered(limit: int) -> None:
    """The memory forgets what was not asked for longest, in halves."""
    remembered: Remembered[str] = Remembered(limit)
    remembered.keep("hot", "answer")
    for at in range(50):
        remembered.keep(at, "cold")
        assert remembered.get("hot") == "answer" or limit < 4
        assert len(remembered) <= max(2, limit)


def test_written_pairs() -> None:
    """S22: the keys as bytes; `span_processor.derived` names the first."""
    assert ((b"k", "v"),) == Written("n", b"k", "v", b"k.version", None).pairs
    assert ((b"k", "v"), (b"k.version", "3")) == Written("n", b"k", "v", b"k.version", "3").pairs
