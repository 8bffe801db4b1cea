"""What `/status` and the report of waiting spans say. Reads what others count; changes nothing."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

from processor import __version__
from processor.export.ledger import Counts
from processor.export.queue import Queue
from processor.intake import Intake
from processor.pipeline import Pipeline
from processor.readiness import State
from processor.settings import Settings, variable
from processor.signals import Signal
from processor.telemetry import Accounting, Warnings, escape
from processor.wire.describe import describe

LOG: Final = logging.getLogger("processor")

# A span that has waited so long for its parent is worth a word (half of MAX_WAIT where that is shorter).
_LONG_WAIT_S: Final = 60.0
_MAX_VISITED: Final = 20_000
_MAX_SOURCES: Final = 10


@dataclass(frozen=True, slots=True)
class Waiting:
    """Spans of one service and scope that have waited long for parents that did not come."""

    service: str
    scope: str
    spans: int


def is_compiled() -> bool:
    """Whether the hot path runs compiled."""
    import processor.pipeline

    return not str(processor.pipeline.__file__).endswith(".py")


def waiting(pipeline: Pipeline, max_wait_s: float, now_s: float) -> list[Waiting]:
    """Who waits in vain, most spans first (S15)."""
    groups = pipeline.buffer.waiting(min(_LONG_WAIT_S, max_wait_s / 2), now_s, _MAX_VISITED)
    sources: dict[tuple[str, str], int] = {}
    for group, count in groups.items():
        source = describe(group)
        sources[source] = sources.get(source, 0) + count
    ranked = sorted(sources.items(), key=lambda item: -item[1])[:_MAX_SOURCES]
    return [Waiting(service, scope, count) for (service, scope), count in ranked]


def advice(roots: str) -> str:
    """Which setting helps spans that wait for parents that never come."""
    if roots == "any":
        return f"where their parents are sent to another processor, set {variable('roots')}=local"
    return f"where their parents never come here, set {variable('max_wait')} lower"


def report_waiting(pipeline: Pipeline, settings: Settings, now_s: float) -> None:
    """The log line of S15, if there is something to say."""
    found = waiting(pipeline, settings.max_wait, now_s)
    if not found:
        return
    sources = ", ".join(f"{each.spans} of {_shown(each.service)}/{_shown(each.scope)}" for each in found[:5])
    LOG.warning(
        "spans wait for parents that do not come: spans=%d sources=%s advice=%s",
        sum(each.spans for each in found),
        sources,
        advice(settings.roots),
    )


def _shown(name: str) -> str:
    return escape(name.encode()) or "(unnamed)"


def status(
    settings: Settings, state: State, intake: Intake, warnings: Warnings, admission: Mapping[str, int], now_s: float
) -> Mapping[str, Any]:
    """The JSON of `/status`. `accounting`, `downstream` and `relay` are objects by name where EXPORTERS gives names."""
    pipeline = intake.pipeline
    queues = intake.downstreams.queues

    def by_name(of_one: Mapping[str, Any]) -> Any:
        return of_one if settings.exporters else next(iter(of_one.values()))

    return {
        "version": __version__,
        "compiled": is_compiled(),
        "accounting": by_name({name: _account(each) for name, each in intake.accounting().items()}),
        "limits": {
            "memory_bytes": settings.memory_limit,
            "request_bytes": settings.max_request_bytes,
            "value_characters": settings.max_value_length,
            "wait_s": settings.max_wait,
            "spans_per_trace": settings.max_spans_per_trace,
            "remembered_traces": settings.remember_traces,
            "queue_age_s": settings.queue_max_age,
        },
        "state": state.value,
        "released": dict(pipeline.released),
        "malformed": dict(pipeline.malformed),
        "refused": {
            **admission,
            "memory": admission["memory"] + intake.refused["memory"],
            "journal": intake.refused["journal"],
            "origins": intake.origins.refused,
        },
        "values": {
            "inherited": pipeline.inherited(),
            "filled": pipeline.writer.filled(),
            "dropped": _nested(warnings.dropped),
            "missing": _nested(pipeline.buffer.releases.missing),
            "over_the_context_limit": pipeline.contexts.capped,
        },
        "waiting": {
            "spans": [asdict(each) for each in waiting(pipeline, settings.max_wait, now_s)],
            "advice": advice(settings.roots),
        },
        "memory": {
            "limit_bytes": settings.memory_limit,
            "trees_bytes": pipeline.cost,
            "queue_bytes": intake.downstreams.used_bytes,
            "traces": len(pipeline.buffer.memory.traces),
            "forgotten": dict(pipeline.buffer.memory.forgotten),
        },
        "downstream": by_name({name: _downstream(queue) for name, queue in queues.items()}),
        "relay": by_name({name: _relay(queue) for name, queue in queues.items()}),
    }


def _account(accounting: Accounting) -> Mapping[str, Any]:
    return {**asdict(accounting), "balanced": accounting.is_balanced}


def _downstream(queue: Queue) -> Mapping[str, Any]:
    return {
        "available": queue.is_available,
        "unsupported": sorted(each.value for each in queue.unsupported),
        "queue_bytes": queue.used_bytes,
        "in_flight": queue.in_flight,
        "concurrency": queue.concurrency,
    }


def _relay(queue: Queue) -> Mapping[str, Any]:
    return {each.value: _relayed(queue.ledger.counts[each]) for each in (Signal.METRICS, Signal.LOGS)}


def _relayed(counts: Counts) -> Mapping[str, Any]:
    return {
        "accepted": counts.accepted,
        "recovered": counts.recovered,
        "exported": counts.exported,
        "queued": counts.queued,
        "journaled": counts.journaled,
        "lost": {reason.label: number for reason, number in counts.lost.items() if number},
    }


def _nested(counts: Mapping[tuple[str, str], int]) -> dict[str, dict[str, int]]:
    nested: dict[str, dict[str, int]] = {}
    for (key, reason), number in counts.items():
        nested.setdefault(key, {})[reason] = number
    return nested
