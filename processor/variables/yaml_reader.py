"""YAML as a stream of plain data, as far as JSON can say it: no dates, no tags of one's own, no circles.

It reads libyaml's events and builds data by itself, because the library's own way recurses without a limit (a deep text
crashes the process), builds the whole document at once, and lets a few references write out to gigabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from processor.variables.documents import DocumentError

_MAX_DEPTH = 64
# Values, with every reference written out.
_MAX_SIZE = 1_000_000
_PREFIX = "tag:yaml.org,2002:"
_SCALARS = frozenset(_PREFIX + name for name in ("str", "int", "float", "bool", "null"))
_MERGE = object()


class YamlReader:
    """A place in a YAML text, at a value; `members` and `value` move it on. Raises `DocumentError`."""

    __slots__ = ("_anchors", "_depth", "_loader", "_size")

    def __init__(self, text: str) -> None:
        try:
            self._loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)(text)
        except yaml.YAMLError as error:
            raise _not_yaml(error) from None
        self._anchors: dict[str, tuple[object, int]] = {}
        self._depth = 0
        self._size = 0
        self._next()  # the stream's start
        if isinstance(self._peek(), yaml.DocumentStartEvent):
            self._next()

    def members(self) -> Iterator[object]:
        """The keys of the mapping at this place, after each of which the caller must read the value; else nothing."""
        if not self.is_at_mapping():
            if not isinstance(self._peek(), yaml.StreamEndEvent):
                self.value()
            return
        self._next()
        while not isinstance(self._peek(), yaml.MappingEndEvent):
            yield self._key()
        self._next()

    def is_at_mapping(self) -> bool:
        """Whether the value at this place is a mapping."""
        return isinstance(self._peek(), yaml.MappingStartEvent)

    def value(self) -> Any:
        """The whole value at this place."""
        value, size = self._read()
        self._size += size
        self._check_size(self._size)
        return value

    def finish(self) -> None:
        """Check that the text has no second document."""
        if isinstance(self._peek(), yaml.DocumentEndEvent):
            self._next()
        if not isinstance(self._peek(), yaml.StreamEndEvent):
            raise DocumentError(f"a second document at line {self._peek().start_mark.line + 1}; keep one")

    def _read(self) -> tuple[Any, int]:
        """A value and its size with every reference written out."""
        event = self._next()
        if isinstance(event, yaml.AliasEvent):
            if event.anchor not in self._anchors:
                line = event.start_mark.line + 1 if event.start_mark else 1
                raise DocumentError(f"a reference to nothing before it, at line {line}")
            return self._anchors[event.anchor]
        if isinstance(event, yaml.ScalarEvent):
            read: tuple[Any, int] = (self._scalar(event), 1)
        else:
            read = self._collection(event)
        if event.anchor is not None:
            self._anchors[event.anchor] = read
        return read

    def _collection(self, event: Any) -> tuple[Any, int]:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise DocumentError(f"nested more than {_MAX_DEPTH} levels deep at line {event.start_mark.line + 1}")
        is_mapping = isinstance(event, yaml.MappingStartEvent)
        if event.tag not in (None, "!", _PREFIX + ("map" if is_mapping else "seq")):
            raise _not_json(event, event.tag)
        read = self._mapping() if is_mapping else self._sequence()
        self._depth -= 1
        self._check_size(read[1])
        return read

    def _sequence(self) -> tuple[list[Any], int]:
        items, total = [], 1
        while not isinstance(self._peek(), yaml.SequenceEndEvent):
            item, size = self._read()
            items.append(item)
            total += size
        self._next()
        return items, total

    def _mapping(self) -> tuple[dict[Any, Any], int]:
        """A mapping; what `<<` names comes in where the mapping itself has no such key."""
        members: dict[Any, Any] = {}
        merged: dict[Any, Any] = {}
        total = 1
        while not isinstance(self._peek(), yaml.MappingEndEvent):
            key = self._key()
            value, size = self._read()
            total += size
            if key is not _MERGE:
                members[key] = value
                continue
            for source in value if isinstance(value, list) else [value]:
                if not isinstance(source, dict):
                    raise DocumentError("<<: must name a mapping or a list of mappings")
                merged = source | merged
        self._next()
        return (merged | members if merged else members), total

    def _key(self) -> object:
        event = self._peek()
        if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0] and event.tag is None:
            self._next()
            return _MERGE
        key, _ = self._read()
        if isinstance(key, list | dict):
            raise DocumentError(f"a key that is no text at line {event.start_mark.line + 1}")
        return key

    def _scalar(self, event: Any) -> object:
        tag = event.tag
        if tag in (None, "!"):
            tag = self._loader.resolve(yaml.ScalarNode, event.value, event.implicit)
        if tag not in _SCALARS:
            raise _not_json(event, tag)
        node = yaml.ScalarNode(tag, event.value, event.start_mark, event.end_mark, event.style)
        return self._loader.yaml_constructors[tag](self._loader, node)

    def _check_size(self, size: int) -> None:
        if size > _MAX_SIZE:
            raise DocumentError(f"its references write out to more than {_MAX_SIZE} values")

    def _peek(self) -> Any:
        try:
            return self._loader.peek_event()
        except yaml.YAMLError as error:
            raise _not_yaml(error) from None

    def _next(self) -> Any:
        try:
            return self._loader.get_event()
        except yaml.YAMLError as error:
            raise _not_yaml(error) from None


def _not_yaml(error: Exception) -> DocumentError:
    return DocumentError(f"not YAML: {' '.join(str(error).split())[:200]}")


def _not_json(event: Any, tag: str) -> DocumentError:
    what = tag.rpartition(":")[2][:40]
    return DocumentError(f"a {what} at line {event.start_mark.line + 1}, which JSON does not have; put it in quotes")
