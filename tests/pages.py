"""The pages that people read, and the code blocks in them.

What a block's language promises, on every page:

    console   commands after `$ `, and what each prints
    sh        variables, of the processor or of an application; or `make …`
    python    a program that sends traces to the processor
    yaml      variables as `VARIABLES_FILE` takes them, which the page's commands may use; or a Collector's configuration
    json      part of `/status`
    text      a picture
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
README: Final = ROOT / "README.md"
GUIDE: Final = ROOT / "processor" / "README.md"
PAGES: Final = (README, GUIDE, ROOT / "SECURITY.md", *sorted((ROOT / "docs").glob("*.md")))
FENCE: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ASSIGNMENT: Final = re.compile(r"([A-Z_]+)=(.*)")
# Names that no test should have to look up.
_LOOPBACK: Final = {"collector:4317": "127.0.0.1:24317", "cloud.langfuse.com": "127.0.0.1"}


@dataclass(frozen=True, slots=True)
class Block:
    """A code block, and where it stands."""

    page: Path
    kind: str
    text: str

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Of a console block: each command, and what it is said to print."""
        parts = on_loopback(self.text).split("$ ")[1:]
        return [(part.partition("\n")[0], part.partition("\n")[2]) for part in parts]

    @property
    def environment(self) -> dict[str, str] | None:
        """The variables of a block that is nothing else."""
        words = shlex.split(on_loopback(self.text))
        pairs = [match.groups() for word in words if (match := ASSIGNMENT.fullmatch(word))]
        return {str(name): str(value) for name, value in pairs} if len(pairs) == len(words) else None

    def __str__(self) -> str:
        return f"{name_of(self.page)}: {self.text.partition(chr(10))[0][:60]}"


def name_of(page: Path) -> str:
    """A page's path in the project."""
    return str(page.relative_to(ROOT))


def on_loopback(text: str) -> str:
    """The text with addresses that need no network."""
    for name, address in _LOOPBACK.items():
        text = text.replace(name, address)
    return text


def blocks(kind: str, *pages: Path) -> list[Block]:
    """The code blocks of a kind, on these pages or on all."""
    return [
        Block(page, kind, text)
        for page in pages or PAGES
        for name, text in FENCE.findall(page.read_text(encoding="utf-8"))
        if name == kind
    ]


def prose(page: Path) -> str:
    """A page without its code blocks."""
    return FENCE.sub("", page.read_text(encoding="utf-8"))
