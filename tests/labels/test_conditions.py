"""What conditions see: resource, overlaid by the context, overlaid by listed span attributes, types kept (S21)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from craft import span

Make = Callable[..., Any]

RESOURCE = {"resource": {"plan": "enterprise"}}


@pytest.fixture
def is_enterprise(switch: Make, condition: Make) -> Any:
    """A variable that is on where the plan is enterprise."""
    return switch("a", condition("value-equals", "plan", value="enterprise"))


def test_the_resource_is_seen(product: Make, is_enterprise: Any) -> None:
    """S21: a resource attribute decides for all spans of its service, and nothing is written of it."""
    left = product(is_enterprise).send(span(1), span(2, 1), **RESOURCE)
    assert ["on", "on"] == [each.labels["a"] for each in left]
    assert not any("plan" in each for each in left)


def test_the_context_overlays_the_resource(product: Make, is_enterprise: Any) -> None:
    """S21: what a span on the chain says beats the resource, and goes down, unwritten where it is not listed."""
    left = product(is_enterprise).send(span(1), span(2, 1, {"plan": "free"}), span(3, 2), **RESOURCE)
    found = {each.span.span_id[-1]: (each.labels["a"], each.get("plan")) for each in left}
    assert {1: ("on", None), 2: ("off", "free"), 3: ("off", None)} == found


def test_a_listed_key_is_written_as_well(product: Make, is_enterprise: Any) -> None:
    """S11, S21: a key that is a baggage key, too, goes down as a value."""
    left = product(is_enterprise, baggage_keys="plan").send(span(1, 0, {"plan": "enterprise"}), span(2, 1))
    assert [("on", "enterprise")] * 2 == [(each.labels["a"], each["plan"]) for each in left]


def test_a_listed_key_is_validated(product: Make, switch: Make, condition: Make) -> None:
    """S6, S21: of a baggage key only valid values count, for conditions as well; others are seen as they are."""
    is_present = switch("a", condition("key-is-present", "plan"))
    made = product(is_present)
    assert "on" == made.label({"plan": 5})
    for listed in ("plan", "pl*"):
        assert "off" == product(is_present, baggage_keys=listed).label({"plan": 5})


def test_listed_span_attributes_come_first(product: Make, is_enterprise: Any) -> None:
    """S21: an attribute in CONTEXT_ATTRIBUTES is seen on the span itself, before context and resource."""
    for settings in ({}, {"include_baggage_in_context": False}):
        made = product(is_enterprise, context_attributes="plan,other", **settings)
        assert "off" == made.label({"plan": "free"}, **RESOURCE)
        assert "on" == made.label({"plan": "enterprise"}, resource={"plan": "free"})
    # Raw: what is no value of the baggage key is one of the span.
    made = product(is_enterprise, context_attributes="plan", baggage_keys="plan")
    assert "off" == made.label({"plan": 5}, **RESOURCE)
    assert "on" == product(is_enterprise, baggage_keys="plan").label({"plan": 5}, **RESOURCE)


def test_a_listed_span_attribute_is_the_spans_alone(product: Make, is_enterprise: Any) -> None:
    """S21: without the baggage in the context, what an ancestor says is not seen."""
    made = product(is_enterprise, context_attributes="plan", include_baggage_in_context=False)
    left = made.send(span(1, 0, {"plan": "enterprise"}), span(2, 1))
    assert ["on", "off"] == [each.labels["a"] for each in left]


def test_the_switch_for_baggage(product: Make, is_enterprise: Any) -> None:
    """S21: with INCLUDE_BAGGAGE_IN_CONTEXT off, conditions see the resource and no context."""
    made = product(is_enterprise, include_baggage_in_context=False)
    assert "off" == made.label({"plan": "enterprise"})
    assert "on" == made.label({"plan": "free"}, **RESOURCE)


def test_the_switch_for_the_resource(product: Make, is_enterprise: Any) -> None:
    """S21: with INCLUDE_RESOURCE_ATTRIBUTES_IN_CONTEXT off, conditions see the context and no resource."""
    for listed in ("", "plan"):
        made = product(is_enterprise, include_resource_attributes_in_context=False, baggage_keys=listed)
        assert "off" == made.label(**RESOURCE)
        assert "on" == made.label({"plan": "enterprise"})


def test_what_a_resource_gives_is_the_resources(product: Make, switch: Make, condition: Make) -> None:
    """S3, S21: a user id that a span has from its resource is seen as the resource is, not as baggage."""
    is_ann = switch("a", condition("value-equals", "user.id", value="ann"))
    for alias in ("user.id", "enduser.id"):
        around = {"resource": {alias: "ann"}}
        assert "on" == product(is_ann).label(**around)
        assert "on" == product(is_ann, include_baggage_in_context=False).label(**around)
        assert "off" == product(is_ann, include_resource_attributes_in_context=False).label(**around)
    assert "off" == product(is_ann, include_baggage_in_context=False).label({"user.id": "ann"})


# ---- types

VALUES: list[Any] = [True, False, 5, -1, 5.5, "5", "true", ["x", "y"], ["x", 5], [], "", None]


@pytest.mark.parametrize("settings", [{}, {"context_attributes": "k", "include_baggage_in_context": False}])
def test_types_are_kept(settings: dict[str, Any], product: Make, switch: Make, condition: Make) -> None:
    """S21: a value of a span is what the application passed: bool, int, float, text, list, or null."""
    for wanted in VALUES:
        made = product(switch("a", condition("value-equals", "k", value=wanted)), **settings)
        found = [value for value in VALUES if made.label({"k": value}) == "on"]
        assert [value for value in VALUES if value == wanted] == found


def test_types_go_down(product: Make, switch: Make, condition: Make) -> None:
    """S21: below the span that says it, a value has its type still."""
    for wanted in VALUES:
        made = product(switch("a", condition("value-equals", "k", value=wanted)))
        left = made.send(span(1, 0, {"k": wanted}), span(2, 1), span(3, 2, {"k": "other"}))
        assert ["on", "on", "off"] == [each.labels["a"] for each in sorted(left, key=lambda each: each.span.span_id)]


def test_arrays_of_a_resource_are_tuples(product: Make, switch: Make, condition: Make) -> None:
    """S21: the SDK keeps a resource's arrays as tuples, which no list of a configuration equals; the rest is kept."""
    for wanted in VALUES:
        made = product(switch("a", condition("value-equals", "k", value=wanted)))
        found = [value for value in VALUES if made.label(resource={"k": value}) == "on"]
        assert [value for value in VALUES if value == wanted and not isinstance(value, list)] == found


