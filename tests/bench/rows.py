"""The table of what is measured: each row a subject under a scenario. A new row is a line here.

Every row names the row that its figures are divided by: the relay under the same load, measured in the same round.
Bars are the largest ratio or value (smallest for spans a second) that is still well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bigtrace import CHAIN, FAN_OUT, TREE
from scenarios import Held, Outage, Recovery, Release, Scenario, Start, Steady
from subjects import Collector, Processor, Relay, Subject
from workload import CARRIED, GRPC_TLS, HTTP, Workload

_PLAIN = Workload()
_SMALL = Workload(spans_per_request=16)
# 128 spans: with 512 a request has ten MiB, over the usual limit of four.
_LARGE = Workload(spans_per_request=128, span_bytes=20_000)
_HTTP = Workload(transport=HTTP)
_USERS = Workload(users=10_000)
_OVER_TLS = Workload(transport=GRPC_TLS)

_IDS = ("user.id", "session.id")
_BAGGAGE = {"BAGGAGE_KEYS": ",".join(key for key in CARRIED if key not in _IDS)}
_VARIABLES = _BAGGAGE | {"VARIABLES_FILE": str(Path(__file__).with_name("variables.json"))}
_JOURNAL = _BAGGAGE | {"JOURNAL_DIRECTORY": "{scratch}/journal", "JOURNAL_MAX_SIZE": "2GiB"}
_LIMIT_MIB = 256
_LIMITED = {"MEMORY_LIMIT": f"{_LIMIT_MIB}MiB"}
_TLS = _BAGGAGE | {
    "RECEIVER_TLS_CERTIFICATE": "{certificate}",
    "RECEIVER_TLS_KEY": "{key}",
    "EXPORTER_OTLP_ENDPOINT": "https://{sink_tls}",
    "EXPORTER_OTLP_CERTIFICATE": "{ca}",
}
_PATIENT = {"MAX_WAIT": "1h", "MEMORY_LIMIT": "4GiB", "MAX_SPANS_PER_TRACE": "1000000"}


@dataclass(frozen=True, slots=True)
class Bar:
    """The limit of one figure: of its ratio to the anchor, or of its value."""

    ratio: float | None = None
    value: float | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One line of each table of the report. `against`: the key of the row to divide by."""

    key: str
    title: str
    subject: Subject
    scenario: Scenario
    against: str | None = None
    bars: Mapping[str, Bar] = field(default_factory=dict)


_WHOLE = {"lost": Bar(value=0), "wrong": Bar(value=0)}
_HELD = _WHOLE | {"early": Bar(value=0)}
_WAITING = _HELD | {"held_ratio": Bar(value=1.81)}  # 350 bytes beyond the 433 on the wire
_BOUNDED = _HELD | {"pause_ms": Bar(value=50)}
_LINEAR = _BOUNDED | {"release_ms": Bar(ratio=12)}
_IDLE = _WHOLE | {"idle_mib": Bar(value=64)}
_OUTAGE = {"outage_ratio": Bar(value=1)}
_RECOVERY = {"accepting_ms": Bar(value=2000), "spans_per_s": Bar(ratio=0.5), "lost": Bar(value=0)}
_PROMPT = {"p50_ms": Bar(value=5), "p99_ms": Bar(value=20)}


def _cpu(ratio: float) -> Mapping[str, Bar]:
    """At most so much CPU a span, in that of the anchor."""
    return _WHOLE | {"cpu_us": Bar(ratio=ratio)}


