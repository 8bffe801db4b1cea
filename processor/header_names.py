"""Names of request headers, as settings list them: whole names, and beginnings that end in `*`.

What gRPC takes as a metadata key and HTTP as a header name alike, in lower case. Must not know settings, transports,
nor any header's value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from processor.signals import HOP_HEADER

# Headers that the protocols, the clients and the servers own; another value would break the request that has it.
RESERVED: Final = frozenset(
    (
        "accept-encoding",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "expect",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    )
) | {HOP_HEADER}
_RESERVED_BEGINNING: Final = "grpc-"
_BINARY_END: Final = "-bin"
_NAME: Final = re.compile(r"[a-z0-9_.-]+")


def problem_of_name(name: str) -> str | None:
    """What is wrong with a header's name, if anything is."""
    if not _NAME.fullmatch(name):
        return "has a name that is not of letters, digits, `-`, `_` and `.`"
    if name in RESERVED or name.startswith(_RESERVED_BEGINNING):
        return "names a header that belongs to the protocol"
    return "names a binary header, which text cannot give" if name.endswith(_BINARY_END) else None


def check_patterns(patterns: tuple[str, ...]) -> tuple[str, ...]:
    """Names and beginnings in lower case. Raises `ValueError` for what can be no header of a sender's own."""
    lower = tuple(pattern.lower() for pattern in patterns)
    for pattern in lower:
        problem = problem_of_name(pattern.removesuffix("*"))
        if problem:
            raise ValueError(f"{pattern!r} {problem}; list names such as authorization or x-langfuse-*")
    return lower


class HeaderNames:
    """The headers that some patterns cover. A beginning never covers a header of the protocol."""

    __slots__ = ("_beginnings", "_names")

    def __init__(self, patterns: Iterable[str] = ()) -> None:
        every = tuple(patterns)
        self._names = frozenset(pattern for pattern in every if not pattern.endswith("*"))
        self._beginnings = tuple(pattern.removesuffix("*") for pattern in every if pattern.endswith("*"))

    def __contains__(self, name: str) -> bool:
        if name in self._names:
            return True
        return name.startswith(self._beginnings) and problem_of_name(name) is None

    def __bool__(self) -> bool:
        return bool(self._names or self._beginnings)


NO_NAMES: Final = HeaderNames()
