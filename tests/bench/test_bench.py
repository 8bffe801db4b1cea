"""The bench itself: that it measures what it says. No test looks at a time."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

Import = Callable[[str], ModuleType]


def _spans(body: bytes) -> list[Span]:
    request = ExportTraceServiceRequest.FromString(body)
    return [span for resource in request.resource_spans for scope in resource.scope_spans for span in scope.spans]


def test_run_of_the_relay_counts_every_span(bench_folder: Path, tmp_path: Path) -> None:
    """Two requests of 512 spans through the relay arrive at the sink, and the report says so."""
    saved = tmp_path / "figures.json"
    limits = ["--rows", "relay", "--rounds", "1", "--requests", "2", "--settle", "0"]
    done = subprocess.run(
        [sys.executable, str(bench_folder), *limits, "--json", str(saved)],
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (0, True) == (done.returncode, "CPU a span" in done.stdout), done.stderr
    figures = json.loads(saved.read_text())["rows"]["relay"]
    assert (1024, 0) == (figures["arrived"]["value"], figures["lost"]["value"])


def test_what_is_measured_without_a_steady_load(bench_folder: Path, bench_module: Import) -> None:
    """Each of these scenarios comes to its figures, here with next to nothing: a journal read back, a downstream that is
    away, spans that wait, a trace that is released, a start.
    """
    scenarios, subjects = bench_module("scenarios"), bench_module("subjects")
    package = bench_folder.parents[1] / "processor"
    plain = subjects.Processor(sys.executable, {"MEMORY_LIMIT": "64MiB"}, package)
    kept = subjects.Processor(sys.executable, {"JOURNAL_DIRECTORY": "{scratch}/journal"}, package)
    with bench_module("worker").Worker("sink.py") as sink:
        scene = scenarios.Scene(sink, scenarios.Effort(0.1, 0.0, 2))
        assert 0 == scenarios.Recovery(1024).run(scene, kept)["lost"]
        assert 0 < scenarios.Outage(64).run(scene, plain.without_downstream())["accepted"]
        assert 0 == scenarios.Held(1024).run(scene, plain)["early"]
        assert 0 == scenarios.Release("tree", 100).run(scene, plain)["lost"]
        assert 0 < scenarios.Start().run(scene, plain)["ready_ms"]


def test_request_is_trees_with_the_root_last(bench_module: Import) -> None:
    """A request holds trees of eight spans of the asked size, children before parents, the root last."""
    spans = _spans(bench_module("workload").Template(bench_module("workload").Workload(16, 430)).stamp(1))
    assert 16 == len(spans)
    for tree in (spans[:8], spans[8:]):
        assert 1 == len({span.trace_id for span in tree})
        later = [{other.span_id for other in tree[index + 1 :]} for index in range(8)]
        assert [True] * 7 + [False] == [span.parent_span_id in ids for span, ids in zip(tree, later, strict=True)]
        assert b"" == tree[-1].parent_span_id
        assert [430] * 7 == [span.ByteSize() for span in tree[:7]]
        assert [10] * 7 + [14] == [len(span.attributes) for span in tree]


def test_stamp_renews_every_id(bench_module: Import) -> None:
    """Two sends of one template share no trace id and no span id, and trace ids begin with the time of sending."""
    template = bench_module("workload").Template(bench_module("workload").Workload(16, 430))
    first, second = _spans(template.stamp(7)), _spans(template.stamp(8))
    assert {7} == {int.from_bytes(span.trace_id[:8], "big") for span in first}
    assert set() == {span.trace_id for span in first} & {span.trace_id for span in second}
    assert set() == {span.span_id for span in first} & {span.span_id for span in second}


def test_request_without_roots_waits(bench_module: Import) -> None:
    """Without roots every span has a parent, and one of each tree's parents never comes."""
    spans = _spans(bench_module("workload").Template(bench_module("workload").Workload(16, 430, rooted=False)).stamp(1))
    known = {span.span_id for span in spans}
    assert 16 == sum(bool(span.parent_span_id) for span in spans)
    assert 2 == sum(span.parent_span_id not in known for span in spans)


def test_sink_sees_that_nothing_was_handed_down(bench_module: Import) -> None:
    """The sample's check finds every span that lacks what its root says."""
    sink = bench_module("sink").Sink()
    sink._take(bench_module("workload").Template(bench_module("workload").Workload(16, 430)).stamp(1), None)
    report = sink.report(keys=("user.id",))
    assert (16, 16, 14) == (report["spans"], report["checked"], report["wrong"])


def test_ratios_are_of_the_same_round(bench_module: Import) -> None:
    """A ratio is the median of the rounds' ratios, and is over its bar where it is larger."""
    rows, report = bench_module("rows"), bench_module("report")
    relay, ours = rows.select(rows.main_rows(sys.executable, Path()), ["default"])
    ours = rows.Row(ours.key, ours.title, ours.subject, ours.scenario, "relay", {"cpu_us": rows.Bar(ratio=1.9)})
    rounds = {"relay": [{"cpu_us": 1.0}, {"cpu_us": 2.0}, {"cpu_us": 1.0}], "default": [{"cpu_us": 2.0}] * 3}
    found = {result.row: result for result in report.results([relay, ours], rounds)}
    assert (2.0, True) == (found["default"].ratio, found["default"].is_over)
    assert (None, False) == (found["relay"].ratio, found["relay"].is_over)


def test_every_row_is_divided_by_a_row(bench_module: Import) -> None:
    """Every row's key is its own, and what it is divided by is in the same table."""
    rows = bench_module("rows")
    for table in (rows.main_rows("python", Path()), rows.peer_rows("python", Path(), Path())):
        keys = [row.key for row in table]
        assert len(keys) == len(set(keys))
        assert set() == {row.against for row in table} - {None, *keys}
