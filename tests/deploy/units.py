"""A systemd unit and its environment file, as far as ours use them."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy" / "systemd"
UNIT = FOLDER / "span-processor.service"
ENVIRONMENT_FILE = FOLDER / "span-processor.env"
STATE = "/var/lib"


def lines(path: Path) -> list[tuple[str, str]]:
    """`name=value`, in order, without comments and headings."""
    found = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    pairs = [line.partition("=") for line in found if line and line[0] not in "#;["]
    return [(name, value) for name, _, value in pairs]


def unit() -> dict[str, list[str]]:
    """Every directive with all its values."""
    values: dict[str, list[str]] = {}
    for name, value in lines(UNIT):
        values.setdefault(name, []).append(value)
    return values


def environment() -> dict[str, str]:
    """What the process sees: of the file, and of the unit where the file does not say it."""
    own = dict(value.replace("%S", STATE).split("=", 1) for value in unit()["Environment"])
    return {**own, **dict(lines(ENVIRONMENT_FILE))}
