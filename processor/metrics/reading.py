"""Reads what others count into one snapshot.

Everything is read in one go on the event loop, so that the identity of S25 holds within each snapshot. Known attribute
values are there from the start, with 0. Changes nothing, and must not know the SDK.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from processor.attributes.validate import REASONS
from processor.export.durations import DURATION_BOUNDS_S
from processor.export.export import Attempt, LossReason
from processor.export.queue import Queue
from processor.intake import Intake
from processor.metrics.metrics import Distribution, Point, Snapshot
from processor.receive.admission import FOR_GOOD, Admission
from processor.signals import Signal
from processor.telemetry import Warnings
from processor.trace.holds import HOLD_BOUNDS_S
from processor.trace.settings import BY_DECISION, BY_MAX_WAIT, BY_MEMORY, BY_SHUTDOWN, BY_TRACE_SIZE
from processor.variables.variables import Outcome
from processor.wire.reasons import REQUEST, WORDS

if TYPE_CHECKING:
    from processor.journaling import Journaling
    from processor.labelling import Labelling

TRANSPORTS: Final = ("grpc", "http/protobuf", "http/json")
RELEASES: Final = (BY_DECISION, BY_MAX_WAIT, BY_MEMORY, BY_TRACE_SIZE, BY_SHUTDOWN)
KEYS: Final = ("user_id", "session_id", "baggage")
MISSING_KEYS: Final = ("user_id", "session_id")
MISSING: Final = ("no_value", "orphan", "conflict", "max_wait", "memory")
RELAYED: Final = (Signal.METRICS, Signal.LOGS)
UNKNOWN: Final = "other"  # of a text without a word
ORIGINS: Final = "origins"  # too many senders with headers of their own

Points = dict[str, Sequence[Point]]


@dataclass(frozen=True, slots=True)
class Sources:
    """Who counts."""

    intake: Intake
    admission: Admission
    warnings: Warnings
    labelling: Labelling | None
    journaling: Journaling | None
    memory_limit: int

    @property
    def queues(self) -> Mapping[str, Queue]:
        """The queues by the names that the configuration gives the downstreams."""
        return self.intake.downstreams.queues


def take_snapshot(sources: Sources) -> Snapshot:
    """All metrics in this instant."""
    numbers: Points = {**_spans(sources), **_refusals(sources), **_values(sources), **_memory(sources)}
    if sources.labelling is not None:
        numbers |= _labels(sources.labelling)
    if sources.journaling is not None:
        numbers |= _journal(sources, sources.journaling)
    for part in (_delivery, _attempts):
        numbers |= part(sources.queues)
    numbers["relay.requests"] = _relayed(sources)
    return Snapshot(numbers, _distributions(sources))


def _spans(sources: Sources) -> Points:
    intake = sources.intake
    return {
        "spans.accepted": _by("transport", TRANSPORTS, intake.accepted),
        "spans.held": [Point(intake.pipeline.held)],
        "spans.released": _by("reason", RELEASES, intake.pipeline.released),
    }


def _journal(sources: Sources, journaling: Journaling) -> Points:
    """What is on disk, and what came back from there."""
    recovered = sources.intake.pipeline.recovered
    counts = {name: queue.ledger.counts[Signal.TRACES] for name, queue in sources.queues.items()}
    return {
        "spans.recovered": [Point(recovered + each.recovered, {"downstream": name}) for name, each in counts.items()],
        "spans.journaled": [Point(each.journaled, {"downstream": name}) for name, each in counts.items()],
        "journal.bytes": [Point(journaling.journal.live_bytes)],
        "journal.limit": [Point(journaling.journal.max_bytes)],
    }


def _delivery(queues: Mapping[str, Queue]) -> Points:
    """Where the spans of each downstream are."""
    counts = {name: queue.ledger.counts[Signal.TRACES] for name, queue in queues.items()}
    return {
        "spans.exported": [Point(each.exported, {"downstream": name}) for name, each in counts.items()],
        "spans.queued": [Point(each.queued, {"downstream": name}) for name, each in counts.items()],
        "spans.lost": [
            Point(each.lost[reason], {"downstream": name, "reason": reason.label})
            for name, each in counts.items()
            for reason in LossReason
        ],
    }


def _attempts(queues: Mapping[str, Queue]) -> Points:
    return {
        "export.attempts": [
            Point(queue.ledger.attempts[outcome], {"downstream": name, "outcome": outcome.value})
            for name, queue in queues.items()
            for outcome in Attempt
        ]
    }


def _refusals(sources: Sources) -> Points:
    """What was answered with an error: retryably, or for good."""
    refused = {**sources.admission.refused, ORIGINS: sources.intake.origins.refused}
    for reason, count in sources.intake.refused.items():
        refused[reason] = refused.get(reason, 0) + count
    malformed = dict.fromkeys([*WORDS.values(), UNKNOWN], 0)
    for text, count in sources.intake.pipeline.malformed.items():
        malformed[WORDS.get(text, UNKNOWN)] += count
    for reason in sorted(FOR_GOOD):
        word = REQUEST if reason == "malformed" else reason
        malformed[word] = malformed.get(word, 0) + refused[reason]
    retryable = [reason for reason in refused if reason not in FOR_GOOD]
    return {
        "spans.refused": _by("reason", retryable, refused),
        "spans.malformed": _by("reason", malformed, malformed),
    }


def _values(sources: Sources) -> Points:
    pipeline = sources.intake.pipeline
    return {
        "values.inherited": _by("key", KEYS, pipeline.inherited()),
        "values.filled": _by("key", KEYS, pipeline.writer.filled()),
        "values.dropped": _by_key_and_reason(KEYS, REASONS, sources.warnings.dropped),
        "values.missing": _by_key_and_reason(MISSING_KEYS, MISSING, pipeline.buffer.releases.missing),
    }


def _memory(sources: Sources) -> Points:
    intake = sources.intake
    queued = intake.downstreams.used_bytes
    used = intake.pipeline.cost + queued + intake.keeping.cost_bytes + sources.admission.in_flight_bytes
    return {
        "memory.used": [Point(used)],
        "memory.limit": [Point(sources.memory_limit)],
        "queue.bytes": [Point(queued)],
    }


def _labels(labelling: Labelling) -> Points:
    names = sorted({*labelling.written, *labelling.drifted, *labelling.failed, *labelling.active})
    return {
        "labels.written": _by("variable", names, labelling.written),
        "labels.drifted": _by("variable", names, labelling.drifted),
        "labels.failed": _by("variable", names, labelling.failed),
        "variables.reloads": _by("outcome", [outcome.value for outcome in Outcome], labelling.reloads),
    }


def _relayed(sources: Sources) -> list[Point]:
    points = []
    for signal in RELAYED:
        counts = [queue.ledger.counts[signal] for queue in sources.queues.values()]
        found = {
            "exported": sum(each.exported for each in counts),
            "lost": sum(sum(each.lost.values()) for each in counts),
            "unsupported": sources.intake.unsupported.get(signal, 0),
        }
        points += [Point(number, {"signal": signal.value, "outcome": outcome}) for outcome, number in found.items()]
    return points


def _distributions(sources: Sources) -> dict[str, Sequence[Distribution]]:
    holds = sources.intake.pipeline.buffer.waits.holds
    return {
        "hold.duration": [Distribution(HOLD_BOUNDS_S, tuple(holds.counts), holds.total_s)],
        "export.duration": [
            Distribution(
                DURATION_BOUNDS_S, tuple(counts), queue.ledger.durations.total_s[outcome],
                {"downstream": name, "outcome": outcome.value},
            )
            for name, queue in sources.queues.items()
            for outcome, counts in queue.ledger.durations.counts.items()
        ],
    }  # fmt: skip


def _by(attribute: str, known: Iterable[str], counts: Mapping[str, int]) -> list[Point]:
    return [Point(counts.get(value, 0), {attribute: value}) for value in known]


def _by_key_and_reason(
    keys: Iterable[str], reasons: Iterable[str], counts: Mapping[tuple[str, str], int]
) -> list[Point]:
    return [
        Point(counts.get((key, reason), 0), {"key": key, "reason": reason}) for key in keys for reason in list(reasons)
    ]
