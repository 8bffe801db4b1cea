"""Figures of all rounds to one table: medians, ratios to the anchor, bars. Measures nothing."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rows import Bar, Row
from scenarios import Figures


@dataclass(frozen=True, slots=True)
class Metric:
    """How one figure is shown. `worst`: the worst of the rounds counts, not the median, and only where it is not 0.

    `is_shown`: False for what is only saved.
    """

    title: str
    form: str
    more_is_better: bool = False
    worst: bool = False
    is_shown: bool = True


METRICS = {
    "cpu_us": Metric("CPU a span, whole process tree (µs)", ".2f"),
    "spans_per_s": Metric("spans a second at full load", ",.0f", more_is_better=True),
    "p50_ms": Metric("send to sink at a fifth of full load, p50 (ms)", ".2f"),
    "p99_ms": Metric("send to sink at a fifth of full load, p99 (ms)", ".2f"),
    "ready_ms": Metric("launch to ready (ms)", ",.0f"),
    "idle_mib": Metric("resident memory, idle (MiB)", ".1f"),
    "peak_mib": Metric("resident memory, peak (MiB)", ".1f"),
    "held_ratio": Metric("memory of a waiting span, in its bytes on the wire", ".2f"),
    "release_ms": Metric("root sent until last span is out (ms)", ".0f"),
    "pause_ms": Metric("longest wait of an empty request meanwhile (ms)", ".1f"),
    "outage_ratio": Metric("memory beyond idle at the first refusal, in MEMORY_LIMIT", ".2f"),
    "accepting_ms": Metric("start until a request is accepted (ms)", ".0f"),
    "lost": Metric("spans lost", ",.0f", worst=True),
    "wrong": Metric("sampled spans without what their root says", ",.0f", worst=True),
    "early": Metric("spans released before their root came", ",.0f", worst=True),
    "arrived": Metric("spans measured a round", ",.0f", is_shown=False),
    "held_mib": Metric("memory of the waiting spans (MiB)", ".1f", is_shown=False),
    "outage_mib": Metric("memory at the first refusal (MiB)", ".1f", is_shown=False),
    "accepted": Metric("spans accepted before the first refusal", ",.0f", is_shown=False),
    "refusals": Metric("requests refused and sent again", ",.0f", worst=True),
}


@dataclass(frozen=True, slots=True)
class Result:
    """One figure of one row over all rounds. `ratio`: the median of the rounds' ratios to the anchor."""

    row: str
    metric: str
    rounds: tuple[float, ...]
    value: float
    ratio: float | None
    bar: Bar | None

    @property
    def is_over(self) -> bool:
        """Whether it misses its bar; without a bar it cannot."""
        if self.bar is None:
            return False
        better = METRICS[self.metric].more_is_better
        pairs = ((self.ratio, self.bar.ratio), (self.value, self.bar.value))
        return any(
            (figure < limit if better else abs(figure) > limit)
            for figure, limit in pairs
            if figure is not None and limit is not None
        )


def results(rows: Sequence[Row], rounds: Mapping[str, Sequence[Figures]]) -> list[Result]:
    """Every figure that was measured, in the order of `METRICS`, then of the rows."""
    return [
        _result(row, metric, rounds)
        for metric in METRICS
        for row in rows
        if any(metric in figures for figures in rounds.get(row.key, ()))
    ]


def _result(row: Row, metric: str, rounds: Mapping[str, Sequence[Figures]]) -> Result:
    own = [figures[metric] for figures in rounds[row.key] if metric in figures]
    value = max(own, key=abs) if METRICS[metric].worst else statistics.median(own)
    ratio = None
    if row.against and not METRICS[metric].worst:
        pairs = zip(rounds[row.key], rounds.get(row.against, ()), strict=False)
        ratios = [one[metric] / anchor[metric] for one, anchor in pairs if metric in one and anchor.get(metric)]
        ratio = statistics.median(ratios) if ratios else None
    return Result(row.key, metric, tuple(own), value, ratio, row.bars.get(metric))


def render(rows: Sequence[Row], found: Sequence[Result], failures: Mapping[str, str]) -> str:
    """The report as text, 100 columns wide."""
    titles = {row.key: row.title for row in rows}
    lines = []
    for name, metric in METRICS.items():
        own = [result for result in found if result.metric == name and not (metric.worst and _is_fine(result))]
        if own and metric.is_shown:
            lines += ["", f"{metric.title:<48}{'value':>10}{'least … most':>20}{'ratio':>9}  bar"]
            lines += [_line(titles[result.row], metric, result) for result in own]
    clean = [result for result in found if METRICS[result.metric].worst and result.bar and not result.value]
    lines += ["", f"{len(clean)} checks for lost, wrong and early spans found none."]
    lines += [f"{titles[key]}: not measured: {reason}" for key, reason in failures.items()]
    return "\n".join(lines)


def _is_fine(result: Result) -> bool:
    return not result.value


def _line(title: str, metric: Metric, result: Result) -> str:
    span = f"{min(result.rounds):{metric.form}} … {max(result.rounds):{metric.form}}"
    ratio = "" if result.ratio is None else f"{result.ratio:.2f}x"
    return f"  {title:<46}{result.value:>10{metric.form}}{span:>20}{ratio:>9}  {_verdict(result)}".rstrip()


def _verdict(result: Result) -> str:
    if result.bar is None:
        return ""
    limit = f"{result.bar.ratio:g}x" if result.bar.ratio is not None else f"{result.bar.value:g}"
    return f"{limit} {'over' if result.is_over else 'ok'}"


def as_json(found: Sequence[Result]) -> dict[str, dict[str, object]]:
    """The figures by row and metric."""
    table: dict[str, dict[str, object]] = {}
    for result in found:
        table.setdefault(result.row, {})[result.metric] = {
            "value": result.value,
            "ratio": result.ratio,
            "rounds": list(result.rounds),
            "bar": None if result.bar is None else {"ratio": result.bar.ratio, "value": result.bar.value},
            "over": result.is_over,
        }
    return table
