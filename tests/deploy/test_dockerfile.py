"""The Dockerfile, read: a compiled wheel in, nothing else; not root; probed and stopped as it should be."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest
from dockerfile import ROOT, Instruction, copied, healthcheck, is_ignored, read_dockerfile
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from running import Processor

ARGUMENTS, (BUILD, FINAL) = read_dockerfile()
# Of what the packages take in an image without bytecode; the bytecode of what runs is 9 MB more (`image.py`).
MOST_BYTES = 89_000_000
CONTEXT_COPIES = [each for stage in (BUILD, FINAL) for each in stage.all("COPY") if "from" not in each.flags]


def test_the_bases_are_the_same_slim_python() -> None:
    """A virtual environment goes from one stage to the other, so both have one Python, a version that is supported."""
    assert BUILD.base == FINAL.base == f"python:{ARGUMENTS['PYTHON']}-slim"
    (wanted,) = [
        line.partition("=")[2].strip().strip('"')
        for line in (ROOT / "pyproject.toml").read_text(encoding="utf-8").splitlines()
        if line.startswith("requires-python")
    ]
    assert ARGUMENTS["PYTHON"] in SpecifierSet(wanted)


def test_the_wheel_is_compiled_or_the_build_fails() -> None:
    """MYPYC=require is in force where the wheel is made, with the versions of constraints.txt."""
    assert "require" == BUILD.environment["MYPYC"]
    words = [each.word for each in BUILD.instructions]
    (wheel,) = [i for i, each in enumerate(BUILD.instructions) if "pip wheel" in each.text]
    assert words.index("ENV") < wheel
    installs = [each.text for each in BUILD.all("RUN") if " install " in each.text and "pip" in each.text]
    assert installs
    assert all("--constraint constraints.txt" in text for text in installs)


@pytest.mark.parametrize("copy", CONTEXT_COPIES, ids=lambda each: each.text.replace("/", "."))
def test_what_is_copied_is_there(copy: Instruction) -> None:
    """Every source of a COPY exists, and .dockerignore lets it through."""
    *sources, target = copy.text.split()
    for source in sources:
        assert (ROOT / source).exists()
        assert copied([source])
    assert target.endswith("/") or 1 == len(sources)


def test_the_build_gets_no_more_than_it_copies() -> None:
    """Sources and what a wheel needs; no tests, no environment, no compiled leftovers, no git."""
    sources = [source for each in CONTEXT_COPIES for source in each.text.split()[:-1]]
    assert {path.name for path in (ROOT / "processor").rglob("*.py")} <= {Path(name).name for name in copied(sources)}
    for name in ("tests/test_cli.py", ".venv/pyvenv.cfg", "build/x", ".git/config", "deploy/compose.yaml",
                 "processor/__pycache__/cli.pyc", "processor/wire/scan.so", "secrets.env"):  # fmt: skip
        assert is_ignored(name), name


def test_the_image_holds_the_environment_alone() -> None:
    """The second stage installs nothing and copies the first one's virtual environment."""
    copy = FINAL.only("COPY")
    assert {"from": BUILD.name} == copy.flags
    assert ["/opt/span-processor", "/opt/span-processor"] == copy.text.split()
    assert all("pip" not in each.text and "apt" not in each.text for each in FINAL.all("RUN"))


def test_it_is_not_root() -> None:
    """A user by number, which `runAsNonRoot` can judge; the last one that is set, and the journal's folder is its own."""
    assert "10001:10001" == FINAL.only("USER").text
    folder = FINAL.only("RUN").text
    assert all(word in folder for word in ("--owner=10001", "--group=10001", "--mode=0700", "/var/lib/span-processor"))


def test_the_instructions_come_in_order() -> None:
    """Files, then the environment, then the user, then what runs."""
    words = [each.word for each in FINAL.instructions]
    order = ["RUN", "COPY", "ENV", "USER", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK", "ENTRYPOINT", "CMD"]
    assert order == words


def test_the_ports_are_those_of_the_listeners() -> None:
    """What is exposed is what listens, on an address that is not loopback."""
    listeners = {value for name, value in FINAL.environment.items() if name.endswith("_ENDPOINT")}
    assert {f"0.0.0.0:{port}" for port in FINAL.only("EXPOSE").text.split()} == listeners


def test_python_writes_nothing_and_holds_nothing_back() -> None:
    """A read-only root is no error at each import, and log lines leave at once."""
    assert "1" == FINAL.environment["PYTHONDONTWRITEBYTECODE"]
    assert "1" == FINAL.environment["PYTHONUNBUFFERED"]


def test_it_runs_and_stops_without_a_shell() -> None:
    """PID 1 is the processor itself, which takes SIGTERM."""
    assert ["span-processor"] == FINAL.only("ENTRYPOINT").command
    assert ["run"] == FINAL.only("CMD").command
    assert "SIGTERM" == FINAL.only("STOPSIGNAL").text
    assert FINAL.environment["PATH"].startswith("/opt/span-processor/bin:")


def test_the_health_check_tells_ready_from_gone(tmp_path: Path) -> None:
    """Its program ends with 0 at a processor that is ready, else with another code."""
    python, option, code = healthcheck(FINAL)
    assert ["python", "-c"] == [python, option]
    processor = Processor(tmp_path).start()
    try:
        processor.wait_ready()
        here = code.replace("127.0.0.1:13133", f"127.0.0.1:{processor.admin_port}")
        assert here != code
        assert 0 == subprocess.run([sys.executable, "-c", here], check=False).returncode
        assert 0 == processor.stop()
    finally:
        processor.kill()
    assert 0 != subprocess.run([sys.executable, "-c", here], check=False, stderr=subprocess.DEVNULL).returncode


def test_the_packages_are_small() -> None:
    """What the image installs leaves room under 100 MB for the bytecode of what runs."""
    assert MOST_BYTES > sum(size_of(name) for name in runtime_packages())


def runtime_packages() -> set[str]:
    """Everything that a plain installation of the processor brings along, without extras."""
    found: set[str] = set()
    todo = ["span-processor"]
    while todo:
        name = todo.pop().lower().replace("_", "-")
        if name in found:
            continue
        found.add(name)
        wanted = [Requirement(text) for text in requires(name) or ()]
        todo += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return found


def size_of(name: str) -> int:
    """The bytes of an installed distribution, bytecode not counted."""
    files = distribution(name).files or []
    return sum(Path(str(file.locate())).stat().st_size for file in files if file.suffix != ".pyc")
