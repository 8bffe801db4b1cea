"""The lines around the trees: a trace's heading, what was dropped, the accounting. Plain text; knows no terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from processor.attributes.reading import Drop
from processor.attributes.validate import REASONS
from processor.export.view.text import Marks, clean, cut, show_duration
from processor.export.view.traces import Batch

# Both sides of the accounting identity (S25); those with False are shown only where there are any.
_IN: Final = {"accepted": True, "recovered": False}
_OUT: Final = {"exported": True, "lost": True, "held": True, "queued": True, "journaled": False}


def heading(batch: Batch, width: int, marks: Marks) -> str:
    """Which trace it is, how much of it, and whether spans were given up."""
    count = f"{len(batch.spans)} more spans" if batch.is_addition else f"{len(batch.spans)} spans"
    if len(batch.spans) == 1:
        count = count.removesuffix("s")
    trace_id = batch.trace_id.hex()
    given_up = f"given up: {', '.join(batch.reasons)}" if batch.reasons else ""
    if batch.is_addition:
        parts = [f"{marks.ellipsis} {count} of trace {trace_id}", given_up]
    else:
        parts = [f"trace {trace_id}", count, show_duration(_extent_ns(batch), marks), given_up]
    line = f" {marks.dot} ".join(part for part in parts if part)
    return line.replace(trace_id, cut(trace_id, max(len(trace_id) - max(len(line) - width, 0), 8), marks))


def warning(drop: Drop, count: int, width: int, marks: Marks) -> str:
    """One line for a dropped value: the key, why, its type and length; never the value (S8)."""
    length = f", length {drop.length}" if drop.length else ""
    times = f" {marks.times}{count}" if count > 1 else ""
    rest = f": {REASONS.get(drop.reason, drop.reason)} ({drop.type}{length}){times}"
    return "! " + cut(clean(drop.key.decode("utf-8", "replace"), marks), max(width - 2 - len(rest), 8), marks) + rest


def accounting_line(accounting: Mapping[str, int], marks: Marks) -> str:
    """`accepted 42 = exported 42 + lost 0 + held 0 + queued 0`; with another sign where the sides differ."""
    came, went = (sum(accounting.get(name, 0) for name in side) for side in (_IN, _OUT))
    return f"{_side(_IN, accounting)} {'=' if came == went else marks.unequal} {_side(_OUT, accounting)}"


def _side(names: Mapping[str, bool], accounting: Mapping[str, int]) -> str:
    shown = [name for name, always in names.items() if always or accounting.get(name, 0)]
    return " + ".join(f"{name} {accounting.get(name, 0)}" for name in shown)


def _extent_ns(batch: Batch) -> int:
    """From the first start to the last end; 0 where no span has both."""
    timed = [span for span in batch.spans if span.start_ns and span.end_ns]
    return max(span.end_ns for span in timed) - min(span.start_ns for span in timed) if timed else 0
