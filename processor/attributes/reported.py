"""Labels that an SDK reported (S19): on any span as attributes, on a resolve span as what it resolved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from processor.attributes.reading import Reading
from processor.span import LABEL_PREFIX, Value
from processor.wire.values import encode_attribute, encode_text

CODE_DEFAULT: Final = "<code_default>"
_VERSION: Final = b".version"
_ABSENT: Final = "null"  # what a resolve span says for no label and no version


def read_labels(reading: Reading, values: Mapping[bytes, object]) -> None:
    """Carry the `logfire.variables.<name>` attributes of a span, each with its `.version`."""
    for key, value in values.items():
        if key.endswith(_VERSION) or not isinstance(value, str) or not value:
            continue
        version = values.get(key + _VERSION)
        reading.own.present.add(key)
        reading.values[key] = label_value(key, value, version if isinstance(version, str) else None)


def read_resolve(reading: Reading, values: Mapping[str, object]) -> None:
    """Carry the label of a resolve span, and keep what it says for the judgement of drift (S23)."""
    name = values.get("name")
    label = values.get("label")
    if not isinstance(name, str) or not name or not isinstance(label, str):
        return
    reading.resolve = dict(values)
    key = LABEL_PREFIX + name.encode("utf-8", "replace")
    if key in reading.values:
        return
    version = values.get("version")
    is_default = label == _ABSENT
    told = str(version) if isinstance(version, int) and not is_default else None
    reading.values[key] = label_value(key, CODE_DEFAULT if is_default else label, told)


def label_value(key: bytes, label: str, version: str | None) -> Value:
    """A label as it is handed down: one value for the label and its version."""
    encoded = encode_attribute(key, encode_text(label))
    if version is not None:
        encoded += encode_attribute(key + _VERSION, encode_text(version))
    return Value(key, encoded, encoded, False, label)
