"""Searching without stalling."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from processor.variables.backtracking import Bound, bound_of
from processor.variables.patterns import MAX_PATTERN, MAX_TEXT, Searcher
from processor.variables.variables import EvaluationError, Failure, Language

_CATASTROPHE = (r"^(a|aa)+$", "a" * 60 + "!")


def _failure(searcher: Searcher, pattern: str, text: str, language: Language = "python") -> Failure:
    with pytest.raises(EvaluationError) as caught:
        searcher.search(pattern, text, language)
    return caught.value.failure


class _Clock:
    """A clock that goes on by itself at each look by `step_s`."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.mark.parametrize("pattern", [r"(a+)+$", r"(a|aa)+$", r"(a*)*b", r"(.*a){20}$", r"^([a-zA-Z]+)*$", r"(x+x+)+y"])
@pytest.mark.parametrize("language", ["python", "nodejs"])
def test_a_catastrophic_pattern_is_over_in_time(pattern: str, language: Language) -> None:
    """S24: patterns that would keep `re` busy for years end within the bound, with an answer or without."""
    searcher = Searcher()
    searcher.prepare(pattern, language)
    start_s = time.thread_time()
    try:
        found: object = searcher.search(pattern, "a" * 50 + "!", language)
    except EvaluationError as error:
        found = error.failure
    assert found in (False, Failure.SLOW_PATTERN)
    assert time.thread_time() - start_s < 0.1


def test_a_slow_search_is_stopped() -> None:
    """A search over its time is left out, with its reason."""
    assert Failure.SLOW_PATTERN is _failure(Searcher(), *_CATASTROPHE)


def test_slow_searches_have_a_budget() -> None:
    """When the time for slow searches is spent, a pattern that was slow fails at once, and is tried again later."""
    clock = _Clock()
    searcher = Searcher(clock)
    clock.step_s = 0.006
    failures = [_failure(searcher, *_CATASTROPHE) for _ in range(6)]
    assert [Failure.SLOW_PATTERN] * 4 + [Failure.SUSPENDED_PATTERN] * 2 == failures
    clock.step_s = 0.0
    clock.now_s += 2.0
    assert Failure.SLOW_PATTERN is _failure(searcher, *_CATASTROPHE)


def test_the_budget_of_one_pattern_is_not_another_ones() -> None:
    """A pattern that never was slow is searched for although others have spent the time."""
    clock = _Clock()
    searcher = Searcher(clock)
    clock.step_s = 0.006
    for _ in range(6):
        _failure(searcher, *_CATASTROPHE)
    clock.step_s = 0.0
    assert searcher.search(r"^(b|bb)+$", "bbb", "python")


def test_many_slow_patterns_share_the_budget() -> None:
    """However many patterns are slow, together they take the budget twice at the most before all of them wait."""
    clock = _Clock()
    searcher = Searcher(clock)
    clock.step_s = 0.006
    text = _CATASTROPHE[1]
    failures = [_failure(searcher, f"^(a|aa)+{'b' * at}$", text) for at in range(12)]
    assert 8 == failures.count(Failure.SLOW_PATTERN)
    assert 4 == failures.count(Failure.SUSPENDED_PATTERN)


def test_a_long_text_is_not_searched_at_risk() -> None:
    """A text over the limit is searched only where `re` is short for certain."""
    text = "a" * (MAX_TEXT + 1)
    assert Failure.LONG_VALUE is _failure(Searcher(), "a+b", text)
    assert Failure.LONG_VALUE is _failure(Searcher(), "a", text, "nodejs")
    assert Searcher().search("^", text, "python")


