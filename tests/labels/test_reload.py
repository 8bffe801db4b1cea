"""A configuration changes: traces keep theirs, bad ones are refused, the last good one stays (S24)."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
from collections.abc import Callable
from typing import Any

import pytest
from craft import request, span

Make = Callable[..., Any]


def labels(left: list[Any], name: str = "a") -> dict[int, str | None]:
    return {each.span.span_id[-1]: each.labels.get(name) for each in left}


def test_a_trace_keeps_its_configuration(product: Make, variable: Make) -> None:
    """S24: spans of a trace are labelled by what was in force when its first span came, new traces by the new."""
    made = product(variable("a", {"old": 1}), roots="any")
    made.send(span(1))
    made.configure(variable("a", {"new": 1}))
    assert "old" == made.send(span(2, 1))[0].labels["a"]
    assert "new" == made.send(span(1, trace=2))[0].labels["a"]
    made.configure(variable("b", {"on": 1}))
    assert {"a": "old", "a.version": "1"} == made.send(span(3, 1))[0].labels
    assert {"a": "new", "a.version": "1"} == made.send(span(2, 1, trace=2))[0].labels


def test_held_spans_keep_it(product: Make, variable: Make) -> None:
    """S24: spans that were held when the configuration changed leave with the labels of the old one."""
    made = product(variable("a", {"old": 1}), roots="any")
    assert [] == made.send(span(3, 2), span(2, 1))
    made.configure(variable("a", {"new": 1}))
    assert {1: "old", 2: "old", 3: "old"} == labels(made.send(span(1)))


def test_held_spans_that_are_given_up_keep_it(product: Make, variable: Make) -> None:
    """S15, S24: so do those whose parents never come."""
    made = product(variable("a", {"old": 1}), roots="any")
    made.send(span(3, 2))
    made.configure(variable("a", {"new": 1}))
    assert {3: "old"} == labels(made.give_up())


def test_a_trace_from_before_the_first_configuration(product: Make, variable: Make) -> None:
    """S24: a trace that began before there was one stays unlabelled."""
    made = product(roots="any")
    made.send(span(1, 0, {"user.id": "ann"}))
    made.configure(variable("a", {"on": 1}))
    assert {2: None} == labels(made.send(span(2, 1)))
    assert {1: "on"} == labels(made.send(span(1, trace=2)))


def test_what_old_conditions_need_is_still_read(product: Make, switch: Make, variable: Make, condition: Make) -> None:
    """S24: also after two changes, late spans of an old trace are read for what its configuration needs."""
    made = product(
        switch("a", condition("value-equals", "plan", value="x")), roots="any", context_attributes="plan,other"
    )
    made.send(span(1, 0, {"plan": "x"}))
    made.configure(switch("a", condition("value-equals", "other", value="x")))
    made.configure(variable("a", {"new": 1}))
    late = made.send(span(2, 1), span(3, 2, {"plan": "y"}), span(4, 1, {"plan": "x"}), span(5, 3, {"plan": "x"}))
    assert {2: "on", 3: "off", 4: "on", 5: "on"} == labels(late)


def test_what_old_variables_reported_is_still_read(product: Make, variable: Make) -> None:
    """S19, S24: a label that a late span reports for a variable that is gone counts in its trace."""
    made = product(variable("a"), variable("b"), roots="any")
    made.send(span(1))
    for _ in range(2):
        made.configure(variable("b", {"on": 1}))
    left = made.send(span(2, 1, {"logfire.variables.a": "beta"}), span(3, 2))
    assert {2: "beta", 3: "beta"} == labels(left)


def test_what_nobody_needs_is_forgotten(product: Make, switch: Make, variable: Make, condition: Make) -> None:
    """S24: when no trace keeps an old configuration, what only that one needed is read no longer."""
    made = product(switch("a", condition("value-equals", "plan", value="x")), roots="any")
    made.send(span(2, 1, {"plan": "x"}))
    made.configure(variable("b"))
    assert b"plan" in made.pipeline.reader.keys.interests.spans.exact
    made.give_up()
    made.send(span(1, trace=2))
    made.now_s += 10_000
    assert not made.pipeline.advance(made.now_s, 2000)
    gc.collect()
    made.configure(variable("b", {"on": 1}))
    assert b"plan" not in made.pipeline.reader.keys.interests.spans.exact


def test_counts_go_on(product: Make, variable: Make) -> None:
    """S22, S24: what was written is counted over all configurations, old traces' spans among them."""
    made = product(variable("a", {"old": 1}), roots="any")
    made.send(span(1))
    made.configure(variable("a", {"new": 1}))
    made.send(span(2, 1), span(1, trace=2))
    assert {"a": 3} == made.status()["written"]


