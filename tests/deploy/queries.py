"""The queries of the dashboard and the alerts, and the metrics that a scrape has."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import promql_parser
import yaml
from prometheus_client.parser import text_string_to_metric_families

from processor.metrics.metrics import METRICS, Distribution, Kind, Point, Snapshot
from processor.metrics.scrape import Scrape

ROOT = Path(__file__).parents[2]
DASHBOARD: Mapping[str, Any] = json.loads((ROOT / "deploy" / "grafana" / "dashboard.json").read_text("utf-8"))
ALERTS: Mapping[str, Any] = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yaml").read_text("utf-8"))
ROW = re.compile(r"^\| ((?:`[a-z._]+`(?:, )?)+) \|([^|]*)\|", re.MULTILINE)
# Which Prometheus adds to everything that it scrapes.
TARGET_LABELS = {"job", "instance"}
# Grafana's own variables, as a duration that Prometheus can read.
GRAFANA = {"$__rate_interval": "5m", "$__range": "1h"}


def rules() -> list[Mapping[str, Any]]:
    return [rule for group in ALERTS["groups"] for rule in group["rules"]]


def panels() -> list[Mapping[str, Any]]:
    """Those that draw something."""
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def queries() -> list[str]:
    """Every query, as Prometheus gets it."""
    found = [str(rule["expr"]) for rule in rules()]
    found += [str(target["expr"]) for panel in panels() for target in panel["targets"]]
    for name, value in GRAFANA.items():
        found = [query.replace(name, value) for query in found]
    return found


def selectors(node: Any) -> Iterator[tuple[str, Mapping[str, str]]]:
    """The metric's name and the matchers of each selector in a parsed query."""
    if isinstance(node, promql_parser.VectorSelector):
        assert node.name is not None
        yield node.name, {each.name: each.value for each in node.matchers.matchers}
    elif isinstance(node, promql_parser.MatrixSelector):
        yield from selectors(node.vector_selector)
    elif isinstance(node, promql_parser.BinaryExpr):
        yield from selectors(node.lhs)
        yield from selectors(node.rhs)
    elif isinstance(node, promql_parser.Call):
        for argument in node.args:
            yield from selectors(argument)
    elif isinstance(node, (promql_parser.AggregateExpr, promql_parser.ParenExpr)):
        yield from selectors(node.expr)
    else:
        assert isinstance(node, (promql_parser.NumberLiteral, promql_parser.StringLiteral)), node


def aggregations(node: Any) -> Iterator[tuple[set[str], list[str]]]:
    """What each `by (…)` keeps, and the metrics below it."""
    if isinstance(node, promql_parser.AggregateExpr):
        yield set(node.modifier.labels if node.modifier else ()), [name for name, _ in selectors(node.expr)]
    for below in ("lhs", "rhs", "expr"):
        if hasattr(node, below):
            yield from aggregations(getattr(node, below))
    for argument in getattr(node, "args", ()):
        yield from aggregations(argument)


def scraped() -> dict[str, set[str]]:
    """The labels of every sample that a scrape can have: each metric, with the attributes of docs/metrics.md."""
    table = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    attributes = {
        name: dict.fromkeys(re.findall(r"`([a-z_]+)`", keys), "x")
        for names, keys in ROW.findall(table)
        for name in re.findall(r"`([a-z._]+)`", names)
    }
    histograms = {metric.name for metric in METRICS if metric.kind is Kind.HISTOGRAM}
    numbers = {name: [Point(1, keys)] for name, keys in attributes.items() if name not in histograms}
    distributions = {name: [Distribution((1.0,), (1, 1), 2.0, attributes[name])] for name in histograms}
    text = Scrape(lambda: Snapshot(numbers, distributions)).text().decode()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    return {sample.name: set(sample.labels) | TARGET_LABELS for sample in samples}
