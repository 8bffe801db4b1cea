"""Labels that the processor computes: each span in its own context, as the SDK of its language would (S19.3)."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from craft import span

Make = Callable[..., Any]

VECTORS = Path(__file__).parent.parent / "variables" / "vectors"
LANGUAGES = {"python": "logfire_labels.json", "nodejs": "logfire_js_labels.json"}
# What no span can say, or depends on more than the span and the configuration.
BEYOND = {
    "repr-13": "a lone surrogate, which is no UTF-8 and so no OTLP string",
    "explicit-01": "the call named a label; its SDK reports it (S19.1)",
}


def vectors(language: str) -> list[dict[str, Any]]:
    return json.loads((VECTORS / LANGUAGES[language]).read_text())["vectors"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_vectors(language: str, product: Make) -> None:
    """S19: for every case of both SDKs, a span with the case's key and attributes gets the case's label and version."""
    by_config: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for case in vectors(language):
        if case["id"] not in BEYOND:
            by_config[json.dumps(case["config"])].append(case)
    differing = {}
    for config, cases in by_config.items():
        made = product(targeting_key="the.key")
        made.write(config)
        for number, case in enumerate(cases, start=1):
            attributes = {**(case["attributes"] or {}), "the.key": case["targeting_key"]}
            (left,) = made.send(span(1, 0, attributes, trace=number), resource={"telemetry.sdk.language": language})
            if wanted_of(case) != got_of(case, left):
                differing[case["id"]] = (wanted_of(case), left.labels)
    assert {} == differing


def name_of(case: dict[str, Any]) -> str:
    """The name that is written: the variable's own, where the case has an alias."""
    variables = case["config"]["variables"].values()
    return next(
        (each["name"] for each in variables if case["variable"] in (each.get("aliases") or ())), case["variable"]
    )


def wanted_of(case: dict[str, Any]) -> dict[str, str]:
    """What is to be written (S22), from what the SDK reported; nothing of a variable that is not configured."""
    name, told = name_of(case), case.get("get", case)
    if name not in case["config"]["variables"]:
        return {}
    if told["label"] is None:
        return {name: "<code_default>"}
    return {name: told["label"], f"{name}.version": str(told["version"])}


def got_of(case: dict[str, Any], left: Any) -> dict[str, str]:
    """What was written for the case's variable."""
    return {key: value for key, value in left.labels.items() if key.removesuffix(".version") == name_of(case)}


def test_what_is_beyond_exists() -> None:
    """The list of exceptions names cases that exist."""
    assert set(BEYOND) <= {case["id"] for language in LANGUAGES for case in vectors(language)}


def test_each_span_is_evaluated_in_its_own_context(product: Make, variable: Make, drawn: Make) -> None:
    """S19.3: evaluated labels do not descend; a span below another user gets that user's label."""
    users = ("user1", "user3")
    assert ("v2", "v1") == tuple(drawn("greeting", user) for user in users)
    made = product(variable("greeting"))
    spans = [span(1, 0, {"user.id": users[0]}), span(2, 1), span(3, 2, {"user.id": users[1]}), span(4, 3)]
    left = made.send(*spans)
    found = {each.span.span_id[-1]: each.labels["greeting"] for each in left}
    assert {1: "v2", 2: "v2", 3: "v1", 4: "v1"} == found
    assert [["logfire.variables.greeting"]] * 4 == [each.derived for each in left]


def test_the_language_of_the_span_decides(product: Make, variable: Make) -> None:
    """S19: a user may have different labels in Python and JavaScript; `telemetry.sdk.language` says which count."""
    made = product(variable("greeting"))
    users = [f"user{number}" for number in range(1, 20)]

    def labels(**resource: str) -> list[Any]:
        named = {key.replace("__", "."): value for key, value in resource.items()}
        return [made.label({"user.id": user}, "greeting", resource=named) for user in users]

    python = labels()
    assert python == labels(telemetry__sdk__language="python") == labels(telemetry__sdk__language="go")
    nodejs = labels(telemetry__sdk__language="nodejs")
    assert nodejs == labels(telemetry__sdk__language="webjs")
    assert python != nodejs


def test_languages_in_one_trace(product: Make, variable: Make) -> None:
    """S19: in a trace through services of two languages each span is evaluated by its own service's way."""
    made = product(variable("greeting"), roots="any")
    alone = {
        language: made.label({"user.id": "user3"}, "greeting", resource={"telemetry.sdk.language": language})
        for language in LANGUAGES
    }
    assert {"v1", "v2"} == set(alone.values())
    made.send(span(1, 0, {"user.id": "user3"}), resource={"telemetry.sdk.language": "python"})
    for number, language in ((2, "nodejs"), (3, "python"), (4, "nodejs")):
        (left,) = made.send(span(number, 1), resource={"telemetry.sdk.language": language})
        assert alone[language] == left.labels["greeting"]


def test_nothing_is_labelled_without_a_configuration(product: Make) -> None:
    """S24: before a configuration is loaded, spans flow as they came."""
    reported = {"logfire.variables.a": "beta"}
    made = product()
    left = made.send(span(1, 0, reported), span(2, 1))
    assert [reported, {}] == [dict(each) for each in left]


def test_an_empty_configuration(product: Make) -> None:
    """S19: a configuration without variables labels nothing."""
    made = product()
    made.write('{"variables": {}}')
    assert [{}] == [dict(each) for each in made.send(span(1))]
    assert (True, []) == (made.status()["loaded"], made.status()["variables"])


def test_what_cannot_be_evaluated_is_left_out(product: Make, variable: Make, condition: Make) -> None:
    """S24: a broken pattern fails where it is evaluated, span by span, counted; the others are written."""
    broken = {"conditions": [condition("value-matches-regex", "x", pattern="(")], "rollout": {"labels": {"v1": 1}}}
    made = product(variable("a", overrides=[broken]), variable("b", {"on": 1}))
    left = made.send(span(1, 0, {"x": "text", "user.id": "ann"}), *(span(number, 1) for number in range(2, 6)))
    assert [{"b": "on", "b.version": "1"}] * 5 == [each.labels for each in left]
    assert [["logfire.variables.b"]] * 5 == [each.derived for each in left]
    assert ({"a": 5}, {"b": 5}) == (made.status()["failed"], made.status()["written"])
    assert made.label({"x": 5}, "a") in ("v1", "v2")
    assert {"a": 5} == made.status()["failed"]


def test_written_labels_are_counted_span_by_span(product: Make, variable: Make) -> None:
    """S22: spans that share a context are counted one by one."""
    made = product(variable("a"), variable("b"))
    made.send(span(1, 0, {"user.id": "ann"}), *(span(number, 1) for number in range(2, 11)))
    made.send(span(1, 0, {"user.id": "ann", "logfire.variables.a": "x"}, trace=2))
    assert {"a": 10, "b": 11} == made.status()["written"]


def test_given_up_spans_are_labelled(product: Make, variable: Make, drawn: Make) -> None:
    """S12, S19: a span whose parents never came is evaluated for the user that its trace agrees on."""
    made = product(variable("greeting"), roots="any")
    assert [] == made.send(span(2, 1, {"user.id": "user3"}), span(4, 3))
    left = {each.span.span_id[-1]: each for each in made.give_up()}
    assert drawn("greeting", "user3") == left[4].labels["greeting"]
    assert ["logfire.variables.greeting", "user.id"] == left[4].derived
    assert ["logfire.variables.greeting"] == left[2].derived
