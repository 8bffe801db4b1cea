"""What sources share, and what the room may import."""

from __future__ import annotations

import ast
import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import processor.variables
from processor.variables.evaluator import Evaluator
from processor.variables.source import Document, Sink, evaluator_of, offer
from processor.variables.targeting import Targeting
from processor.variables.variables import Outcome

_ROOM = Path(str(processor.variables.__file__)).parent
_SOURCES = {"source.py", "file.py", "endpoint.py"}
_ON_USE = {"httpx", "yaml", "regex"}


def test_the_loop_goes_on_while_a_configuration_is_read(variable: Callable[..., dict[str, Any]]) -> None:
    """S24: a large configuration is built beside the event loop, which gets its turns."""
    condition = {"kind": "value-is-in", "attribute": "plan", "values": ["a", "b"]}
    overrides = [{"conditions": [condition] * 3, "rollout": {"labels": {"v1": 1}}}] * 20
    names = [f"v{at:03}" for at in range(300)]
    text = json.dumps({"variables": {name: variable(name, overrides=overrides) for name in names}}).encode()
    taken: list[Evaluator] = []
    outcomes: list[Outcome] = []
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def run() -> bool:
        sink = Sink(
            lambda document: evaluator_of(document, Targeting(), ("v001",)),
            taken.append,
            lambda outcome, _: outcomes.append(outcome),
            lambda _: None,
        )
        counting = asyncio.create_task(count())
        try:
            return await offer(sink, Document(text, "json"))
        finally:
            counting.cancel()

    assert asyncio.run(run())
    assert ([Outcome.LOADED], 300, ("v001",)) == (outcomes, len(taken[0].compiled), taken[0].active.names)
    assert turns > 5


def _imports(module: ast.Module) -> Iterator[tuple[str, bool]]:
    """Each imported package, and whether it is imported as soon as the module is."""
    at_once = {id(node) for node in module.body}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            yield from ((name.name.partition(".")[0], id(node) in at_once) for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module).partition(".")[0], id(node) in at_once


def test_the_core_knows_neither_grpc_nor_asyncio() -> None:
    """The room's core is free of I/O; what a run may not need is imported on use."""
    for path in _ROOM.glob("*.py"):
        for package, is_at_once in _imports(ast.parse(path.read_text())):
            assert package != "grpc"
            assert package != "asyncio" or path.name in _SOURCES
            assert not (package in _ON_USE and is_at_once) or path.name == "yaml_reader.py"
