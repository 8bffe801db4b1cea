"""Labels that an SDK reported: kept, handed down with their versions, read off resolve spans (S19.1, S19.2)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from craft import pending, span

Make = Callable[..., Any]

REPORTED = {"logfire.variables.a": "beta", "logfire.variables.a.version": "7"}
RESOLVED = {"name": "a", "label": "beta", "version": 7, "reason": "resolved", "targeting_key": "u", "attributes": "{}"}


def by_id(left: list[Any]) -> dict[int, Any]:
    return {int.from_bytes(each.span.span_id, "big"): each for each in left}


def test_the_own_label_is_kept_as_it_is(product: Make, variable: Make) -> None:
    """S19.1: a span's own reported label stays byte for byte, whatever the configuration says."""
    (left,) = product(variable("a")).send(span(1, 0, REPORTED))
    assert REPORTED == dict(left)
    assert span(1, 0, REPORTED) == left.span


def test_the_nearest_ancestors_label_is_inherited(product: Make, variable: Make) -> None:
    """S19.2: a label goes down with its version, the nearest one counts, and it is not named as computed."""
    nearer = {"logfire.variables.a": "gamma", "logfire.variables.a.version": "8"}
    left = by_id(product(variable("a")).send(span(1, 0, REPORTED), span(2, 1), span(3, 2, nearer), span(4, 3)))
    assert [REPORTED, REPORTED, nearer, nearer] == [dict(left[number]) for number in range(1, 5)]


def test_a_version_never_stays_with_another_label(product: Make, variable: Make) -> None:
    """S19.2: a nearer label without a version hides the farther label's version, too."""
    default = {"logfire.variables.a": "<code_default>"}
    left = by_id(product(variable("a")).send(span(1, 0, REPORTED), span(2, 1, default), span(3, 2)))
    assert [REPORTED, default, default] == [dict(left[number]) for number in (1, 2, 3)]


@pytest.mark.parametrize("numbers", [(1, 2, 3), (3, 2, 1), (2, 3, 1), (3, 1, 2)])
def test_order_does_not_matter(numbers: tuple[int, ...], product: Make, variable: Make) -> None:
    """S18, S19.2: in requests of their own, in any order, spans get the label of their nearest ancestor."""
    spans = {1: span(1, 0, REPORTED), 2: span(2, 1), 3: span(3, 2)}
    made = product(variable("a"), roots="any")
    left = by_id([each for number in numbers for each in made.send(spans[number])])
    assert [REPORTED] * 3 == [dict(left[number]) for number in (1, 2, 3)]


def test_what_was_reported_is_not_evaluated_below(product: Make, variable: Make) -> None:
    """S19: reporting one variable leaves the others to evaluation."""
    left = by_id(product(variable("a"), variable("b", {"on": 1})).send(span(1, 0, REPORTED), span(2, 1)))
    for number in (1, 2):
        assert {"a": "beta", "a.version": "7", "b": "on", "b.version": "1"} == left[number].labels
        assert ["logfire.variables.b"] == left[number].derived


def test_a_label_under_an_alias_is_the_variables(product: Make, variable: Make) -> None:
    """S19: an application may report under an alias that its code has: handed down, and nothing is evaluated."""
    reported = {"logfire.variables.old_name": "beta", "logfire.variables.old_name.version": "7"}
    left = product(variable("a", aliases=["old_name"])).send(span(1, 0, reported), span(2, 1))
    assert [reported, reported] == [dict(each) for each in left]


def test_variables_that_the_configuration_lacks(product: Make, variable: Make) -> None:
    """S19: a label of a variable that is not configured, or not selected, stays where it is, and is not handed down."""
    others = {"logfire.variables.z": "beta", "logfire.variables.b": "beta", "logfire.variables.b.version": "7"}
    made = product(variable("a", {"on": 1}), variable("b"), variables_select="a")
    left = by_id(made.send(span(1, 0, others), span(2, 1)))
    assert {**others, "logfire.variables.a": "on", "logfire.variables.a.version": "1"}.items() <= left[1].items()
    assert {"a": "on", "a.version": "1"} == left[2].labels


