"""The console view, the embedded default exporter: each trace as a tree of whose spans these are, and who said so.

Spans come in as they leave the pipeline and wait until their trace is printed: 2 s after its root was released, at once
when it was given up. Sans-I/O but for the rich Console it is given; time is a parameter. rich and OTLP's messages are
imported by the first view, so that nobody else pays for them. Must not know the pipeline.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from processor.attributes.keys import KeySettings
from processor.attributes.read import Drop
from processor.attributes.validate import REASONS
from processor.span import Context, Group, Own

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from processor.export.console_traces import Batch, Limits

# Spans printed between two chances for others to run: about 20 ms.
STEP: Final = 100
# A warning waits for the tree it belongs to, a little longer than the tree itself waits.
WARNING_DELAY_S: Final = 3.0
_MAX_WARNINGS: Final = 10

# Both sides of the accounting identity (S25); those with False are shown only when there are any.
_IN: Final = {"accepted": True, "recovered": False}
_OUT: Final = {"exported": True, "lost": True, "held": True, "queued": True, "journaled": False}

_WARNING: Final = "yellow"
_HEAD: Final = "bold"
_FOOT: Final = "dim"


class ConsoleView:
    """Shows spans on `console`. `keys` names the aliases; `roots_any`: a remote parent does not make a root.

    One owner, like the pipeline. When nobody reads the console any more it goes silent: `is_closed`.
    """

    def __init__(
        self, console: Console, keys: KeySettings, roots_any: bool = False, limits: Limits | None = None
    ) -> None:
        from processor.export.console_span import SpanReader
        from processor.export.console_text import marks_for
        from processor.export.console_traces import Limits, Traces

        self.is_closed = False
        self._console = console
        self._marks = marks_for(console.encoding)
        self._reader = SpanReader(keys, roots_any, self._marks)
        self._traces = Traces(limits or Limits())
        self._warnings: Counter[str] = Counter()
        self._unlisted = 0
        self._warned_s: float | None = None
        self._has_printed = False
        self._footer = ""

    def observe(self, raw: bytes, suffix: bytes, group: Group, own: Own | None, context: Context, reason: str) -> None:
        """A span leaves the pipeline (`processor.pipeline.Observer`)."""
        if not self.is_closed:
            trace_id, span = self._reader.read(raw, suffix, group, own, context)
            for batch in self._traces.add(trace_id, span, reason):
                self._show(batch)

    def warn(self, drops: Sequence[Drop]) -> None:
        """Values were dropped (S8): said below the next tree, or alone if none comes. Never shows a value."""
        for drop in drops:
            line = self._warning(drop)
            if line in self._warnings or len(self._warnings) < _MAX_WARNINGS:
                self._warnings[line] += 1
            else:
                self._unlisted += 1

    def tick(self, now_s: float) -> bool:
        """Print what is due, at most about STEP spans; True if there is more to print now. Call it a few times a second.

        `now_s`: seconds of a monotonic clock. What was observed since the last tick counts as observed now.
        """
        batches, has_more = self._traces.take_due(now_s, STEP)
        for batch in batches:
            self._show(batch)
        if self._warnings:
            self._warned_s = now_s if self._warned_s is None else self._warned_s
            if batches or now_s >= self._warned_s + WARNING_DELAY_S:
                self._show_warnings()
        return has_more

    def flush(self) -> None:
        """Print all that is left, at shutdown."""
        for batch in self._traces.take_all():
            self._show(batch)
        if self._warnings:
            self._show_warnings()

    def footer(self, accounting: Mapping[str, int]) -> None:
        """The accounting identity (S25), if traces were printed since the last one and it has changed."""
        sides = [{name: accounting.get(name, 0) for name in side} for side in (_IN, _OUT)]
        sign = "=" if sum(sides[0].values()) == sum(sides[1].values()) else self._marks.unequal
        line = f"{_sum(sides[0], _IN)} {sign} {_sum(sides[1], _OUT)}"
        if self._has_printed and line != self._footer:
            self._footer = line
            self._print([self._text(line, _FOOT)])
        self._has_printed = False

    def _show(self, batch: Batch) -> None:
        from processor.export.console_tree import Tree

        if not batch.spans:
            return
        tree = Tree(batch.spans, batch.known, self._console.width, self._marks)
        self._print([self._text(self._head(batch), _HEAD), *tree.lines()])
        self._has_printed = True

    def _head(self, batch: Batch) -> str:
        from processor.export.console_text import show_duration

        marks = self._marks
        count = len(batch.spans)
        trace = f"trace {batch.trace_id.hex()}"
        if batch.is_addition:
            return f"{marks.ellipsis} {count} more {'span' if count == 1 else 'spans'} of {trace}"
        starts = [span.start_ns for span in batch.spans if span.start_ns]
        duration_ns = max(span.end_ns for span in batch.spans) - min(starts) if starts else 0
        parts = [trace, f"{count} {'span' if count == 1 else 'spans'}", show_duration(duration_ns, marks)]
        return f" {marks.dot} ".join(part for part in parts if part)
