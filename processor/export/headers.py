"""Headers as OTLP's variables write them: `name=value,name=value`, percent-encoded where need be.

Values are secrets: no problem quotes one. Must not know settings, nor where the headers go.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from processor.header_names import problem_of_name
from processor.origin import Headers

_VALUE = re.compile(r"[\x20-\x7e]*")
# Shorter parts are words such as `Basic`, and no secrets.
_LEAST_CONCEALED = 8


def parse_headers(text: str) -> tuple[Headers, list[str]]:
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


def override(configured: Headers, forwarded: Headers) -> Headers:
    """The configured headers and the sender's, which take the place of those of the same name (S28)."""
    return tuple({**dict(configured), **dict(forwarded)}.items()) if forwarded else configured


def conceal(text: str, headers: Headers) -> str:
    """A downstream's own words without the values of these headers, which it may quote."""
    for _, value in headers:
        for part in (value, *value.split()):
            if len(part) >= _LEAST_CONCEALED:
                text = text.replace(part, "****")
    return text


def _problem(name: str, value: str) -> str | None:
    if problem := problem_of_name(name):
        return problem
    return None if _VALUE.fullmatch(value) else "has a value with characters other than printable ASCII"
