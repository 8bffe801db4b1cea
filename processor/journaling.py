"""Keeps on disk what was acknowledged and is not yet delivered (S25): connects the journal with trees and downstreams.

    ready   a chunk that downstreams have yet to get; a part for each of them
    held    spans that wait for their parents; a part for each span
    known   what is known of the trace of a held span

A span moves from held to ready within one commit, so that after a crash it is in one of them. Only this module knows
both what is in a row and that there is a journal; everything runs on the event loop.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from weakref import WeakKeyDictionary

from processor.errors import ComeBackLater, MalformedRequest
from processor.export.export import Chunk
from processor.export.overflow import Stored
from processor.journal.journal import Item, JournalFailed
from processor.journal.sealer import Sealer, WrongKey
from processor.journal.store import Journal
from processor.origin import NO_ORIGIN, Origin, Origins
from processor.pipeline import Pipeline
from processor.signals import Signal
from processor.wire.cursor import Malformed

LOG: Final = logging.getLogger("processor.journal")

_READY: Final = 1
_HELD: Final = 2
_KNOWN: Final = 3
# What an item costs in memory beside its bytes: its entry in the journal's index, and what waits for it in a queue.
_ITEM_COST: Final = 500
# What it costs to know where a held span is kept: an entry of a dictionary that is two thirds full, and a number.
_PLACE_COST: Final = 150
# The part of the journal's size that live rows may take before those that are behind lose their oldest.
_PLENTY: Final = 0.8
# A place is the number of a row and the index of a span in it.
_INDEX_BITS: Final = 12


class Journaling:
    """The rows of one journal, in terms of chunks and spans. `names`: of the downstreams.

    `sealer`: for the headers of senders, None where none are forwarded.
    """

    def __init__(
        self, journal: Journal, pipeline: Pipeline, names: Sequence[str], origins: Origins, sealer: Sealer | None
    ) -> None:
        self.journal = journal
        self._pipeline = pipeline
        self._keeper = pipeline.follow()
        self._names = tuple(names)
        self._origins = origins
        self._sealer = sealer
        self._sealed: WeakKeyDictionary[Origin, str] = WeakKeyDictionary()  # an origin lives as long as its spans
        self._known: dict[bytes, list[int]] = {}
        self._names_then: dict[int, Sequence[str]] = {}  # of rows of an earlier process
        self._halves: dict[tuple[int, str], int] = {}

    @property
    def cost_bytes(self) -> int:
        """What the journal takes in memory: its index, the places of held spans, and what is not written yet."""
        kept = self.journal.live_items * _ITEM_COST + len(self._keeper.places) * _PLACE_COST
        return kept + self.journal.buffered_bytes

    def status(self) -> Mapping[str, Any]:
        """What `/status` says of the journal. `live` is what is not settled, `buffered` what is not on disk yet."""
        journal = self.journal
        return {
            "healthy": journal.is_healthy,
            "max_bytes": journal.max_bytes,
            "used_bytes": journal.used_bytes,
            "live_bytes": journal.live_bytes,
            "live_items": journal.live_items,
            "buffered_bytes": journal.buffered_bytes,
            "damaged": journal.damaged,
        }

    def check(self, size_bytes: int) -> int:
        """Raise `ComeBackLater` where the journal cannot take so much more; what had better be given up."""
        journal = self.journal
        if not journal.is_healthy:
            raise ComeBackLater("the journal cannot be written", 2)
        if not journal.has_room(size_bytes):
            raise ComeBackLater("the journal is full; the downstream is behind", 2)
        return max(journal.live_bytes + size_bytes - int(journal.max_bytes * _PLENTY), 0)

    # ---- rows are written

    def keep(self, signal: Signal, body: bytes, items: int, origin: Origin) -> Chunk:
        """A chunk that is to be delivered."""
        head = {"signal": signal.value, "items": items, "for": self._names, "headers": self._seal(origin)}
        number = self.journal.append(_READY, _dump(head), (body,), len(self._names))
        return Chunk(signal, body, items, origin, number)

    def follow(self, is_langfuse: bool = False) -> None:
        """Write what became of held spans since the last call; after the chunks that they left in."""
        keeper = self._keeper
        left, closed, keeper.left, keeper.closed = keeper.left, keeper.closed, [], []
        for number, indexes in _by_row(left).items():
            self.journal.move(number, indexes)
        for key in closed:
            for number in self._known.pop(key, ()):
                self.journal.move(number, (0,))
        for row in self._pipeline.take_held():
            head = {"langfuse": is_langfuse, "headers": self._seal(row.group.origin)}
            number = self.journal.append(_HELD, _dump(head), (row.body,), len(row.spans))
            for index, span in enumerate(row.spans):
                keeper.places[span] = number << _INDEX_BITS | index
        for key, record in keeper.take_known():
            self._known.setdefault(key, []).append(self.journal.append(_KNOWN, b"{}", (record,), 1))

    def settle(self, name: str, numbers: Iterable[int]) -> None:
        """Chunks that a downstream has got, or that are lost for it."""
        for number in numbers:
            if not number:
                continue
            rest = self._halves.get((number, name), 1) - 1
            if rest > 0:
                self._halves[(number, name)] = rest
                continue
            self._halves.pop((number, name), None)
            self.journal.settle(number, (self._part(number, name),))
            if self._names_then and not self.journal.is_live(number):
                self._names_then.pop(number, None)

    def divide(self, name: str, number: int) -> None:
        """Of a chunk two parts are on their way to a downstream where there was one."""
        if number:
            self._halves[(number, name)] = self._halves.get((number, name), 1) + 1

    async def load(self, number: int) -> bytes | None:
        """The bytes of a chunk; None where they are damaged. Raises `ComeBackLater` where they cannot be read now."""
        try:
            return await self.journal.read(number)
        except JournalFailed as error:
            raise ComeBackLater(f"the journal cannot be read: {error}", 2) from None

    async def close(self) -> None:
        """Write what is left, and let go of the journal."""
        try:
            await self.journal.close()
        except JournalFailed as error:
            LOG.error("journal: the end is not on disk: %s", error)

    async def commit(self) -> None:
        """Wait until everything so far is on disk. Raises `ComeBackLater` where that cannot be."""
        try:
            await self.journal.commit()
        except JournalFailed as error:
            raise ComeBackLater(f"the journal cannot be written: {error}", 2) from None

    # ---- rows of an earlier process are read

    async def restore(
        self,
        recover: Callable[[str, Stored], bool],
        lose: Callable[[int], None],
        flush: Callable[[], None],
        now_s: float,
    ) -> None:
        """Go on where an earlier process ended. Before anything else is accepted.

        `recover` gives a chunk to a downstream by name, False where there is none of that name; `lose` counts held
        spans that are damaged; `flush` takes what the trees let go of. Raises `WrongKey`, and
        `JournalFailed` where a file cannot be read now.
        """
        held: list[Item] = []
        orphaned = 0
        for item in self.journal.recovered():
            if item.kind == _READY:
                orphaned += self._restore_ready(item, recover, now_s)
            elif item.kind == _KNOWN:
                await self._restore_known(item, now_s)
            else:
                held.append(item)
        for item in held:
            lose(await self._restore_held(item, now_s))
            flush()
            await asyncio.sleep(0)
        self._forget_unfollowed()
        if orphaned:
            LOG.warning("%d requests in the journal are for downstreams that are gone: given up", orphaned)

    def _restore_ready(self, item: Item, recover: Callable[[str, Stored], bool], now_s: float) -> bool:
        head = json.loads(item.head)
        names = tuple(head["for"])
        if names != self._names:
            self._names_then[item.number] = names
        origin = self._unseal(head["headers"])
        chunk = Stored(Signal(head["signal"]), item.body_size, head["items"], origin, item.number, now_s)
        vain = [part for part in _unsettled(item) if not recover(names[part], chunk)]
        if vain:
            self.journal.settle(item.number, vain)
        if not self.journal.is_live(item.number):
            self._names_then.pop(item.number, None)
        return bool(vain)

    async def _restore_known(self, item: Item, now_s: float) -> None:
        record = await self.journal.read(item.number)
        try:
            key = self._pipeline.remember(record, now_s) if record is not None else b""
        except Malformed:
            key = b""
        if key:
            self._known.setdefault(key, []).append(item.number)
        else:
            self.journal.settle(item.number, (0,))

    async def _restore_held(self, item: Item, now_s: float) -> int:
        """Hold the spans of a row again; how many are damaged."""
        head = json.loads(item.head)
        places = {index: item.number << _INDEX_BITS | index for index in _unsettled(item)}
        body = await self.journal.read(item.number)
        try:
            if body is None:
                raise MalformedRequest("damaged")
            self._pipeline.restore(body, self._unseal(head["headers"]), places, head["langfuse"], now_s)
        except MalformedRequest:
            self.journal.settle(item.number, list(places))
            return len(places)
        return 0

    def _forget_unfollowed(self) -> None:
        """What is known of traces of which no span was held again: damaged ones, or of other settings than now."""
        for key in self._known.keys() - self._keeper.followed():
            for number in self._known.pop(key):
                self.journal.settle(number, (0,))

    # ---- what stands in a row

    def _part(self, number: int, name: str) -> int:
        return self._names_then.get(number, self._names).index(name)

    def _seal(self, origin: Origin) -> str:
        """The headers of a sender as they may lie on a disk."""
        if not origin.headers or self._sealer is None:
            return ""
        sealed = self._sealed.get(origin)
        if sealed is None:
            sealed = self._sealed[origin] = self._sealer.seal(_dump(origin.headers)).hex()
        return sealed

    def _unseal(self, sealed: str) -> Origin:
        if not sealed:
            return NO_ORIGIN
        if self._sealer is None:
            raise WrongKey("there is no key")
        return self._origins.recall(dict(json.loads(self._sealer.open(bytes.fromhex(sealed)))))


def _dump(head: Any) -> bytes:
    return json.dumps(head, separators=(",", ":")).encode()


def _unsettled(item: Item) -> list[int]:
    return sorted(item.unsettled) if item.unsettled is not None else list(range(item.parts))


def _by_row(places: Iterable[int]) -> Mapping[int, list[int]]:
    rows: dict[int, list[int]] = {}
    for place in places:
        rows.setdefault(place >> _INDEX_BITS, []).append(place & (1 << _INDEX_BITS) - 1)
    return rows
