"""Draws and buckets of both languages."""

from __future__ import annotations

import math
import string
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processor.variables.bucketing import Rollout, draw, lay_out, pick
from processor.variables.variables import EvaluationError, Failure, Language

_LANGUAGES: tuple[Language, ...] = ("python", "nodejs")


def _pick(rollout: Rollout, language: Language, drawn: float) -> str | None:
    return pick(language, rollout.buckets(language), drawn)


@settings(deadline=None, max_examples=100)
@given(st.text(string.ascii_letters, min_size=1), st.text(st.characters(codec=None)), st.sampled_from(_LANGUAGES))
def test_a_draw_is_determined(name: str, key: str, language: Language) -> None:
    """One variable and key have one draw, in [0, 1), whatever characters the key has."""
    first = draw(language, name, key)
    assert first == draw(language, name, key)
    assert 0 <= first < 1


@pytest.mark.parametrize("language", _LANGUAGES)
def test_shares_follow_the_weights(language: Language) -> None:
    """Over 100,000 keys each label gets its share within five standard deviations."""
    weights = {"a": 0.5, "b": 0.3, "c": 0.05}
    rollout = lay_out(weights)
    total = 100_000
    counts = Counter(_pick(rollout, language, draw(language, "flag", f"user-{at}")) for at in range(total))
    for label, share in (*weights.items(), (None, 0.15)):
        assert abs(counts[label] - share * total) < 5 * math.sqrt(total * share * (1 - share))


@pytest.mark.parametrize("language", _LANGUAGES)
def test_growing_the_first_label_keeps_its_keys(language: Language) -> None:
    """Raising the first label's weight never takes a key away from it."""
    small, large = lay_out({"on": 0.2}), lay_out({"on": 0.6})
    draws = [draw(language, "flag", f"user-{at}") for at in range(2_000)]
    assert all(_pick(large, language, drawn) == "on" for drawn in draws if _pick(small, language, drawn) == "on")


def test_variables_are_drawn_apart() -> None:
    """Two variables put the same keys into different buckets."""
    same = [(draw("python", "one", str(at)) < 0.5) == (draw("python", "two", str(at)) < 0.5) for at in range(1_000)]
    assert 400 < sum(same) < 600


def test_what_is_left_of_one_is_no_label() -> None:
    """The rest of the weights is a last bucket without a label."""
    rollout = lay_out({"on": 0.25})
    assert ("on", None) == (_pick(rollout, "python", 0.2), _pick(rollout, "python", 0.3))
    assert ("on", None) == (_pick(rollout, "nodejs", 0.2), _pick(rollout, "nodejs", 0.25))


def test_the_last_bucket_catches_the_rest() -> None:
    """A sum a little over 1 is scaled in Python's way, and not in JavaScript's."""
    rollout = lay_out({"a": 0.5, "b": 0.5000000005})
    assert ("a", "b") == (_pick(rollout, "python", 0.4999999997), _pick(rollout, "python", 0.4999999999))
    assert ("a", "b") == (_pick(rollout, "nodejs", 0.4999999999), _pick(rollout, "nodejs", 0.5))


def test_a_weight_of_zero_is_never_picked() -> None:
    """A draw of exactly 0 goes to the first label with a share."""
    rollout = lay_out({"a": 0.0, "b": 1.0})
    assert ("b", "b") == (_pick(rollout, "python", 0.0), _pick(rollout, "nodejs", 0.0))


@pytest.mark.parametrize("language", _LANGUAGES)
def test_nan_cannot_be_picked_from(language: Language) -> None:
    """A weight of NaN passes the SDK's validation and fails where a label is picked."""
    with pytest.raises(EvaluationError) as caught:
        _pick(lay_out({"a": float("nan"), "b": 0.5}), language, 0.1)
    assert Failure.BAD_WEIGHTS is caught.value.failure


def test_javascript_orders_numbers_first() -> None:
    """A JavaScript object has keys that are array indexes first, by number; Python keeps the order of the text."""
    rollout = lay_out({"b": 0.1, "10": 0.1, "9": 0.1, "01": 0.1, "4294967295": 0.1, "-1": 0.1})
    assert ("9", "10", "b", "01", "4294967295", "-1") == rollout.nodejs.labels
    assert ("b", "10", "9", "01", "4294967295", "-1", None) == rollout.python.labels


def test_ten_tenths_are_summed_from_left_to_right() -> None:
    """On every Python the sum is the plain one, which leaves a bucket of 1e-16."""
    assert 11 == len(lay_out({f"l{at}": 0.1 for at in range(10)}).python.labels)


def test_an_empty_rollout_has_no_buckets() -> None:
    """Without labels there is nothing to draw for."""
    assert ((), ()) == (lay_out({}).python.labels, lay_out({}).nodejs.labels)


@pytest.mark.parametrize(
    ("key", "drawn"),
    [  # as JavaScript's SDK hashed them, for lengths around its blocks of 16 bytes
        ("", 0x5C72C01AA09C9),
        ("a" * 14, 0xAB452F0CC4899),
        ("a" * 15, 0x15355E33E3EE6),
        ("a" * 16, 0xCCB6F03B6DCEB),
        ("a" * 31, 0x5C7C44549C6BF),
        ("ü€😀", 0xE8BB7CC31915B),
        ("\ud800", 0x5CEFF24E83454),
    ],
)
def test_javascript_draws(key: str, drawn: int) -> None:
    """MurmurHash3 over UTF-8, where a lone surrogate is U+FFFD: the first 13 hex digits."""
    assert drawn / 2**52 == draw("nodejs", "v", key)
