"""The keys under which spans say whose they are (S1): the contract's list, their order, other lists."""

from __future__ import annotations

import itertools

import pytest
from craft import request, span
from engine import Engine, Setup, by_name, default

USER_ID_KEYS = (
    "langfuse.user.id", "user.id", "langfuse_user_id", "enduser.id", "traceloop.association.properties.user_id", "ai.telemetry.metadata.userId",
    "lmnr.association.properties.user_id", "langsmith.metadata.user_id", "usr.id",
)  # fmt: skip
USER_ID_FALLBACK_KEYS = (
    "gen_ai.user.id",
    "gen_ai.user",
    "gen_ai.request.user",
    "llm.user",
    "enduser.pseudo.id",
    "posthog.distinct_id",
)
KINDS = {"user": "user.id", "session": "session.id"}


def inherited(attributes: dict[str, object], setup: Setup | None = None) -> dict[str, object]:
    """What a child gets of a root with these attributes."""
    return by_name(Engine(setup).deliver(request(span(1, 0, attributes), span(2, 1))))["span-1-2"]


def test_defaults() -> None:
    """S1: the default lists are the contract's."""
    assert USER_ID_KEYS == default("user_id_keys")
    assert USER_ID_FALLBACK_KEYS == default("user_id_fallback_keys")
    assert "gen_ai.conversation.id" in default("session_id_fallback_keys")
    assert {"langfuse.session.id", "session.id", "langfuse_session_id"} <= set(default("session_id_keys"))


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_alone(kind: str) -> None:
    """S1: each key of both lists gives the canonical key to the span itself, beside it, and to its child."""
    canonical = KINDS[kind]
    for key in default(f"{kind}_id_keys") + default(f"{kind}_id_fallback_keys"):
        left = by_name(Engine().deliver(request(span(1, 0, {key: "x"}), span(2, 1))))
        assert {"span-1-1": {key: "x", canonical: "x"}, "span-1-2": {canonical: "x"}} == left


@pytest.mark.parametrize("kind", KINDS)
def test_each_pair_of_keys(kind: str) -> None:
    """S1: of any two keys on a span the one that is earlier in the lists counts, strong before fallback, wherever it
    stands on the span.
    """
    canonical = KINDS[kind]
    ordered = default(f"{kind}_id_keys") + default(f"{kind}_id_fallback_keys")
    for first, second in itertools.combinations(ordered, 2):
        assert {canonical: "first"} == inherited({first: "first", second: "second"})
        assert {canonical: "first"} == inherited({second: "second", first: "first"})


@pytest.mark.parametrize("bad", ["", None, 5, "x" * 201])
def test_an_earlier_key_without_a_valid_value(bad: object) -> None:
    """S1: the first valid one counts."""
    for first, second in itertools.pairwise(USER_ID_KEYS + USER_ID_FALLBACK_KEYS):
        assert {"user.id": "second"} == inherited({first: bad, second: "second"})


def test_both_kinds_are_independent() -> None:
    """S1: a user id is no session id."""
    assert {"user.id": "u", "session.id": "s"} == inherited({"enduser.id": "u", "gen_ai.conversation.id": "s"})


@pytest.mark.parametrize(
    "key",
    [
        "User.Id",
        "user.id ",
        "user",
        "user.id.x",
        "langfuse.user.ids",
        "gen_ai.user.idx",
        "ai.telemetry.metadata.userid",
    ],
)
def test_keys_that_are_not_listed(key: str) -> None:
    """S1: keys are compared as they are."""
    assert {} == inherited({key: "u"})


CUSTOM = Setup(user=("app.user", "user.id"), user_fallback=("app.guess",), session=(), session_fallback=())


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({"app.user": "a", "user.id": "b"}, {"user.id": "a"}),
        ({"app.guess": "a"}, {"user.id": "a"}),
        ({"app.guess": "a", "user.id": "b"}, {"user.id": "b"}),
        ({"enduser.id": "a", "langfuse.session.id": "b"}, {}),
        ({"session.id": "s"}, {"session.id": "s"}),
    ],
)
def test_other_lists(attributes: dict[str, object], expected: dict[str, object]) -> None:
    """S1: the lists of the settings count; the canonical keys, which are written, are read in any case."""
    assert expected == inherited(attributes, CUSTOM)


def test_the_canonical_key_is_read_last_where_it_is_not_listed() -> None:
    """S1: a canonical key that the settings leave out comes after those that they name."""
    setup = Setup(user=("app.user",))
    assert {"user.id": "a"} == inherited({"user.id": "b", "app.user": "a"}, setup)
    assert {"user.id": "b"} == inherited({"user.id": "b"}, setup)


def test_one_key_for_two_things() -> None:
    """A key that is an alias and listed as baggage is both: it gives the user id, and is handed down itself."""
    assert {"user.id": "u", "enduser.id": "u"} == inherited({"enduser.id": "u"}, Setup(baggage=("enduser.id",)))


def test_canonical_keys_on_the_allow_list() -> None:
    """Listing a canonical key changes nothing for spans: it is carried as the user id, by its own rules."""
    setup = Setup(baggage=("user.id", "session.id"))
    assert {"user.id": "u", "session.id": "s"} == inherited(
        {"langfuse.user.id": "u", "user.id": "v", "session.id": "s"}, setup
    )
