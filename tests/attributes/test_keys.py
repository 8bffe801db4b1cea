"""The allow-list (words of the contract): exact keys, prefixes, the word `langfuse`."""

from __future__ import annotations

import pytest
from craft import request, span
from engine import Engine, Setup, by_name

from processor.attributes.keys import expand_baggage

LANGFUSE = (
    "langfuse.trace.name",
    "langfuse.trace.tags",
    "langfuse.trace.metadata.*",
    "langfuse.version",
    "langfuse.environment",
)


@pytest.mark.parametrize(
    ("names", "expanded"),
    [
        ((), ()),
        (("langfuse",), LANGFUSE),
        (("a", "langfuse", "b.*"), ("a", *LANGFUSE, "b.*")),
        (("langfuse", "langfuse.version", "langfuse"), LANGFUSE),
        (("a", "a"), ("a",)),
    ],
)
def test_the_word_langfuse(names: tuple[str, ...], expanded: tuple[str, ...]) -> None:
    """interface: `langfuse` stands for five keys, each once."""
    assert expanded == expand_baggage(names)


def carried(baggage: tuple[str, ...], attributes: dict[str, object]) -> dict[str, object]:
    """What a child inherits."""
    return by_name(Engine(Setup(baggage=baggage)).deliver(request(span(1, 0, attributes), span(2, 1))))["span-1-2"]


@pytest.mark.parametrize(
    "key",
    ["a", "app.tenant", "langfuse.version", "x" * 126, "x" * 127, "x" * 128, "x" * 129, "x" * 300, "ü", "a b", "*"],
)
def test_exact_keys(key: str) -> None:
    """A listed key is carried, and none that only looks like it."""
    if key != "*":
        assert {key: "v"} == carried((key,), {key: "v", key + "x": "w", key[:-1] + "_": "w", "z" + key: "w"})
    assert {} == carried(("other",), {key: "v"})


@pytest.mark.parametrize("prefix", ["a.", "app.", "x", "p" * 100, "p" * 126, "p" * 127, "p" * 200])
def test_prefixes(prefix: str) -> None:
    """`*` at the end takes every key with that beginning."""
    keys = {prefix + rest: "v" for rest in ("a", "ab", "é", "a.b.c", "l" * 30)}
    assert keys == carried((prefix + "*",), {**keys, prefix[:-1] + "_": "w", "z" + prefix + "a": "w"})


def test_overlapping_entries() -> None:
    """A key that several entries name is carried once."""
    assert {"a.b": "v", "a.c": "w"} == carried(("a.*", "a.b", "a.b*"), {"a.b": "v", "a.c": "w"})


def test_everything() -> None:
    """`*` alone carries every string of a span; what is no string is then an invalid value of a listed key (S7)."""
    assert {"a": "v", "user.id": "u"} == carried(("*",), {"a": "v", "user.id": "u", "n": 5})
