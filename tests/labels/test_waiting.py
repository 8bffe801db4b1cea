"""How long a span waits for its labels (S14)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from craft import span

Make = Callable[..., Any]

IDS = {"user.id": "ann", "session.id": "s"}
LABELS = {"logfire.variables.a": "x", "logfire.variables.b": "y"}


def test_without_variables_ids_are_enough(product: Make) -> None:
    """S14: a span that has all carried keys does not wait for its parent."""
    assert 1 == len(product(roots="any").send(span(2, 1, IDS)))


def test_a_variable_without_a_label_waits_for_a_root(product: Make, variable: Make) -> None:
    """S14: an enabled variable that nobody on the chain reported is decided only by a root."""
    made = product(variable("a"), variable("b"), roots="any")
    half = {**IDS, "logfire.variables.a": "x"}
    assert [] == made.send(span(3, 2, half))
    assert [] == made.send(span(2, 1))
    assert 3 == len(made.send(span(1)))


def test_with_all_labels_nothing_waits(product: Make, variable: Make) -> None:
    """S14: a span that reported all variables and ids itself leaves at once."""
    (left,) = product(variable("a"), variable("b"), roots="any").send(span(2, 1, {**IDS, **LABELS}))
    assert {**IDS, **LABELS} == dict(left)


def test_the_chain_decides(product: Make, variable: Make) -> None:
    """S14: with everything known on the known chain, no root is waited for."""
    made = product(variable("a"), variable("b"), roots="any")
    assert [] == made.send(span(4, 3, {"logfire.variables.a": "z"}))
    left = made.send(span(3, 2, {**IDS, **LABELS}))
    assert [{**IDS, **LABELS, "logfire.variables.a": "z"}, {**IDS, **LABELS}] == sorted(
        (dict(each) for each in left), key=lambda each: each["logfire.variables.a"], reverse=True
    )


def test_what_is_not_enabled_is_not_waited_for(product: Make, variable: Make) -> None:
    """S14, S22: a variable that is not selected, or over the limit, holds nothing up."""
    made = product(variable("a"), variable("b"), roots="any", variables_select="a")
    assert 1 == len(made.send(span(2, 1, {**IDS, "logfire.variables.a": "x"})))
    many = [variable(f"v{number:02}") for number in range(17)]
    sixteen = {f"logfire.variables.v{number:02}": "x" for number in range(16)}
    assert 1 == len(product(*many, roots="any").send(span(2, 1, {**IDS, **sixteen})))


def test_with_the_root_in_the_request_nothing_waits(product: Make, variable: Make) -> None:
    """S14: whatever the order in the request, with the root in it all spans leave."""
    spans = [span(3, 2), span(2, 1), span(1)]
    for order in (spans, spans[::-1]):
        assert 3 == len(product(variable("a"), roots="any").send(*order))


def test_an_evaluated_span_is_decided_once(product: Make, variable: Make, drawn: Make) -> None:
    """S14, S18: a user id above, known only with the root, targets the spans that came before it."""
    made = product(variable("greeting"), roots="any")
    made.send(span(3, 2))
    made.send(span(2, 1))
    left = made.send(span(1, 0, {"user.id": "user3"}))
    assert ("v1", ["v1"] * 3) == (drawn("greeting", "user3"), [each.labels["greeting"] for each in left])


def test_conditions_see_what_a_root_says_later(product: Make, switch: Make, condition: Make) -> None:
    """S18, S21: what conditions see does not depend on the order of arrival."""
    spans = [span(1, 0, {"plan": "x"}), span(2, 1), span(3, 2, {"plan": "y"}), span(4, 3)]
    for order in (spans, spans[::-1], [spans[2], spans[0], spans[3], spans[1]]):
        made = product(switch("a", condition("value-equals", "plan", value="x")), roots="any")
        left = {each.span.span_id[-1]: each.labels["a"] for sent in order for each in made.send(sent)}
        assert {1: "on", 2: "on", 3: "off", 4: "off"} == left
