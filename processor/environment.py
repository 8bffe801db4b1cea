"""The environment as the settings see it: names, unknown ones, secrets in files, and what to say of a wrong value.

Every problem is one line that names the variable, says what is wrong and what would be right. A secret's value is in
none of them. Must not know what any setting means.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

PREFIX: Final = "SPAN_PROCESSOR_"
FILE_SUFFIX: Final = "_FILE"

# What Kubernetes injects for a Service called `span-processor` is not ours.
_KUBERNETES: Final = re.compile(r"(.*_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT|PORT_\d+_(TCP|UDP|SCTP)(_.*)?)")
# Longer values are cut where a problem quotes them: a line stays a line.
_QUOTED_CHARACTERS: Final = 80

# What would be right, by pydantic's kind of error; for the other kinds its own message says it.
_RIGHT: Final[Mapping[str, str]] = {
    "bool_parsing": "must be true or false",
    "int_parsing": "must be a whole number",
    "int_parsing_size": "must be a whole number of fewer digits",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "too_short": "must have at least {min_length} characters",
    "literal_error": "must be {expected}",
    "value_error": "{error}",
}


def variable(name: str) -> str:
    """The environment variable of a field."""
    return PREFIX + name.upper()


def variables(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that are set, with names in upper case: names are taken in any case, and empty means unset."""
    return {name.upper(): value for name, value in environ.items() if value}


def secret_file(name: str, environ: Mapping[str, str]) -> Path | None:
    """The file that a secret field was read from, if it was."""
    given = variables(environ).get(variable(name) + FILE_SUFFIX)
    return Path(given) if given else None


def unknown_names(environ: Mapping[str, str], fields: Collection[str], secrets: Collection[str]) -> list[str]:
    """One problem for each variable with our prefix that is neither a field's nor of Kubernetes' making."""
    known = {variable(name) for name in fields} | {variable(name) + FILE_SUFFIX for name in secrets}
    problems = []
    for name in sorted(environ):
        upper = name.upper()
        if not upper.startswith(PREFIX) or upper in known or _KUBERNETES.fullmatch(upper.removeprefix(PREFIX)):
            continue
        near = difflib.get_close_matches(upper, sorted(known), n=1, cutoff=0.0)
        problems.append(f"{name}: no such setting; the nearest is {near[0]}")
    return problems


def read_secret_files(environ: Mapping[str, str], secrets: Collection[str]) -> tuple[dict[str, str], list[str]]:
    """The values of secrets whose variable with `_FILE` names a file, without surrounding space; and the problems."""
    given = variables(environ)
    values: dict[str, str] = {}
    problems = []
    for name in secrets:
        source = variable(name) + FILE_SUFFIX
        if source not in given:
            continue
        if variable(name) in given:
            problems.append(f"{source}: {variable(name)} is set too; keep one of them")
            continue
        try:
            values[name] = read_secret(Path(given[source]))
        except ValueError as error:
            problems.append(f"{source}: {error}")
    return values, problems


def read_secret(path: Path) -> str:
    """The text in a file, without surrounding space. Raises `ValueError` that says what is wrong with the file."""
    try:
        text = path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; name a readable text file") from None
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; name a text file") from None
    if not text:
        raise ValueError(f"{path} is empty; put the value into it")
    return text


def explain(detail: ErrorDetails, secrets: Collection[str]) -> str:
    """The problem that one of pydantic's errors stands for."""
    name = str(detail["loc"][0]) if detail["loc"] else ""
    right = _RIGHT.get(detail["type"], "{msg}").format(msg=detail["msg"], **detail.get("ctx", {}))
    if name in secrets:
        return f"{variable(name)}: {right}"
    return f"{variable(name)}: {right}, not {str(detail['input'])[:_QUOTED_CHARACTERS]!r}"
