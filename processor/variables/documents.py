"""A JSON or YAML text to plain data, within bounds: size, depth, and what YAML's references may grow to.

Both end in what JSON can say. JSON's two outer levels are walked here and each variable parsed by one call, because
such a call does not let other threads run: 16 MiB at once would hold the event loop up. Must not know what the data
means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from processor.variables.variables import Format

MAX_BYTES = 16 * 1024 * 1024
# YAML is read 30 times as slowly as JSON (measured: 1.2 s a MiB with libyaml), and by hand nobody writes more.
MAX_YAML_BYTES = 4 * 1024 * 1024
_MAX_DEPTH = 64
_MAX_NODES = 1_000_000

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_Read = Callable[[str, str, int], tuple[object, int]]


class DocumentError(ValueError):
    """The text is too large, no UTF-8, no JSON or YAML, or says what JSON cannot."""


def parse_document(text: bytes | str, format: Format) -> object:
    """The data in a text. Raises `DocumentError`."""
    limit = MAX_YAML_BYTES if format == "yaml" else MAX_BYTES
    if len(text) > limit:
        raise DocumentError(f"{len(text)} bytes; at most {limit} are read as {format.upper()}")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        return _parse_yaml(decoded) if format == "yaml" else _parse_json(decoded)
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"not {format.upper()}: {str(error)[:200]}") from None


def _parse_json(text: str) -> object:
    value, end = _read_value("", text, 0, _read_top)
    if _skip_space(text, end) != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    return value


def _read_top(key: str, text: str, at: int) -> tuple[object, int]:
    return _read_value(key, text, at, _read_whole if key == "variables" else None)


def _read_whole(_key: str, text: str, at: int) -> tuple[object, int]:
    return _DECODER.raw_decode(text, _skip_space(text, at))


def _read_value(key: str, text: str, at: int, read: _Read | None) -> tuple[object, int]:
    """The value at `at` and where it ends; an object's members by `read`, all else in one call."""
    at = _skip_space(text, at)
    if read is None or not text.startswith("{", at):
        return _read_whole(key, text, at)
    return _read_object(text, at + 1, read)


def _read_object(text: str, at: int, read: _Read) -> tuple[dict[str, object], int]:
    members: dict[str, object] = {}
    at = _skip_space(text, at)
    if text.startswith("}", at):
        return members, at + 1
    while True:
        if not text.startswith('"', at):
            raise json.JSONDecodeError("Expecting property name enclosed in double quotes", text, at)
        key, at = _DECODER.raw_decode(text, at)
        at = _skip_space(text, at)
        if not text.startswith(":", at):
            raise json.JSONDecodeError("Expecting ':' delimiter", text, at)
        members[key], at = read(key, text, at + 1)
        at = _skip_space(text, at)
        if text.startswith("}", at):
            return members, at + 1
        if not text.startswith(",", at):
            raise json.JSONDecodeError("Expecting ',' delimiter", text, at)
        at = _skip_space(text, at + 1)


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at


def _parse_yaml(text: str) -> object:
    import yaml  # type: ignore[import-untyped, unused-ignore]  # ships no types; imported on use: only YAML needs it

    loader_class: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        # libyaml's reader of nodes recurses without a limit, and a deep text crashes the process: events first.
        _check_depth(yaml, yaml.parse(text, Loader=loader_class))
        loader = loader_class(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _count_nodes(node, {})
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise DocumentError(f"not YAML: {' '.join(str(error).split())[:200]}") from None


def _check_depth(yaml: Any, events: Any) -> None:
    depth = 0
    for event in events:
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > _MAX_DEPTH:
                raise DocumentError(f"nested more than {_MAX_DEPTH} levels deep at line {event.start_mark.line + 1}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _count_nodes(node: Any, known: dict[int, int]) -> int:
    """The size of the tree once every reference is written out; a reference into itself has none."""
    if id(node) in known:
        if known[id(node)] < 0:
            raise DocumentError(f"a reference to what it stands in, at line {node.start_mark.line + 1}")
        return known[id(node)]
    if node.tag not in _JSON_TAGS:
        what = node.tag.rpartition(":")[2]
        raise DocumentError(f"a {what} at line {node.start_mark.line + 1}, which JSON does not have; put it in quotes")
    known[id(node)] = -1
    size = 1
    if not isinstance(node.value, str):
        for item in node.value:
            size += sum(_count_nodes(part, known) for part in (item if isinstance(item, tuple) else (item,)))
    if size > _MAX_NODES:
        raise DocumentError(f"its references write out to more than {_MAX_NODES} values")
    known[id(node)] = size
    return size


_JSON_TAGS = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null", "map", "seq", "merge")
)
