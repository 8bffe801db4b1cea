"""Which headers a list of names and beginnings covers."""

from __future__ import annotations

import pytest

from processor.header_names import NO_NAMES, RESERVED, HeaderNames, check_patterns


@pytest.mark.parametrize(
    ("name", "is_covered"),
    [
        ("authorization", True),
        ("authorization-2", False),
        ("x-langfuse-public-key", True),
        ("x-langfuse-", True),
        ("x-langfuse", False),
        ("x-lang-fuse", False),
        ("", False),
    ],
)
def test_names_and_beginnings(name: str, is_covered: bool) -> None:
    """S28: a name covers itself, a beginning with `*` every name that begins so."""
    assert is_covered == (name in HeaderNames(("authorization", "x-langfuse-*")))


@pytest.mark.parametrize("name", [*sorted(RESERVED), "grpc-timeout", "x-key-bin"])
def test_a_beginning_covers_no_header_of_the_protocol(name: str) -> None:
    """A beginning that a protocol's header has too leaves that one out."""
    assert name not in HeaderNames((f"{name[:1]}*",))


def test_nothing() -> None:
    """No patterns cover nothing, and say so."""
    assert not NO_NAMES
    assert "authorization" not in NO_NAMES
    assert HeaderNames(("x-*",))


def test_patterns_are_in_lower_case() -> None:
    """Names are taken in any case, as HTTP's are."""
    assert ("authorization", "x-langfuse-*") == check_patterns(("Authorization", "X-Langfuse-*"))


@pytest.mark.parametrize(
    "pattern", ["", "*", "a b", "a*b", "name=value", "häder", *sorted(RESERVED), "grpc-*", "a-bin"]
)
def test_bad_patterns(pattern: str) -> None:
    """What can be no header of a sender's own is refused by name."""
    with pytest.raises(ValueError, match="; list names such as authorization or x-langfuse-"):
        check_patterns(("authorization", pattern))
