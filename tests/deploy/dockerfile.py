"""A Dockerfile as stages of instructions, and what a .dockerignore lets through."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
FLAG = re.compile(r"^--([a-z-]+)=(\S+)\s+")
VARIABLE = re.compile(r"\$\{?(\w+)\}?")


@dataclass(frozen=True)
class Instruction:
    """`COPY --from=build a b`: its word, what follows the flags, and the flags."""

    word: str
    text: str
    flags: dict[str, str]

    @property
    def command(self) -> list[str]:
        """The words of an instruction in exec form."""
        return [str(word) for word in json.loads(self.text)]


@dataclass
class Stage:
    """From one FROM to the next."""

    base: str
    name: str
    instructions: list[Instruction] = field(default_factory=list)

    def all(self, word: str) -> list[Instruction]:
        return [each for each in self.instructions if each.word == word]

    def only(self, word: str) -> Instruction:
        (found,) = self.all(word)
        return found

    @property
    def environment(self) -> dict[str, str]:
        """What ENV sets."""
        words = [word for each in self.all("ENV") for word in shlex.split(each.text)]
        return dict(word.split("=", 1) for word in words)


def healthcheck(stage: Stage) -> list[str]:
    """The words of the stage's health check."""
    word, _, command = stage.only("HEALTHCHECK").text.partition(" ")
    assert "CMD" == word
    return [str(each) for each in json.loads(command)]


def read_dockerfile(path: Path = DOCKERFILE) -> tuple[dict[str, str], list[Stage]]:
    """The arguments that stand before the first stage, and the stages."""
    arguments: dict[str, str] = {}
    stages: list[Stage] = []
    for line in _lines(path):
        word, _, text = line.partition(" ")
        text, flags = text.strip(), {}
        while match := FLAG.match(text):
            flags[match[1]] = match[2]
            text = text[match.end() :]
        if word == "FROM":
            base, _, name = VARIABLE.sub(lambda found: arguments[found[1]], text).partition(" AS ")
            stages.append(Stage(base, name))
        elif stages:
            stages[-1].instructions.append(Instruction(word, text, flags))
        else:
            assert "ARG" == word
            name, _, value = text.partition("=")
            arguments[name] = value
    return arguments, stages


def _lines(path: Path) -> list[str]:
    """Without comments, continued lines joined."""
    kept = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    text = re.sub(r"\\\n\s*", "", "\n".join(kept))
    return [line.strip() for line in text.splitlines() if line.strip()]


def is_ignored(path: str, ignore: Path = ROOT / ".dockerignore") -> bool:
    """Whether a path of the project stays out of the build: the last pattern that fits it, or a folder above it, says."""
    ignored = False
    places = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
    for line in ignore.read_text(encoding="utf-8").splitlines():
        pattern = line.strip()
        if not pattern or pattern.startswith("#"):
            continue
        is_exception, pattern = pattern.startswith("!"), pattern.removeprefix("!")
        if any(_fits(place, pattern) for place in places):
            ignored = not is_exception
    return ignored


def _fits(place: str, pattern: str) -> bool:
    if pattern.startswith("**/"):
        return fnmatch(PurePosixPath(place).name, pattern.removeprefix("**/"))
    parts, wanted = PurePosixPath(place).parts, PurePosixPath(pattern).parts
    return len(parts) == len(wanted) and all(map(fnmatch, parts, wanted))


def copied(sources: list[str]) -> list[str]:
    """The files that a COPY of these takes out of the project."""
    found = []
    for source in sources:
        path = ROOT / source
        files = [path] if path.is_file() else [each for each in path.rglob("*") if each.is_file()]
        names = [each.relative_to(ROOT).as_posix() for each in files]
        found += [name for name in names if not is_ignored(name)]
    return found
