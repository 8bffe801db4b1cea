"""The bench's own processes (load, sink, probe): a script that answers one JSON line per JSON line.

Both ends stand here: `serve` in the process, `Worker` in the one that started it. They run apart from the subject, so
that its CPU time is its own.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

Answer = dict[str, Any]

_FOLDER = Path(__file__).resolve().parent


def specification() -> Answer:
    """What the starter of this process asked for: its first argument."""
    asked: Answer = json.loads(sys.argv[1])
    return asked


def serve(ready: Mapping[str, Any], commands: Mapping[str, Callable[..., Mapping[str, Any]]]) -> None:
    """Say `ready`, then answer commands until standard input ends. A command is `{"do": name, argument: value …}`."""
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        arguments = json.loads(line)
        answer = commands[arguments.pop("do")](**arguments)
        print(json.dumps(answer), flush=True)


class WorkerError(Exception):
    """A process of the bench ended before it had answered; its own words are on standard error."""


class Worker:
    """A running script of this folder. `ready` is the first thing it said."""

    def __init__(self, script: str, **asked: Any) -> None:
        self._script = script
        self._process = subprocess.Popen(
            [sys.executable, str(_FOLDER / script), json.dumps(asked)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.ready = self._answer()

    def ask(self, do: str, **arguments: Any) -> Answer:
        """The answer to one command; waits for it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Answer:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._script} ended with code {self._process.wait()}")
        answer: Answer = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
