"""Compiles the hot path with mypyc while the wheel is built; without a C compiler the same files ship as they are.

The environment variable MYPYC decides: `auto` (default: compile where it works), `require` (a failure fails the build),
`off`. Source distributions are never compiled.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import mypy.version
from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# What every span runs through, and nothing else.
COMPILED = (
    "processor/span.py",
    "processor/pipeline.py",
    "processor/wire/*.py",
    "processor/attributes/*.py",
    "processor/trace/*.py",
)

# A deallocator that does not untrack its object, and what of CPython's trashcan mypyc puts into it.
_UNTRACKED_DEALLOC = re.compile(
    r"(_dealloc\(\w+ \*self\)\n\s*\{\n(?:(?!.*(?:GC_UnTrack|_dealloc\(\w+ \*)).*\n)*?)"
    r"\s*CPy_TRASHCAN_BEGIN\(self, \w+\)\n((?:.*\n){2})\s*CPy_TRASHCAN_END\(self\)\n"
)


class CompileHook(BuildHookInterface):  # type: ignore[type-arg]  # the plug-in's base is generic over its own settings
    """Adds the compiled modules beside their sources."""

    PLUGIN_NAME = "custom"

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile into a folder of its own, then have the wheel include what came out."""
        mode = os.environ.get("MYPYC", "auto")
        if self.target_name != "wheel" or mode == "off":
            return
        try:
            library = compiled_library(Path(self.root))
        except (Exception, SystemExit) as error:
            if mode == "require":
                raise
            self.app.display_warning(f"not compiled, the hot path will run interpreted: {error}")
            return
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
        artifacts = [path for path in library.rglob("*") if path.suffix in (".so", ".pyd")]
        build_data["force_include"].update({str(path): str(path.relative_to(library)) for path in artifacts})


def compiled_library(root: Path) -> Path:
    """The folder with the shared libraries, as they lie in the package; compiled unless the sources are the same as
    last time.

    An installer asks for metadata first and for the wheel then: without this the modules would be compiled twice.
    """
    digest = hashlib.sha256(f"{sys.version} {sys.platform} {mypy.version.__version__}".encode())
    digest.update(Path(__file__).read_bytes())
    for path in sorted((root / "processor").rglob("*.py")):
        digest.update(path.read_bytes())
    library = root / "build" / f"compiled-{digest.hexdigest()[:16]}"
    if not library.exists():
        work = Path(tempfile.mkdtemp(prefix="span-processor-build-"))
        try:
            compile_modules(root, work)
            for old in library.parent.glob("compiled-*"):
                shutil.rmtree(old, ignore_errors=True)
            shutil.copytree(work / "lib", library)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return library


def compile_modules(root: Path, work: Path) -> None:
    """Compile COMPILED of the tree at `root` into `work/lib`."""
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
        options = [*sources, "--python-executable", sys.executable]
        extensions = mypycify(options, opt_level="3", target_dir=str(work / "c"))
        acyclic = sum(Path(source).read_text("utf-8").count("@mypyc_attr(acyclic=True)") for source in sources)
        take_out_trashcan(work / "c", acyclic)
        distribution = Distribution({"name": "span-processor", "ext_modules": extensions})
        command = build_ext(distribution)
        command.build_lib = str(work / "lib")
        command.build_temp = str(work / "temp")
        command.ensure_finalized()
        command.run()
    finally:
        os.chdir(before)


def take_out_trashcan(folder: Path, classes: int) -> None:
    """Change the generated C code: so many acyclic classes, all there are, are freed without the trashcan.

    mypyc gives it to every class. Fifty deallocations deep it queues the object through the collector's header, which
    an acyclic object does not have: the eight bytes in front of it, in somebody else's memory, would be overwritten.
    """
    changed = 0
    for path in folder.glob("__native*.c"):
        code, count = _UNTRACKED_DEALLOC.subn(r"\1\2", path.read_text("utf-8"))
        path.write_text(code, "utf-8")
        changed += count
    if changed != classes:
        raise RuntimeError(
            f"{classes} acyclic classes, but {changed} deallocators of the kind that mypyc writes for them"
        )
