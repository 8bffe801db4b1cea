"""The contract of this room: what a variable gives a span, and where configurations come from.

A configuration (`config.py`) is compiled once (`selection.py`); an `Evaluator` (`evaluator.py`) then answers, for
one span, which labels to write. Sources (`file.py`, `endpoint.py`) bring configurations in. The room must not know
trees, contexts or bytes of spans: it is given plain mappings.

Attribute values are what OTLP carries, as Python objects: str, bool, int, float, None (present without a value),
bytes, dict, and arrays. An array is a list where an application would have passed it itself, and a tuple where the
SDK keeps it as one (its resource): in Python's way of comparing, a tuple never equals a list of the configuration.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, TypeAlias

Language: TypeAlias = Literal["python", "nodejs"]
Format: TypeAlias = Literal["json", "yaml"]
Attributes: TypeAlias = Mapping[str, object]
Search: TypeAlias = Callable[[str, str, Language], bool]
"""`(pattern, text, language)`: is the pattern found in the text? Raises `EvaluationError`."""

_JAVASCRIPT = frozenset(("nodejs", "webjs"))


def language_of(sdk_language: object) -> Language:
    """Whose way of selecting applies to a resource's `telemetry.sdk.language` (S19): Python's is the default."""
    return "nodejs" if sdk_language in _JAVASCRIPT else "python"


class Failure(Enum):
    """Why a variable cannot be evaluated; the SDK's `get()` then gives the code default with `other_error`."""

    BAD_PATTERN = "bad_pattern"
    """The regular expression is not one in the span's language."""
    SLOW_PATTERN = "slow_pattern"
    """The search took too long, and was stopped."""
    SUSPENDED_PATTERN = "suspended_pattern"
    """Searches took too long before, and are not tried again for a while."""
    LONG_VALUE = "long_value"
    """The value is too long to be searched or hashed."""
    BAD_WEIGHTS = "bad_weights"
    """The weights do not add up to a finite number (NaN passes the SDK's validation)."""
    BAD_VALUES = "bad_values"
    """The condition's `values` is a text, and the attribute is not."""


class EvaluationError(Exception):
    """A variable cannot be evaluated for this span: it is left out, and counted."""

    def __init__(self, failure: Failure, detail: str) -> None:
        super().__init__(detail)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Selection:
    """What a variable gives, as the SDK's `get()` reports it (`label` None is the code default).

    `selected`: the label that the rollout picked, even where it leads to no value. `override`: the index of the
    override that matched, from 0. `draw`: the number in [0, 1) that decided; None where nothing was drawn.
    """

    label: str | None
    version: int | None
    reason: Literal["resolved", "code_default"]
    selected: str | None
    override: int | None
    draw: float | None


class Outcome(Enum):
    """What became of an attempt to take a configuration; the closed list of `variables.reloads`."""

    LOADED = "loaded"
    """A new configuration is in force."""
    UNCHANGED = "unchanged"
    """The source says that nothing changed."""
    REFUSED = "refused"
    """The new configuration is wrong; the last good one stays."""
    FAILED = "failed"
    """The source could not be read; the last good one stays."""


class Source(Protocol):
    """Where configurations come from. Whatever goes wrong is reported, never raised."""

    async def look(self) -> None:
        """Look for a configuration once, now."""
        ...

    async def run(self) -> None:
        """Bring configurations in, the first at once, until cancelled."""
        ...
