"""Lines, joining and halving."""

from __future__ import annotations

import gc
import tracemalloc
from typing import Any

import pytest

from processor.export.batch import CHUNK_OVERHEAD_BYTES, Batch, Limits, Lines, Part, halve
from processor.export.export import Chunk
from processor.signals import Signal


def lines(*chunks: tuple[float, Chunk], **limits: Any) -> Lines:
    made = Lines(Limits(**limits))
    for at, chunk in chunks:
        made.add(chunk, at)
    return made


def chunk(body: bytes, items: int = 1, signal: Signal = Signal.TRACES) -> Chunk:
    return Chunk(signal, body, items)


def test_joins_in_order() -> None:
    """Chunks of one signal leave joined, in the order in which they came, as old as the oldest."""
    waiting = lines((1.0, chunk(b"a", 2)), (2.0, chunk(b"bc", 3)))
    batch = waiting.take()
    assert (b"abc", 5, 1.0, ((1, 2, 0), (2, 3, 0))) == (batch.body, batch.items, batch.since, batch.parts)
    assert not waiting


def test_single_chunk_is_not_copied() -> None:
    """A chunk that goes alone is the same bytes object: the common case costs no copy."""
    body = b"x" * 1000
    assert lines((1.0, chunk(body))).take().body is body


@pytest.mark.parametrize(
    ("limits", "bodies"),
    [
        ({"batch_max_bytes": 4}, [b"aabb", b"cc"]),
        ({"batch_max_bytes": 5}, [b"aabb", b"cc"]),
        ({"batch_max_items": 20}, [b"aabb", b"cc"]),
        ({"batch_max_items": 29}, [b"aabb", b"cc"]),
        ({"batch_max_bytes": 1}, [b"aa", b"bb", b"cc"]),
        ({"batch_max_items": 1}, [b"aa", b"bb", b"cc"]),
        ({}, [b"aabbcc"]),
    ],
)
def test_limits(limits: dict[str, int], bodies: list[bytes]) -> None:
    """A batch stays within BATCH_MAX_SIZE and BATCH_MAX_SPANS; one chunk over them goes alone (S27)."""
    waiting = lines(*((1.0, chunk(body, 10)) for body in (b"aa", b"bb", b"cc")), **limits)
    taken = []
    while waiting:
        taken.append(waiting.take().body)
    assert bodies == taken


def test_signals_do_not_mix_and_the_oldest_goes_first() -> None:
    """A batch has one signal; the signal whose oldest chunk came first leaves first."""
    waiting = lines((1.0, chunk(b"m", 1, Signal.METRICS)), (2.0, chunk(b"t")), (3.0, chunk(b"m", 1, Signal.METRICS)))
    assert [(Signal.METRICS, b"mm"), (Signal.TRACES, b"t")] == [
        (batch.signal, batch.body) for batch in (waiting.take(), waiting.take())
    ]


def test_ripens() -> None:
    """A line may leave after BATCH_MAX_DELAY or when it is full, and a full line goes before one that gathers."""
    waiting = lines(
        (1.0, chunk(b"t")), (2.0, chunk(b"m", 1, Signal.METRICS)), batch_max_delay_s=10.0, batch_max_bytes=2
    )
    assert 11.0 == waiting.ripens_at()
    waiting.add(chunk(b"m", 1, Signal.METRICS), 3.0)
    assert 2.0 == waiting.ripens_at()
    assert Signal.METRICS is waiting.take().signal


def test_take_expired() -> None:
    """What has waited for so long leaves, of every signal, and nothing else."""
    waiting = lines((1.0, chunk(b"a")), (2.0, chunk(b"m", 1, Signal.METRICS)), (3.0, chunk(b"b")))
    assert [b"a", b"m"] == [old.body for old in waiting.take_expired(12.0, 10.0)]
    assert (3.0, 1) == (waiting.oldest(), len(waiting))


def test_halves_between_chunks() -> None:
    """A batch of several chunks is cut at the chunk nearest to its middle, and nothing is lost."""
    sizes = [(1, 10), (1, 20), (6, 30), (2, 40)]
    batch = Batch(Signal.METRICS, b"abccccccdd", 100, tuple(Part(*each, 0) for each in sizes), 5.0)
    left, right = halve(batch, lambda _: None) or pytest.fail("not halved")
    assert (b"ab", 30) == (left.body, left.items)
    assert (b"ccccccdd", 70) == (right.body, right.items)
    assert (5.0, 5.0) == (left.since, right.since)


@pytest.mark.parametrize("sizes", [[(9, 1), (1, 1)], [(1, 1), (9, 1)], [(0, 1), (0, 1)]])
def test_halves_always_have_a_chunk_each(sizes: list[tuple[int, int]]) -> None:
    """However unequal the chunks are, both halves are smaller than the whole."""
    batch = Batch(Signal.TRACES, b"x" * sum(size for size, _ in sizes), 2, tuple(Part(*each, 0) for each in sizes), 0.0)
    left, right = halve(batch, lambda _: None) or pytest.fail("not halved")
    assert (1, 1) == (len(left.parts), len(right.parts))


def test_halves_of_one_chunk_keep_its_items() -> None:
    """A single chunk is halved by its spans, and the halves' items sum up whatever the splitter says."""
    batch = Batch(Signal.TRACES, b"abcd", 10, (Part(4, 10, 0),), 0.0)
    for claimed, left_items in ((4, 4), (99, 10), (-1, 0)):
        left, right = halve(batch, lambda _, n=claimed: (b"ab+", b"cd+", n, 0)) or pytest.fail("not halved")
        assert (b"ab+", b"cd+") == (left.body, right.body)
        assert (left_items, 10) == (left.items, left.items + right.items)


def test_cannot_be_halved() -> None:
    """One span, a relayed request of metrics, and what the splitter cannot read stay whole."""

    def never(_: bytes) -> None:
        pytest.fail("asked")

    assert halve(Batch(Signal.TRACES, b"abcd", 1, (Part(4, 1, 0),), 0.0), never) is None
    assert halve(Batch(Signal.METRICS, b"abcd", 9, (Part(4, 9, 0),), 0.0), never) is None
    assert halve(Batch(Signal.TRACES, b"abcd", 9, (Part(4, 9, 0),), 0.0), lambda _: None) is None


def test_overhead_of_a_chunk() -> None:
    """The overhead that is counted for each waiting chunk is what it really takes, within a quarter (S17)."""
    waiting = lines()
    gc.collect()
    tracemalloc.start()
    for number in range(20_000):
        waiting.add(Chunk(Signal.TRACES, b"x" * (number % 7 + 200), 512), float(number))
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pytest.approx(CHUNK_OVERHEAD_BYTES, rel=0.25) == used / 20_000 - 203
