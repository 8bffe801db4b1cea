"""Drives the code under test as the service does: scan in steps, ingest in steps, take what leaves, tell it the time.

Uses only the public shape of `Pipeline`, so it runs the interpreted and the compiled modules alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import craft
import wires
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from processor.attributes.keys import CarriedKeys, KeySettings
from processor.attributes.pseudonyms import Pseudonyms
from processor.origin import Origin
from processor.pipeline import Pipeline
from processor.settings import Settings
from processor.trace.settings import FILL_NONE, FILL_ORPHANS, FILL_TRACE, TreeSettings

STEP = 2000
FILLS = {"none": FILL_NONE, "orphans": FILL_ORPHANS, "trace": FILL_TRACE}


def default(name: str) -> Any:
    """The default of a setting, whatever the environment says."""
    return Settings.model_fields[name].default


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings of one run, with the product's defaults."""

    user: tuple[str, ...] = field(default_factory=lambda: default("user_id_keys"))
    user_fallback: tuple[str, ...] = field(default_factory=lambda: default("user_id_fallback_keys"))
    session: tuple[str, ...] = field(default_factory=lambda: default("session_id_keys"))
    session_fallback: tuple[str, ...] = field(default_factory=lambda: default("session_id_fallback_keys"))
    baggage: tuple[str, ...] = ()
    max_length: int = 200
    roots_any: bool = False
    fill: str = "orphans"
    trace_quiet_s: float = 10.0
    max_wait_s: float = 300.0
    remember_traces: int = 100_000
    remember_for_s: float = 600.0
    max_spans_per_trace: int = 32_000
    chunk_spans: int = 8192
    chunk_bytes: int = 3 << 20
    hash_key: bytes = b""

    def pipeline(self) -> Pipeline:
        """A fresh one."""
        keys = KeySettings(self.user, self.user_fallback, self.session, self.session_fallback, self.baggage)
        tree = TreeSettings(
            roots_any=self.roots_any, fill=FILLS[self.fill], trace_quiet_s=self.trace_quiet_s, max_wait_s=self.max_wait_s,
            remember_traces=self.remember_traces, remember_for_s=self.remember_for_s,
            max_spans_per_trace=self.max_spans_per_trace,
        )  # fmt: skip
        pseudonyms = Pseudonyms(self.hash_key, self.user + self.user_fallback) if self.hash_key else None
        return Pipeline(CarriedKeys(keys), tree, self.max_length, self.chunk_spans, self.chunk_bytes, pseudonyms)


@dataclass(frozen=True, slots=True)
class Left:
    """A span that left, and what was around it: the other fields of its request, ResourceSpans and ScopeSpans."""

    raw: bytes
    resource: bytes
    scope: bytes
    extra: bytes

    @property
    def span(self) -> Span:
        """As upb reads it."""
        span: Span = Span.FromString(self.raw)
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        """Key to value; of duplicates the last."""
        return {each.key: craft.plain(each.value) for each in self.span.attributes}


class Engine:
    """One pipeline, driven `step` spans at a time.

    `rejected`: spans left out of the last request, by reason; `chunks`: the bytes of what left last, `reasons`: why.
    """

    def __init__(self, setup: Setup | None = None, step: int = STEP) -> None:
        self.pipeline = (setup or Setup()).pipeline()
        self.step = step
        self.rejected: dict[str, int] = {}
        self.chunks: list[bytes] = []
        self.reasons: Counter[str] = Counter()
        self._reasons_before: Counter[str] = Counter()

    def deliver(
        self, body: bytes, now_s: float = 0.0, *, is_langfuse: bool = False, key_prefix: bytes = b""
    ) -> list[Left]:
        """One request, to the end; what leaves at once."""
        self.drive(body, now_s, is_langfuse, key_prefix)
        return self.take()

    def drive(self, body: bytes, now_s: float = 0.0, is_langfuse: bool = False, key_prefix: bytes = b"") -> None:
        """One request, to the end; what leaves is not looked at, for tests that measure."""
        pipeline = self.pipeline
        scan = pipeline.scan(body, Origin(key_prefix=key_prefix))
        while scan.step(self.step):
            pass
        self.rejected = dict(scan.rejected)
        index = 0
        while index < len(scan.spans):
            index = pipeline.ingest(scan, index, is_langfuse, now_s)
        while pipeline.work(self.step):
            pass

    def advance(self, now_s: float) -> list[Left]:
        """Tell the time; what leaves."""
        while self.pipeline.advance(now_s, self.step):
            pass
        return self.take()

    def release_all(self, reason: str = "shutdown") -> list[Left]:
        """Let go of everything; what leaves."""
        while self.pipeline.release_all(reason, self.step):
            pass
        return self.take()

    def take(self) -> list[Left]:
        """What is ready, each chunk checked against its own count."""
        left = []
        taken = self.pipeline.take_chunks()
        self.chunks = [chunk for chunk, _, _ in taken]
        for chunk, count, _ in taken:
            in_chunk = list(spans_of(chunk))
            assert count == len(in_chunk)
            assert not has_empty_parts(chunk)
            left += in_chunk
        reasons = Counter(self.pipeline.released)
        self.reasons = reasons - self._reasons_before
        self._reasons_before = reasons
        return left

    @property
    def cost(self) -> int:
        """Estimated bytes of everything that is held and remembered."""
        return self.pipeline.cost


def spans_of(chunk: bytes) -> Iterator[Left]:
    """The spans of a request's bytes, in order."""
    extra = wires.without(chunk, 1)
    for resource_spans in wires.payloads(chunk, 1):
        resource = wires.without(resource_spans, 2)
        for scope_spans in wires.payloads(resource_spans, 2):
            scope = wires.without(scope_spans, 2)
            for raw in wires.payloads(scope_spans, 2):
                yield Left(raw, resource, scope, extra)


def has_empty_parts(chunk: bytes) -> bool:
    """Whether a request holds a ResourceSpans or ScopeSpans without spans."""
    scopes = [wires.payloads(resource_spans, 2) for resource_spans in wires.payloads(chunk, 1)]
    return not all(scopes) or not all(wires.payloads(scope_spans, 2) for each in scopes for scope_spans in each)


def by_name(left: list[Left]) -> dict[str, dict[str, Any]]:
    """Attributes by the span's name, for requests whose names are unique."""
    found = {each.span.name: each.attributes for each in left}
    assert len(found) == len(left)
    return found
