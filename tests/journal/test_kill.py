"""F8: a real process that is killed while it writes has on disk whatever it said that it had."""

from __future__ import annotations

import asyncio
import random
import subprocess
import sys
from pathlib import Path

from journals import child_environment, crash, open_at
from writing import body_of

from processor.journal.journal import Item
from processor.journal.store import Journal

KILLS = 12
WRITER = Path(__file__).with_name("writing.py")


def run_until_killed(folder: Path, seed: int, lines: int) -> list[tuple[str, int]]:
    """Start the writer and kill it after so many lines; what it said."""
    arguments = [sys.executable, str(WRITER), str(folder), str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=child_environment(), text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    return [(sign, int(number)) for sign, number in (line.split() for line in said)]


async def check_bodies(journal: Journal, items: list[Item]) -> None:
    for item in items:
        assert body_of(item.head) == await journal.read(item.number)


def test_killed_at_any_point(folder: Path) -> None:
    """What was committed, and neither settled nor moved since, is there with its body, over a dozen kills."""
    draw = random.Random(8)
    must: set[int] = set()
    for kill in range(KILLS):
        for sign, number in run_until_killed(folder, kill, draw.randrange(1, 400)):
            if sign == "+":
                must.add(number)
            else:
                must.discard(number)
        journal = open_at(folder, 4 << 20)
        items = journal.recovered()
        found = {item.number for item in items}
        assert must <= found
        assert 0 == journal.damaged
        asyncio.run(check_bodies(journal, items))
        must = found
        crash(journal)
