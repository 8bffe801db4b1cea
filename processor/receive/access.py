"""Who may connect and send: one object for both listeners, so that no way in is forgotten. Plain data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from processor.receive.cors import Cors
from processor.receive.tls import Certificates
from processor.receive.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Access:
    """None stands for no TLS, no tokens, no browsers. `max_connections`: to each listener."""

    certificates: Certificates | None = None
    tokens: Tokens | None = None
    cors: Cors | None = None
    max_connections: int = 1024


OPEN: Final = Access()
