"""What every source does with a configuration that it found: build off the event loop, hand over on it, report.

Must not know where configurations come from. Of this room only this module and the sources import asyncio.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from processor.variables.config import ConfigError
from processor.variables.evaluator import Evaluator
from processor.variables.selection import load_compiled
from processor.variables.targeting import Targeting
from processor.variables.variables import Format, Outcome


@dataclass(frozen=True, slots=True)
class Document:
    """A configuration's text. `is_remote`: a server's answer, which the SDK reads a little more freely."""

    text: bytes
    format: Format
    is_remote: bool = False


@dataclass(frozen=True, slots=True)
class Sink:
    """Who takes configurations.

    `build` is called in a worker thread; `ConfigError` from it means refused. The others are called on the event loop:
    `accept` puts what was built in force, `report` counts an attempt, `warn` is told what is no attempt. Messages have
    no secrets.
    """

    build: Callable[[Document], Evaluator]
    accept: Callable[[Evaluator], None]
    report: Callable[[Outcome, str], None]
    warn: Callable[[str], None]


async def offer(sink: Sink, document: Document) -> bool:
    """Build and hand over; whether it was taken. A wrong configuration is reported as refused, whole (S24)."""
    try:
        evaluator = await asyncio.to_thread(sink.build, document)
    except ConfigError as error:
        sink.report(Outcome.REFUSED, "; ".join(error.problems))
        return False
    except Exception as error:  # whatever a text brings about in there, the source must live on
        sink.report(Outcome.REFUSED, f"cannot be built: {type(error).__name__}")
        return False
    sink.accept(evaluator)
    sink.report(Outcome.LOADED, f"{len(evaluator.compiled)} variables")
    return True


def evaluator_of(document: Document, targeting: Targeting, select: tuple[str, ...] = ()) -> Evaluator:
    """The evaluator for a text: what `build` usually is. Raises `ConfigError`."""
    compiled = load_compiled(document.text, document.format, is_remote=document.is_remote)
    return Evaluator(compiled, targeting, select)
