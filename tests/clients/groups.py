"""The groups of clients: what each needs on PATH, how it is installed below `build/clients/`, how it is called.

Knows nothing of tests. Everything that is installed is pinned beside the client's source.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILT = ROOT / "build" / "clients"

BENCH = str(ROOT / "tests" / "bench")
if BENCH not in sys.path:
    sys.path.append(BENCH)

import collector  # noqa: E402  # after the path is set

PYTHON = BUILT / "python" / "bin" / "python"


@dataclass(frozen=True, slots=True)
class Group:
    """`tools`: what must be on PATH; `install`: puts what its tests run below `BUILT`; `client`: the command to run."""

    tools: tuple[str, ...]
    install: Callable[[], None]
    client: tuple[str, ...]


def _install_python() -> None:
    target = BUILT / "python"
    if not PYTHON.exists():
        subprocess.run([sys.executable, "-m", "venv", str(target)], check=True)
    pip = (str(PYTHON), "-m", "pip", "install", "-q", "--disable-pip-version-check")
    pinned = ("-c", str(ROOT / "constraints.txt"), "-r", str(HERE / "python" / "requirements.txt"))
    subprocess.run([*pip, *pinned], check=True)


def _install_go() -> None:
    subprocess.run(["go", "build", "-o", str(BUILT / "go" / "client"), "."], cwd=HERE / "go", check=True)


def _install_java() -> None:
    copy = ("dependency:copy-dependencies", f"-DoutputDirectory={BUILT / 'java'}")
    subprocess.run(["mvn", "-q", "-B", *copy], cwd=HERE / "java", check=True)


def _install_js() -> None:
    target = BUILT / "js"
    target.mkdir(parents=True, exist_ok=True)
    for name in ("package.json", "package-lock.json", "client.mjs"):
        shutil.copy(HERE / "js" / name, target)
    subprocess.run(["npm", "ci", "--silent", "--ignore-scripts"], cwd=target, check=True)


def _install_collector() -> None:
    collector.build(collector.cache_folder())


def _install_nothing() -> None:
    """The tool is the client."""


def _browser() -> str:
    """Debian has it in two packages."""
    return next(filter(shutil.which, ("chromium", "chromium-headless-shell")), "chromium")


GROUPS = {
    "python": Group((), _install_python, (str(PYTHON),)),
    "go": Group(("go",), _install_go, (str(BUILT / "go" / "client"),)),
    "java": Group(
        ("java", "mvn"), _install_java, ("java", "-cp", str(BUILT / "java" / "*"), str(HERE / "java" / "Client.java"))
    ),
    "js": Group(("node", "npm"), _install_js, ("node", str(BUILT / "js" / "client.mjs"))),
    "collector": Group(("go",), _install_collector, (str(collector.binary(collector.cache_folder())),)),
    "browser": Group((_browser(),), _install_nothing, (_browser(),)),
}
