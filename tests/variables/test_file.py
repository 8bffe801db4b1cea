"""A configuration in a file."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from processor.variables.documents import MAX_BYTES
from processor.variables.evaluator import Evaluator
from processor.variables.file import FileSource, format_of, read_file
from processor.variables.source import Sink, evaluator_of
from processor.variables.targeting import Targeting
from processor.variables.variables import Outcome

Make = Callable[..., dict[str, Any]]
Text = Callable[..., str]


class _Taken:
    """What a source reported and put in force."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.messages: list[str] = []
        self.evaluators: list[Evaluator] = []
        self.sink = Sink(
            lambda document: evaluator_of(document, Targeting()),
            self.evaluators.append,
            self._report,
            self.messages.append,
        )

    def _report(self, outcome: Outcome, message: str) -> None:
        self.outcomes.append(outcome)
        self.messages.append(message)

    def names(self) -> list[list[str]]:
        return [list(evaluator.compiled.by_name) for evaluator in self.evaluators]


def _look(path: Path, *steps: Callable[[], object]) -> _Taken:
    """Look once, and once more after each step."""
    taken = _Taken()

    async def run() -> None:
        source = FileSource(path, taken.sink)
        await source.look()
        for step in steps:
            step()
            await source.look()

    asyncio.run(run())
    return taken


def _nothing() -> None:
    pass


def test_a_file_is_loaded_and_loaded_again(tmp_path: Path, variable: Make, text: Text) -> None:
    """S24: a file is taken when it is there, and again when it changed."""
    path = tmp_path / "variables.json"
    path.write_text(text(variable("a")))
    taken = _look(
        path, _nothing, _nothing, lambda: path.write_text(text(variable("a"), variable("b"))), _nothing, _nothing
    )
    assert [["a"], ["a", "b"]] == taken.names()
    assert [Outcome.LOADED, Outcome.LOADED] == taken.outcomes
    assert ["1 variables", "2 variables"] == taken.messages


def test_a_file_replaced_whole(tmp_path: Path, variable: Make, text: Text) -> None:
    """S24: a file that another one is renamed over, or a link that is turned, is seen."""
    first, second, link = tmp_path / "1.json", tmp_path / "2.json", tmp_path / "variables.json"
    first.write_text(text(variable("a")))
    second.write_text(text(variable("b")))
    link.symlink_to(first)

    def turn() -> None:
        other = tmp_path / "other"
        other.symlink_to(second)
        other.replace(link)

    assert [["a"], ["b"]] == _look(link, turn, _nothing).names()


def test_a_broken_file_is_refused_once(tmp_path: Path, variable: Make, text: Text) -> None:
    """S24: a half-written file leaves the last good one in force, is told once, and is read again when it is whole."""
    path = tmp_path / "variables.json"
    whole = text(variable("a"))
    path.write_text(whole)
    steps = [lambda: path.write_text(whole[:-9]), _nothing, _nothing, lambda: path.write_text(text(variable("b")))]
    taken = _look(path, *steps)
    assert [["a"], ["b"]] == taken.names()
    assert [Outcome.LOADED, Outcome.REFUSED, Outcome.LOADED] == taken.outcomes
    assert taken.messages[1].startswith("not JSON: ")


def test_a_write_within_one_tick_is_seen(tmp_path: Path, variable: Make, text: Text) -> None:
    """A change that leaves size and time as they were is seen at the look after the one that saw the time change."""
    path = tmp_path / "variables.json"
    path.write_text(text(variable("a")))
    status = path.stat()

    def write() -> None:
        path.write_text(text(variable("b")))
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert [["a"], ["b"]] == _look(path, write).names()


def test_touching_changes_nothing(tmp_path: Path, variable: Make, text: Text) -> None:
    """A new time with the same content is told as unchanged, and nothing is built."""
    path = tmp_path / "variables.json"
    path.write_text(text(variable("a")))
    taken = _look(path, _nothing, lambda: os.utime(path, ns=(1, 1)), _nothing)
    assert [Outcome.LOADED, Outcome.UNCHANGED] == taken.outcomes
    assert [["a"]] == taken.names()


def test_a_missing_file_is_told_once(tmp_path: Path, variable: Make, text: Text) -> None:
    """S24: a file that is not there, or goes, fails once for each time; when it comes it is taken."""
    path = tmp_path / "variables.json"
    taken = _look(path, _nothing, lambda: path.write_text(text(variable("a"))), path.unlink, _nothing)
    assert [Outcome.FAILED, Outcome.LOADED, Outcome.FAILED] == taken.outcomes
    assert f"cannot read {path}: No such file or directory" == taken.messages[0]


def test_yaml_by_its_suffix(tmp_path: Path) -> None:
    """S24: a file is YAML by its suffix, else JSON."""
    path = tmp_path / "variables.yaml"
    path.write_text("variables:\n  a: {name: a, rollout: {}, overrides: []}\n")
    assert [["a"]] == _look(path).names()
    assert ["yaml", "yaml", "json", "json"] == [format_of(Path(name)) for name in ("a.yml", "a.YAML", "a.json", "a")]


def test_a_huge_file_is_not_read_whole(tmp_path: Path) -> None:
    """At most a byte more than the limit is read, which is then refused."""
    path = tmp_path / "variables.json"
    with path.open("wb") as file:
        file.truncate(10 * MAX_BYTES)
    assert MAX_BYTES + 1 == len(read_file(path))
    assert [Outcome.REFUSED] == _look(path).outcomes


def test_whatever_goes_wrong_in_building_is_told(tmp_path: Path) -> None:
    """An error that nobody expects refuses the configuration and leaves the source alive."""
    path = tmp_path / "variables.json"
    path.write_text("{}")
    taken = _Taken()

    def build(_document: object) -> Evaluator:
        raise MemoryError

    sink = Sink(build, taken.sink.accept, taken.sink.report, taken.sink.warn)
    asyncio.run(FileSource(path, sink).look())
    assert ([Outcome.REFUSED], ["cannot be built: MemoryError"]) == (taken.outcomes, taken.messages)


def test_it_looks_each_second(tmp_path: Path, variable: Make, text: Text) -> None:
    """The file is looked at once a second until the source is cancelled."""
    path = tmp_path / "variables.json"
    path.write_text(text(variable("a")))
    taken = _Taken()
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        path.write_text(text(variable(f"v{len(slept)}")))
        if len(slept) == 3:
            raise asyncio.CancelledError

    async def run() -> None:
        with pytest.raises(asyncio.CancelledError):
            await FileSource(path, taken.sink, sleep=sleep).run()

    asyncio.run(run())
    assert ([1.0, 1.0, 1.0], [["a"], ["v1"], ["v2"]]) == (slept, taken.names())
