"""docs/metrics.md lists what there is: each metric, with its attributes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from processor.metrics.metrics import METRICS
from processor.metrics.reading import take_snapshot

DOCS = Path(__file__).parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"^\| ((?:`[a-z._]+`(?:, )?)+) \|([^|]*)\|", re.MULTILINE)
# What is there with variables, and with a journal.
FURTHER: Mapping[str, set[str]] = {
    "labels.written": {"variable"}, "labels.drifted": {"variable"}, "labels.failed": {"variable"},
    "variables.reloads": {"outcome"}, "spans.recovered": {"downstream"}, "spans.journaled": {"downstream"},
    "journal.bytes": set(),
    "journal.limit": set(),
}  # fmt: skip


def test_every_metric_is_documented(make: Callable[..., Any]) -> None:
    """Names and attributes in the table are those of the snapshot."""
    snapshot = take_snapshot(make().sources)
    points = {**snapshot.numbers, **snapshot.distributions}
    expected = {name: {key for point in found for key in point.attributes} for name, found in points.items()}
    table = {
        name: set(re.findall(r"`([a-z_]+)`", attributes))
        for names, attributes in ROW.findall(DOCS.read_text(encoding="utf-8"))
        for name in re.findall(r"`([a-z._]+)`", names)
    }
    assert {**expected, **FURTHER} == table
    assert {metric.name for metric in METRICS} == set(table)
