"""Which key a variable is targeted by (S20), and where its value comes from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from craft import span

Make = Callable[..., Any]

# Ten users are told apart by ten draws: that all agree by chance is one in a thousand.
USERS = [f"user{number}" for number in range(1, 11)]


def test_the_default_key(product: Make, variable: Make, drawn: Make) -> None:
    """S20: without more, the user id targets, by whichever alias the span says it."""
    made = product(variable("a"))
    for key in ("user.id", "langfuse.user.id", "enduser.id", "gen_ai.user.id"):
        assert [drawn("a", user) for user in USERS] == [made.label({key: user}) for user in USERS]


def test_another_default_key(product: Make, variable: Make, drawn: Make) -> None:
    """S20, S21: TARGETING_KEY names any attribute; it goes down to the spans below, unwritten."""
    made = product(variable("a"), targeting_key="org.id")
    for number, user in enumerate(USERS, start=1):
        left = made.send(span(1, 0, {"org.id": user, "user.id": "other"}, trace=number), span(2, 1, trace=number))
        assert [drawn("a", user)] * 2 == [each.labels["a"] for each in left]
        assert "org.id" not in left[1]


def test_variable_specific_beats_default_whatever_the_nesting(product: Make, variable: Make, drawn: Make) -> None:
    """S20: TARGETING_KEYS beats TARGETING_KEY, whether the one is said above or below the other."""
    made = product(variable("a"), variable("b"), targeting_keys="b:org.id")
    for number, (user, org) in enumerate(zip(USERS, reversed(USERS), strict=True), start=1):
        said = ({"user.id": user}, {"org.id": org})
        for trace, (outer, inner) in enumerate((said, said[::-1])):
            left = made.send(span(1, 0, outer, trace=2 * number + trace), span(2, 1, inner, trace=2 * number + trace))
            assert drawn("a", user) == left[1].labels["a"]
            assert drawn("b", org) == left[1].labels["b"]


def test_the_default_stands_in_for_a_specific_key(product: Make, variable: Make, drawn: Make) -> None:
    """S20: where nobody has said the variable's own key, the default one counts."""
    made = product(variable("b"), targeting_keys="b:org.id")
    assert [drawn("b", user) for user in USERS] == [made.label({"user.id": user}, "b") for user in USERS]


def test_the_trace_id_comes_last(product: Make, variable: Make, drawn: Make) -> None:
    """S20: without a key the trace id targets, as `trace_id:` and 32 lower-case hex digits; a whole trace alike."""
    made = product(variable("a"))
    for number in range(0xAB00, 0xAB0A):
        left = made.send(span(1, trace=number), span(2, 1, trace=number))
        assert [drawn("a", f"trace_id:{number:032x}")] * 2 == [each.labels["a"] for each in left]


def test_without_the_fallback_nothing_is_written(product: Make, variable: Make, drawn: Make) -> None:
    """S20: with TRACE_ID_FALLBACK off, a span without a targeting key stays without a label."""
    made = product(variable("a"), trace_id_fallback=False)
    left = made.send(span(1), span(2, 1, {"user.id": "user1"}))
    assert [{}, drawn("a", "user1")] == [dict(left[0]), left[1].labels["a"]]
    assert {"a": 1} == made.status()["written"]


@pytest.mark.parametrize("value", ["", 5, True, None, ["user1"], {"user1": "x"}, b"user1", 1.5])
def test_only_text_is_a_key(value: Any, product: Make, variable: Make, drawn: Make) -> None:
    """S20: the SDK would seed 123 and "123" differently, so what is no text, or empty, leaves the turn to the next."""
    made = product(variable("e"), targeting_key="org.id")
    (left,) = made.send(span(1, 0, {"org.id": value}))
    assert drawn("e", f"trace_id:{1:032x}") == left.labels["e"]
    made = product(variable("e"), targeting_keys="e:org.id")
    assert drawn("e", "user1") == made.label({"org.id": value, "user.id": "user1"}, "e")


def test_a_key_has_its_characters(product: Make, variable: Make, drawn: Make) -> None:
    """S20: quotes, backslashes and other alphabets are seeded as Python writes them."""
    made = product(variable("a"))
    for key in ("o'brien", 'say "x"', "both ' and \"", "back\\slash", "tab\t", "用户", "\u200bzw", "x" * 200):
        assert drawn("a", key) == made.label({"user.id": key})


def test_an_invalid_user_id_targets_nothing(product: Make, variable: Make, drawn: Make) -> None:
    """S6, S20: a user id that counts as absent does not target either; the ancestor's does."""
    made = product(variable("e"))
    left = made.send(span(1, 0, {"user.id": "user1"}), span(2, 1, {"user.id": "x" * 201}))
    assert [drawn("e", "user1")] * 2 == [each.labels["e"] for each in left]
    assert drawn("e", f"trace_id:{2:032x}") == made.send(span(1, 0, {"user.id": "x" * 201}, trace=2))[0].labels["e"]


@pytest.mark.parametrize("baggage", [(), ("langfuse",), ("user.*",)])
def test_keys_that_only_a_root_completes_change_nothing(
    baggage: tuple[str, ...], product: Make, variable: Make, drawn: Make
) -> None:
    """S6, S14, S21: also with `*` keys, a user id is validated and never carried for evaluation instead."""
    made = product(variable("a"), baggage_keys=",".join(baggage))
    spans = [
        span(1, 0, {"user.id": "user3"}),
        span(2, 1, {"user.id": "x" * 201}),
        span(3, 1, {"user.id": ""}),
        span(4, 2),
    ]
    left = made.send(*spans)
    assert ["user3"] * 4 == [each["user.id"] for each in left]
    assert [drawn("a", "user3")] * 4 == [each.labels["a"] for each in left]


# ---- the resource


def test_the_resource_targets(product: Make, variable: Make, drawn: Make) -> None:
    """S3, S20: a resource's user id, and any other attribute of it, targets where no span on the chain has one."""
    for key, setting in (("user.id", "user.id"), ("enduser.id", "user.id"), ("service.name", "service.name")):
        made = product(variable("a"), targeting_key=setting)
        assert [drawn("a", user) for user in USERS] == [made.label(resource={key: user}) for user in USERS]
        above = [made.label({setting: user}, resource={key: "other"}) for user in USERS]
        assert [drawn("a", user) for user in USERS] == above


@pytest.mark.parametrize("invalid", ["x" * 201, 5])
def test_an_invalid_user_id_of_a_resource_does_not(invalid: Any, product: Make, variable: Make) -> None:
    """S3: an invalid value of a resource is ignored, for targeting as well."""
    made = product(variable("a"), trace_id_fallback=False, baggage_keys="org.id", targeting_keys="a:org.id")
    assert made.label(resource={"user.id": invalid, "org.id": invalid}) is None


def test_the_switch_is_about_conditions(product: Make, variable: Make, drawn: Make) -> None:
    """S20, S21: leaving resource and baggage out of the conditions' context leaves targeting as it is."""
    made = product(variable("a"), include_resource_attributes_in_context=False, include_baggage_in_context=False)
    wanted = [drawn("a", user) for user in USERS]
    assert wanted == [made.label(resource={"user.id": user}) for user in USERS]
    assert wanted == [made.label({"user.id": user}) for user in USERS]
