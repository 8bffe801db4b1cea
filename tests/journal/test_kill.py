"""F8: a real process that is killed while it writes has on disk whatever it said that it had."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
from pathlib import Path

from journals import crash, open_at
from writing import body_of

KILLS = 12
WRITER = Path(__file__).with_name("writing.py")
ROOT = Path(__file__).parents[2]


def run_until_killed(folder: Path, seed: int, lines: int) -> list[tuple[str, int]]:
    """Start the writer and kill it after so many lines; what it said."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)} if "PYTHONPATH" in os.environ else dict(os.environ)
    arguments = [sys.executable, str(WRITER), str(folder), str(seed)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(lines)]
        process.kill()
        said += process.stdout.readlines()
    return [(sign, int(number)) for sign, number in (line.split() for line in said)]


def test_killed_at_any_point(folder: Path) -> None:
    """What was committed and not settled is there with its body, over a dozen kills; what was moved is there once."""
    draw = random.Random(8)
    must: set[int] = set()
    for kill in range(KILLS):
        for sign, number in run_until_killed(folder, kill, draw.randrange(1, 400)):
            if sign == "+":
                must.add(number)
            else:  # a moved item is in the next one, or where it was: either may be so when the process dies
                must.discard(number)
        journal = open_at(folder, 4 << 20)
        found = [item.number for item in journal.recovered()]
        assert must <= set(found)
        assert 0 == journal.damaged
        assert [body_of(number) for number in found] == asyncio.run(read_all(journal, found))
        must = set(found)
        crash(journal)


async def read_all(journal: object, numbers: list[int]) -> list[bytes | None]:
    return [await journal.read(number) for number in numbers]  # type: ignore[attr-defined]
