"""Dashboard and alerts: every query is one, and asks for what a scrape has."""

from __future__ import annotations

import re

import promql_parser
import pytest
from queries import ALERTS, DASHBOARD, ROOT, aggregations, panels, queries, rules, scraped, selectors

from processor.export.export import LossReason
from processor.metrics.metrics import METRICS
from processor.receive.admission import REFUSALS

# The other values stand in docs/metrics.md.
REASONS = {*REFUSALS, *(reason.label for reason in LossReason)}
PLACEHOLDER = re.compile(r"\{\{ *(?:\$labels\.)?(\w+) *\}\}")


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_what_there_is(query: str) -> None:
    """Prometheus can read it; its metrics, labels and values are those of a scrape."""
    there = scraped()
    values = REASONS | set(re.findall(r"`([a-z_]+)`", (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")))
    parsed = promql_parser.parse(query)
    found = list(selectors(parsed))
    assert found
    for name, matchers in found:
        assert set(matchers) <= there[name]
        wanted = {value for text in matchers.values() for value in text.split("|") if not text.startswith("$")}
        assert wanted <= values
    for kept, names in aggregations(parsed):
        for name in names:
            assert kept <= there[name], name


def test_every_metric_is_looked_at() -> None:
    """The dashboard shows each metric that there is."""
    shown = {name for query in queries() for name, _ in selectors(promql_parser.parse(query))}
    words = " ".join(shown)
    assert [] == [each.name for each in METRICS if f"span_processor_{each.name.replace('.', '_')}" not in words]


def test_panels_lie_side_by_side() -> None:
    """Every panel has a number of its own and a place of its own within the 24 columns."""
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not taken & cells, panel["title"]
        taken |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_the_dashboard_can_be_imported_anywhere() -> None:
    """Its data source is a variable, each query is of the chosen instances, and no legend names what is summed away."""
    variables = {each["name"]: each["type"] for each in DASHBOARD["templating"]["list"]}
    assert {"datasource": "datasource", "job": "query", "instance": "query"} == variables
    for panel in panels():
        assert "${datasource}" == panel["datasource"]["uid"]
        for target in panel["targets"]:
            assert target["expr"].count("{") == target["expr"].count('{job=~"$job", instance=~"$instance"')
            by = {label for kept in re.findall(r"by \(([a-z, ]+)\)", target["expr"]) for label in kept.split(", ")}
            assert set(PLACEHOLDER.findall(target["legendFormat"])) <= (by or {"instance"})


def test_what_is_worth_an_alert_has_one() -> None:
    """The alerts ask for the metrics that docs/metrics.md names for it, and for no other."""
    text = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    advice = text.partition("\nWorth an alert: ")[2].partition("\n\n")[0]
    named = {re.sub(r"_bytes$", "", name.replace(".", "_")) for name in re.findall(r"`([a-z]+\.[a-z]+)[`{]", advice)}
    asked = {name for rule in rules() for name, _ in selectors(promql_parser.parse(rule["expr"]))}
    assert named == {re.sub(r"^span_processor_|_(?:total|bytes)$", "", name) for name in asked}


def test_alerts_say_what_happened() -> None:
    """Each has a severity, a summary, a description, and names no label that its query sums away."""
    assert ["span-processor"] == [group["name"] for group in ALERTS["groups"]]
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert {"summary", "description"} == set(rule["annotations"])
        kept = [set(text.split(", ")) for text in re.findall(r"by \(([a-z, ]+)\)", rule["expr"])]
        labels = set.union(*kept) if kept else {"job", "instance"}
        told = set(re.findall(r"\$labels\.(\w+)", " ".join(rule["annotations"].values())))
        assert told <= labels
