"""The contract of this room: every metric with its kind, unit and meaning, once; and what one reading of them is.

    what others count ──reading──▶ Snapshot ──instruments──▶ the SDK ──▶ scrape (Prometheus), push (OTLP)

Attribute values come from closed lists, never out of a span; names of variables and downstreams come from the
configuration. Must not know who counts, nor the SDK.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

PREFIX: Final = "span_processor."


class Kind(Enum):
    """What a metric is to the SDK."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `name`: without `PREFIX`; `unit`: UCUM, in braces where it is a thing that is counted."""

    name: str
    kind: Kind
    unit: str
    description: str


@dataclass(frozen=True, slots=True)
class Point:
    """One number of a counter or gauge."""

    value: int
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Distribution:
    """One histogram: `counts` by bucket of upper `bounds`, one more than these; `total`: the sum of what was seen."""

    bounds: Sequence[float]
    counts: Sequence[int]
    total: float
    attributes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All numbers of one instant, by metric name without prefix. A metric that a run does not have is missing."""

    numbers: Mapping[str, Sequence[Point]] = field(default_factory=dict)
    distributions: Mapping[str, Sequence[Distribution]] = field(default_factory=dict)


_SPAN: Final = "{span}"
_VALUE: Final = "{value}"
_LABEL: Final = "{label}"
_REQUEST: Final = "{request}"
_BYTES: Final = "By"
_SECONDS: Final = "s"

METRICS: Final[tuple[Metric, ...]] = (
    Metric("spans.accepted", Kind.COUNTER, _SPAN, "Spans for which it took responsibility."),
    Metric("spans.recovered", Kind.COUNTER, _SPAN, "Spans taken back from the journal of an earlier process."),
    Metric(
        "spans.refused", Kind.COUNTER, _REQUEST, "Requests answered retryably; they are not read, so they count as one."
    ),
    Metric(
        "spans.malformed", Kind.COUNTER, _SPAN,
        "Spans rejected for good; a request that cannot be read or is rejected whole counts as one.",
    ),
    Metric("spans.exported", Kind.COUNTER, _SPAN, "Spans that the downstream acknowledged."),
    Metric("spans.lost", Kind.COUNTER, _SPAN, "Spans that were accepted and not delivered."),
    Metric("spans.held", Kind.GAUGE, _SPAN, "Spans that wait for a parent."),
    Metric("spans.queued", Kind.GAUGE, _SPAN, "Spans that wait for the downstream, in flight included."),
    Metric("spans.journaled", Kind.GAUGE, _SPAN, "Spans that wait for the downstream on disk alone."),
    Metric("spans.released", Kind.COUNTER, _SPAN, "Spans that left their trees, by why they did."),
    Metric("values.inherited", Kind.COUNTER, _VALUE, "Values written on spans that had none."),
    Metric("values.filled", Kind.COUNTER, _VALUE, "Values that a trace agrees on, written where a chain is broken."),
    Metric("values.dropped", Kind.COUNTER, _VALUE, "Invalid values that were not handed down."),
    Metric("values.missing", Kind.COUNTER, _SPAN, "Spans that left without a value, by why they did."),
    Metric("labels.written", Kind.COUNTER, _LABEL, "Labels written on spans."),
    Metric("labels.drifted", Kind.COUNTER, _LABEL, "Labels that the application chose differently."),
    Metric("labels.failed", Kind.COUNTER, _LABEL, "Labels that could not be evaluated."),
    Metric("variables.reloads", Kind.COUNTER, "{reload}", "Attempts to take a configuration of variables."),
    Metric("memory.used", Kind.GAUGE, _BYTES, "Estimated memory of trees, queue and requests in flight."),
    Metric("memory.limit", Kind.GAUGE, _BYTES, "The limit on it."),
    Metric("queue.bytes", Kind.GAUGE, _BYTES, "What waits for the downstream, in flight included."),
    Metric("journal.bytes", Kind.GAUGE, _BYTES, "What the journal holds that is not delivered yet."),
    Metric("journal.limit", Kind.GAUGE, _BYTES, "The limit on its files."),
    Metric("relay.requests", Kind.COUNTER, _REQUEST, "Requests of metrics and logs, by what became of them."),
    Metric("export.attempts", Kind.COUNTER, "{attempt}", "Requests to the downstream, by how they ended."),
    Metric("export.duration", Kind.HISTOGRAM, _SECONDS, "How long requests to the downstream took."),
    Metric(
        "hold.duration", Kind.HISTOGRAM, _SECONDS,
        "How long spans waited that had to, to the tick of MAX_WAIT/300; those that left at once are not in it.",
    ),
)  # fmt: skip
