"""Spans of Logfire's real SDK, recorded: what it reported, and what the processor finds where it is silent.

`tests/clients/python/record_variables.py` records them; `test_variables.py` there is the same against a live SDK.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sdk import SETTINGS, labels_of, read_requests, reported, silenced

Make = Callable[..., Any]

RECORDED = Path(__file__).parent / "recorded"
CONFIGURATION = (RECORDED / "configuration.json").read_text(encoding="utf-8")
RECORDINGS = ("requests.bin", "pending.bin")


def make(product: Make, configuration: str = CONFIGURATION, **settings: Any) -> Any:
    """A processor that targets as the application's code does."""
    made = product(**SETTINGS, **settings)
    made.write(configuration)
    return made


def replay(made: Any, requests: list[bytes]) -> Iterator[Any]:
    """Send the requests in their order; all spans leave."""
    count = 0
    for body in requests:
        left = made.deliver(body)
        count += len(left)
        yield from left
    assert count == made.pipeline.accepted


@pytest.mark.parametrize("recording", RECORDINGS)
def test_what_we_compute_is_what_the_sdk_reported(recording: str, product: Make) -> None:
    """S19 to S21: without the SDK's labels, each span leaves with those that it had, and the resolve spans' own."""
    requests = read_requests(RECORDED / recording)
    wanted = {span_id: labels for body in requests for span_id, labels in reported(body).items()}
    computed = {}
    for each in replay(make(product), [silenced(body) for body in requests]):
        computed[each.span.span_id] = labels_of(each.span)
        assert [f"logfire.variables.{name}" for name in sorted(computed[each.span.span_id])] == each.derived
    missing = {
        name: label for span_id, labels in wanted.items() for name, label in labels.items() - computed[span_id].items()
    }
    assert {} == missing


@pytest.mark.parametrize("recording", RECORDINGS)
def test_what_the_sdk_reported_stays(recording: str, product: Make) -> None:
    """S19.1: with the SDK's labels every span keeps what it had, and resolve spans say theirs as an attribute."""
    requests = read_requests(RECORDED / recording)
    wanted = {span_id: labels for body in requests for span_id, labels in reported(body).items()}
    for each in replay(make(product), requests):
        found = labels_of(each.span)
        assert wanted[each.span.span_id].items() <= found.items()
        assert {"billing_config", "greeting", "support_agent_config"} == set(found)
        assert {name.removeprefix("logfire.variables.") for name in each.derived} == set(found) - set(
            wanted[each.span.span_id]
        )


@pytest.mark.parametrize("recording", RECORDINGS)
def test_the_same_configuration_is_no_drift(recording: str, product: Make) -> None:
    """S23: none of the SDK's resolve spans says anything but what we would have said."""
    made = make(product)
    assert 100 < len(list(replay(made, read_requests(RECORDED / recording))))
    assert {} == made.status()["drifted"]


def test_another_configuration_is(product: Make) -> None:
    """S23: where our labels have other versions, every resolve span that had a label is drift."""
    other = json.loads(CONFIGURATION)
    other["variables"]["support_agent_config"]["labels"]["premium"]["version"] = 6
    made = make(product, json.dumps(other))
    left = list(replay(made, read_requests(RECORDED / "requests.bin")))
    resolved = [each for each in left if (each.get("name"), each.get("label")) == ("support_agent_config", "premium")]
    assert {"support_agent_config": len(resolved)} == made.status()["drifted"]
    assert resolved


def test_pending_twins_and_their_spans_agree(product: Make) -> None:
    """S5: a pending span of the real SDK leaves with the labels that its real span leaves with later."""
    requests = [silenced(body) for body in read_requests(RECORDED / "pending.bin")]
    left = list(replay(make(product), requests))
    labels = {each.span.span_id: labels_of(each.span) for each in left}
    twins = [each.span for each in left if each.get("logfire.span_type") == "pending_span"]
    assert 21 <= len(twins)
    for twin in twins:
        assert labels[twin.parent_span_id] == labels[twin.span_id]


def test_the_recordings_say_something() -> None:
    """All labels occur, so do the code default and no user id, and a user id and an organisation that target
    differently.
    """
    for recording in RECORDINGS:
        found = [labels for body in read_requests(RECORDED / recording) for labels in reported(body).values()]
        seen = {(name, label[0]) for labels in found for name, label in labels.items()}
        wanted = {
            "billing_config": {"invoice", "prepaid", "<code_default>"},
            "greeting": {"formal", "short", "<code_default>"},
            "support_agent_config": {"standard", "premium", "beta", "<code_default>"},
        }
        assert {(name, label) for name, labels in wanted.items() for label in labels} == seen
