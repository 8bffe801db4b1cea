"""Labels that an SDK reported (S19): on any span as attributes, on a resolve span as what it resolved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from processor.attributes.reading import Reading
from processor.span import LABEL_PREFIX, Value
from processor.wire.values import encode_attribute, encode_text

CODE_DEFAULT: Final = "<code_default>"
_VERSION: Final = b".version"
_ABSENT: Final = "null"  # what a resolve span says for no label and no version


def read_labels(reading: Reading, values: Mapping[bytes, object]) -> None:
    """Carry the `logfire.variables.<name>` attributes of a span, each with its `.version`.

    An empty label counts as absent, as empty values do (S6). What is no label at all, or a version alone, is not
    carried, but never written over either (S11).
    """
    for key in sorted({key.removesuffix(_VERSION) for key in values}):
        label = values.get(key)
        version = values.get(key + _VERSION)
        if label == "":
            reading.own.hollow |= {key, key + _VERSION}
            continue
        reading.own.present.add(key)
        if isinstance(label, str):
            reading.values[key] = label_value(key, label, version if isinstance(version, str) else None)


def read_resolve(reading: Reading, values: Mapping[str, object], carried: Collection[bytes]) -> None:
    """Carry the label of a resolve span if its key is `carried`; keep what it says for the judgement of drift (S23)."""
    name = values.get("name")
    label = values.get("label")
    if not isinstance(name, str) or not name or not isinstance(label, str) or not label:
        return
    reading.resolve = dict(values)
    key = LABEL_PREFIX + name.encode("utf-8", "replace")
    if key not in carried or key in reading.own.present:
        return
    version = values.get("version")
    told = str(version) if isinstance(version, int) and not isinstance(version, bool) else None
    # A version tells a label that is called "null" from none.
    is_default = label == _ABSENT and told is None
    reading.values[key] = label_value(key, CODE_DEFAULT if is_default else label, told)


def label_value(key: bytes, label: str, version: str | None) -> Value:
    """A label as it is handed down: one value for the label and its version."""
    encoded = encode_attribute(key, encode_text(label))
    if version is not None:
        encoded += encode_attribute(key + _VERSION, encode_text(version))
    return Value(key, encoded, encoded, False, label)
