"""A trace as lines of text: what each span is, and below it whose it is and who said so.

    POST /chat  server · chat-api                                           2.41 s
    │  user.id=ada (from langfuse.user.id)  session.id=s-1
    ├─ retrieve documents                                                   180 ms
    │     ↳ user.id=ada session.id=s-1 (from “POST /chat”)
    └─ chat gpt-4o-mini  812→64 tok · client · llm-gateway                  1.20 s
          ↳ user.id=ada session.id=s-1 (from “POST /chat”)

Lines are made to fit, never wrapped. Iterative: a chain of spans may be thousands deep.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len
from rich.text import Text

from processor.attributes.keys import USER_ID
from processor.export.view.sources import Sources
from processor.export.view.span import Ancestor, Origin, Said, Shown
from processor.export.view.text import Marks, cut, show_duration

# Lines longer than this tear name and duration apart.
_MAX_WIDTH: Final = 100
# What is left to a span's own text however deep it lies; the guides above that are cut.
_TEXT_WIDTH: Final = 44
_INDENT: Final = 3
_MIN_NAME: Final = 16
_MAX_DETAIL: Final = 24
_MAX_VALUE: Final = 40

NO_USER: Final = "[no user]"

_GUIDE: Final = "dim"
_NAME: Final = "bold"
_ERROR: Final = "bold red"
_DETAIL: Final = "dim"
_MISSING: Final = "dim"
_LABEL: Final = "yellow"
_STYLES: Final = {Origin.OWN: "cyan", Origin.GIVEN: "green", Origin.AGREED: "magenta", Origin.COMPUTED: "magenta"}


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of a line that is kept together."""

    text: str
    style: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A span's place in the tree: the guides before its name, and those before the lines and spans below it."""

    span: Shown
    lead: str
    below: str
    service_above: str


