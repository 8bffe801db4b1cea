"""How many steps Python's `re` may take on a text, at the most, judged from the pattern alone.

`re` backtracks: each choice that a pattern leaves open (a repetition's length, an alternative) multiplies what
it may have to try. The bound is `coefficient * (n + 1) ** degree` for a text of n characters; a repeated choice
makes it infinite. It is an upper bound: a pattern with a high one may well be fast, and is merely run with more
care. It reads the parse tree of the standard library, whose module is private: whatever is unknown counts as infinite.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any


@dataclass(frozen=True, slots=True)
class Bound:
    """At most `coefficient * (n + 1) ** degree` steps for a text of n characters."""

    coefficient: float
    degree: int

    def steps(self, length: int) -> float:
        """The bound for a text of `length` characters."""
        return self.coefficient * float(length + 1) ** self.degree if math.isfinite(self.coefficient) else math.inf


_ONE = Bound(1.0, 0)
_INFINITE = Bound(math.inf, 0)
# A bounded repetition of a choice is counted out up to here; beyond it counts as infinite.
_MOST_REPEATS = 8


def bound_of(pattern: str) -> Bound:
    """The bound for an unanchored search. Raises what `re.compile` raises for a broken pattern."""
    tree = import_module("re._parser").parse(pattern)
    paths = _sequence(tree)
    return Bound(paths.coefficient * (_size(tree) + 1), paths.degree + 1)


def _size(items: Any) -> int:
    """The number of nodes: no path visits one of them twice without a choice in between."""
    parts = getattr(items, "data", items)
    return 1 + sum(_size(part) for part in parts) if isinstance(parts, (list, tuple)) else 0


def _sequence(items: Any) -> Bound:
    total = _ONE
    for operator, argument in items:
        total = _times(total, _PATHS.get(str(operator), _unknown)(argument))
    return total


def _times(first: Bound, second: Bound) -> Bound:
    return Bound(first.coefficient * second.coefficient, first.degree + second.degree)


def _plus(first: Bound, second: Bound) -> Bound:
    return Bound(first.coefficient + second.coefficient, max(first.degree, second.degree))


def _single(_argument: Any) -> Bound:
    return _ONE


def _unknown(_argument: Any) -> Bound:
    return _INFINITE


def _repeat(argument: Any) -> Bound:
    least, most, items = int(argument[0]), int(argument[1]), argument[2]
    inner = _sequence(items)
    if most <= 1:
        return _plus(_ONE, inner)
    if inner == _ONE:
        return Bound(1.0, 1) if most > 1000 else Bound(float(most - least + 1 + most), 0)
    if most > _MOST_REPEATS:
        return _INFINITE
    total = _ONE
    for _ in range(most):
        total = _plus(_ONE, _times(inner, total))
    return total


def _branch(argument: Any) -> Bound:
    total = Bound(0.0, 0)
    for alternative in argument[1]:
        total = _plus(total, _sequence(alternative))
    return total


def _last(argument: Any) -> Bound:
    return _sequence(argument[-1])


def _atomic(argument: Any) -> Bound:
    return _sequence(argument)


def _back_reference(_argument: Any) -> Bound:
    return Bound(1.0, 1)  # it compares up to the whole text


def _conditional(argument: Any) -> Bound:
    return _plus(_sequence(argument[1]), _sequence(argument[2] or ()))


_PATHS: Mapping[str, Callable[[Any], Bound]] = {
    "LITERAL": _single,
    "NOT_LITERAL": _single,
    "ANY": _single,
    "IN": _single,
    "AT": _single,
    "MAX_REPEAT": _repeat,
    "MIN_REPEAT": _repeat,
    "POSSESSIVE_REPEAT": _repeat,
    "ATOMIC_GROUP": _atomic,
    "SUBPATTERN": _last,
    "BRANCH": _branch,
    "ASSERT": _last,
    "ASSERT_NOT": _last,
    "GROUPREF": _back_reference,
    "GROUPREF_EXISTS": _conditional,
}
