"""What the settings say of managed variables: where configurations come from, and what targets them.

Must not know the pipeline. Every problem is a `SettingsError` that names the variable and what would be right.
"""

from __future__ import annotations

from pathlib import Path

from processor.settings import Settings, SettingsError, variable
from processor.variables.config import ConfigError
from processor.variables.endpoint import Endpoint, EndpointSource, check_token, origin_of
from processor.variables.file import FileSource, format_of, read_file
from processor.variables.selection import CompiledVariables, load_compiled
from processor.variables.source import Sink
from processor.variables.targeting import Targeting, parse_targeting_keys
from processor.variables.variables import Source


def targeting_from(settings: Settings) -> Targeting:
    """Where targeting keys come from (S20). Raises `SettingsError`."""
    try:
        by_variable = parse_targeting_keys(settings.targeting_keys)
    except ValueError as error:
        raise SettingsError([f"{variable('targeting_keys')}: {error}"]) from None
    return Targeting(settings.targeting_key, by_variable, settings.trace_id_fallback)


def check_variables(settings: Settings) -> list[str]:
    """What there is to say of variables; reads the file. Raises `SettingsError` with every problem."""
    problems: list[str] = []
    lines: list[str] = []
    for check in (_check_targeting, _check_file, _check_server):
        try:
            lines += check(settings)
        except SettingsError as error:
            problems += error.problems
    if problems:
        raise SettingsError(problems)
    return lines


def read_compiled(path: Path) -> CompiledVariables:
    """The configuration of a file. Raises `SettingsError`."""
    name = variable("variables_file")
    try:
        return load_compiled(read_file(path), format_of(path))
    except OSError as error:
        raise SettingsError([f"{name}: cannot read {path}: {error.strerror}; name a readable file"]) from None
    except ConfigError as error:
        raise SettingsError([f"{name}: {problem}" for problem in error.problems]) from None


def _check_targeting(settings: Settings) -> list[str]:
    targeting_from(settings)
    return []


def _check_file(settings: Settings) -> list[str]:
    if settings.variables_file is None:
        return []
    return [f"variables: {len(read_compiled(settings.variables_file))} in {settings.variables_file}"]


def _check_server(settings: Settings) -> list[str]:
    server = server_from(settings)
    return [] if server is None else [f"variables: from {server.origin}"]


def source_from(settings: Settings, sink: Sink) -> Source:
    """The source that the settings name: a file, else a server. Raises `SettingsError`."""
    server = server_from(settings)
    if server is not None:
        return EndpointSource(server, sink)
    if settings.variables_file is not None:
        return FileSource(settings.variables_file, sink)
    raise SettingsError([f"{variable('variables_file')}: there is neither a file nor a server"])


def server_from(settings: Settings) -> Endpoint | None:
    """The server that the settings name, None where they name none. Raises `SettingsError` with every problem."""
    if settings.variables_url is None:
        return None
    problems: list[str] = []
    origin = token = ""
    try:
        origin = origin_of(settings.variables_url)
    except ValueError as error:
        problems.append(f"{variable('variables_url')}: {error}")
    try:
        token = check_token(settings.variables_token.get_secret_value() if settings.variables_token else "")
    except ValueError as error:
        problems.append(f"{variable('variables_token')}: {error}")
    cache = settings.variables_cache
    if cache is not None and not cache.parent.is_dir():
        problems.append(f"{variable('variables_cache')}: {cache.parent} is no folder; name a file in one that is there")
    if problems:
        raise SettingsError(problems)
    return Endpoint(origin, token, settings.variables_poll, cache=cache)
