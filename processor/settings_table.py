"""The settings as people read them: one value as it is written in a variable, and the table in README.

`python -m processor.settings_table` prints the table; with a file's name it writes the table between that file's
markers. Must not know any running state.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import BeforeValidator, SecretStr
from pydantic.fields import FieldInfo

from processor.settings import Settings
from processor.units import format_duration, format_size, parse_size

BEGIN: Final = "<!-- settings -->"
END: Final = "<!-- /settings -->"
_USER_INFO: Final = re.compile(r"(?<=//)[^/@]*@")


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the settings table: variable without prefix, default as a user writes it, meaning."""

    name: str
    default: str
    meaning: str


def table() -> list[Row]:
    """Every setting, in the order of the model; no default where it is computed at start."""
    return [
        Row(name.upper(), "" if field.default_factory else show(name, field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    ]


def show(name: str, value: Any) -> str:
    """A field's value in the form in which it is written in its variable; what is secret as `****`."""
    if value is None:
        return ""
    if isinstance(value, SecretStr):
        return "****"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return format_duration(value)
    if isinstance(value, int) and _is_size(Settings.model_fields[name]):
        return format_size(value)
    if isinstance(value, tuple):
        return ",".join(value)
    return _USER_INFO.sub("****@", str(value))  # such a URL is refused later on, and may be shown before that


def _is_size(field: FieldInfo) -> bool:
    """Whether `parse_size` reads the field, be it optional or not."""
    inner = [part for choice in get_args(field.annotation) for part in getattr(choice, "__metadata__", ())]
    return any(isinstance(part, BeforeValidator) and part.func is parse_size for part in (*field.metadata, *inner))


def markdown_table() -> str:
    """The table of all settings in Markdown, ending with a line break."""
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| `{row.name}` | {_code(row.default)} | {_cell(row.meaning)} |" for row in table()]
    return "\n".join(lines) + "\n"


def _code(default: str) -> str:
    """A default as code; the items of a list apart, so that a narrow column can break between them."""
    return ", ".join(f"`{part}`" for part in default.split(",")) if default else ""


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def replace_section(document: str) -> str:
    """The document with the table between its markers. Raises `ValueError` where it has none."""
    before, begin, rest = document.partition(BEGIN + "\n")
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"there must be a line {BEGIN} and below it a line {END}")
    return f"{before}{begin}{markdown_table()}{end}{after}"


def main(arguments: list[str]) -> None:
    """Print the table, or write it into each of the named files."""
    if not arguments:
        sys.stdout.write(markdown_table())
    for path in map(Path, arguments):
        path.write_text(replace_section(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
