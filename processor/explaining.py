"""The `label` command: which label a variable gives for a targeting key and attributes, and why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from processor.settings import Settings, SettingsError, variable
from processor.variable_settings import read_compiled
from processor.variables.explain import explain, render_json, render_text
from processor.variables.variables import Language


def explain_label(
    settings: Settings,
    name: str,
    targeting_key: str | None,
    attributes: Sequence[str],
    trace_id: str | None,
    language: Language,
    output: str,
) -> str:
    """What `span-processor label` prints. Raises `SettingsError` for what cannot be used."""
    path = settings.variables_file
    if path is None:
        raise SettingsError([f"{variable('variables_file')}: needed to explain a label; name the configuration's file"])
    if trace_id is not None and not re.fullmatch("(?!0{32})[0-9a-fA-F]{32}", trace_id):
        raise SettingsError([f"--trace-id: must be 32 hex digits, not all zero; not {trace_id[:80]!r}"])
    compiled = read_compiled(path)
    found = explain(
        compiled, name, targeting_key, parse_attributes(attributes), language, trace_id and trace_id.lower()
    )
    return render_json(found) if output == "json" else render_text(found)


def parse_attributes(pairs: Sequence[str]) -> dict[str, object]:
    """`k=v` pairs; a value is JSON where it parses, else a string. Raises `SettingsError`."""
    attributes: dict[str, object] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key:
            raise SettingsError([f"--attribute: must be key=value, not {pair[:80]!r}"])
        try:
            attributes[key] = json.loads(text, parse_constant=_refuse_constant)
        except (ValueError, RecursionError):
            attributes[key] = text
    return attributes


def _refuse_constant(name: str) -> object:
    """`NaN` and its like are no JSON."""
    raise ValueError(name)
