"""Searching text for patterns that a configuration brought, without ever stalling whoever waits.

Python's `re` cannot be stopped, and a careless pattern keeps it busy for years. So a search runs on `re` only where
`backtracking.py` proves it short; else on the `regex` package, which speaks the same language and takes a timeout.
JavaScript's patterns always run there (`ecmascript.py`). Slow searches draw on a budget of time; when it is spent,
patterns that were slow before fail at once until time has refilled it, so that no attribute value can take more than a
share of the loop.

`regex` has its own Unicode table. Compared with `re` on 31,000 random patterns and 29 texts each, they differed in
`\\B` on an empty text alone. A `Searcher` belongs to one evaluator, and like it to one thread at a time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from processor.variables.backtracking import Bound, bound_of
from processor.variables.ecmascript import translate
from processor.variables.variables import EvaluationError, Failure, Language

# Characters. `regex` looks at its timeout only between steps; its longest single step, a scan for a letter without
# regard to case, takes 0.2 ms for a text of this length.
MAX_TEXT = 65_536
# Characters. Compiling takes 10 µs a character at the worst.
MAX_PATTERN = 4_096
# `re` takes at most 3.4 ns a step on 6,000 patterns made to be slow, so 0.9 ms for this many.
_MAX_STEPS = 250_000
# Characters, as most attributes have at the most: what `prepare` prepares for.
_USUAL_TEXT = 200
_TIMEOUT_S = 0.005
_SLOW_S = 0.001
# Searches that take longer than _SLOW_S may take this much at once, and this share of the time in the long run.
_BUDGET_S = 0.02
_BUDGET_SHARE = 0.02

# An escape with what belongs to it, a quantifier, a whole set, or a lone brace.
_TOKEN = re.compile(r"\\N\{[^}]*\}|\\.|\{(?:[0-9]+(?:,[0-9]*)?|,[0-9]*)\}|\[\^?\]?(?:\\.|[^\]\\])*\]|\{", re.DOTALL)
_IN_SET = re.compile(r"\\.|\[", re.DOTALL)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Direct:
    """A pattern as `re` runs it, and how long that may take."""

    pattern: re.Pattern[str]
    bound: Bound


class Searcher:
    """Searches, compiles each pattern once, and keeps the budget of time.

    `clock`: monotonic seconds.
    """

    __slots__ = ("_budget_s", "_clock", "_direct", "_slow", "_timed", "_told_s")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._direct: dict[str, _Direct | EvaluationError] = {}
        self._timed: dict[tuple[str, Language], Any] = {}
        self._slow: set[tuple[str, Language]] = set()
        self._budget_s = _BUDGET_S
        self._told_s = clock()

    def prepare(self, pattern: str, language: Language) -> None:
        """Compile now what a usual search will need; a broken pattern fails only when it is searched for."""
        if language == "nodejs":
            self._timed_form(pattern, language)
            return
        direct = self._direct_form(pattern)
        if isinstance(direct, _Direct) and direct.bound.steps(_USUAL_TEXT) > _MAX_STEPS:
            self._timed_form(pattern, language)

    def search(self, pattern: str, text: str, language: Language) -> bool:
        """Whether `pattern` is found anywhere in `text`. Raises `EvaluationError`."""
        if language == "python":
            direct = self._direct_form(pattern)
            if isinstance(direct, EvaluationError):
                raise EvaluationError(direct.failure, str(direct))
            # On an empty text nothing can be slow, and `\\B` is the one thing that the engines see differently there.
            if not text or direct.bound.steps(len(text)) <= _MAX_STEPS:
                return direct.pattern.search(text) is not None
        if len(text) > MAX_TEXT:
            detail = f"a text of {len(text)} characters; at most {MAX_TEXT} are searched"
            raise EvaluationError(Failure.LONG_VALUE, detail)
        return self._search_timed(pattern, text, language)

    def _direct_form(self, pattern: str) -> _Direct | EvaluationError:
        found = self._direct.get(pattern)
        if found is None:
            found = self._direct[pattern] = _compile(lambda: _Direct(re.compile(pattern), bound_of(pattern)), pattern)
        return found

    def _timed_form(self, pattern: str, language: Language) -> Any:
        key = (pattern, language)
        if key not in self._timed:
            self._timed[key] = _compile(lambda: _compile_timed(pattern, language), pattern)
        return self._timed[key]

    def _search_timed(self, pattern: str, text: str, language: Language) -> bool:
        timed = self._timed_form(pattern, language)
        if isinstance(timed, EvaluationError):
            raise EvaluationError(timed.failure, str(timed))
        key = (pattern, language)
        start_s = self._clock()
        self._refill(start_s)
        # A pattern that never was slow is still tried on credit: another one's slowness is not its fault.
        if self._budget_s <= (0.0 if key in self._slow else -_BUDGET_S):
            raise EvaluationError(Failure.SUSPENDED_PATTERN, "searches took too long; not tried again for a while")
        try:
            return timed.search(text, timeout=_TIMEOUT_S) is not None
        except TimeoutError:
            detail = f"the search was stopped after {_TIMEOUT_S * 1000:g} ms"
            raise EvaluationError(Failure.SLOW_PATTERN, detail) from None
        finally:
            self._charge(self._clock() - start_s, key)

    def _refill(self, now_s: float) -> None:
        self._budget_s = min(_BUDGET_S, self._budget_s + (now_s - self._told_s) * _BUDGET_SHARE)
        self._told_s = now_s

    def _charge(self, spent_s: float, key: tuple[str, Language]) -> None:
        if spent_s >= _SLOW_S:
            self._slow.add(key)
            self._budget_s -= spent_s


def _compile(make: Callable[[], _T], pattern: str) -> _T | EvaluationError:
    """What `make` makes of the pattern, or why it cannot; never raises, whatever the pattern."""
    if len(pattern) > MAX_PATTERN:
        detail = f"a pattern of {len(pattern)} characters; at most {MAX_PATTERN} are compiled"
        return EvaluationError(Failure.BAD_PATTERN, detail)
    try:
        return make()
    except (re.error, ValueError, OverflowError, RecursionError, MemoryError, KeyError, IndexError) as error:
        return EvaluationError(Failure.BAD_PATTERN, f"not a regular expression: {str(error)[:200]}")


def _compile_timed(pattern: str, language: Language) -> Any:
    import regex  # type: ignore[import-untyped, unused-ignore]  # ships no types; imported on use, for it takes 1.5 MiB

    try:
        if language == "nodejs":
            return regex.compile(translate(pattern), regex.VERSION1)
        return regex.compile(_for_regex(pattern, re.compile(pattern).flags), regex.VERSION0)
    except regex.error as error:
        raise ValueError(str(error)) from None


def _for_regex(pattern: str, flags: int) -> str:
    """The pattern with those characters escaped that only `regex` would take for syntax: `x{e}` and `[[:alpha:]]`.

    A verbose pattern stays as it is: there, brackets in a comment would be taken for sets.
    """
    return pattern if flags & re.VERBOSE else _TOKEN.sub(_escape_token, pattern)


def _escape_token(token: re.Match[str]) -> str:
    text = token[0]
    if text == "{":
        return r"\{"
    return "[" + _IN_SET.sub(_escape_bracket, text[1:]) if text.startswith("[") else text


def _escape_bracket(token: re.Match[str]) -> str:
    return r"\[" if token[0] == "[" else token[0]