def test_present_without_a_value(product: Make, switch: Make, condition: Make) -> None:
    """S21: an attribute without a value is null, and present."""
    made = product(switch("a", condition("key-is-present", "k")))
    assert ("on", "on", "off") == (made.label({"k": None}), made.label(resource={"k": None}), made.label())
    made = product(switch("a", condition("value-equals", "k", value=None)))
    assert ("on", "off") == (made.label({"k": None}), made.label())


def test_null_hides_what_is_above(product: Make, is_enterprise: Any) -> None:
    """S21: an attribute without a value beats the ancestor's and the resource's."""
    left = product(is_enterprise).send(span(1), span(2, 1, {"plan": None}), span(3, 2), **RESOURCE)
    assert {1: "on", 2: "off", 3: "off"} == {each.span.span_id[-1]: each.labels["a"] for each in left}


def test_what_conditions_cannot_compare(product: Make, switch: Make, condition: Make) -> None:
    """S21: bytes and maps are present, and equal nothing of a configuration."""
    made = product(
        switch("a", condition("key-is-present", "k")), switch("b", condition("value-equals", "k", value="x"))
    )
    for value in (b"x", {"x": "y"}):
        (left,) = made.send(span(1, 0, {"k": value}))
        assert {"a": "on", "b": "off"}.items() <= left.labels.items()


def test_values_of_any_length_are_seen(product: Make, switch: Make, condition: Make) -> None:
    """S21: what is carried for evaluation is not validated; a text longer than an id may be is compared."""
    long = "x" * 1000
    left = product(switch("a", condition("value-equals", "k", value=long))).send(span(1, 0, {"k": long}), span(2, 1))
    assert ["on", "on"] == [each.labels["a"] for each in left]


def test_a_context_has_room_for_so_much(product: Make, switch: Make, condition: Make) -> None:
    """S10: what is carried for evaluation counts towards a context's 8 KiB; what does not fit is counted, not seen."""
    made = product(switch("a", condition("key-is-present", "k")), switch("b", condition("key-is-present", "l")))
    left = made.send(span(1, 0, {"k": "x" * 5000}), span(2, 1, {"l": "x" * 5000}))
    assert [("on", "off"), ("off", "on")] == [(each.labels["a"], each.labels["b"]) for each in left]
    assert 1 == made.pipeline.contexts.capped


def test_conditions_see_labels_of_other_variables(product: Make, switch: Make, variable: Make, condition: Make) -> None:
    """S21: a reported label is baggage in its application, so conditions see it and its version; a computed one not."""
    follows = switch("a", condition("value-equals", "logfire.variables.b", value="on"))
    versioned = switch("c", condition("value-equals", "logfire.variables.b.version", value="3"))
    reported = {"logfire.variables.b": "on", "logfire.variables.b.version": "3"}
    for settings in ({}, {"variables_select": "a,c"}):
        made = product(follows, versioned, variable("b", {"on": 1}), **settings)
        left = made.send(span(1, 0, reported), span(2, 1))
        assert [("on", "on")] * 2 == [(each.labels["a"], each.labels["c"]) for each in left]
        assert ("off", "off") == (made.label(), made.label(name="c"))


def test_a_root_without_the_key_hides_nothing(product: Make, is_enterprise: Any) -> None:
    """S21: contexts are of the chain alone: a sibling's attribute is not seen."""
    left = product(is_enterprise).send(span(1), span(2, 1, {"plan": "enterprise"}), span(3, 1))
    assert {1: "off", 2: "on", 3: "off"} == {each.span.span_id[-1]: each.labels["a"] for each in left}


def test_captured_baggage_is_seen_where_it_is_listed(product: Make, is_enterprise: Any) -> None:
    """S2, S21: a member of a captured header counts only if it is a baggage key."""
    header = {"http.request.header.baggage": ["plan=enterprise"]}
    assert "on" == product(is_enterprise, baggage_keys="plan").label(header)
    assert "off" == product(is_enterprise).label(header)
