"""Chunks on their way to becoming requests: waiting lines, joining, halving.

Chunks of a signal that go out with the same headers wait in a line in order of arrival; a `Batch` is what one request
carries. Sans-I/O: time is a parameter. Must not know the downstream.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final, NamedTuple

from processor.export.export import CHUNK_OVERHEAD_BYTES, Chunk
from processor.header_names import NO_NAMES, HeaderNames
from processor.origin import Headers
from processor.signals import Signal

# The halves of a request's body and how many spans each holds; None when it cannot be divided.
Split = Callable[[bytes], tuple[bytes, bytes, int, int] | None]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a request may carry, and how long it may wait. None for `max_age_s`: no batch is ever too old.

    `gather_s`: how long chunks gather after a request has started where the process is never idle (`pace.py`).
    """

    batch_max_items: int = 8192
    batch_max_bytes: int = 3 * 1024 * 1024
    batch_max_delay_s: float = 0.0
    gather_s: float = 0.0
    max_age_s: float | None = 300.0


class Part(NamedTuple):
    """A chunk in a batch, or half of one: its bytes, how many items, and its number in the store."""

    size: int
    items: int
    number: int


@dataclass(slots=True, eq=False)
class Batch:
    """One request's worth. Belongs to the queue, or to the slot that sends it.

    `items`: how many spans (for metrics and logs: requests) it carries. `parts`: the chunks in `body`, in order.
    `since`: when the oldest chunk arrived, by the queue's clock. `attempts`: how often it was sent. `headers`: of its
    senders, to go out with it.
    """

    signal: Signal
    body: bytes
    items: int
    parts: tuple[Part, ...]
    since: float
    attempts: int = 0
    headers: Headers = field(default=(), repr=False)

    @property
    def cost_bytes(self) -> int:
        """What it counts against the queue's share of memory: the same as its chunks did."""
        return len(self.body) + CHUNK_OVERHEAD_BYTES * len(self.parts)

    @property
    def numbers(self) -> list[int]:
        """Under which its chunks are kept on disk."""
        return [part.number for part in self.parts]


class Lines:
    """The waiting chunks: a line for each signal and set of headers that the downstream is to see (S28).

    There are few lines but where many senders' headers differ and the downstream is behind; so the ripest is searched
    for: 0.02 ms among 1,000, where its request takes 0.3. Only the backlog may touch it.
    """

    def __init__(self, limits: Limits, forwards: HeaderNames = NO_NAMES) -> None:
        self._limits = limits
        self._forwards = forwards
        self._lines: dict[tuple[Signal, Headers], _Line] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, chunk: Chunk, now: float) -> None:
        """Put a chunk at the end of its line."""
        key = (chunk.signal, chunk.origin.select(self._forwards))
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(key, now)
        line.chunks.append((now, chunk))
        line.bytes += len(chunk.body)
        line.items += chunk.items
        self._count += 1

    def ripens_at(self) -> float:
        """When the next line may leave: its oldest chunk gathered long enough, or it is full. Only when not empty."""
        return self._ripeness(self._ripest())

    def is_full(self) -> bool:
        """Whether the next line has a request's worth. Only when not empty."""
        return self._is_full(self._ripest())

    def take(self) -> Batch:
        """The ripest line's chunks as far as one request holds; one larger chunk goes alone. Only when not empty."""
        line = self._ripest()
        since = line.since
        first = self._drop_first(line)
        size, items = len(first.body), first.items
        if not line.chunks:
            return Batch(first.signal, first.body, items, (_part_of(first),), since, headers=line.headers)
        bodies, parts = [first.body], [_part_of(first)]
        while line.chunks:
            chunk = line.chunks[0][1]
            size += len(chunk.body)
            if size > self._limits.batch_max_bytes or items + chunk.items > self._limits.batch_max_items:
                break
            items += chunk.items
            bodies.append(chunk.body)
            parts.append(_part_of(chunk))
            self._drop_first(line)
        body = bodies[0] if len(bodies) == 1 else b"".join(bodies)
        return Batch(first.signal, body, items, tuple(parts), since, headers=line.headers)

    def take_expired(self, now: float, max_age_s: float) -> list[Chunk]:
        """The chunks that have waited so long."""
        taken = []
        for line in list(self._lines.values()):
            while line.chunks and line.since + max_age_s <= now:
                taken.append(self._drop_first(line))
        return taken

    def take_all(self, signal: Signal) -> list[Chunk]:
        """Every chunk of a signal."""
        lines = [line for line in self._lines.values() if line.signal is signal]
        return [self._drop_first(line) for line in lines for _ in range(len(line.chunks))]

    def take_kept(self) -> list[Chunk]:
        """Every chunk that is on disk, too."""
        kept = []
        for line in list(self._lines.values()):
            kept += [self._drop_first(line) for _ in range(len(line.chunks)) if line.chunks[0][1].number]
        return kept

    def take_oldest(self) -> Chunk:
        """The chunk that came first; only when not empty."""
        return self._drop_first(min(self._lines.values(), key=_SINCE))

    def oldest(self) -> float:
        """When the oldest chunk arrived; only when not empty."""
        return min(line.since for line in self._lines.values())

    def _ripest(self) -> _Line:
        """The line to leave next: the one whose oldest chunk came first, with a full one before one that gathers."""
        return min(self._lines.values(), key=self._ripeness if self._limits.batch_max_delay_s else _SINCE)

    def _ripeness(self, line: _Line) -> float:
        return line.since if self._is_full(line) else line.since + self._limits.batch_max_delay_s

    def _is_full(self, line: _Line) -> bool:
        return line.bytes >= self._limits.batch_max_bytes or line.items >= self._limits.batch_max_items

    def _drop_first(self, line: _Line) -> Chunk:
        chunk = line.chunks.popleft()[1]
        line.bytes -= len(chunk.body)
        line.items -= chunk.items
        self._count -= 1
        if line.chunks:
            line.since = line.chunks[0][0]
        else:
            del self._lines[line.key]
        return chunk