def test_the_same_file_is_no_change(product: Make, variable: Make) -> None:
    """S24: a file that says the same again is counted as unchanged."""
    made = product(variable("a"))
    made.configure(variable("a"))
    assert {"loaded": 1, "unchanged": 1} == made.status()["reloads"]


BAD = {
    "half written": '{"variables": {"a": {"name": "a", "labels": {',
    "empty": "",
    "no object": "[]",
    "another name": json.dumps({"variables": {"a": {"name": "b", "labels": {}, "rollout": {}, "overrides": []}}}),
    "weights over one": json.dumps(
        {
            "variables": {
                "a": {
                    "name": "a",
                    "labels": {"x": {"version": 1, "serialized_value": "1"}},
                    "rollout": {"labels": {"x": 1.5}},
                    "overrides": [],
                }
            }
        }
    ),
    "one bad of two": json.dumps(
        {
            "variables": {
                "b": {"name": "b", "labels": {}, "rollout": {}, "overrides": []},
                "a": {"name": "a", "labels": {}, "rollout": {"labels": {"unknown": 1}}, "overrides": []},
            }
        }
    ),
}


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_configuration_is_refused_whole(
    text: str, product: Make, variable: Make, caplog: pytest.LogCaptureFixture
) -> None:
    """S24: a bad configuration is refused with a line in the log, counted, and the last good one stays in force."""
    made = product(variable("a", {"good": 1}), roots="any")
    made.write(text)
    assert {1: "good"} == labels(made.send(span(1, trace=2)))
    assert {"loaded": 1, "refused": 1} == made.status()["reloads"]
    errors = [record.message for record in caplog.records if record.levelno == logging.ERROR]
    assert 1 == len(errors)
    assert errors[0].startswith("variables configuration refused: ")
    made.configure(variable("a", {"better": 1}))
    assert {1: "better"} == labels(made.send(span(1, trace=3)))


@pytest.mark.parametrize("text", BAD.values(), ids=BAD)
def test_a_bad_start(text: str, product: Make, variable: Make, caplog: pytest.LogCaptureFixture) -> None:
    """S24: with a bad configuration from the start spans flow unlabelled, loudly; a good one is taken when it comes."""
    made = product()
    made.write(text)
    assert [{}] == [dict(each) for each in made.send(span(1))]
    assert not made.status()["loaded"]
    assert any("labels are off" in message for message in caplog.messages)
    made.configure(variable("a", {"good": 1}))
    assert {1: "good"} == labels(made.send(span(1, trace=2)))


def test_a_file_that_vanishes(product: Make, variable: Make, caplog: pytest.LogCaptureFixture) -> None:
    """S24: a file that cannot be read any more is told of, and changes nothing."""
    made = product(variable("a", {"good": 1}))
    made.file.unlink()
    asyncio.run(made.labelling.start())
    assert {"loaded": 1, "failed": 1} == made.status()["reloads"]
    assert "cannot read" in caplog.messages[-1]
    assert {1: "good"} == labels(made.send(span(1)))


def test_a_configuration_that_comes_while_a_request_is_read(product: Make, variable: Make) -> None:
    """S24: a request is labelled by the configuration that it was read for, whole, and its trace with it."""
    made = product(variable("a"), roots="any")
    reported = {"logfire.variables.b": "beta", "logfire.variables.b.version": "2"}
    scan = made.pipeline.scan(request(span(1, 0, reported)))
    while scan.step(1):
        pass
    made.configure(variable("b", {"on": 1}))
    assert 1 == made.pipeline.ingest(scan, 0, False, 0.0)
    (left,) = made.take()
    assert {"a", "b"} == {key.removesuffix(".version") for key in left.labels}
    assert reported.items() <= left.items()
    assert {"b"} == set(made.send(span(1, trace=2))[0].labels) - {"b.version"}
