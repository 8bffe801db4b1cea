"""Whether an application runs on another configuration, judged on its resolve spans (S23)."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from craft import pending, span

Make = Callable[..., Any]

SCOPE = {"scope": "logfire.variables"}


def resolve(number: int = 1, **changed: Any) -> Any:
    said = {"name": "a", "label": "on", "version": 1, "reason": "resolved", "targeting_key": "u", "attributes": "{}"}
    return span(number, 0, {**said, **changed}, trace=number)


def test_agreement_is_not_drift(product: Make, variable: Make) -> None:
    """S23: a resolve span that says what we would have said counts as nothing."""
    made = product(variable("a", {"on": 1}))
    made.send(resolve(), **SCOPE)
    assert {} == made.status()["drifted"]


def test_another_label_is_drift(product: Make, variable: Make, caplog: pytest.LogCaptureFixture) -> None:
    """S23: a difference is counted by variable and told of once a minute; nothing is rewritten."""
    made = product(variable("a", {"on": 1}))
    for number in range(1, 4):
        (left,) = made.send(resolve(number, label="off", version=2), **SCOPE)
        assert {"a": "off", "a.version": "2"} == left.labels
    made.send(resolve(9, version=4), **SCOPE)
    assert {"a": 4} == made.status()["drifted"]
    told = "the application resolves a variable differently, on another configuration: variable=a"
    assert [told] == caplog.messages
    made.now_s += 61
    made.send(resolve(10, version=4), **SCOPE)
    assert [told, told] == caplog.messages


def test_it_is_judged_by_what_went_in(product: Make, switch: Make, condition: Make) -> None:
    """S23: the span's own `targeting_key` and `attributes` are evaluated again, not what we know of it."""
    made = product(switch("a", condition("value-equals", "plan", value="x")))
    inside = json.dumps({"plan": "x"})
    made.send(resolve(1, attributes=inside, plan="y"), resource={"plan": "z"}, **SCOPE)
    assert {} == made.status()["drifted"]
    made.send(resolve(2, plan="x"), resource={"plan": "x"}, **SCOPE)
    assert {"a": 1} == made.status()["drifted"]


def test_only_resolve_spans_are_judged(product: Make, variable: Make) -> None:
    """S23: neither reported labels nor spans of other scopes are drift."""
    made = product(variable("a", {"on": 1}))
    made.send(resolve(1, label="off"), scope="logfire")
    made.send(span(1, 0, {"logfire.variables.a": "off"}, trace=2))
    made.send(resolve(3, label="null", version="null", reason="code_default"), **SCOPE)
    assert {} == made.status()["drifted"]


def test_unknown_variables_share_a_name(product: Make, variable: Make) -> None:
    """S23: names that the configuration lacks come from outside: they are counted as one."""
    made = product(variable("a"))
    for number in range(1, 4):
        made.send(resolve(number, name=f"invented_{number}"), **SCOPE)
    assert {"unknown": 3} == made.status()["drifted"]


def test_each_language_is_judged_by_its_own_way(product: Make, variable: Make) -> None:
    """S19, S23: a JavaScript service's label is compared with what its SDK would give."""
    made = product(variable("greeting"))
    said = {"name": "greeting", "targeting_key": "user3"}
    wanted = {
        language: made.label({"user.id": "user3"}, "greeting", resource={"telemetry.sdk.language": language})
        for language in ("python", "nodejs")
    }
    assert {"v1", "v2"} == set(wanted.values())
    for number, (language, label) in enumerate(wanted.items(), start=1):
        made.send(
            resolve(number, **said, label=label, version=int(label[1:])),
            resource={"telemetry.sdk.language": language},
            **SCOPE,
        )
    assert {} == made.status()["drifted"]
    made.send(resolve(9, **said, label=wanted["nodejs"], version=int(wanted["nodejs"][1:])), **SCOPE)
    assert {"greeting": 1} == made.status()["drifted"]


def test_a_plain_span_that_says_the_same(product: Make, switch: Make, condition: Make) -> None:
    """S19, S23: what is read of a resolve span and of another with the same attributes are two things."""
    made = product(switch("a", *[condition("key-is-present", key) for key in ("name", "label", "version")]))
    said = {"name": "a", "label": "beta", "version": 3}
    (plain,) = made.send(span(1, 0, said, trace=1))
    (resolved,) = made.send(span(1, 0, said, trace=2), **SCOPE)
    (again,) = made.send(span(1, 0, said, trace=3))
    assert ["on", "beta", "on"] == [each.labels["a"] for each in (plain, resolved, again)]


def test_pending_twins_are_not_judged(product: Make, variable: Make) -> None:
    """S5, S23: a pending resolve span does not say yet what was resolved."""
    made = product(variable("a", {"on": 1}))
    made.send(pending(9, 1, 0, {"name": "a", "targeting_key": "u", "attributes": "{}"}), **SCOPE)
    made.send(resolve(1, label="off"), **SCOPE)
    assert {"a": 1} == made.status()["drifted"]


def test_without_a_configuration_nothing_is_judged(product: Make) -> None:
    """S23: there is nothing to compare with."""
    made = product()
    made.send(resolve(), **SCOPE)
    assert {} == made.status()["drifted"]
