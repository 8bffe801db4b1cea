"""`make test-image`: the Dockerfile's first stage, run step by step in a plain folder, and what the second one runs.

Every RUN and COPY is taken out of the Dockerfile, its absolute paths below the folder, but for the system's packages: a C
compiler has to be there. Takes a minute, and a package index.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from dockerfile import ROOT, Instruction, copied, healthcheck, read_dockerfile
from running import PATIENCE_S, eventually, free_ports

_, (BUILD, FINAL) = read_dockerfile()
ENVIRONMENT = "opt/span-processor"
MOST_BYTES = 100_000_000
# The folders at the root that the first stage makes.
ABSOLUTE = re.compile(r"(?<![\w.}])/(?=(?:source|tools|wheels|opt)\b)")


@pytest.fixture(scope="module")
def image() -> Iterator[Path]:
    """A folder that stands for the root of the built stage."""
    with tempfile.TemporaryDirectory(prefix="span-processor-image-") as folder:
        root = Path(folder)
        build(root)
        yield root


def build(root: Path) -> None:
    """Run the first stage."""
    place, environment = root, {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    for each in BUILD.instructions:
        text = ABSOLUTE.sub(f"{root}/", each.text)
        if each.word == "WORKDIR":
            place = Path(text)
            place.mkdir(parents=True)
        elif each.word == "COPY":
            copy(each, place)
        elif each.word == "ENV":
            name, _, value = text.partition("=")
            environment[name] = value
        elif each.word == "RUN" and not text.startswith("apt-get "):
            command = re.sub(r"^python ", f"{sys._base_executable} ", text)  # type: ignore[attr-defined]
            done = subprocess.run(command, shell=True, cwd=place, env=environment, capture_output=True, check=False)
            assert 0 == done.returncode, f"{command}\n{done.stdout.decode()}\n{done.stderr.decode()}"


def copy(instruction: Instruction, place: Path) -> None:
    """The project's files, as .dockerignore lets them through; of a folder its content, of a file the file."""
    *sources, target = instruction.text.split()
    for source in sources:
        for name in copied([source]):
            inside = Path(name).relative_to(source) if (ROOT / source).is_dir() else Path(name).name
            to = place / target / inside
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to)


def files(root: Path) -> set[Path]:
    return {path for path in (root / ENVIRONMENT).rglob("*") if path.is_file()}


class Running:
    """The second stage's program within a `with` block, on ports of loopback, as an image runs it but for `settings`."""

    def __init__(self, root: Path, settings: Mapping[str, str]) -> None:
        ports = free_ports(3)
        said = {name: ABSOLUTE.sub(f"{root}/", value) for name, value in FINAL.environment.items()}
        endpoints = [name for name in said if name.endswith("_ENDPOINT")]
        said.update((name, f"127.0.0.1:{port}") for name, port in zip(endpoints, ports, strict=True))
        self._environment = {**said, "PATH": said["PATH"].replace("$PATH", os.environ["PATH"]), **settings}
        self.admin_port = int(said["SPAN_PROCESSOR_ADMIN_ENDPOINT"].rpartition(":")[2])

    def __enter__(self) -> Running:
        self.process = subprocess.Popen(
            self._found([*FINAL.only("ENTRYPOINT").command, *FINAL.only("CMD").command]), cwd="/", env=self._environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    def is_ready(self) -> bool:
        """What `/readyz` says."""
        assert self.process.poll() is None
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin_port}/readyz", timeout=PATIENCE_S) as answer:
                return bool(200 == answer.status)
        except OSError:
            return False

    def healthcheck(self) -> int:
        """The exit code of the image's own check."""
        command = [each.replace(":13133/", f":{self.admin_port}/") for each in healthcheck(FINAL)]
        return subprocess.run(self._found(command), env=self._environment, check=False).returncode

    def _found(self, command: list[str]) -> list[str]:
        """With the program that the image's PATH leads to."""
        program = shutil.which(command[0], path=self._environment["PATH"])
        assert program is not None
        return [program, *command[1:]]


def test_the_wheel_is_compiled(image: Path) -> None:
    """One wheel, of this platform, whose program says so."""
    (wheel,) = (image / "wheels").iterdir()
    assert not wheel.name.endswith("-none-any.whl")
    program = image / ENVIRONMENT / "bin/span-processor"
    done = subprocess.run([program, "--version"], env={}, capture_output=True, check=True)
    assert b"compiled" in done.stdout


def test_it_is_small(image: Path) -> None:
    """What is installed takes under 100 MB, and no installer is among it."""
    (packages,) = (image / ENVIRONMENT).glob("lib/python3.*/site-packages")
    names = {path.name for path in packages.iterdir()}
    assert {"processor", "grpc"} <= names
    assert not {"pip", "setuptools", "hatchling", "mypy"} & names
    taken = sum(path.lstat().st_size for path in packages.rglob("*") if path.is_file())
    print(f"site-packages: {taken / 1e6:.1f} MB")
    assert MOST_BYTES > taken


def test_it_writes_nothing(image: Path, tmp_path: Path) -> None:
    """It gets ready, healthy, and stopped with exit code 0, and leaves no file: its root may be read-only."""
    before = files(image)
    with Running(image, {"HOME": str(tmp_path), "TMPDIR": str(tmp_path)}) as running:
        eventually(running.is_ready)
        assert 0 == running.healthcheck()
        running.process.send_signal(getattr(signal, FINAL.only("STOPSIGNAL").text))
        assert 0 == running.process.wait(PATIENCE_S)
    assert before == files(image)
    assert [] == list(tmp_path.iterdir())


def test_its_bytecode_is_whole(image: Path) -> None:
    """A start that may write bytecode finds none missing, so that one that may not is as quick."""
    before = files(image)
    assert [path for path in before if path.suffix == ".pyc"]
    with Running(image, {"PYTHONDONTWRITEBYTECODE": ""}) as running:
        eventually(running.is_ready)
        running.process.terminate()
        assert 0 == running.process.wait(PATIENCE_S)
    assert set() == files(image) - before
