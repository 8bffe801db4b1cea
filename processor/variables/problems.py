"""What is wrong with a configuration, in words: variable, field, and what would be right. Never a whole value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

_LONGEST = 60  # characters of a value that a message shows

_RIGHT: Mapping[str, str] = {
    "missing": "missing; it is required",
    "string_type": "must be a text",
    "string_pattern_mismatch": "must be a name of letters, digits and _ that does not begin with a digit",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "dict_type": "must be an object",
    "model_type": "must be an object",
    "model_attributes_type": "must be an object",
    "list_type": "must be a list",
    "is_instance_of": "must be a list",
    "union_tag_not_found": "its kind is missing; kinds are {kinds}",
    "union_tag_invalid": "its kind is none of {kinds}",
}
_SHOWN = frozenset(
    ("string_pattern_mismatch", "int_parsing", "int_from_float", "float_parsing", "string_type", "float_type")
)
_MODELS = frozenset(("LabeledValue", "LabelRef"))


def clip(value: object) -> str:
    """A value as a message may show it: its beginning, control characters escaped."""
    text = value if isinstance(value, str) else _name_plain(value)
    shown = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return shown if shown.isprintable() and shown else repr(shown)


def _name_plain(value: object) -> str:
    return f"{value}" if isinstance(value, int | float | None) else f"a {type(value).__name__}"


def explain_all(prefix: str, error: ValidationError) -> list[str]:
    """One line for each problem that pydantic found below `prefix`; both readings of a label are one problem."""
    lines: dict[str, None] = {}
    for detail in error.errors(include_url=False, include_context=True, include_input=True):
        path, is_label = _path(detail["loc"])
        place = ".".join(part for part in (prefix, path) if part)
        lines[_label_line(place) if is_label else f"{place}: {_right(detail)}" if place else _right(detail)] = None
    return list(lines)


def _label_line(place: str) -> str:
    return f"{place}: must have a version (a whole number) and a serialized_value (a text), or a ref (a text)"


def _path(loc: tuple[int | str, ...]) -> tuple[str, bool]:
    """The place in words, and whether it is inside a label; pydantic's own additions left out."""
    if len(loc) > 2 and loc[0] == "labels" and loc[2] in _MODELS:
        return f"labels.{clip(loc[1])}", True
    return "".join(_parts(loc)).removeprefix("."), False


def _parts(loc: tuple[int | str, ...]) -> Iterator[str]:
    for index, part in enumerate(loc):
        is_kind = index >= 2 and loc[index - 2] == "conditions" and isinstance(part, str)
        if part == "[key]" or is_kind:
            continue
        yield f"[{part}]" if isinstance(part, int) else f".{clip(part)}"


def _right(detail: Any) -> str:
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    message = _RIGHT.get(detail["type"], str(detail["msg"])[:200])
    if detail["type"].startswith("union_tag"):
        message = message.format(kinds=detail.get("ctx", {}).get("expected_tags", _KINDS))
    return f"{message}, not {clip(detail['input'])}" if detail["type"] in _SHOWN else message


_KINDS = (
    "value-equals, value-does-not-equal, value-is-in, value-is-not-in, value-matches-regex, "
    "value-does-not-match-regex, key-is-present, key-is-not-present"
)