def test_which_labels_go_down_does_not_depend_on_the_order(product: Make, variable: Make) -> None:
    """S18: a span that is decided early, by its own values, gets the same as one whose root came first."""
    complete = {**REPORTED, "user.id": "ann", "session.id": "s"}
    spans = [span(1, 0, {**complete, "logfire.variables.z": "y"}), span(2, 1, complete)]
    seen = []
    for order in (spans, spans[::-1]):
        made = product(variable("a"))
        seen.append({number: dict(each) for number, each in by_id([x for s in order for x in made.send(s)]).items()})
    assert seen[0] == seen[1]


def test_orphans_take_the_label_that_the_trace_agrees_on(product: Make, variable: Make) -> None:
    """S12, S22: a label fills the gap of a broken chain like any carried value, and is named as computed then."""
    made = product(variable("a"), roots="any")
    assert [] == made.send(span(2, 1, REPORTED), span(4, 3))
    left = by_id(made.give_up())
    assert REPORTED == dict(left[2])
    assert {**REPORTED, "span_processor.derived": ["logfire.variables.a"]} == dict(left[4])


def test_a_resources_label_fills(product: Make, variable: Make) -> None:
    """S3: a label on the resource is written where nobody on the chain reported one, and evaluation rests."""
    nearer = {"logfire.variables.a": "gamma"}
    left = product(variable("a")).send(span(1), span(2, 1, nearer), resource=REPORTED)
    assert [REPORTED, nearer] == [dict(each) for each in left]


# ---- what is no label


def test_an_empty_label_counts_as_absent(product: Make, variable: Make) -> None:
    """S11: an empty label makes room for the one that is written."""
    empty = {"logfire.variables.a": "", "logfire.variables.a.version": "3"}
    made = product(variable("a", {"on": 1}))
    left = made.send(span(1, 0, empty), span(2, 1))
    for each in left:
        assert {"a": "on", "a.version": "1"} == each.labels
        assert 0 == each.span.dropped_attributes_count


@pytest.mark.parametrize(
    "odd",
    [
        {"logfire.variables.a": 5},
        {"logfire.variables.a": True, "logfire.variables.a.version": "3"},
        {"logfire.variables.a": ["x"]},
        {"logfire.variables.a.version": "3"},
    ],
)
def test_what_is_no_label_is_not_written_over(odd: dict[str, Any], product: Make, variable: Make) -> None:
    """S11: what else stands under a label's keys is neither replaced nor handed down."""
    left = by_id(product(variable("a", {"on": 1})).send(span(1, 0, odd), span(2, 1)))
    assert odd == dict(left[1])
    assert {"a": "on", "a.version": "1"} == left[2].labels


def test_only_a_version_that_is_text_goes_down(product: Make, variable: Make) -> None:
    """S19.2: on a usual span the SDK writes the version as text; anything else stays where it is."""
    left = by_id(product(variable("a")).send(span(1, 0, {**REPORTED, "logfire.variables.a.version": 7}), span(2, 1)))
    assert {"a": "beta", "a.version": 7} == left[1].labels
    assert {"a": "beta"} == left[2].labels


def test_labels_that_are_baggage_keys_as_well(product: Make, variable: Make) -> None:
    """S11: listing labels in BAGGAGE_KEYS, exactly or by `*`, writes neither label nor version twice."""
    for listed in ("logfire.variables.*", "logfire.variables.a,logfire.variables.a.version"):
        left = product(variable("a"), baggage_keys=listed).send(span(1, 0, REPORTED), span(2, 1))
        assert [REPORTED, REPORTED] == [dict(each) for each in left]


# ---- resolve spans


def saying(**changed: Any) -> dict[str, Any]:
    """What a resolve span says; `...` leaves a key out."""
    return {key: value for key, value in {**RESOLVED, **changed}.items() if value is not ...}


def resolve(number: int, parent: int, **changed: Any) -> Any:
    return span(number, parent, saying(**changed))


