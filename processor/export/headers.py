"""Headers as OTLP's variables write them: `name=value,name=value`, percent-encoded where need be.

Values are secrets: no problem quotes one. Must not know settings, nor where the headers go.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from processor.signals import HOP_HEADER

# What gRPC takes as a metadata key and HTTP as a header name alike.
_NAME = re.compile(r"[a-z0-9_.-]+")
_VALUE = re.compile(r"[\x20-\x7e]*")
# Headers that the protocols and the clients own; another value would break every request.
_RESERVED = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "te",
        "transfer-encoding",
        "user-agent",
    )
) | {HOP_HEADER}


def parse_headers(text: str) -> tuple[tuple[tuple[str, str], ...], list[str]]:
    """The pairs, names trimmed and in lower case, of equal names the last; and the problems, by position of the pair.

    Values may be left unencoded except for commas. Empty pairs are passed over (OTLP exporter specification).
    """
    headers: dict[str, str] = {}
    problems = []
    for position, pair in enumerate(text.split(","), start=1):
        if not pair.strip():
            continue
        name, equals, value = pair.partition("=")
        name, value = unquote(name).strip().lower(), unquote(value).strip()
        problem = _problem(name, value) if equals else "has no `=`"
        if problem:
            problems.append(f"pair {position} {problem}; write name=value,name=value, percent-encoded")
        headers[name] = value
    return tuple(headers.items()), problems


def _problem(name: str, value: str) -> str | None:
    if not _NAME.fullmatch(name):
        return "has a name that is not of letters, digits, `-`, `_` and `.`"
    if name in _RESERVED or name.startswith("grpc-"):
        return "names a header that belongs to the protocol"
    if name.endswith("-bin"):
        return "names a binary header, which text cannot give"
    return None if _VALUE.fullmatch(value) else "has a value with characters other than printable ASCII"
