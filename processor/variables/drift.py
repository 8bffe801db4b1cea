"""Whether an application runs on another configuration than ours, judged on what its SDK wrote on a resolve span (S23).

The resolve span says what went in (`targeting_key`, `attributes`) and what came out (`label`, `version`, `reason`). If
the same going in here brings something else out, that is drift. What cannot be judged fairly is not judged. A call with
an explicit label looks like any other on its span, and so counts as drift where the label differs.
"""

from __future__ import annotations

import json

from processor.variables.patterns import MAX_TEXT, Searcher
from processor.variables.selection import CompiledVariable, CompiledVariables
from processor.variables.variables import Attributes, EvaluationError, Language

_ABSENT = "null"  # the SDK's word for no label, no version and no targeting key; also what a label may be called
# Characters. Resource and baggage as JSON are a few KiB.
_MAX_ATTRIBUTES = 262_144


def drifted(
    compiled: CompiledVariables,
    name: str,
    targeting_key: object,
    attributes_json: object,
    label: object,
    version: object,
    reason: object,
    language: Language = "python",
    searcher: Searcher | None = None,
) -> bool | None:
    """Whether our configuration gives another label or version; None where that cannot be told.

    The arguments are the resolve span's attributes as they are. Judged only where `reason` is `resolved`, with a
    targeting key (without one the SDK drew at random), and whole attributes.
    """
    if reason != "resolved" or not isinstance(targeting_key, str) or targeting_key == _ABSENT or label == _ABSENT:
        return None
    attributes = _read_attributes(attributes_json)
    if attributes is None or not isinstance(label, str) or len(targeting_key) > MAX_TEXT:
        return None
    variable = compiled.find(name, language)
    if variable is None:
        return True
    return _differs(variable, targeting_key, attributes, (label, version), language, searcher or Searcher())


def _differs(
    variable: CompiledVariable,
    targeting_key: str,
    attributes: dict[str, object],
    told: tuple[str, object],
    language: Language,
    searcher: Searcher,
) -> bool | None:
    """An array was a tuple if it came from the resource, and a list from a call: both are tried, and must agree."""
    frozen = {key: tuple(value) if isinstance(value, list) else value for key, value in attributes.items()}
    try:
        first = _outcome(variable, targeting_key, attributes, language, searcher)
        second = _outcome(variable, targeting_key, frozen, language, searcher)
    except EvaluationError:
        return None
    if first != second:
        return None
    is_version_told = isinstance(told[1], int)
    return first != told if is_version_told else first[0] != told[0]


def _outcome(
    variable: CompiledVariable, targeting_key: str, attributes: Attributes, language: Language, searcher: Searcher
) -> tuple[str | None, int | None]:
    selection = variable.select(targeting_key, attributes, language, searcher.search)
    return selection.label, selection.version


def _read_attributes(text: object) -> dict[str, object] | None:
    if not isinstance(text, str) or len(text) > _MAX_ATTRIBUTES:
        return None
    try:
        attributes = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return attributes if isinstance(attributes, dict) else None
