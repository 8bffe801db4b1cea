"""Which values are carried, what happens to the others, and what is said about it (S6 to S8)."""

from __future__ import annotations

from typing import Any

import pytest
from craft import request, span
from engine import Engine, Setup, by_name

from processor.attributes.reading import Drop
from processor.attributes.validate import REASONS, describe, judge
from processor.wire.values import Opaque

ENVIRONMENT = b"langfuse.environment"
JUDGED = [
    (b"user.id", "u", ""),
    (b"user.id", "x" * 200, ""),
    (b"user.id", "x" * 201, "too_long"),
    (b"user.id", "😀" * 200, ""),
    (b"user.id", "😀" * 201, "too_long"),
    (b"user.id", "\u0000\n ü", ""),
    (b"user.id", " ", ""),
    (b"user.id", "", "absent"),
    (b"user.id", None, "absent"),
    (b"user.id", 0, "not_a_string"),
    (b"user.id", False, "not_a_string"),
    (b"user.id", 1.5, "not_a_string"),
    (b"user.id", b"", "not_a_string"),
    (b"user.id", (), "not_a_string"),
    (b"user.id", ("u",), "not_a_string"),
    (b"user.id", Opaque("kvlist"), "not_a_string"),
    (b"user.id", Opaque("invalid UTF-8"), "encoding"),
    (ENVIRONMENT, "prod", ""),
    (ENVIRONMENT, "a_b-9", ""),
    (ENVIRONMENT, "e" * 40, ""),
    (ENVIRONMENT, "e" * 41, "too_long"),
    (ENVIRONMENT, "Prod", "format"),
    (ENVIRONMENT, "prod.us", "format"),
    (ENVIRONMENT, "prod\n", "format"),
    (ENVIRONMENT, "\nprod", "format"),
    (ENVIRONMENT, "langfuse", "format"),
    (ENVIRONMENT, "langfuse-x", "format"),
    (ENVIRONMENT, "my-langfuse", ""),
    (ENVIRONMENT, "prodü", "format"),
    (ENVIRONMENT, "", "absent"),
    (ENVIRONMENT, 5, "not_a_string"),
]


@pytest.mark.parametrize(("key", "value", "verdict"), JUDGED)
def test_verdicts(key: bytes, value: object, verdict: str) -> None:
    """S6: 1 to 200 code points for any value; the environment's own length and pattern."""
    assert verdict == judge(key, value, 200)


def test_reasons_have_words() -> None:
    """S8: each reason that a value can be dropped for has a description."""
    assert {verdict for _, _, verdict in JUDGED} - {"", "absent"} == set(REASONS)


LISTED = Setup(baggage=("langfuse", "tenant"))


def run(attributes: Any, setup: Setup = LISTED) -> tuple[dict[str, Any], int, dict[str, Any], list[Drop]]:
    """A root with these attributes: what it has then, its drop count, what its child has, what was reported."""
    engine = Engine(setup)
    root, child = sorted(
        engine.deliver(request(span(1, 0, attributes), span(2, 1))), key=lambda each: each.span.span_id
    )
    return root.attributes, root.span.dropped_attributes_count, child.attributes, engine.pipeline.take_drops()


CUT = [
    "user.id",
    "session.id",
    "langfuse.user.id",
    "langfuse.session.id",
    "tenant",
    "langfuse.version",
    "langfuse.trace.metadata.x",
    "langfuse.trace.tags",
]
STAYS = ["langfuse_user_id", "enduser.id", "gen_ai.user.id", "llm.user", "gen_ai.conversation.id", "usr.session_id"]
INVALID = [
    (5, "not_a_string"),
    (True, "not_a_string"),
    (b"b", "not_a_string"),
    ({"a": 1}, "not_a_string"),
    ("x" * 201, "too_long"),
]


@pytest.mark.parametrize("key", CUT)
@pytest.mark.parametrize(("value", "reason"), INVALID, ids=lambda each: str(each)[:12])
def test_invalid_values_are_cut(key: str, value: object, reason: str) -> None:
    """S7: under a canonical, a Langfuse or a listed key an invalid value is cut, counted on the span and reported;
    the rest of the span stays.
    """
    attributes, dropped, below, drops = run({"a": "1", key: value, "b": "2"})
    assert ({"a": "1", "b": "2"}, 1, {}) == (attributes, dropped, below)
    assert [(key.encode(), reason)] == [(each.key, each.reason) for each in drops]


@pytest.mark.parametrize("key", STAYS)
@pytest.mark.parametrize(("value", "reason"), INVALID, ids=lambda each: str(each)[:12])
def test_invalid_aliases_stay(key: str, value: object, reason: str) -> None:
    """S7: under any other alias it is ignored and reported, and stays: another backend may need it."""
    attributes, dropped, below, drops = run({key: value})
    assert ({key: value}, 0, {}) == (attributes, dropped, below)
    assert [(key.encode(), reason)] == [(each.key, each.reason) for each in drops]


@pytest.mark.parametrize("key", [*CUT, *STAYS])
@pytest.mark.parametrize("value", ["", None])
def test_empty_values_are_silent(key: str, value: object) -> None:
    """S6: an empty value counts as absent: nothing is cut, counted or reported."""
    assert ({key: value}, 0, {}, []) == run({key: value})


