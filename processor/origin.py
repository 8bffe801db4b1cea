"""Whose request it was: the sender's headers that go out with its spans, and what keeps its traces apart (S28).

An `Origin` is one object for all requests whose forwarded headers agree. Groups and chunks hold it; so it lives as
long as something of it is held or queued, and `Origins` sees to it that there are not too many. Their values are
credentials: no representation, log line or error quotes one. Must not know transports, spans or the queue.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Final
from weakref import WeakValueDictionary

from processor.errors import ComeBackLater, MalformedRequest
from processor.header_names import HeaderNames

# Pairs of name and value, names in lower case, sorted by name.
Headers = tuple[tuple[str, str], ...]

MOST_ORIGINS: Final = 1000
# Half of what gRPC takes as metadata; a downstream has headers of its own to come beside them.
_MOST_BYTES: Final = 8192
_VALUE: Final = re.compile(r"[\x20-\x7e]*")
_PREFIX_BYTES: Final = 8


class Origin:
    """The headers to forward, of one sender or of several that agree; compared by identity.

    `key_prefix`: goes before the trace ids of its spans, equal for equal credentials; empty where there are none.
    """

    __slots__ = ("__weakref__", "headers", "key_prefix")

    def __init__(self, headers: Headers = (), key_prefix: bytes = b"") -> None:
        self.headers = headers
        self.key_prefix = key_prefix

    def select(self, names: HeaderNames) -> Headers:
        """The headers of these names."""
        return tuple(pair for pair in self.headers if pair[0] in names) if self.headers else ()

    def __repr__(self) -> str:
        return f"<Origin of {', '.join(name for name, _ in self.headers) or 'nobody'}>"


# Of all requests that bring nothing to forward.
NO_ORIGIN: Final = Origin()


class Origins:
    """Gives each request its origin.

    `forwarded`: what any downstream forwards. `tenants`: which of them say whose a trace is. `key`: secret, so that
    nobody can find credentials that share a prefix with another's. `forget` is called when there are too many, to let
    go of those with nothing held or queued. `refused`: how many requests were told to come back for it.
    """

    def __init__(
        self,
        forwarded: HeaderNames,
        tenants: HeaderNames,
        key: bytes,
        forget: Callable[[], None],
        most: int = MOST_ORIGINS,
    ) -> None:
        self.refused = 0
        self._forwarded = forwarded
        self._tenants = tenants
        self._key = key
        self._forget = forget
        self._most = most
        self._live: WeakValueDictionary[Headers, Origin] = WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._live)

    def of(self, headers: Mapping[str, str]) -> Origin:
        """The origin of a request with these headers.

        Raises `MalformedRequest` for values that cannot be forwarded, `ComeBackLater` where too many others have
        something held or queued.
        """
        if not headers or not self._forwarded:
            return NO_ORIGIN
        # HTTP's values have no space around them, and its clients refuse it.
        pairs = tuple(sorted((name, value.strip()) for name, value in headers.items() if name in self._forwarded))
        if not pairs:
            return NO_ORIGIN
        return self._live.get(pairs) or self._make(pairs)

    def recall(self, headers: Mapping[str, str]) -> Origin:
        """The origin of what a process before this one accepted; never refused."""
        pairs = tuple(sorted(pair for pair in headers.items() if pair[0] in self._forwarded))
        if not pairs:
            return NO_ORIGIN
        return self._live.get(pairs) or self._add(pairs)

    def _make(self, pairs: Headers) -> Origin:
        _check(pairs)
        if len(self._live) >= self._most:
            self._forget()
            if len(self._live) >= self._most:
                self.refused += 1
                raise ComeBackLater("too many different senders have something that waits", 2)
        return self._add(pairs)

    def _add(self, pairs: Headers) -> Origin:
        origin = self._live[pairs] = Origin(pairs, self._prefix(pairs))
        return origin

    def _prefix(self, pairs: Headers) -> bytes:
        credentials = [text.encode() for pair in pairs if pair[0] in self._tenants for text in pair]
        if not credentials:
            return b""
        digest = hashlib.blake2b(digest_size=_PREFIX_BYTES, key=self._key)
        for part in credentials:
            digest.update(b"%d:%b" % (len(part), part))
        return digest.digest()


def _check(pairs: Headers) -> None:
    """Raise `MalformedRequest` for what no downstream's protocol can carry. The message quotes names alone."""
    for name, value in pairs:
        if not _VALUE.fullmatch(value):
            raise MalformedRequest(f"the header {name} has characters other than printable ASCII")
    if sum(len(name) + len(value) for name, value in pairs) > _MOST_BYTES:
        raise MalformedRequest(f"the headers to be forwarded are over {_MOST_BYTES} bytes")
