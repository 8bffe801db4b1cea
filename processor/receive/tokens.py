"""The bearer tokens that senders must show, one check for both listeners (RFC 6750).

Compared in constant time: as digests, each with all. A file of tokens is read again when it changes; one that cannot
be used leaves the tokens before in force. Must not know transports, nor settings.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from processor.files import stamp

_TOKEN: Final = re.compile(r"[A-Za-z0-9._~+/-]+=*")
_SCHEME: Final = "bearer"


class Tokens:
    """The accepted tokens. `text`: one a line or comma-separated. `path`: the file that it is from, if it is; `read`
    reads that. Raises `ValueError` that says what is wrong, without a token in it; so does `read`.
    """

    def __init__(self, text: str, path: Path | None, read: Callable[[Path], str]) -> None:
        self._paths = () if path is None else (path,)
        self._read = read
        self._stamp = stamp(self._paths)
        self._digests = _parse(text)

    def accepts(self, authorization: str) -> bool:
        """Whether the value of an Authorization header shows an accepted token."""
        scheme, _, token = authorization.partition(" ")
        shown = _digest(token.strip())
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(digest, shown)
        return found and scheme.lower() == _SCHEME

    def refresh(self) -> bool:
        """Read the file anew if it changed; whether it did. Raises `ValueError`, again at each call."""
        seen = stamp(self._paths)
        if seen == self._stamp:
            return False
        self._digests = _parse(self._read(*self._paths))
        self._stamp = seen
        return True


def _parse(text: str) -> tuple[bytes, ...]:
    separator = "," if "," in text else "\n"
    tokens = [token.strip() for token in text.split(separator)]
    tokens = [token for token in tokens if token]
    if not tokens:
        raise ValueError("holds no token; write one a line or comma-separated")
    for number, token in enumerate(tokens, start=1):
        if any(char.isspace() for char in token):
            raise ValueError(f"token {number} has a space or line break in it; write one a line, or comma-separated")
        if not _TOKEN.fullmatch(token):
            raise ValueError(f"token {number} has a character that no token may have; use letters, digits and -._~+/")
    return tuple(_digest(token) for token in tokens)


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
