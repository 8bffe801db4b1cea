"""The oracle: a second, naive implementation of the contract, the whole history in memory, to compare the engine with.

It replays deliveries step by step and says for every received span what must be added to it, what cut from it, at
which step it leaves
and why. No incremental state: each answer is computed anew from all spans received so far (S18). Not modelled: S10's
cap, S17's limits.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import craft
from engine import Left, Setup, spans_of
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, Span
from reading import SESSION, USER, Carried, Reading, read, required_keys

ROOT, BROKEN = "root", "broken"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One request at one time."""

    at_s: float
    body: bytes
    is_langfuse: bool = False
    key_prefix: bytes = b""


@dataclass(eq=False, slots=True)
class Received:
    """A span as it came, with what surrounds it, and, once it has left, what was due to it."""

    span: Span
    bytes: Left
    reading: Reading
    defaults: Reading
    at_s: float
    is_root: bool
    step: int | None = None
    reason: str = ""
    added: dict[str, Carried] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)


@dataclass(eq=False, slots=True)
class Known:
    """A trace. `said`: the distinct strong own values by key; `touched_s`: when its last span came or left."""

    spans: list[Received] = field(default_factory=list)
    said: dict[str, dict[bytes, Carried]] = field(default_factory=dict)
    touched_s: float = 0.0
    has_root: bool = False

    @property
    def held(self) -> list[Received]:
        """Spans that have come and not left; a pending span waits for nothing but the rest of its request (S5)."""
        return [each for each in self.spans if each.step is None and each.reading.pending_parent is None]

    def hear(self, each: Received) -> None:
        """What a span says, and whether it is a root."""
        self.has_root = self.has_root or each.is_root
        for key, value in each.reading.values.items():
            if not value.is_weak:
                self.said.setdefault(key, {}).setdefault(value.identity, value)


