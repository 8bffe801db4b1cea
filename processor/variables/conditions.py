"""Whether a condition of an override holds for a span's attributes, as each SDK compares.

Python compares with `==` (`True == 1 == 1.0`, `"1" != 1`, a list never equals a tuple); JavaScript with `===` (numbers
of one kind, booleans apart, arrays and objects never equal). An attribute that is there with None counts as present.
Pure functions; must not know rollouts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeAlias

from processor.variables.variables import Attributes, EvaluationError, Failure, Language, Search

MISSING: Final = object()


# (kind, attribute, operand): one test of one attribute; the operand is the value, the values, the pattern, or None. A
# plain tuple, because the collector of cycles leaves those alone, and a configuration may have 100,000 of them.
Condition: TypeAlias = tuple[str, str, object]


def holds(condition: Condition, attributes: Attributes, language: Language, search: Search) -> bool:
    """Whether the condition holds. Raises `EvaluationError` where the SDK's evaluation would raise."""
    kind, attribute, operand = condition
    return _TESTS[kind](attributes.get(attribute, MISSING), operand, language, search)


def _equals(value: object, operand: object, language: Language, _search: Search) -> bool:
    return strictly_equal(value, operand) if language == "nodejs" else bool(value == operand)


def _is_in(value: object, operand: object, language: Language, _search: Search) -> bool:
    values = operand if isinstance(operand, str | Sequence) else ()
    if isinstance(values, str):
        return _is_part(value, values, language)
    if language == "nodejs":
        return any(strictly_equal(value, item) for item in values)
    return value in values


def _is_part(value: object, values: str, language: Language) -> bool:
    """`values` given as a text, which Python's SDK takes from a server: then `in` looks for a part of the text."""
    if language == "nodejs" or not isinstance(value, str):
        raise EvaluationError(Failure.BAD_VALUES, "the condition's values are a text, not a list")
    return value in values


def _matches(value: object, operand: object, language: Language, search: Search) -> bool:
    return isinstance(value, str) and search(str(operand), value, language)


def _is_present(value: object, _operand: object, _language: Language, _search: Search) -> bool:
    return value is not MISSING


_Test = Callable[[object, object, Language, Search], bool]


def _not(test: _Test) -> _Test:
    return lambda value, operand, language, search: not test(value, operand, language, search)


_TESTS: Mapping[str, _Test] = {
    "value-equals": _equals,
    "value-does-not-equal": _not(_equals),
    "value-is-in": _is_in,
    "value-is-not-in": _not(_is_in),
    "value-matches-regex": _matches,
    "value-does-not-match-regex": _not(_matches),
    "key-is-present": _is_present,
    "key-is-not-present": _not(_is_present),
}


def strictly_equal(first: object, second: object) -> bool:
    """JavaScript's `===` between what JSON and OTLP can carry; both have been doubles there."""
    if first is None or isinstance(first, bool | str):
        return type(first) is type(second) and first == second
    if _is_number(first) and _is_number(second):
        return _double(first) == _double(second)
    return False


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _double(value: object) -> float:
    try:
        return float(value) if isinstance(value, int | float) else float("nan")
    except OverflowError:
        return float("inf") if isinstance(value, int) and value > 0 else float("-inf")
