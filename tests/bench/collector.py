"""Builds the OpenTelemetry Collector for `make bench-peers` and `make test-clients`, with its own builder, once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

_FOLDER = Path(__file__).resolve().parent
_BUILDER = "go.opentelemetry.io/collector/cmd/builder@v0.161.0"


def cache_folder() -> Path:
    """Where built peers are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "span-processor-bench"


def binary(cache: Path) -> Path:
    """Where `build` puts the Collector."""
    return cache / "dist" / "otelcol-bench"


def build(cache: Path) -> Path:
    """The Collector's binary, built where it is not there yet or its recipe changed: two minutes, 500 MB of modules.

    Raises `SystemExit` with a sentence where Go is missing or the build fails.
    """
    recipe, kept = _FOLDER / "collector" / "builder.yaml", cache / "builder.yaml"
    built = binary(cache)
    if built.exists() and kept.exists() and kept.read_bytes() == recipe.read_bytes():
        return built
    go = shutil.which("go") or shutil.which("go", path="/usr/local/go/bin")
    if go is None:
        raise SystemExit("the Collector is built from source: install Go 1.25 or later, then run this again")
    cache.mkdir(parents=True, exist_ok=True)
    built.unlink(missing_ok=True)
    shutil.copy(recipe, kept)
    print("building the Collector, about two minutes", file=sys.stderr, flush=True)
    path = f"{Path(go).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    command = [go, "run", _BUILDER, "--config", str(kept)]
    done = subprocess.run(command, cwd=cache, env={**os.environ, "PATH": path}, check=False)
    if done.returncode or not built.exists():
        raise SystemExit("the Collector did not build; see above")
    return built