class Oracle:
    """Replays; `received` is the answer."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        self.required = required_keys(setup)
        self.traces: dict[bytes, Known] = {}
        self.received: list[Received] = []
        self.step = 0

    def deliver(self, delivery: Delivery) -> None:
        """One step: a request comes."""
        came = list(receive(delivery, self.setup))
        for each in came:
            trace = self.traces.setdefault(delivery.key_prefix + each.span.trace_id, Known())
            trace.spans.append(each)
            trace.touched_s = delivery.at_s
            self.received.append(each)
            if each.reading.pending_parent is None:
                trace.hear(each)
        for each in came:
            trace = self.traces[delivery.key_prefix + each.span.trace_id]
            if each.reading.pending_parent is not None:
                self._leave_at_once(trace, each)
            for waiting in trace.held:
                if self._is_decided(trace, waiting) and not self._waits_for_trace(trace, waiting):
                    self._leave(trace, waiting, "decided", False)
        self.step += 1

    def advance(self, now_s: float) -> None:
        """One step: time passes (S15; S12 under FILL=trace)."""
        setup = self.setup
        for trace in self.traces.values():
            is_quiet = trace.has_root and trace.touched_s + setup.trace_quiet_s <= now_s
            for each in trace.held:
                if each.at_s + setup.max_wait_s <= now_s:
                    self._give_up(trace, each, "max_wait", now_s)
                elif is_quiet and self._is_decided(trace, each):
                    self._give_up(trace, each, "decided", now_s)
        self.step += 1

    def is_specified(self, delivery: Delivery) -> bool:
        """Whether the contract says what a delivery finds: a trace that rests is remembered for *at least* MAX_WAIT (S16)."""
        keys = {delivery.key_prefix + left.span.trace_id for left in spans_of(delivery.body)}
        known = [self.traces[key] for key in keys if key in self.traces]
        return all(trace.held or delivery.at_s < trace.touched_s + self.setup.max_wait_s for trace in known)

    def release_all(self, now_s: float) -> None:
        """One step: shutdown."""
        for trace in self.traces.values():
            for each in trace.held:
                self._give_up(trace, each, "shutdown", now_s)
        self.step += 1

    def _give_up(self, trace: Known, each: Received, reason: str, now_s: float) -> None:
        self._leave(trace, each, reason, self.setup.fill != "none")
        trace.touched_s = max(trace.touched_s, now_s)

    def _leave(self, trace: Known, each: Received, reason: str, with_fill: bool) -> None:
        """What a span gets: its chain's strong values, its resource's, its trace's, its chain's fallback values (S3,
        S10
        to S12).
        """
        chain, _ = self._chain(trace, each, with_pending=True)
        given: dict[str, Carried] = {}
        for key in {key for link in chain for key in link.values} | set(each.defaults.values) | set(trace.said):
            known = _nearest(chain, key)
            agreed = trace.said.get(key, {}) if with_fill else {}
            if known is None:
                known = each.defaults.values.get(key)
            elif known.is_weak and agreed:
                known = None
            if known is None and len(agreed) == 1:
                known = next(iter(agreed.values()))
                each.filled.add(key)
            if known is not None:
                given[key] = known
        each.added = {key: value for key, value in given.items() if key not in each.reading.present}
        each.filled &= set(each.added)
        each.step = self.step
        each.reason = reason

    def _leave_at_once(self, trace: Known, each: Received) -> None:
        """A pending span never waits (S5): decided or given up, by the place that it takes for the real span."""
        _, end = self._chain(trace, each, with_pending=True)
        self._leave(trace, each, "decided", self.setup.fill != "none" and end != ROOT)

    def _is_decided(self, trace: Known, each: Received) -> bool:
        """S14."""
        chain, end = self._chain(trace, each, with_pending=False)
        if end == ROOT:
            return True
        values = [_nearest(chain, key) for key in self.required or ()]
        return bool(values) and all(value is not None and not value.is_weak for value in values)

    def _waits_for_trace(self, trace: Known, each: Received) -> bool:
        """S12 under FILL=trace: without a user or session id a span waits for its trace."""
        if self.setup.fill != "trace":
            return False
        chain, _ = self._chain(trace, each, with_pending=False)
        return _lacks_id(chain, each)

    def _chain(self, trace: Known, start: Received, with_pending: bool) -> tuple[list[Reading], str]:
        """What the span and its known ancestors say, nearest first, and how the chain ends.

        Of several spans with an id the first counts (S13).
        """
        chain = [start.reading]
        seen: set[bytes] = set()
        parent, is_root = _parent(start), start.is_root
        if start.reading.pending_parent is not None:
            real = _first(trace, parent)
            chain += [real.reading] if real is not None else []
            parent = start.reading.pending_parent if real is None else _parent(real)
            is_root = not parent if real is None else real.is_root
        while not is_root:
            if parent in seen:
                return chain, BROKEN
            seen.add(parent)
            found = _first(trace, parent)
            if found is not None:
                chain.append(found.reading)
                parent, is_root = _parent(found), found.is_root
                continue
            stand_in = _first_pending(trace, parent) if with_pending else None
            if stand_in is None:
                return chain, BROKEN
            chain.append(stand_in.reading)
            parent = stand_in.reading.pending_parent or b""
            is_root = not parent
        return chain, ROOT


def _first(trace: Known, span_id: bytes) -> Received | None:
    return next(
        (each for each in trace.spans if each.span.span_id == span_id and each.reading.pending_parent is None), None
    )


def _first_pending(trace: Known, span_id: bytes) -> Received | None:
    found = (each for each in trace.spans if each.reading.pending_parent is not None)
    return next((each for each in found if each.span.parent_span_id == span_id), None)


def _parent(each: Received) -> bytes:
    return each.span.parent_span_id


def _nearest(chain: list[Reading], key: str) -> Carried | None:
    """The nearest strong value, else the nearest fallback value (S1, S10)."""
    found = [link.values[key] for link in chain if key in link.values]
    return next((value for value in found if not value.is_weak), found[0] if found else None)


def _lacks_id(chain: list[Reading], each: Received) -> bool:
    return any(_nearest(chain, key) is None and key not in each.defaults.values for key in (USER, SESSION))


def receive(delivery: Delivery, setup: Setup) -> Iterator[Received]:
    """The spans of a request that are not rejected (S9), in their order."""
    for left in spans_of(delivery.body):
        span = left.span
        if _is_valid_id(span.trace_id, 16) and _is_valid_id(span.span_id, 8) and len(span.parent_span_id) in (0, 8):
            reading = read(span.attributes, setup)
            defaults = read(ResourceSpans.FromString(left.resource).resource.attributes, setup)
            is_root = _is_root(span, reading, delivery.is_langfuse, setup)
            yield Received(span, left, reading, defaults, delivery.at_s, is_root)


def _is_valid_id(value: bytes, size: int) -> bool:
    return len(value) == size and any(value)


def _is_root(span: Span, reading: Reading, is_langfuse: bool, setup: Setup) -> bool:
    """The word `root` of the contract."""
    if not any(span.parent_span_id) or (is_langfuse and reading.is_app_root):
        return True
    if setup.roots_any:
        return False
    if span.flags & craft.HAS_IS_REMOTE:
        return bool(span.flags & craft.IS_REMOTE)
    return span.kind in (craft.SERVER, craft.CONSUMER)