class _Line:
    """Chunks of one signal and one set of headers, with their times of arrival, and their sums. Never empty.

    `since`: when the first of them arrived.
    """

    __slots__ = ("bytes", "chunks", "items", "key", "since")

    def __init__(self, key: tuple[Signal, Headers], since: float) -> None:
        self.key = key
        self.since = since
        self.chunks: deque[tuple[float, Chunk]] = deque()
        self.bytes = 0
        self.items = 0

    @property
    def signal(self) -> Signal:
        return self.key[0]

    @property
    def headers(self) -> Headers:
        return self.key[1]


_SINCE: Final = attrgetter("since")


def halve(batch: Batch, split: Split) -> tuple[Batch, Batch] | None:
    """The batch as two: at the chunk nearest to its middle, a single chunk of spans by `split`; None when it cannot be.

    The items of the halves sum up to those of the batch, whatever `split` says.
    """
    if len(batch.parts) > 1:
        return _halve_between_chunks(batch)
    if batch.signal is not Signal.TRACES or batch.items < 2 or (halves := split(batch.body)) is None:
        return None
    left, right, left_items, _ = halves
    items, number = min(max(left_items, 0), batch.items), batch.parts[0].number
    parts = Part(len(left), items, number), Part(len(right), batch.items - items, number)
    return _with(batch, left, parts[:1]), _with(batch, right, parts[1:])


def _halve_between_chunks(batch: Batch) -> tuple[Batch, Batch]:
    cut, size = 0, 0
    parts = batch.parts
    while cut == 0 or (cut < len(parts) - 1 and size + parts[cut].size <= len(batch.body) // 2):
        size += parts[cut].size
        cut += 1
    return _with(batch, batch.body[:size], parts[:cut]), _with(batch, batch.body[size:], parts[cut:])


def _with(batch: Batch, body: bytes, parts: tuple[Part, ...]) -> Batch:
    items = sum(part.items for part in parts)
    return Batch(batch.signal, body, items, parts, batch.since, headers=batch.headers)


def _part_of(chunk: Chunk) -> Part:
    return Part(len(chunk.body), chunk.items, chunk.number)