def main_rows(python: str, source: Path) -> list[Row]:
    """The processor beside the relay. `python` has it compiled, `source` is its package folder."""
    default, baggage = Processor(python), Processor(python, _BAGGAGE)
    interpreted, patient = Processor(python, _BAGGAGE, source), Processor(python, _PATIENT)
    labelled, kept = Processor(python, _VARIABLES), Processor(python, _JOURNAL)
    limited, spilling = Processor(python, _LIMITED), Processor(python, _JOURNAL | _LIMITED)
    tls = Processor(python, _TLS)
    all_keys = tuple(CARRIED)
    scraped = Steady(_PLAIN, _IDS, whole=False, scraped=True)
    return [
        Row("relay", "relay", Relay(), Steady(_PLAIN)),
        Row("default", "processor, defaults", default, Steady(_PLAIN, _IDS), "relay", _IDLE | _PROMPT),
        Row("scraped", "  metrics read each second", default, scraped, "default", _cpu(1.05)),
        Row("start", "  started", default, Start(), None, {"ready_ms": Bar(value=1000)}),
        Row("baggage", "processor, two baggage keys", baggage, Steady(_PLAIN, all_keys), "relay", _cpu(2.0)),
        Row("interpreted", "  interpreted", interpreted, Steady(_PLAIN, all_keys, whole=False), "relay", _cpu(5.0)),
        Row("http", "  OTLP/HTTP in", baggage, Steady(_HTTP, all_keys, whole=False), "relay", _cpu(2.0)),
        Row("tls", "  TLS on both sides", tls, Steady(_OVER_TLS, all_keys, whole=False), "baggage", _cpu(1.6)),
        Row("relay-16", "relay, 16 spans a request", Relay(), Steady(_SMALL)),
        Row("small", "processor, 16 spans a request", baggage, Steady(_SMALL, all_keys), "relay-16", _cpu(1.5)),
        Row("relay-20k", "relay, spans of 20 KB", Relay(), Steady(_LARGE, whole=False)),
        Row(
            "large", "processor, spans of 20 KB", baggage, Steady(_LARGE, all_keys, whole=False), "relay-20k", _cpu(1.3)
        ),
        Row("users", "processor, 10,000 users", baggage, Steady(_USERS, all_keys, whole=False), "relay", _WHOLE),
        Row("variables", "  and two variables", labelled, Steady(_USERS, all_keys, whole=False), "users", _cpu(1.25)),
        Row("journal", "processor, with a journal", kept, Steady(_PLAIN, all_keys, whole=False), "baggage", _cpu(2.0)),
        Row("recovery", "  1,000,000 spans recovered", kept, Recovery(), "journal", _RECOVERY),
        Row("outage", "processor, downstream down", limited.without_downstream(), Outage(_LIMIT_MIB), None, _OUTAGE),
        Row("outage-kept", "  with a journal", spilling.without_downstream(), Outage(_LIMIT_MIB), None, _OUTAGE),
        Row("held", "processor, 200,000 spans wait", patient, Held(), None, _WAITING),
        Row("trace-10k", "processor, tree of 10,000", patient, Release(TREE, 10_000), None, _BOUNDED),
        Row("trace-100k", "processor, tree of 100,000", patient, Release(TREE, 100_000), "trace-10k", _LINEAR),
        Row("chain-10k", "processor, chain of 10,000", patient, Release(CHAIN, 10_000), "trace-10k", _BOUNDED),
        Row("fan-50k", "processor, fan-out of 50,000", patient, Release(FAN_OUT, 50_000), "trace-10k", _BOUNDED),
    ]


def peer_rows(python: str, source: Path, collector: Path) -> list[Row]:
    """The Collector and the processor beside the relay, under the same load."""
    same = {row.key: row for row in main_rows(python, source)}
    plain, batch = Collector(collector, "pass-through"), Collector(collector, "attributes-batch")
    grouped, patient = Collector(collector, "groupbytrace"), Collector(collector, "groupbytrace", wait="1h")
    queue = Collector(collector, "persistent-queue")
    one_key = ("user.id",)
    return [
        same["relay"],
        same["default"],
        same["baggage"],
        same["journal"],
        Row("pass", "Collector, pass-through", plain, Steady(_PLAIN), "relay"),
        Row("batch", "Collector, attributes + batch", batch, Steady(_PLAIN, one_key), "relay"),
        Row("grouped", "Collector, groupbytrace (1 s) + both", grouped, Steady(_PLAIN, one_key), "relay"),
        Row("queue", "Collector, queue on disk, no fsync", queue, Steady(_PLAIN), "relay"),
        same["held"],
        Row("held-grouped", "Collector, groupbytrace: they wait", patient, Held()),
    ]


def select(rows: Sequence[Row], keys: Sequence[str]) -> list[Row]:
    """The rows of these keys, with the rows that they are divided by, in the table's order; all where none is named.

    Raises `ValueError` where there is no such row.
    """
    by_key = {row.key: row for row in rows}
    if unknown := [key for key in keys if key not in by_key]:
        raise ValueError(f"no row {unknown[0]!r}; there are {', '.join(by_key)}")
    wanted = set(keys or by_key)
    wanted |= {against for key in wanted if (against := by_key[key].against)}
    return [row for row in rows if row.key in wanted]
