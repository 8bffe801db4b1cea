"""What browsers ask before a page of another origin may send OTLP/HTTP, and what they must be told with each answer.

Source: the CORS protocol of the Fetch standard. An origin that is not listed is told nothing: the browser then keeps
the page from sending, or from reading the answer. Must not know what a request holds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from processor.receive.replies import Reply

ANY: Final = "*"
HEADERS: Final = (b"origin", b"access-control-request-method", b"access-control-request-headers")

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")
_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+(\s*,\s*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_DEFAULT_PORTS: Final = {"http": ":80", "https": ":443"}
_MAX_AGE_S: Final = b"7200"  # the most that browsers heed
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """Answers for `origins`, exact ones or `*`. Raises `ValueError` that says what an origin must be."""

    def __init__(self, origins: Iterable[str]) -> None:
        listed = tuple(origins)
        self._is_open = listed == (ANY,)
        self._origins = frozenset(origin.encode() for origin in listed)
        for origin in () if self._is_open else listed:
            _check(origin)

    def preflight(self, headers: Mapping[bytes, bytes]) -> Reply | None:
        """The answer to an OPTIONS request of a listed origin's page, None where it is no such thing.

        Whatever headers the page wants to send are granted: whether a request counts is decided when it comes.
        """
        if b"access-control-request-method" not in headers or not self._allows(headers.get(b"origin")):
            return None
        granted = [(b"access-control-allow-methods", b"POST"), (b"access-control-max-age", _MAX_AGE_S)]
        wanted = headers.get(b"access-control-request-headers", b"").strip()
        if _NAMES.fullmatch(wanted):
            granted.append((b"access-control-allow-headers", wanted))
        return Reply(204, ((b"content-length", b"0"), *granted), b"")

    def mark(self, reply: Reply, origin: bytes | None) -> Reply:
        """The reply with what a page of that origin needs to read it; caches are told that it depends on the origin."""
        if not self._allows(origin):
            return reply if self._is_open else replace(reply, headers=(*reply.headers, _VARY))
        allowed = (b"access-control-allow-origin", b"*" if self._is_open else origin or b"")
        exposed = (b"access-control-expose-headers", b"retry-after")
        vary = () if self._is_open else (_VARY,)
        return replace(reply, headers=(*reply.headers, allowed, exposed, *vary))

    def _allows(self, origin: bytes | None) -> bool:
        return origin is not None and (self._is_open or origin in self._origins)


def _check(origin: str) -> None:
    """Browsers send scheme and host in lower case, no default port, no path: anything else would never match."""
    found = _ORIGIN.fullmatch(origin)
    if not found or (found[2] and found[2] == _DEFAULT_PORTS.get(origin.partition(":")[0])):
        raise ValueError("must be origins such as https://app.example.com, in lower case, without path; or * alone")