@pytest.mark.parametrize(
    ("changed", "labels"),
    [
        ({}, {"a": "beta", "a.version": "7"}),
        ({"version": "null"}, {"a": "beta"}),
        ({"label": "null", "version": "null", "reason": "code_default"}, {"a": "<code_default>"}),
        ({"label": "null", "version": 3}, {"a": "null", "a.version": "3"}),
        ({"reason": "validation_error"}, {"a": "beta", "a.version": "7"}),
        ({"version": True}, {"a": "beta"}),
        ({"version": ...}, {"a": "beta"}),
    ],
)
def test_a_resolve_span_says_its_own(
    changed: dict[str, Any], labels: dict[str, str], product: Make, variable: Make
) -> None:
    """S19: a resolve span takes its own label and int version; `null` is the code default, unless it has a version."""
    made = product(variable("a", {"on": 1}))
    left = by_id(made.send(span(1, trace=1)) + made.send(resolve(2, 1, **changed), scope="logfire.variables"))
    assert {"a": "on", "a.version": "1"} == left[1].labels
    assert labels == left[2].labels
    assert [] == left[2].derived
    assert saying(**changed).items() <= left[2].items()


def test_a_resolve_span_hides_what_is_above(product: Make, variable: Make) -> None:
    """S19: what was resolved here counts here, whatever an ancestor reported."""
    made = product(variable("a"))
    made.send(span(1, 0, REPORTED))
    (left,) = made.send(resolve(2, 1, label="gamma", version=8), scope="logfire.variables")
    assert {"a": "gamma", "a.version": "8"} == left.labels


def test_a_label_that_a_resolve_span_has_already_stays(product: Make, variable: Make) -> None:
    """S11: baggage of an outer resolution may stand on a resolve span as an attribute: it is not written over."""
    both = {**RESOLVED, **REPORTED, "label": "gamma"}
    (left,) = product(variable("a")).send(span(1, 0, both), scope="logfire.variables")
    assert both == dict(left)


def test_only_resolve_spans_are_read_so(product: Make, variable: Make) -> None:
    """S19: `name` and `label` of any other scope mean nothing to us."""
    (left,) = product(variable("a", {"on": 1})).send(span(1, 0, RESOLVED), scope="logfire")
    assert {"a": "on", "a.version": "1"} == left.labels


@pytest.mark.parametrize(
    "changed", [{"name": 5}, {"name": ""}, {"label": 5}, {"label": ...}, {"label": ""}, {"name": "z"}]
)
def test_a_resolve_span_that_says_nothing_usable(changed: dict[str, Any], product: Make, variable: Make) -> None:
    """S19: without a usable name and label, or of an unknown variable, a resolve span is a span like any other."""
    (left,) = product(variable("a", {"on": 1})).send(resolve(1, 0, **changed), scope="logfire.variables")
    assert {"a": "on", "a.version": "1"} == left.labels


def test_the_targeting_key_of_a_resolve_span_is_its_own_affair(product: Make, variable: Make, drawn: Make) -> None:
    """S19: its `targeting_key` applies to nothing else, not even to the other variables on it."""
    made = product(variable("a"), variable("e"))
    (left,) = made.send(resolve(1, 0, targeting_key="user1"), scope="logfire.variables")
    assert ("v1", "v2") == (drawn("e", f"trace_id:{1:032x}"), drawn("e", "user1"))
    assert {"a": "beta", "a.version": "7", "e": "v1", "e.version": "1"} == left.labels


def test_pending_twins_are_labelled_and_not_counted(product: Make, variable: Make) -> None:
    """S5: a pending span is labelled like its real one, leaves at once, and is not counted."""
    made = product(variable("a", {"on": 1}), variables_spans="roots")
    (left,) = made.send(pending(9, 1, 0, {"user.id": "ann"}))
    assert {"a": "on", "a.version": "1"} == left.labels
    assert {} == made.status()["written"]
    (left,) = made.send(span(1, 0, {"user.id": "ann"}))
    assert {"a": "on", "a.version": "1"} == left.labels
    assert {"a": 1} == made.status()["written"]