def test_empty_values_give_way() -> None:
    """S11: an empty value of a key that is written is cut first, and not counted as dropped; other empty ones stay."""
    engine = Engine(LISTED)
    child = span(2, 1, {"user.id": "", "a": "", "tenant": None, "session.id": ""}, dropped_attributes_count=3)
    left = by_name(engine.deliver(request(span(1, 0, {"user.id": "u", "tenant": "t"}), child)))
    assert {"a": "", "session.id": "", "user.id": "u", "tenant": "t"} == left["span-1-2"]
    assert [] == engine.pipeline.take_drops()


def test_all_duplicates_of_a_cut_key_go() -> None:
    """S4, S7: of duplicate keys the last counts; where it is invalid all attributes of the key are cut, and each is
    counted.
    """
    assert ({"a": 1}, 3, {}) == run([("user.id", "u"), ("a", 1), ("user.id", 5), ("user.id", 6)])[:3]
    assert ({"user.id": "u"}, 0, {"user.id": "u"}) == run([("user.id", 5), ("user.id", "u")])[:3]


ITEMS = [
    (["a", 5, "b"], ["a", "b"], 0, ["not_a_string"]),
    (["x" * 201, "a"], ["a"], 0, ["too_long"]),
    (["a", ["b"], b"c", {"d": 1}], ["a"], 0, ["not_a_string"] * 3),
    (["a", "a"], ["a", "a"], 0, []),
    ([5], None, 1, ["not_a_string"]),
    ([5, 6], None, 1, ["not_a_string"] * 2),
]


@pytest.mark.parametrize("key", ["langfuse.trace.tags", "tenant", "langfuse.trace.metadata.x"])
@pytest.mark.parametrize(("items", "good", "dropped", "reasons"), ITEMS, ids=lambda each: str(each)[:12])
def test_arrays(key: str, items: list[object], good: list[str] | None, dropped: int, reasons: list[str]) -> None:
    """S6: an array is judged item by item: bad items go, each reported, the rest stay; without a good one the
    attribute is cut and counted.
    """
    attributes, count, below, drops = run({key: items})
    expected = {} if good is None else {key: good}
    assert (expected, dropped, expected) == (attributes, count, below)
    assert reasons == [each.reason for each in drops]


def test_items_of_the_environment() -> None:
    """S6: the environment's own rule holds for its items."""
    assert {"langfuse.environment": ["prod"]} == run({"langfuse.environment": ["prod", "Prod", "e" * 41]})[2]


def test_arrays_are_no_ids() -> None:
    """S6: a user id must be a string; an array is cut."""
    assert ({}, 1, {}) == run({"user.id": ["u"]})[:3]


def test_key_groups() -> None:
    """S8: what is reported is counted by key group."""
    drops = run([("enduser.id", 1), ("session.id", 2), ("tenant", 3), ("langfuse.trace.tags", [4])])[3]
    assert ["user_id", "session_id", "baggage", "baggage"] == [each.group for each in drops]


@pytest.mark.parametrize(
    ("value", "described"),
    [
        ("secret", ("string", 6)),
        (12345, ("int", 0)),
        (b"secret", ("bytes", 6)),
        (("a", "b"), ("array", 2)),
        (True, ("bool", 0)),
        (2.5, ("double", 0)),
    ],
)
def test_values_are_never_shown(value: object, described: tuple[str, int]) -> None:
    """S8: a warning has the value's type and length, never the value."""
    assert described == describe(value)
    drop = Drop("user_id", b"user.id", "too_long", value)
    shown = [getattr(drop, name) for name in ("group", "key", "length", "reason", "type")]
    assert value not in shown
    assert described == (drop.type, drop.length)


def test_reports_are_handed_over_once() -> None:
    """S8: drops are taken, not read; the same bytes again are the same drop again."""
    engine = Engine()
    for _ in range(3):
        engine.deliver(request(span(1, 0, {"user.id": 5})))
        assert [5 - 4] == [len(engine.pipeline.take_drops())]
    assert [] == engine.pipeline.take_drops()


def test_resources_are_reported_and_never_altered() -> None:
    """S3, S8: an invalid value of a resource is reported under its group, once for the resource as it is read, and
    the resource stays.
    """
    engine = Engine()
    left = engine.deliver(request(span(1), span(2, 1), resource={"user.id": 5}))
    assert [{}, {}] == [each.attributes for each in left]
    assert [("user_id", "not_a_string")] == [(each.group, each.reason) for each in engine.pipeline.take_drops()]
    assert all(b"user.id" in each.resource for each in left)


@pytest.mark.parametrize("length", [1, 5, 1000])
def test_other_lengths(length: int) -> None:
    """S6: the longest value is a setting; the environment's 40 are not."""
    setup = Setup(baggage=("langfuse",), max_length=length)
    assert {"user.id": "x" * length} == run({"user.id": "x" * length}, setup)[2]
    assert {} == run({"user.id": "x" * (length + 1)}, setup)[2]
