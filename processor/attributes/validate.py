"""Is a carried value valid? S6, and the closed list of reasons why not."""

from __future__ import annotations

import re
from typing import Final

from processor.wire.values import Opaque

# Reasons, as they stand in metrics and warnings.
VALID: Final = ""
ABSENT: Final = "absent"
NOT_A_STRING: Final = "not_a_string"
TOO_LONG: Final = "too_long"
BAD_FORMAT: Final = "format"
BAD_ENCODING: Final = "encoding"

REASONS: Final = {
    NOT_A_STRING: "the value is not a string",
    TOO_LONG: "the value is longer than the limit",
    BAD_FORMAT: "the value does not match the rule of its key",
    BAD_ENCODING: "the value is not valid UTF-8",
}

_ENVIRONMENT_KEY: Final = b"langfuse.environment"
_ENVIRONMENT_LENGTH: Final = 40
_ENVIRONMENT: Final = re.compile(r"(?!langfuse)[a-z0-9_-]+")


def judge(key: bytes, value: object, max_length: int) -> str:
    """VALID, ABSENT (no value or an empty string: silently so), or the reason why it is invalid.

    Lengths are code points. `key` matters for `langfuse.environment` alone.
    """
    if value is None or value == "":
        return ABSENT
    if isinstance(value, Opaque) and value.kind == "invalid UTF-8":
        return BAD_ENCODING
    if not isinstance(value, str):
        return NOT_A_STRING
    if key == _ENVIRONMENT_KEY:
        if len(value) > _ENVIRONMENT_LENGTH:
            return TOO_LONG
        return VALID if _ENVIRONMENT.fullmatch(value) else BAD_FORMAT
    return VALID if len(value) <= max_length else TOO_LONG


def describe(value: object) -> tuple[str, int]:
    """Type and length of a value, for warnings that must never show the value itself."""
    if isinstance(value, str):
        return "string", len(value)
    if isinstance(value, Opaque):
        return value.kind, 0
    if isinstance(value, tuple):
        return "array", len(value)
    if isinstance(value, bytes):
        return "bytes", len(value)
    return {bool: "bool", int: "int", float: "double"}.get(type(value), "empty"), 0
