"""Text from spans, made fit for a terminal: escaped, cut to cells, with marks that the encoding has.

Whatever a span says is data: it cannot move the cursor, start a line, or be taken for markup. Must not know spans or
trees.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from rich.cells import cell_len, set_cell_size

# Characters that are looked at of a text: no line shows more, and an attribute may have megabytes.
_LIMIT: Final = 160


@dataclass(frozen=True, slots=True)
class Marks:
    """The characters of the view that are not span data. `is_ascii`: span data, too, is shown in ASCII only."""

    is_ascii: bool
    branch: str
    last: str
    pipe: str
    inherited: str
    ellipsis: str
    arrow: str
    dot: str
    times: str
    unequal: str
    micro: str
    quotes: tuple[str, str]


UNICODE: Final = Marks(False, "├─ ", "└─ ", "│  ", "↳ ", "…", "→", "·", "×", "≠", "µ", ("“", "”"))
ASCII: Final = Marks(True, "|- ", "`- ", "|  ", "-> ", "...", "->", "-", "x", "!=", "u", ('"', '"'))


def marks_for(encoding: str) -> Marks:
    """The marks that an output of this encoding can show; ASCII for every encoding that is not a UTF."""
    return UNICODE if encoding.lower().startswith("utf") else ASCII


def clean(text: str, marks: Marks) -> str:
    """The text on one line: control, format and bidirectional characters escaped, the middle of a long one left out."""
    if len(text) > _LIMIT:
        text = text[: _LIMIT // 2] + marks.ellipsis + text[-_LIMIT // 2 :]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    if marks.is_ascii and not text.isascii():
        text = text.encode("ascii", "backslashreplace").decode("ascii")
    return text


def cut(text: str, cells: int, marks: Marks) -> str:
    """A clean text in at most `cells` columns, its middle replaced where it is longer."""
    if cell_len(text) <= cells:
        return text
    room = cells - len(marks.ellipsis)
    if room < 2:
        return set_cell_size(text, max(cells, 0)).rstrip()
    tail = room // 3
    end = set_cell_size(text[::-1], tail)[::-1].strip()
    return set_cell_size(text, room - tail).strip() + marks.ellipsis + end


def show_duration(duration_ns: int, marks: Marks) -> str:
    """A span's duration for people; nothing where there is none."""
    if duration_ns <= 0:
        return ""
    if duration_ns < 999_500:
        return f"{duration_ns / 1e3:.3g} {marks.micro}s"
    if duration_ns < 999_500_000:
        return f"{duration_ns / 1e6:.3g} ms"
    if duration_ns < 59_950_000_000:
        return f"{duration_ns / 1e9:.{2 if duration_ns < 9_995_000_000 else 1}f} s"
    minutes, seconds = divmod(duration_ns // 1_000_000_000, 60)
    if minutes < 60:
        return f"{minutes} m {seconds:02} s"
    return f"{minutes // 60} h {minutes % 60:02} m"


def show_value(value: AnyValue, marks: Marks) -> str:
    """An attribute value: strings as they are, arrays in brackets, what has no short form by its kind. Clean."""
    kind = value.WhichOneof("value")
    if kind == "array_value":
        items = [show_value(item, marks) for item in value.array_value.values[:20]]
        return clean(f"[{', '.join(items)}]", marks)
    if kind == "string_value":
        return clean(value.string_value, marks)
    if kind in ("int_value", "double_value", "bool_value"):
        return json.dumps(getattr(value, kind))
    return "" if kind is None else f"({kind.removesuffix('_value')})"
