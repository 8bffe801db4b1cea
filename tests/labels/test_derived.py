"""Two processors in a row: what the first one computed, the second does not take as said, and may replace (S22)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from craft import span

Make = Callable[..., Any]


def forward(second: Any, left: list[Any]) -> list[Any]:
    """Hand on what left, request by request."""
    return [each for body in dict.fromkeys(each.body for each in left) for each in second.deliver(body)]


def test_a_computed_label_is_replaced(product: Make, variable: Make) -> None:
    """S22: the second configuration's label takes the place of the first's: label, version and name once each."""
    first, second = product(variable("a", {"one": 1})), product(variable("a", {"x": 0, "two": 1}))
    left = forward(second, first.send(span(1, 0, {"x": "y"}), span(2, 1)))
    for each in left:
        assert {"a": "two", "a.version": "2"} == each.labels
        assert ["logfire.variables.a"] == each.derived
        assert 0 == each.span.dropped_attributes_count
    assert "y" == left[0]["x"]


def test_the_code_default_takes_the_version_away(product: Make, variable: Make) -> None:
    """S22: where the second one selects nothing, no version of the first is left behind."""
    first, second = product(variable("a", {"one": 1})), product(variable("a", {}))
    (left,) = forward(second, first.send(span(1)))
    assert {"a": "<code_default>"} == left.labels
    assert ["logfire.variables.a"] == left.derived


def test_a_computed_label_does_not_go_down(product: Make, variable: Make, drawn: Make) -> None:
    """S22: what the first computed for a parent is no label of the parent's for the second."""
    assert ("v2", "v1") == (drawn("greeting", "user1"), drawn("greeting", "user3"))
    first, second = product(variable("greeting")), product(variable("greeting"))
    spans = (span(1, 0, {"user.id": "user1"}), span(2, 1, {"user.id": "user3"}))
    left = {each.span.span_id[-1]: each for each in forward(second, first.send(*spans))}
    assert {1: "v2", 2: "v1"} == {number: each.labels["greeting"] for number, each in left.items()}


def test_a_reported_label_is_reported_still(product: Make, variable: Make) -> None:
    """S22: what the first handed down was reported, and the second takes it as that."""
    reported = {"logfire.variables.a": "beta", "logfire.variables.a.version": "7"}
    first, second = product(variable("a")), product(variable("a"))
    left = forward(second, first.send(span(1, 0, reported), span(2, 1)))
    assert [reported, reported] == [dict(each) for each in left]


def test_a_reported_label_replaces_a_computed_one(product: Make, variable: Make) -> None:
    """S19, S22: where the second sees an ancestor that reported a label, the computed one goes, its name, too."""
    reported = {"logfire.variables.a": "beta", "logfire.variables.a.version": "7"}
    first, second = product(variable("a", {"on": 1})), product(variable("a"), roots="any")
    (child,) = first.send(span(2, 1, flags=0x300))
    assert ["logfire.variables.a"] == child.derived
    second.send(span(1, 0, reported))
    (left,) = forward(second, [child])
    assert reported == dict(left)


def test_what_the_second_does_not_write_stays(product: Make, variable: Make) -> None:
    """S22: a label that the second has nothing to say about stays, with its name; its own come beside it."""
    first, second = product(variable("a", {"on": 1})), product(variable("b", {"on": 1}))
    (left,) = forward(second, first.send(span(1)))
    assert {"a": "on", "a.version": "1", "b": "on", "b.version": "1"} == left.labels
    assert {"logfire.variables.a", "logfire.variables.b"} == set(left.derived)


def test_one_without_variables_changes_nothing(product: Make, variable: Make) -> None:
    """S11, S22: a second processor without variables forwards what the first wrote byte for byte."""
    first, second = product(variable("a", {"on": 1})), product()
    (sent,) = first.send(span(1))
    (left,) = forward(second, [sent])
    assert sent.body == left.body


def test_what_was_filled_and_what_was_computed(product: Make, variable: Make) -> None:
    """S12, S22: the second keeps what the first filled, replaces what it computed, and names both once."""
    first, second = product(variable("a", {"one": 1}), roots="any"), product(variable("a", {"two": 1}))
    first.send(span(2, 1, {"user.id": "ann"}), span(4, 3))
    orphan = next(each for each in first.give_up() if each.span.span_id[-1] == 4)
    assert ["logfire.variables.a", "user.id"] == orphan.derived
    forward(second, [orphan])
    left = {each.span.span_id[-1]: each for each in second.give_up()}[4]
    assert {"user.id": "ann", "logfire.variables.a": "two", "logfire.variables.a.version": "1"}.items() <= left.items()
    assert {"logfire.variables.a", "user.id"} == set(left.derived)


def test_three_in_a_row_end_where_one_does(product: Make, variable: Make) -> None:
    """S22: processors of one configuration change nothing about each other's spans."""
    made = [product(variable("a"), variable("b")) for _ in range(3)]
    once = made[0].send(span(1, 0, {"user.id": "ann"}), span(2, 1))
    thrice = forward(made[2], forward(made[1], once))
    assert [dict(each) for each in once] == [dict(each) for each in thrice]


def test_a_value_that_only_looks_like_a_version(product: Make) -> None:
    """S11: only a label stands for its `.version`: of other keys an empty one stays where it is."""
    made = product(baggage_keys="app,app.version")
    left = made.send(span(1, 0, {"app": "shop"}), span(2, 1, {"app.version": ""}))
    assert {"app": "shop", "app.version": ""} == dict(left[1])
