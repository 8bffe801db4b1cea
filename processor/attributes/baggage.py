"""W3C baggage as it was captured from an HTTP header (S2): bounded before it is split, one pass, never an error.

Source: W3C Baggage (list members `key=value;properties`, percent-encoding) and the limits that SDKs apply.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

MAX_BYTES: Final = 8192
MAX_MEMBERS: Final = 180
MAX_MEMBER_BYTES: Final = 4096
LANGFUSE: Final = "langfuse_"

# Members of Langfuse's SDKs and the span attributes that they stand for.
_LANGFUSE_KEYS: Final = {
    "langfuse_user_id": "user.id",
    "langfuse_session_id": "session.id",
    "langfuse_version": "langfuse.version",
    "langfuse_tags": "langfuse.trace.tags",
    "langfuse_trace_name": "langfuse.trace.name",
    "langfuse_environment": "langfuse.environment",
}
# A key is a token of RFC 7230.
_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_METADATA: Final = "langfuse_metadata_"
# A list of strings as Python's repr writes it, which is what the Python SDK sends for tags.
_PYTHON_LIST: Final = re.compile(r"\[\s*(?:(?:'[^'\\]*'|\"[^\"\\]*\")\s*(?:,\s*|(?=\])))*\]")
_PYTHON_ITEM: Final = re.compile(r"'([^'\\]*)'|\"([^\"\\]*)\"")


def parse_baggage(header: str) -> dict[str, str]:
    """The members of a baggage header, decoded; the last of a duplicate key counts.

    A header over 8192 bytes is cut there at the last comma; members past the 180th and over 4096 bytes are left out.
    A member without `=` or key is skipped, and so is one whose percent-encoding is not UTF-8.
    """
    header = _bounded(header)
    members: dict[str, str] = {}
    for member in header.split(",", MAX_MEMBERS)[:MAX_MEMBERS]:
        key, equals, value = member.partition("=")
        key = key.strip()
        if not equals or not _TOKEN.fullmatch(key) or len(member.encode("utf-8", "replace")) > MAX_MEMBER_BYTES:
            continue
        decoded = _value(key, value.partition(";")[0])
        if decoded is not None:
            members[key] = decoded
    return members


def replace_values(header: str, replace: Callable[[str, str], str | None]) -> str:
    """The header with other values where `replace` gives one for a member's key and decoded value.

    All members are asked, those past the limits of `parse_baggage` too; whatever is not replaced stays as it was.
    """
    return ",".join([_replaced(member, replace) for member in header.split(",")])


def _replaced(member: str, replace: Callable[[str, str], str | None]) -> str:
    before, equals, rest = member.partition("=")
    key = before.strip()
    text, semicolon, properties = rest.partition(";")
    decoded = _value(key, text)
    value = replace(key, text.strip() if decoded is None else decoded) if equals else None
    return member if value is None else f"{before}={value}{semicolon}{properties}"


def span_key(member: str) -> str:
    """The span attribute that a member stands for: Langfuse's own names mapped, others as they are."""
    if member.startswith(_METADATA) and len(member) > len(_METADATA):
        return "langfuse.trace.metadata." + member.removeprefix(_METADATA)
    return _LANGFUSE_KEYS.get(member, member)


def split_tags(text: str) -> list[str]:
    """Tags out of baggage: JavaScript joins them with commas, Python sends the repr of a list."""
    if _PYTHON_LIST.fullmatch(text):
        return [first or second for first, second in _PYTHON_ITEM.findall(text)]
    return [tag.strip() for tag in text.split(",") if tag.strip()]


def _bounded(header: str) -> str:
    """At most MAX_BYTES of the header, whole members only. Headers are ASCII; what is not costs its UTF-8 bytes."""
    encoded = header[: MAX_BYTES + 1].encode("utf-8", "surrogatepass")
    if len(encoded) <= MAX_BYTES:
        return header
    return encoded[:MAX_BYTES].rpartition(b",")[0].decode("utf-8", "ignore")


def _value(key: str, text: str) -> str | None:
    """A member's value, decoded; None where its percent-encoding is not UTF-8."""
    text = text.strip()
    try:
        return unquote(text.replace("+", " ") if key.startswith(LANGFUSE) else text, errors="strict")
    except UnicodeDecodeError:
        return None
