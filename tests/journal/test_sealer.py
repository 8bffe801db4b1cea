"""Senders' headers on disk: sealed with the key of the setting, and with no other to be opened."""

from __future__ import annotations

import pytest

from processor.journal.sealer import Sealer, WrongKey

SECRET = b"authorization: Basic c2VjcmV0"


@pytest.fixture(scope="module")
def sealer() -> Sealer:
    return Sealer("a long passphrase")


@pytest.mark.parametrize("secret", [b"", b"a", SECRET, bytes(100_000)])
def test_opens_what_the_same_key_sealed(sealer: Sealer, secret: bytes) -> None:
    """S28: another process with the same key opens it."""
    assert secret == Sealer("a long passphrase").open(sealer.seal(secret))


def test_hides_it(sealer: Sealer) -> None:
    """What is on disk has nothing of the secret, and does not tell which secrets are the same."""
    sealed = {sealer.seal(SECRET) for _ in range(10)}
    assert 10 == len(sealed)
    assert not any(part in each for each in sealed for part in (b"Basic", b"authorization", b"c2Vj"))


@pytest.mark.parametrize("key", ["", "a long passphrasf", "ä long passphrase"])
def test_refuses_another_key(sealer: Sealer, key: str) -> None:
    """With another key it is an error that tells neither key nor secret."""
    with pytest.raises(WrongKey, match="sealed with another key"):
        Sealer(key).open(sealer.seal(SECRET))


def test_refuses_what_was_changed(sealer: Sealer) -> None:
    """A changed byte anywhere, or a cut, is an error, too."""
    sealed = sealer.seal(SECRET)
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(WrongKey):
            sealer.open(bytes(changed))
        with pytest.raises(WrongKey):
            sealer.open(sealed[:at])
