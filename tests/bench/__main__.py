"""`python tests/bench`: measures the processor beside a relay that does nothing, and prints one table.

Rows take turns, round after round, so that what disturbs the machine disturbs them all alike.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import collector
import machine
import psutil
import report
from rows import Row, main_rows, peer_rows, select
from scenarios import Effort, Figures, Scene
from subjects import SubjectError
from worker import Worker, WorkerError

_PACKAGE = Path(__file__).resolve().parents[2] / "processor"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and report. Exit code 1 where `--check` is given and a bar is missed or a row could not be measured."""
    asked = _parse(arguments)
    try:
        rows = select(_rows(asked), [key for key in asked.rows.split(",") if key])
    except ValueError as error:
        raise SystemExit(str(error)) from None
    effort = Effort(asked.seconds, asked.settle, asked.requests)
    with Worker("sink.py") as sink:
        rounds, failures = _measure(rows, Scene(sink, effort), asked.rounds)
    found = report.results(rows, rounds)
    described = machine.describe()
    print(", ".join(f"{name} {value}" for name, value in described.items()))
    print(f"medians of {asked.rounds} interleaved rounds of {asked.seconds:g} s of full load over 8 connections")
    print("unless said: spans of 430 bytes, 512 a request; ratios to the relay; big traces to the one of 10,000 spans")
    print(report.render(rows, found, failures))
    if asked.json:
        saved = {"machine": described, "rounds": asked.rounds, "rows": report.as_json(found), "failures": failures}
        Path(asked.json).write_text(json.dumps(saved, indent=2) + "\n")
    return int(asked.check and (bool(failures) or any(result.is_over for result in found)))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--rows", default="", metavar="A,B", help="only these rows, and those that they are divided by")
    parser.add_argument("--rounds", type=int, default=5, help="how often each row is measured [%(default)s]")
    parser.add_argument("--seconds", type=float, default=3.0, help="of full load a round and row [%(default)s]")
    parser.add_argument("--settle", type=float, default=2.0, help="seconds before idle memory is read [%(default)s]")
    parser.add_argument("--requests", type=int, help="end a load after so many requests instead")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has the compiled processor")
    parser.add_argument("--peers", action="store_true", help="beside the Collector, which is built where it is missing")
    parser.add_argument("--json", metavar="FILE", help="save the figures of every round")
    parser.add_argument("--check", action="store_true", help="exit with 1 where a bar is missed")
    return parser.parse_args(arguments)


def _rows(asked: argparse.Namespace) -> list[Row]:
    if asked.peers:
        return peer_rows(asked.python, _PACKAGE, collector.build(collector.cache_folder()))
    return main_rows(asked.python, _PACKAGE)


def _measure(rows: Sequence[Row], scene: Scene, number: int) -> tuple[dict[str, list[Figures]], dict[str, str]]:
    """Every row's figures by round, and why a row has none. A row that failed once is left out from then on."""
    rounds: dict[str, list[Figures]] = {row.key: [] for row in rows}
    failures: dict[str, str] = {}
    for index in range(number):
        for row in rows:
            if row.key in failures:
                continue
            try:
                figures = row.scenario.run(scene, row.subject)
            except (SubjectError, WorkerError, psutil.Error) as error:
                failures[row.key] = str(error)
                continue
            rounds[row.key].append(figures)
            told = "  ".join(f"{name} {value:.6g}" for name, value in figures.items())
            print(f"round {index + 1}/{number}  {row.key}: {told}", file=sys.stderr, flush=True)
    return rounds, failures


if __name__ == "__main__":
    sys.exit(main())