@pytest.mark.parametrize(
    "pattern", ["(", "a" * (MAX_PATTERN + 1), "(" * 2_000 + ")" * 2_000, r"\p{L}", "a{99999999999}", "*"]
)
def test_a_broken_pattern_is_told(pattern: str) -> None:
    """What `re` does not compile cannot be evaluated, each time it is asked for."""
    searcher = Searcher()
    searcher.prepare(pattern, "python")
    assert Failure.BAD_PATTERN is _failure(searcher, pattern, "x")
    assert Failure.BAD_PATTERN is _failure(searcher, pattern, "x")


# Patterns that run on the `regex` package for their bound, and texts: both engines must agree.
_RISKY = [
    r"(?:a|bb?)*x{e}$",
    r"(?:a|bb?)*[[:alpha:]]",
    r"(?:a|bb?)*[]x]$",
    r"(?:a|bb?)*[^][]$",
    r"(?:a|bb?)*\{",
    r"(?:a|bb?)*x{}",
    r"(?:a|bb?)*\N{DIGIT ONE}",
    r"(?:a|bb?)*[\[]",
    r"(?:a|bb?)*b{,2}$",
    r"(?i)(?:a|ÉÉ?)*k$",
    r"(?:a|bb?)*\b$",
    r"(?:a|bb?)*\B",
    r"(?s)(?:a|.)*\n$",
    r"(?m)^(?:a|bb?)*$",
    r"(?:a|bb?)*(?P<n>x)(?P=n)",
    r"(?x) (?: a | bb? )* [x{] # [",
    r"(?:\w\s?)*!$",
]
_TEXTS = [
    "",
    "a",
    "ab",
    "x",
    "xx",
    "x{e}",
    "[",
    "]",
    ":]",
    "{",
    "x{}",
    "1",
    "bbb",
    "É",
    "é",
    "K",
    "a\n",
    "\n",
    "a b!",
    "p]",
]


@pytest.mark.parametrize("pattern", _RISKY)
@pytest.mark.filterwarnings("ignore:Possible nested set")
def test_the_timed_engine_reads_patterns_as_re_does(pattern: str) -> None:
    """A pattern at risk finds what `re` finds, in spite of the other engine's own syntax."""
    searcher = Searcher()
    compiled = re.compile(pattern)
    assert bound_of(pattern).steps(1) == float("inf")
    assert [compiled.search(text) is not None for text in _TEXTS] == [
        searcher.search(pattern, text, "python") for text in _TEXTS
    ]


def _bounds() -> Iterator[tuple[str, Bound]]:
    yield r"abc", Bound(5.0, 1)
    yield r"^a+$", Bound(8.0, 2)
    yield r"(?:a|bc)c", Bound(10.0, 1)
    yield r"a?b?", Bound(52.0, 1)


@pytest.mark.parametrize(("pattern", "degree"), [(p, b.degree) for p, b in _bounds()] + [(r"a*b*c*", 4), (r"(.)\1", 2)])
def test_the_bound_grows_with_each_open_repetition(pattern: str, degree: int) -> None:
    """Each unbounded repetition multiplies the steps by the length once more."""
    assert degree == bound_of(pattern).degree


@pytest.mark.parametrize("pattern", [r"(a+)+", r"(?:a|ab)+", r"(a?){50}", r"((a*)*)*", r"(?:a|aa){9}", r"(?:a*){2,}"])
def test_a_repeated_choice_has_no_bound(pattern: str) -> None:
    """A repetition of what can itself go several ways may take forever."""
    assert float("inf") == bound_of(pattern).steps(10)


@pytest.mark.parametrize(
    "pattern",
    [
        r"a{2,5}",
        r"(?:ab){0,2000}",
        r"(?=a+)b",
        r"(?<!a)b",
        r"(a)?(?(1)b|c)",
        r"(?>a|ab)c",
        r"a++",
        r"(?i:[a-z])?",
        r"(?:a|b){2,3}",
    ],
)
def test_everything_else_has_one(pattern: str) -> None:
    """Bounded repetitions, assertions, conditionals and atomic groups have a bound."""
    assert 0 < bound_of(pattern).steps(100) < float("inf")
