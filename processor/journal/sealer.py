"""Seals small secrets that are kept in the journal: the headers of senders.

The key is derived from what the setting holds by scrypt, so that a passphrase is worth some work to guess; sealed is
with AES-256-GCM. `cryptography` is imported where a key is set, for it takes several MiB.
"""

from __future__ import annotations

import hashlib
import os
from typing import Final

_VERSION: Final = b"\x01"
_NONCE_BYTES: Final = 12
# The same passphrase must open what an earlier process sealed, so the salt is the purpose. 16 MiB and 40 ms, once.
_SALT: Final = b"span-processor journal headers"
_SCRYPT_N, _SCRYPT_R, _SCRYPT_P = 1 << 14, 8, 1


class WrongKey(Exception):
    """This key did not seal these bytes."""


class Sealer:
    """Seals and opens with one key; the text is the setting's."""

    def __init__(self, key: str) -> None:
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM
        from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

        self._derived = Scrypt(_SALT, 32, _SCRYPT_N, _SCRYPT_R, _SCRYPT_P).derive(key.encode())
        self._cipher = AESGCM(self._derived)

    def derive(self, purpose: bytes) -> bytes:
        """A key of 32 bytes for something else, the same after a restart."""
        return hashlib.blake2b(purpose, key=self._derived, digest_size=32).digest()

    def seal(self, secret: bytes) -> bytes:
        """What may be written to disk; different each time."""
        nonce = os.urandom(_NONCE_BYTES)
        return _VERSION + nonce + self._cipher.encrypt(nonce, secret, _VERSION)

    def open(self, sealed: bytes) -> bytes:
        """The secret. Raises `WrongKey`."""
        from cryptography.exceptions import InvalidTag

        nonce, content = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        if sealed[:1] != _VERSION or len(nonce) < _NONCE_BYTES:
            raise WrongKey("not sealed by this version")
        try:
            return self._cipher.decrypt(nonce, content, _VERSION)
        except InvalidTag:
            raise WrongKey("sealed with another key") from None
