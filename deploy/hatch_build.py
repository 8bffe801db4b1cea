"""Compiles the hot path with mypyc while the wheel is built; without a C compiler the same files ship as they are.

The environment variable MYPYC decides: `auto` (default: compile where it works), `require` (a failure fails the build),
`off`. Source distributions are never compiled.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What every span runs through, and nothing else.
COMPILED = (
    "processor/span.py",
    "processor/pipeline.py",
    "processor/wire/*.py",
    "processor/attributes/*.py",
    "processor/trace/*.py",
)


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # the plug-in's base is generic over its own settings
    """Adds the compiled modules beside their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a folder of its own, then have the wheel include what came out."""
        mode = os.environ.get("MYPYC", "auto")
        if self.target_name != "wheel" or mode == "off":
            return
        self._work = Path(tempfile.mkdtemp(prefix="span-processor-build-"))
        try:
            artifacts = compile_modules(Path(self.root), self._work)
        except (Exception, SystemExit) as error:
            if mode == "require":
                raise
            self.app.display_warning(f"not compiled, the hot path will run interpreted: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        build_data["force_include"].update({str(path): str(path.relative_to(self._work / "lib")) for path in artifacts})

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Remove the folder."""
        if hasattr(self, "_work"):
            shutil.rmtree(self._work, ignore_errors=True)


def compile_modules(root: Path, work: Path) -> list[Path]:
    """Compile COMPILED of the tree at `root`; the shared libraries, under `work/lib` as they lie in the package."""
    from mypyc.build import mypycify
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    shutil.copytree(root / "processor", work / "processor", ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    before = Path.cwd()
    os.chdir(work)
    try:
        sources = sorted(
            str(path) for pattern in COMPILED for path in Path().glob(pattern) if path.name != "__init__.py"
        )
        extensions = mypycify([*sources, "--python-executable", sys.executable], opt_level="3", target_dir=str(work / "c"))
        distribution = Distribution({"name": "span-processor", "ext_modules": extensions})
        command = build_ext(distribution)
        command.build_lib = str(work / "lib")
        command.build_temp = str(work / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)
    return sorted((work / "lib").rglob("*.so")) + sorted((work / "lib").rglob("*.pyd"))
