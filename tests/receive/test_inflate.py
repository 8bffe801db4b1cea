from __future__ import annotations

import contextlib
import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from processor.errors import MalformedRequest, RequestTooLarge
from processor.receive.inflate import STEP_BYTES, Inflater

MiB = 1 << 20


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


FORMATS = {
    "gzip": ("gzip", gzip.compress),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
}


def inflate(encoding: str, data: bytes, limit: int = 64 * MiB, piece: int = 65536) -> bytes:
    inflater = Inflater(encoding, limit)
    pieces = [out for at in range(0, len(data), piece) for out in inflater.feed(data[at : at + piece])]
    inflater.finish()
    return b"".join(pieces)


@pytest.mark.parametrize("name", FORMATS)
@given(data=st.binary(max_size=3000), piece=st.integers(1, 100))
def test_any_cut_gives_the_same_bytes(name: str, data: bytes, piece: int):
    """R5: what was compressed comes out, however the body is cut into pieces."""
    encoding, compress = FORMATS[name]
    assert data == inflate(encoding, compress(data), piece=piece)


@pytest.mark.parametrize("name", FORMATS)
def test_large_bodies_come_in_steps(name: str):
    """No step is larger than `STEP_BYTES`, whatever the ratio, and nothing is lost between steps."""
    encoding, compress = FORMATS[name]
    for size in (STEP_BYTES - 1, STEP_BYTES, STEP_BYTES + 1, 3 * STEP_BYTES + 17):
        inflater = Inflater(encoding, 64 * MiB)
        steps = [len(piece) for piece in inflater.feed(compress(b"\0" * size))]
        inflater.finish()
        assert size == sum(steps)
        assert max(steps) <= STEP_BYTES


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("piece", [100, 65536, 1 << 30])
def test_a_bomb_is_found_out_at_the_limit(name: str, piece: int):
    """R7: of 64 MiB of zeros under a limit of 1 MiB no more than the limit and one step is ever made."""
    encoding, compress = FORMATS[name]
    bomb = compress(b"\0" * (64 * MiB))
    inflater = Inflater(encoding, MiB)
    with pytest.raises(RequestTooLarge):
        sum(len(out) for at in range(0, len(bomb), piece) for out in inflater.feed(bomb[at : at + piece]))
    assert inflater.produced_bytes <= MiB + STEP_BYTES


@pytest.mark.parametrize("name", FORMATS)
def test_the_limit_itself_is_allowed(name: str):
    """R7: the limit is the largest size that passes."""
    encoding, compress = FORMATS[name]
    assert 1000 == len(inflate(encoding, compress(b"\0" * 1000), limit=1000))
    with pytest.raises(RequestTooLarge):
        inflate(encoding, compress(b"\0" * 1001), limit=1000)


@pytest.mark.parametrize("name", FORMATS)
def test_every_truncation_is_found(name: str):
    """A body that ends early, at any byte, is malformed."""
    encoding, compress = FORMATS[name]
    whole = compress(bytes(range(256)) * 4)
    for size in range(len(whole)):
        with pytest.raises(MalformedRequest):
            inflate(encoding, whole[:size])


def test_gzip_may_have_several_members():
    """RFC 1952: members one behind the other are one body, and share the limit."""
    body = gzip.compress(b"one ") + gzip.compress(b"") + gzip.compress(b"two")
    for piece in (1, 7, 65536):
        assert b"one two" == inflate("gzip", body, piece=piece)
    with pytest.raises(RequestTooLarge):
        inflate("gzip", body, limit=6)


@pytest.mark.parametrize("name", FORMATS)
def test_bytes_behind_the_end_are_malformed(name: str):
    """What follows the compressed data, and is not another member, is refused."""
    encoding, compress = FORMATS[name]
    with pytest.raises(MalformedRequest):
        inflate(encoding, compress(b"data") + b"more")


def test_very_many_members_are_refused():
    """A body of empty members costs CPU and holds nothing: more than 4096 are malformed."""
    member = gzip.compress(b"")
    assert b"" == inflate("gzip", member * 4096)
    with pytest.raises(MalformedRequest):
        inflate("gzip", member * 4097)


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
@given(data=st.binary(max_size=200))
def test_garbage_is_malformed_or_small(encoding: str, data: bytes):
    """Arbitrary bytes never raise anything but what the sender is told."""
    with contextlib.suppress(MalformedRequest):
        assert len(inflate(encoding, data)) <= 64 * MiB


@pytest.mark.parametrize("name", FORMATS)
def test_what_grows_too_much_is_refused(name: str):
    """A body that grows to more than 200 times its size is a bomb long before the limit: found out behind 4 MiB."""
    encoding, compress = FORMATS[name]
    inflater = Inflater(encoding, 64 * MiB)
    with pytest.raises(RequestTooLarge, match="200 times"):
        list(inflater.feed(compress(b"\0" * (64 * MiB))))
    assert inflater.produced_bytes <= 4 * MiB + STEP_BYTES
    honest = compress(
        b"".join(index.to_bytes(16, "big") + b"the same text in each span " * 10 for index in range(40_000))
    )
    assert 40_000 * 286 == sum(len(piece) for piece in Inflater(encoding, 64 * MiB).feed(honest))


def test_a_bomb_of_many_members_is_refused():
    """Members that are small each are judged together."""
    bomb = gzip.compress(b"\0" * MiB) * 64
    with pytest.raises(RequestTooLarge, match="200 times"):
        list(Inflater("gzip", 64 * MiB).feed(bomb))


def test_gzip_in_gzip_is_inflated_once():
    """What is inside a body is not looked into: a nested bomb stays as small as its outer layer makes it."""
    nested = gzip.compress(gzip.compress(b"\0" * (64 * MiB)))
    assert b"\x1f\x8b" == inflate("gzip", nested, limit=MiB)[:2]
