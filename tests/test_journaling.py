"""What the journal holds of an earlier process: taken back, and forgotten once it is of no use (S25)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from craft import request, span

from processor.export.overflow import Stored
from processor.header_names import NO_NAMES
from processor.journal.store import open_journal
from processor.journaling import Journaling
from processor.origin import Origins
from processor.pipeline import STEP
from processor.pipeline_settings import build_pipeline
from processor.settings import Settings
from processor.signals import Signal

MARK = b"of the one that waits"


class Process:
    """Trees and a journal, before the downstreams `names`; nothing is delivered but by the test."""

    def __init__(self, folder: Path, names: Sequence[str] = ("otlp",), settings: Settings | None = None) -> None:
        self.pipeline = build_pipeline(settings or Settings())
        self.journal = open_journal(str(folder), 64 << 20)
        origins = Origins(NO_NAMES, NO_NAMES, b"", lambda: None)
        self.journaling = Journaling(self.journal, self.pipeline, names, origins, None)
        self.recovered: list[tuple[str, Stored]] = []
        self.lost: list[int] = []

    def take(self, body: bytes) -> None:
        """A request."""
        scan = self.pipeline.scan(body)
        while scan.step(STEP):
            pass
        self.pipeline.ingest(scan, 0, False, 0.0)
        self.flush()

    def flush(self) -> None:
        for body, count, origin in self.pipeline.take_chunks():
            self.journaling.keep(Signal.TRACES, body, count, origin)
        self.journaling.follow()

    async def restore(self, *names: str) -> None:
        """Take back what there is; downstreams of other names are gone."""
        await self.journaling.restore(
            lambda name, chunk: self._recover(name, chunk, names), self.lost.append, self.flush, 0.0
        )

    def _recover(self, name: str, chunk: Stored, names: Sequence[str]) -> bool:
        self.recovered.append((name, chunk))
        return name in names


def test_what_is_known_of_traces_without_spans_is_forgotten(tmp_path: Path) -> None:
    """Of a trace whose held spans are damaged nothing stays in the journal, restart by restart."""

    async def first() -> None:
        process = Process(tmp_path)
        process.take(request(span(1, 0, {"user.id": "ann"})))
        process.take(request(span(3, 2, {"text": MARK.decode()})))
        assert 3 == process.journal.live_items  # a chunk, a held span, what is known of its trace
        await process.journaling.close()

    async def second() -> None:
        process = Process(tmp_path)
        await process.restore("otlp")
        assert [1] == process.lost
        process.journaling.settle("otlp", [chunk.number for _, chunk in process.recovered])
        await process.journaling.commit()
        assert 0 == process.journal.live_items
        await process.journaling.close()

    asyncio.run(first())
    damage(tmp_path)
    asyncio.run(second())


def damage(folder: Path) -> None:
    """Flip a byte of the held span."""
    (segment,) = [path for path in folder.iterdir() if path.suffix == ".v1"]
    data = bytearray(segment.read_bytes())
    data[data.index(MARK)] ^= 0xFF
    segment.write_bytes(data)


def test_names_of_an_earlier_process_are_kept_as_long_as_their_chunks(tmp_path: Path) -> None:
    """S27: a chunk is settled for each downstream that it was kept for, in the order of then, and then forgotten."""

    async def first() -> None:
        process = Process(tmp_path, ("a", "b", "gone"))
        process.take(request(span(1)))
        await process.journaling.close()

    async def second() -> None:
        process = Process(tmp_path, ("b", "a"))
        await process.restore("b", "a")
        assert ["a", "b", "gone"] == [name for name, _ in process.recovered]
        (number,) = {chunk.number for _, chunk in process.recovered}
        for name, left in (("b", 1), ("a", 0)):
            process.journaling.settle(name, [number])
            assert (left, left) == (process.journal.live_items, len(process.journaling._names_then))
        await process.journaling.close()

    asyncio.run(first())
    asyncio.run(second())


def test_spans_that_other_settings_do_not_hold(tmp_path: Path) -> None:
    """Held spans that leave at once under the settings of now are in the journal as what leaves alone."""

    async def first() -> None:
        process = Process(tmp_path, settings=Settings(baggage_keys=("plan",)))
        process.take(request(span(2, 1, {"user.id": "ann", "session.id": "s"})))
        assert 1 == process.pipeline.held
        await process.journaling.close()

    async def second() -> None:
        process = Process(tmp_path)
        await process.restore("otlp")
        assert 0 == process.pipeline.held
        await process.journaling.commit()
        assert 1 == process.journal.live_items
        await process.journaling.close()

    asyncio.run(first())
    asyncio.run(second())
