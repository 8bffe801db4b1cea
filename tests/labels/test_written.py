"""What is written on spans, and which of it is named as computed (S22)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
from craft import pending, span

Make = Callable[..., Any]


def test_label_version_and_name(product: Make, variable: Make) -> None:
    """S22: the label, its version as decimal text, and the label's key in `span_processor.derived`."""
    (left,) = product(variable("a", {"x": 0, "on": 1})).send(span(1))
    wanted = {"logfire.variables.a": "on", "logfire.variables.a.version": "2"}
    assert {**wanted, "span_processor.derived": ["logfire.variables.a"]} == dict(left)
    assert all(isinstance(value, str) for value in left.labels.values())


@pytest.mark.parametrize(
    "changed",
    [
        {"rollout": {"labels": {}}},
        {"labels": {"on": {"version": 3, "ref": "code_default"}}},
        {"labels": {"on": {"version": 3, "ref": "latest"}}},
        {"labels": {"on": {"version": 3, "ref": "on"}}},
    ],
)
def test_the_code_default(changed: dict[str, Any], product: Make, variable: Make) -> None:
    """S22: where nothing is selected, or the label leads to no value, `<code_default>` stands without a version."""
    (left,) = product(variable("a", {"on": 1}, **changed)).send(span(1))
    assert {"a": "<code_default>"} == left.labels
    assert ["logfire.variables.a"] == left.derived


def test_a_reference_has_the_version_of_its_target(product: Make, variable: Make) -> None:
    """S22: the label is the selected one, the version that of the value it leads to."""
    labels = {"on": {"version": None, "ref": "latest"}}
    latest = {"version": 12, "serialized_value": '"x"'}
    (left,) = product(variable("a", {"on": 1}, labels=labels, latest_version=latest)).send(span(1))
    assert {"a": "on", "a.version": "12"} == left.labels


def test_variables_are_selected_by_name(product: Make, variable: Make, caplog: pytest.LogCaptureFixture) -> None:
    """S22: VARIABLES_SELECT names what is evaluated, by name or alias; a name that is not there is told of."""
    variables = [variable(name, {"on": 1}) for name in "abd"] + [variable("c", {"on": 1}, aliases=["see"])]
    made = product(*variables, variables_select="a,see,nope")
    (left,) = made.send(span(1))
    assert {"a": "on", "a.version": "1", "c": "on", "c.version": "1"} == left.labels
    assert ["SPAN_PROCESSOR_VARIABLES_SELECT names nope, which the configuration does not have"] == caplog.messages


def test_only_roots(product: Make, variable: Make) -> None:
    """S22: with VARIABLES_SPANS=roots only roots are evaluated, a span whose parent is remote among them."""
    made = product(variable("a", {"on": 1}), variables_spans="roots")
    left = made.send(span(1), span(2, 1), span(3, 9, flags=0x300), span(4, 3), span(5, 9, kind=2))
    assert {1: True, 2: False, 3: True, 4: False, 5: True} == {
        each.span.span_id[-1]: "logfire.variables.a" in each for each in left
    }
    assert {"a": 3} == made.status()["written"]


def test_roots_still_hand_down_what_was_reported(product: Make, variable: Make) -> None:
    """S19.2, S22: choosing roots is about evaluation; a reported label goes down to all spans."""
    reported = {"logfire.variables.a": "beta"}
    left = product(variable("a"), variables_spans="roots").send(span(1, 0, reported), span(2, 1))
    assert [reported, reported] == [dict(each) for each in left]


def test_at_most_sixteen(product: Make, variable: Make, caplog: pytest.LogCaptureFixture) -> None:
    """S22: of more than sixteen variables the first by name are written; the others are counted and told of."""
    made = product(*[variable(f"v{number:02}", {"on": 1}) for number in range(20)])
    (left,) = made.send(span(1))
    assert [f"v{number:02}" for number in range(16)] == [key for key in left.labels if not key.endswith(".version")]
    assert 4 == made.status()["over_the_limit"]
    assert ["4 variables are over the limit of 16 a span; choose with SPAN_PROCESSOR_VARIABLES_SELECT"] == [
        record.message for record in caplog.records if record.levelno == logging.WARNING
    ]


def test_what_the_limit_leaves_out_is_chosen(product: Make, variable: Make) -> None:
    """S22: VARIABLES_SELECT chooses others than the first."""
    made = product(*[variable(f"v{number:02}", {"on": 1}) for number in range(20)], variables_select="v19")
    assert {"v19": "on", "v19.version": "1"} == made.send(span(1))[0].labels


def test_everything_else_leaves_as_it_came(product: Make, variable: Make) -> None:
    """S11: labels are appended; the span's own bytes stay in front of them."""
    sent = span(1, 0, {"x": 1, "y": ["a"]}, name="größer", kind=3, dropped_attributes_count=2)
    (left,) = product(variable("a", {"on": 1})).send(sent)
    del left.span.attributes[2:]
    assert sent == left.span
    assert sent.SerializeToString() in left.body


def test_what_was_filled_is_named_with_the_labels(product: Make, variable: Make, condition: Make, switch: Make) -> None:
    """S12, S22: of what fills a gap that is named which is written; what only conditions see is not."""
    made = product(switch("a", condition("value-equals", "plan", value="x")), variable("b"), roots="any")
    assert [] == made.send(span(2, 1, {"plan": "x", "user.id": "ann", "logfire.variables.b": "beta"}), span(4, 3))
    left = {each.span.span_id[-1]: each for each in made.give_up()}
    assert ["logfire.variables.a", "logfire.variables.b", "user.id"] == left[4].derived
    assert set(left[4].derived) | {"logfire.variables.a.version", "span_processor.derived"} == set(left[4])
    assert 0 <= min(made.pipeline.inherited().values())


def test_every_labelled_span_is_counted(product: Make, variable: Make) -> None:
    """S22: labels are counted by variable for each span that has one, whether it has the same as its neighbours or not;
    a pending span is counted as the span for which it stands (S5).
    """
    made = product(variable("a"), variable("b"))
    for trace in range(1, 4):
        user = {"user.id": f"u{trace % 2}"}
        made.send(span(1, 0, user, trace=trace), *[span(number, 1, trace=trace) for number in (2, 3)])
    made.send(span(1, 0, trace=9), span(2, 1, trace=9), pending(3, 1, 0, trace=9))
    assert {"a": 11, "b": 11} == made.status()["written"]


def test_spans_without_a_user_are_labelled_by_their_own_trace(product: Make, variable: Make, drawn: Make) -> None:
    """S20: one trace after the other, each span has the label of its own trace id."""
    made = product(variable("a"))
    spans = [span(number, number - 1, trace=trace) for trace in range(1, 20) for number in (1, 2, 3)]
    for left in made.send(*spans):
        assert drawn("a", f"trace_id:{left.span.trace_id.hex()}") == left["logfire.variables.a"]
