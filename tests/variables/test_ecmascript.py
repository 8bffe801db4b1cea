"""JavaScript's patterns; the answers are those of Node 20's `RegExp` with the flag `u`."""

from __future__ import annotations

import pytest

from processor.variables.patterns import Searcher
from processor.variables.variables import EvaluationError, Failure


def _find(pattern: str, text: str) -> bool:
    return Searcher().search(pattern, text, "nodejs")


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        (r"a$", ["ba"], ["a\n", "ab"]),
        (r"^a", ["ab"], ["b\na"]),
        (r"^.$", ["a", "😀", "\x85"], ["\n", "\r", "\u2028", "ab", ""]),
        (r"\d", ["7"], ["١", "a"]),
        (r"^\D$", ["١"], ["7"]),
        (r"^\w$", ["_", "a", "9"], ["é", "ſ"]),
        (r"^\W$", ["é"], ["a"]),
        (r"^\s$", ["\ufeff", "\u00a0", "\u2029", "\t"], ["\x1c", "\x85", "a"]),
        (r"^\S$", ["\x85"], ["\ufeff"]),
        (r"\bé", ["aé"], ["é", " é"]),
        (r"^\B.", ["é"], ["a"]),
        (r"^[\W_]$", ["_", "é"], ["a"]),
        (r"^[^\W\d]$", ["a"], ["1", "é"]),
        (r"^[^\s-]$", ["x"], ["-", " "]),
        (r"^[a&&b]$", ["&", "a", "b"], ["c"]),
        (r"^[!--b]$", ["#", "-", "b"], ["."]),
        (r"^[[a]$", ["[", "a"], ["b"]),
        (r"^[\]\\\-a-c]$", ["]", "\\", "-", "b"], ["d"]),
        (r"^[\b]$", ["\x08"], ["b"]),
        (r"a[]", [], ["a", ""]),
        (r"^[^]$", ["\n", "😀"], [""]),
        (r"^\x41\u0042\u{43}$", ["ABC"], ["abc"]),
        (r"^\uD83D\uDE00$", ["😀"], ["x"]),
        (r"^\cA\0\t\/\.$", ["\x01\x00\t/."], ["x"]),
        (r"^(?<year>\d{4})-(?:0[1-9]|1[0-2])$", ["2026-11"], ["2026-13"]),
        (r"^a{2}b{1,}c{0,1}?$", ["aab", "aabbc"], ["ab"]),
        (r"(?<=\$)\d+(?!\d|€)", ["$5"], ["5", "$5€"]),
        (r"(?<!a+)b", ["cb"], ["aab"]),
        (r"^\p{Lu}\P{L}[\p{L}\d]$", ["É-x", "A-1"], ["e-x"]),
        (r"^\p{Script=Greek}+$", ["αβ"], ["ab"]),
        (r"@acme\.com$", ["a@acme.com"], ["a@acme.com.evil"]),
    ],
)  # fmt: skip
def test_finds_what_javascript_finds(pattern: str, found: list[str], not_found: list[str]) -> None:
    """S19: a pattern of JavaScript's own kind finds there and here the same."""
    assert [] == [text for text in found if not _find(pattern, text)]
    assert [] == [text for text in not_found if _find(pattern, text)]


@pytest.mark.parametrize(
    "pattern",
    [
        "(", ")", "*", "a**", "a*+", "^*", "|+", "(?:+)", "{", "}", "]", "a{,2}", "a{1", "[", "[a", "[z-a]", "[a--b]",
        r"[\d-z]", "(?i)a", "(?P<n>a)", "(?>a)", "(?i:a)", r"\Z", r"\A", r"\a", r"\_", r"\-", r"\x4", r"\u{110000}",
        r"\p{Nope}", r"\p", "(?=a)*",
        r"\1", r"(a)\1", r"(?<n>a)\k<n>", r"\c1", r"\08", "\\", r"[\q]", "(?#x)", "(?<n", "a{2}{3}",
    ],
)  # fmt: skip
def test_refuses_what_javascript_refuses(pattern: str) -> None:
    """What is no pattern with the flag `u`, and a back-reference, cannot be evaluated."""
    with pytest.raises(EvaluationError) as caught:
        _find(pattern, "a")
    assert Failure.BAD_PATTERN is caught.value.failure
