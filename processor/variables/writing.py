"""Under which keys labels are written, and which variables are (S22). Pure data; must not know how a label is found."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from processor.variables.selection import CompiledVariables

PREFIX = b"logfire.variables."
CODE_DEFAULT = "<code_default>"
MAX_VARIABLES = 16


@dataclass(frozen=True, slots=True)
class Written:
    """What a span gets for one variable. `key` is what `span_processor.derived` names; `version` may be absent."""

    variable: str
    key: bytes
    label: str
    version_key: bytes
    version: str | None

    @property
    def pairs(self) -> tuple[tuple[bytes, str], ...]:
        """The attributes to write: key and text."""
        first = (self.key, self.label)
        return (first,) if self.version is None else (first, (self.version_key, self.version))


def written(variable: str, label: str | None, version: int | None) -> Written:
    """The attributes for a label as `get()` reports it; None is the code default, which has no version."""
    key = PREFIX + variable.encode()
    shown = CODE_DEFAULT if label is None else label
    return Written(variable, key, shown, key + b".version", None if label is None or version is None else str(version))


@dataclass(frozen=True, slots=True)
class Active:
    """The variables that are evaluated.

    `overflow`: how many selected ones are over the limit. `unknown`: selected names that the configuration lacks.
    """

    names: tuple[str, ...]
    overflow: int
    unknown: tuple[str, ...]


def active_variables(compiled: CompiledVariables, select: Collection[str] = ()) -> Active:
    """The first 16 of the selected variables by name; `select` holds names or aliases, empty means all."""
    found = [(name, compiled.find(name)) for name in dict.fromkeys(select)]
    chosen = {variable.name for _, variable in found if variable is not None} if select else set(compiled.by_name)
    names = sorted(chosen)
    unknown = tuple(name for name, variable in found if variable is None)
    return Active(tuple(names[:MAX_VARIABLES]), max(0, len(names) - MAX_VARIABLES), unknown)
