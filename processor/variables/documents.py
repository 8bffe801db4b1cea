"""The variables in a JSON or YAML text, one after the other as plain data, within bounds of size.

One after the other, because whoever reads them runs in a worker thread beside the event loop: a call of the parser does
not let other threads run, and neither does Python's collector of cycles, whose pauses grow with the objects that are
alive (measured: 405 ms at 7 MB read at once). Must not know what the data means.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from processor.variables.variables import Format

MAX_BYTES = 16 * 1024 * 1024
# YAML is read six times as slowly as JSON (measured: 0.3 s a MiB with libyaml), and by hand nobody writes more.
MAX_YAML_BYTES = 4 * 1024 * 1024

_SPACE = re.compile(r"[ \t\n\r]*")
_DECODER = json.JSONDecoder()
_NO_VARIABLES = 'variables: missing or not an object; the configuration is {"variables": {name: {…}}}'


class DocumentError(ValueError):
    """The text is too large, no UTF-8, no JSON or YAML, without variables, or says what JSON cannot."""


def iterate_variables(text: bytes | str, format: Format) -> Iterator[tuple[object, object]]:
    """Each name and value in the object `variables` of the text; raises `DocumentError`, perhaps only at its end.

    Of a name that comes twice both are told.
    """
    limit = MAX_YAML_BYTES if format == "yaml" else MAX_BYTES
    if len(text) > limit:
        raise DocumentError(f"{len(text)} bytes; at most {limit} are read as {format.upper()}")
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8-sig")
        yield from _iterate_yaml(decoded) if format == "yaml" else _iterate_json(decoded)
    except UnicodeDecodeError as error:
        raise DocumentError(f"not UTF-8 at byte {error.start}") from None
    except RecursionError:
        raise DocumentError("nested too deeply") from None
    except DocumentError:
        raise
    except ValueError as error:
        raise DocumentError(f"not {format.upper()}: {str(error)[:200]}") from None


def _iterate_yaml(text: str) -> Iterator[tuple[object, object]]:
    from processor.variables.yaml_reader import YamlReader  # imported on use: most configurations are JSON

    reader = YamlReader(text)
    count = 0
    for key in reader.members():
        if key != "variables":
            reader.value()
            continue
        if not reader.is_at_mapping():
            reader.value()
            raise DocumentError(_NO_VARIABLES)
        count += 1
        for name in reader.members():
            yield name, reader.value()
    reader.finish()
    _check_count(count)


def _iterate_json(text: str) -> Iterator[tuple[object, object]]:
    """JSON's two outer levels are walked here, so that each variable is one call of the parser."""
    top = _Walker(text, _skip_space(text, 0))
    if not text.startswith("{", top.at):
        _DECODER.decode(text)  # where it is no JSON at all, this says so
        raise DocumentError(_NO_VARIABLES)
    count = 0
    for key in top.members():
        if key != "variables":
            top.value()
            continue
        if not text.startswith("{", top.at):
            top.value()  # where it is no JSON either, this says so
            raise DocumentError(_NO_VARIABLES)
        count += 1
        for name in top.members():
            yield name, top.value()
    end = _skip_space(text, top.at)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)
    _check_count(count)


def _check_count(count: int) -> None:
    if count != 1:
        raise DocumentError("variables: there twice; keep one of them" if count else _NO_VARIABLES)


class _Walker:
    """A place in a JSON text, at a value; `members` and `value` move it on."""

    __slots__ = ("_text", "at")

    def __init__(self, text: str, at: int) -> None:
        self._text = text
        self.at = at

    def members(self) -> Iterator[str]:
        """The keys of the object at this place; after each the place is at its value, which the caller must read."""
        self._skip("{", "'{'")
        if self._text.startswith("}", self.at):
            self.at += 1
            return
        while True:
            if not self._text.startswith('"', self.at):
                self._fail("Expecting property name enclosed in double quotes")
            key, self.at = _DECODER.raw_decode(self._text, self.at)
            self.at = _skip_space(self._text, self.at)
            self._skip(":", "':' delimiter")
            yield key
            self.at = _skip_space(self._text, self.at)
            if self._text.startswith("}", self.at):
                self.at += 1
                return
            self._skip(",", "',' delimiter")

    def value(self) -> object:
        """The whole value at this place."""
        value, self.at = _DECODER.raw_decode(self._text, self.at)
        return value

    def _skip(self, mark: str, expected: str) -> None:
        if not self._text.startswith(mark, self.at):
            self._fail(f"Expecting {expected}")
        self.at = _skip_space(self._text, self.at + 1)

    def _fail(self, message: str) -> None:
        raise json.JSONDecodeError(message, self._text, self.at)


def _skip_space(text: str, at: int) -> int:
    match = _SPACE.match(text, at)
    return match.end() if match is not None else at
