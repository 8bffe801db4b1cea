"""The console view, the embedded default exporter: each trace as a tree of whose spans these are, and who said so.

Spans come in as they leave the pipeline and wait until their trace is printed: 2 s after its root was released, at once
when it was given up. Sans-I/O but for the rich Console it is given; time is a parameter. rich and OTLP's messages are
imported by the first view, so that nobody else pays for them. Must not know the pipeline.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from processor.attributes.keys import KeySettings
from processor.attributes.reading import Drop
from processor.span import Context, Group, Own

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

    from processor.export.view.traces import Batch, Limits

# Spans printed between two chances for others to run: about 20 ms.
STEP: Final = 100
# A warning waits as long as the tree that it belongs to, and is said alone a little later.
WARNING_DELAY_S: Final = 2.0
WARNING_LIMIT_S: Final = 3.0
_MAX_WARNINGS: Final = 10

_WARNING: Final = "yellow"
_HEADING: Final = "bold"
_FOOTER: Final = "dim"


class ConsoleView:
    """Shows spans on `console`. `keys` names the aliases; `roots_any`: a remote parent does not make a root.

    One owner, like the pipeline. When nobody reads the console any more it falls silent: `is_closed`.
    """

    def __init__(
        self, console: Console, keys: KeySettings, roots_any: bool = False, limits: Limits | None = None
    ) -> None:
        from processor.export.view.span import SpanReader
        from processor.export.view.text import marks_for
        from processor.export.view.traces import Limits, Traces

        self.is_closed = False
        self._console = console
        self._marks = marks_for(console.encoding)
        self._reader = SpanReader(keys, roots_any, self._marks)
        self._traces = Traces(limits or Limits())
        self._drops: dict[tuple[bytes, str, str, int], tuple[Drop, int]] = {}
        self._dropped = 0
        self._warned_s: float | None = None
        self._has_printed = False
        self._owes_footer = False
        self._footer = ""

    def observe(self, raw: bytes, suffix: bytes, group: Group, own: Own | None, context: Context, reason: str) -> None:
        """A span leaves the pipeline (`processor.pipeline.Observer`)."""
        if not self.is_closed:
            trace_id, span = self._reader.read(raw, suffix, group, own, context)
            if early := self._traces.add(trace_id, span, reason):
                self._show(early)

    def warn(self, drops: Sequence[Drop]) -> None:
        """Values were dropped (S8): said below the tree printed next, or alone. Never shows a value."""
        for drop in drops:
            self._dropped += 1
            same = (drop.key, drop.reason, drop.type, drop.length)
            if same in self._drops or len(self._drops) < _MAX_WARNINGS:
                self._drops[same] = (drop, self._drops.get(same, (drop, 0))[1] + 1)

    def tick(self, now_s: float) -> bool:
        """Print what is due, at most about STEP spans; True if there is more to print now. For a few calls a second.

        `now_s`: seconds of a monotonic clock. What was observed since the last tick counts as observed now.
        """
        batches, has_more = self._traces.take_due(now_s, STEP)
        self._show(batches)
        if self._drops:
            self._warned_s = now_s if self._warned_s is None else self._warned_s
            waited_s = now_s - self._warned_s
            if waited_s >= (WARNING_DELAY_S if batches else WARNING_LIMIT_S):
                self._show_warnings()
        return has_more

    def flush(self) -> None:
        """Print all that is left, at shutdown."""
        self._show(self._traces.take_all())
        self._show_warnings()

    def footer(self, accounting: Mapping[str, int]) -> None:
        """The accounting identity (S25), where it has changed since the last one and trees were printed."""
        from processor.export.view.lines import accounting_line

        line = accounting_line(accounting, self._marks)
        if self._owes_footer and line != self._footer:
            self._footer = line
            self._write(self._text(line, _FOOTER))
        self._owes_footer = False

    def _show(self, batches: Sequence[Batch]) -> None:
        from processor.export.view.lines import heading
        from processor.export.view.tree import Tree

        for batch in batches:
            width = self._console.width
            lines = [self._text("", "")] if self._has_printed else []
            lines.append(self._text(heading(batch, width, self._marks), _HEADING))
            self._print(lines + Tree(batch.spans, batch.known, width, self._marks).lines())
            self._has_printed = self._owes_footer = True

    def _show_warnings(self) -> None:
        from processor.export.view.lines import warning

        drops, self._drops = self._drops, {}
        unsaid, self._dropped = self._dropped - sum(count for _, count in drops.values()), 0
        self._warned_s = None
        lines = [warning(drop, count, self._console.width, self._marks) for drop, count in drops.values()]
        if unsaid:
            lines.append(f"! {self._marks.ellipsis} {unsaid} more values dropped")
        self._print([self._text(line, _WARNING) for line in lines])

    def _text(self, line: str, style: str) -> Text:
        from rich.text import Text

        return Text(line, style)

    def _print(self, lines: Sequence[Text]) -> None:
        """Lines that fit, in one write. rich is spared its wrapping, which takes as long as all the rest."""
        from rich.segment import Segments

        if lines:
            self._write(Segments([segment for line in lines for segment in line.render(self._console, "\n")]))

    def _write(self, renderable: RenderableType) -> None:
        """A reader that has gone, or a full disk, must not stop the processor."""
        if self.is_closed:
            return
        try:
            self._console.print(renderable, highlight=False)
        except (OSError, SystemExit):  # rich answers a broken pipe with SystemExit
            self.is_closed = True
