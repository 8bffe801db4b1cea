"""The way of a span without I/O: request bytes in, chunks of request bytes out.

    Intake(request)   scan ──▶ read (what it says itself) ──▶ buffer (what is in force) ──▶ write ──▶ frame
    take_chunks()

Everything is done in steps of a bounded number of spans, so that whoever drives it can let others run in between.
Time is a parameter, in seconds of a monotonic clock. One owner, no locks.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable
from typing import Final, cast

from mypy_extensions import i64

from processor.attributes.contexts import Contexts
from processor.attributes.keys import CarriedKeys
from processor.attributes.known import load_known
from processor.attributes.labels import Labeller
from processor.attributes.pseudonyms import Pseudonyms
from processor.attributes.read import Reader
from processor.attributes.reading import Drop
from processor.attributes.write import Writer
from processor.origin import NO_ORIGIN, Origin
from processor.span import EMITTED, IS_ROOT, Context, Group, Own, Span
from processor.trace.buffer import Buffer
from processor.trace.keeper import Keeper
from processor.trace.releases import forget_bytes
from processor.trace.settings import TreeSettings
from processor.trace.trace import Trace
from processor.wire.frame import Framer
from processor.wire.groups import Groups
from processor.wire.scan import Scan

# Whoever wants to see each span as it leaves (the console view): its bytes, what is appended to them, its group,
# what it said itself, what it is given, and why it leaves now.
Observer = Callable[[bytes, bytes, Group, Own | None, Context, str], None]

# Spans between two chances for others to run: about 2 ms compiled, 20 ms interpreted.
STEP: Final = 2000
_WHOLE: Final = 1 << 40  # a row of held spans is one chunk


class HeldRow:
    """Held spans of one group that came one after another, in order; `body` has them framed as a request."""

    __slots__ = ("body", "group", "spans")

    def __init__(self, group: Group) -> None:
        self.group = group
        self.spans: list[Span] = []
        self.body = b""


class Pipeline:
    """The state between requests: carried keys, trees, counters.

    Counters only grow; `accepted` and `recovered`, from a process before this one, include what is held. `pseudonyms`:
    what stands for user ids on spans that leave.
    """

    def __init__(
        self,
        keys: CarriedKeys,
        tree: TreeSettings,
        max_length: int,
        chunk_spans: int,
        chunk_bytes: int,
        pseudonyms: Pseudonyms | None = None,
    ) -> None:
        self.max_length = max_length
        self.pseudonyms = pseudonyms
        self.contexts = Contexts(keys.required)
        self.reader = Reader(keys, self.contexts, max_length, None, pseudonyms)
        self.buffer = Buffer(tree, self.contexts)
        self.writer = Writer(self.contexts.empty)
        self.groups = Groups()
        self.framer = Framer(chunk_spans, chunk_bytes)
        self.accepted: i64 = 0
        self.recovered: i64 = 0
        self.emitted: i64 = 0
        self.malformed: dict[str, int] = {}
        self.released: dict[str, int] = {}
        self.observer: Observer | None = None

    @property
    def held(self) -> int:
        """Spans accepted or recovered and not yet in a chunk."""
        return self.accepted + self.recovered - self.emitted

    @property
    def has_work(self) -> bool:
        """Whether `work` has something to do."""
        return self.buffer.has_work

    @property
    def cost(self) -> int:
        """Estimated bytes of everything that the trees hold and remember (S17)."""
        return self.buffer.memory.cost

    def inherited(self) -> dict[str, int]:
        """Values written on spans that did not have them, by key group."""
        return self.writer.inherited()

    def count_malformed(self, rejected: dict[str, int]) -> None:
        """Count what was rejected, by reason."""
        for reason, count in rejected.items():
            self.malformed[reason] = self.malformed.get(reason, 0) + count

    def forget_groups(self) -> None:
        """Let go of the resources and scopes of which nothing is held, and so of their origins."""
        self.groups.forget()
        if self.reader.labeller is not None:
            self.reader.labeller.forget()

    def make_room(self, wanted_cost: int, may_release: bool) -> None:
        """Bring the cost down: forget resting traces, then, where it helps, let go of the longest waiting ones
        (S17).
        """
        self.buffer.make_room(wanted_cost, may_release)
        self._write()

    def configure(self, keys: CarriedKeys, labeller: Labeller | None) -> None:
        """From now on look for `keys`, and label new traces by `labeller`. Traces that are known keep theirs (S24)."""
        self.forget_groups()
        self.contexts.required = keys.required
        self.contexts.memo.clear()
        self.reader = Reader(keys, self.contexts, self.max_length, labeller, self.pseudonyms)

    def scan(self, body: bytes, origin: Origin = NO_ORIGIN) -> Scan:
        """Begin to read a request. Raises `MalformedRequest`."""
        scan = Scan(body, origin, self.reader.keys.interests, self.groups, self.contexts.empty)
        scan.reader = self.reader
        return scan

    def ingest(self, scan: Scan, start: i64, is_langfuse: bool, now_s: float) -> i64:
        """Take responsibility for up to STEP spans of a finished scan from index `start` on; the next index.

        `is_langfuse`: the request is of Langfuse's own exporter.
        """
        end: i64 = min(start + STEP, len(scan.spans))
        buffer = self.buffer
        self._read(scan, start, end, is_langfuse)
        runs = self._runs(scan, start, end, now_s)
        for trace, spans in runs:
            buffer.place(trace, spans)
        # Backwards: SDKs send children before their parents, so that most parents are decided when their children
        # are settled.
        for trace, spans in reversed(runs):
            buffer.settle(trace, spans)
        self.accepted += end - start
        self.work(STEP)
        for trace, _ in runs:
            if trace.held == 0:
                buffer.close(trace)
        return end

    def _read(self, scan: Scan, start: i64, end: i64, is_langfuse: bool) -> None:
        """Read what the spans from `start` on, before `end`, say, and first what is around all of them."""
        reader = cast(Reader, scan.reader)
        self.buffer.labeller = reader.labeller
        if start == 0:
            for group in scan.around:
                if group.hits and group.defaults is None:
                    reader.read_resource(group)
        at: i64 = bisect_left(scan.said_at, start)
        while at < len(scan.said_at) and scan.said_at[at] < end:
            span = scan.spans[scan.said_at[at]]
            reader.read(span, scan.hits[at])
            own = span.own
            if is_langfuse and own is not None and own.is_app_root:
                span.state |= IS_ROOT
            at += 1

    def _runs(self, scan: Scan, start: i64, end: i64, now_s: float) -> list[tuple[Trace, list[Span]]]:
        """The same spans by trace, as they stand together."""
        starts = scan.starts
        key_prefix: bytes = scan.origin.key_prefix
        runs: list[tuple[Trace, list[Span]]] = []
        run: i64 = bisect_right(starts, start) - 1
        while start < end:
            stop: i64 = end
            if run + 1 < len(starts):
                stop = min(end, starts[run + 1])
            trace = self.buffer.open(key_prefix + scan.trace_ids[run], now_s)
            runs.append((trace, scan.spans[start:stop]))
            start = stop
            run += 1
        return runs

    def work(self, max_spans: i64) -> bool:
        """Carry contexts down to at most `max_spans` spans and write what is released; True if there is more to do."""
        more = self.buffer.work(max_spans)
        self._write()
        return more

    def advance(self, now_s: float, max_spans: i64) -> bool:
        """Give up what waited too long; True if there is more to give up now."""
        more = self.buffer.advance(now_s, max_spans)
        self._write()
        return more

    def release_all(self, reason: str, max_spans: i64) -> bool:
        """Let go of held spans; True if there are more."""
        more = self.buffer.release_all(reason, max_spans)
        self._write()
        return more

    def take_chunks(self) -> list[tuple[bytes, int, Origin]]:
        """What is to be exported now: request bytes, their number of spans, and whose they are."""
        return self.framer.take()

    # ---- what is held, to be kept elsewhere

    def follow(self) -> Keeper:
        """From now on follow what is held; the keeper knows who left and which traces are done with."""
        keeper = Keeper()
        self.buffer.keeper = keeper
        return keeper

    def take_held(self) -> list[HeldRow]:
        """The spans that came since the last call and are still held. To be called after each `ingest`."""
        keeper = self.buffer.keeper
        rows: list[HeldRow] = []
        if keeper is None:
            return rows
        framer = Framer(_WHOLE, _WHOLE)
        row: HeldRow | None = None
        for span in keeper.take_fresh():
            if row is None or row.group is not span.group:
                row = HeldRow(span.group)
                rows.append(row)
            row.spans.append(span)
        for row in rows:
            framer.add(row.spans, [b""] * len(row.spans))
            row.body = framer.take()[0][0]
        return rows

    def restore(self, body: bytes, origin: Origin, places: dict[int, int], is_langfuse: bool, now_s: float) -> None:
        """Hold the spans of a row again: those whose index in the row has a place. Raises `MalformedRequest`."""
        scan = self.scan(body, origin)
        while scan.step(STEP):
            pass
        indexes = sorted([index for index in places if index < len(scan.spans)])
        scan.keep(indexes)
        keeper = self.buffer.keeper
        if keeper is not None:
            for index, span in zip(indexes, scan.spans, strict=True):
                keeper.places[span] = places[index]
        at: i64 = 0
        while at < len(scan.spans):
            at = self.ingest(scan, at, is_langfuse, now_s)
        if keeper is not None:
            for span in scan.spans:
                if span.state & EMITTED:  # at once, where the settings of now hold less
                    keeper.leave(span)
        self.take_drops()  # they were told when the spans came
        self.accepted -= at
        self.recovered += at

    def remember(self, record: bytes, now_s: float) -> bytes:
        """Know again what the keeper of another process told of a trace; its key. Raises `Malformed`."""
        known = load_known(record, self.contexts)
        trace = self.buffer.open(known.key, now_s)
        for context, ids in known.ids:
            self.buffer.memory.recall(trace, context, ids)
        trace.said = known.said
        trace.conflicts = known.conflicts or None
        self.buffer.close(trace)
        return known.key

    def take_resolves(self) -> list[tuple[dict[str, object], Group]]:
        """What resolve spans said since the last call (S23)."""
        return self.reader.take_resolves()

    def take_drops(self) -> list[Drop]:
        """The values that were dropped since the last call."""
        return self.reader.take_drops()

    def _write(self) -> None:
        """Write contexts onto released spans and frame them."""
        for released in self.buffer.take():
            spans = released.spans
            suffixes = self.writer.suffixes(spans, released.contexts)
            if self.pseudonyms is not None:
                for index, span in enumerate(spans):
                    span.raw, suffixes[index] = self.pseudonyms.replace(span.raw, suffixes[index], span.group)
            if self.observer is not None:
                for span, suffix, context in zip(spans, suffixes, released.contexts, strict=True):
                    self.observer(span.raw, suffix, span.group, span.own, context, released.reason)
            self.framer.add(spans, suffixes)
            forget_bytes(spans)
            count: i64 = len(spans)
            self.emitted += count
            self.released[released.reason] = self.released.get(released.reason, 0) + count