class Tree:
    """Renders the `spans` of a trace that are new; `known` has them and those printed before."""

    def __init__(self, spans: Sequence[Shown], known: Mapping[bytes, Ancestor], width: int, marks: Marks) -> None:
        self._width = min(width, _MAX_WIDTH)
        self._marks = marks
        self._known = known
        self._sources = Sources(known)
        self._children: dict[bytes, list[Shown]] = {}
        ids = {span.span_id for span in spans}
        self._tops: list[Shown] = []
        for span in sorted(spans, key=lambda span: span.start_ns):
            parent_id = span.above.parent_id
            if parent_id in ids:
                self._children.setdefault(parent_id, []).append(span)
            else:
                self._tops.append(span)

    def lines(self) -> list[Text]:
        """All spans, each once, also where their parents run in circles."""
        lines: list[Text] = []
        self._draw(self._tops, lines)
        while self._children:
            self._draw(self._children.pop(next(iter(self._children))), lines)
        return lines

    def _draw(self, tops: list[Shown], lines: list[Text]) -> None:
        stack = [_Row(span, "", "", self._service_above(span)) for span in reversed(tops)]
        while stack:
            row = stack.pop()
            children = self._children.pop(row.span.span_id, [])
            lines.append(self._first_line(row))
            gap = row.below + (self._marks.pipe if children else " " * _INDENT)
            lines += self._value_lines(row.span, gap)
            last = len(children) - 1
            for index in range(last, -1, -1):
                stack.append(self._row(row, children[index], index == last))

    def _row(self, above: _Row, span: Shown, is_last: bool) -> _Row:
        marks = self._marks
        below = self._clip(above.below + (" " * _INDENT if is_last else marks.pipe))
        lead = below[:-_INDENT] + (marks.last if is_last else marks.branch)
        return _Row(span, lead, below, above.span.above.service)

    def _clip(self, guides: str) -> str:
        levels = max((self._width - _TEXT_WIDTH) // _INDENT, 2)
        if len(guides) <= levels * _INDENT:
            return guides
        return self._marks.ellipsis.ljust(_INDENT) + guides[-(levels - 1) * _INDENT :]

    def _service_above(self, span: Shown) -> str:
        parent = self._known.get(span.above.parent_id)
        return parent.service if parent is not None else ""

    # ---- what it is

    def _first_line(self, row: _Row) -> Text:
        marks, span = self._marks, row.span
        duration = show_duration(span.end_ns - span.start_ns, marks) if not span.is_pending else ""
        room = max(self._width - len(row.lead) - (cell_len(duration) + 2 if duration else 0), 8)
        details = self._details(row, room - min(_MIN_NAME, cell_len(span.above.name)) - 2)
        name = cut(span.above.name, max(room - cell_len(details) - 2 if details else room, min(_MIN_NAME, room)), marks)
        line = Text().append(row.lead, _GUIDE).append(name, _ERROR if span.is_error else _NAME)
        if details and room - cell_len(name) > 4:
            line.append("  " + cut(details, room - cell_len(name) - 2, marks), _DETAIL)
        if duration:
            line.append(" " * max(self._width - line.cell_len - cell_len(duration), 1) + duration, _DETAIL)
        return line

    def _details(self, row: _Row, room: int) -> str:
        """What else there is to say of a span in a line; without its kind where that is too long."""
        span, marks = row.span, self._marks
        has_place = span.above.parent_id and (span.is_root or not row.lead)
        parts = {
            "user": "" if _has_values(span) else NO_USER,
            "status": "error" if span.is_error else "",
            "model": f"{cut(span.model, _MAX_DETAIL, marks)} {span.tokens}".strip(),
            "kind": span.kind,
            "service": self._service(row),
            "pending": "not ended" if span.is_pending else "",
            "place": self._place(row) if has_place else "",
        }
        line = f" {marks.dot} ".join(part for part in parts.values() if part)
        if cell_len(line) > room and span.kind:
            line = f" {marks.dot} ".join(part for name, part in parts.items() if part and name != "kind")
        return line

    def _service(self, row: _Row) -> str:
        """The service, where it is another than above."""
        service = row.span.above.service
        return cut(service or "(no service)", _MAX_DETAIL, self._marks) if service != row.service_above else ""

    def _place(self, row: _Row) -> str:
        """Where a span belongs whose parent is not above it, or gives it nothing."""
        parent = self._known.get(row.span.above.parent_id)
        if parent is not None and not row.lead:
            return f"under {self._quote(parent.name)}"
        if row.span.is_remote:
            return "remote parent"
        return "own root" if row.lead else "parent not received"

    # ---- whose it is

    def _value_lines(self, span: Shown, guides: str) -> list[Text]:
        """The items, as many on a line as fit."""
        room = max(self._width - len(guides), 8)
        lines: list[Text] = []
        used = room + 1
        if not _has_values(span):
            return lines
        for item in self._items(span, room):
            text = cut(item.text, room, self._marks)
            if used + 2 + cell_len(text) > room:
                lines.append(Text().append(guides, _GUIDE))
                used = cell_len(text)
            else:
                lines[-1].append("  ")
                used += 2 + cell_len(text)
            lines[-1].append(text, item.style)
        return lines

    def _items(self, span: Shown, room: int) -> list[Item]:
        items = []
        if not span.values or span.values[0].key != USER_ID:
            items.append(Item(NO_USER, _MISSING))
        groups: dict[tuple[Origin, str], list[Said]] = {}
        for said in span.values:
            groups.setdefault((said.origin, self._note(span, said)), []).append(said)
        for (origin, note), group in groups.items():
            mark = "" if origin is Origin.OWN else self._marks.inherited
            pairs = [_pair(said, self._marks) for said in group]
            items += self._group(mark, pairs, note, room, _STYLES[origin])
        for said in span.labels:
            mark = "label " if said.origin is Origin.OWN else self._marks.inherited + "label "
            items += self._group(mark, [_pair(said, self._marks)], self._note(span, said), room, _LABEL)
        if span.more:
            items.append(Item(f"{self._marks.ellipsis} {span.more} more", _MISSING))
        return items

    def _group(self, mark: str, pairs: list[str], note: str, room: int, style: str) -> list[Item]:
        """Values that come from the same place: with a note as many together as fit, and the note on each line."""
        end = f" {note}" if note else ""
        pair_room = max(room - cell_len(mark + end), 8)
        groups: list[str] = []
        for pair in (cut(pair, pair_room, self._marks) for pair in pairs):
            if note and groups and cell_len(groups[-1]) + 1 + cell_len(pair) <= pair_room:
                groups[-1] += f" {pair}"
            else:
                groups.append(pair)
        return [Item(mark + group + end, style) for group in groups]

    def _note(self, span: Shown, said: Said) -> str:
        """Where a value comes from, in words."""
        if said.origin is Origin.OWN:
            return f"(from {cut(said.alias, _MAX_DETAIL, self._marks)})" if said.alias else ""
        if said.origin is Origin.AGREED:
            return "(agreed in trace)"
        if said.origin is Origin.COMPUTED:
            return "(computed)"
        source = self._sources.find(span.above.parent_id, said)
        if source:
            return f"(from {self._quote(source)})"
        return "(from resource)" if said.is_default else "(from an earlier span)"

    def _quote(self, name: str) -> str:
        opening, closing = self._marks.quotes
        return opening + cut(name, _MAX_DETAIL, self._marks) + closing


def _pair(said: Said, marks: Marks) -> str:
    return f"{cut(said.name, _MAX_VALUE, marks)}={cut(said.text, _MAX_VALUE, marks)}"


def _has_values(span: Shown) -> bool:
    return bool(span.values or span.labels)
