"""What a room must not know, how long a module may be, and that importing one does nothing, read off the sources."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import processor

PACKAGE = Path(processor.__file__).parent
MAX_LINES = 400

# Generated code is not ours to judge.
PATHS = {
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
    if "_pb" not in path.parts
}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in PATHS.items()}

# No I/O, no event loop, no transport; here, and in whatever these import of ours.
SANS_IO = ("processor.wire", "processor.attributes", "processor.trace", "processor.variables")
IO_LIBRARIES = {
    "grpc", "asyncio", "uvloop", "uvicorn", "httptools", "httpx", "socket", "selectors", "ssl", "threading",
    "subprocess", "sqlite3", "concurrent", "multiprocessing", "requests", "aiohttp", "trio", "anyio",
}  # fmt: skip
SOURCES = {f"processor.variables.{name}" for name in ("source", "file", "endpoint", "updates", "cache")}
# The rooms' own folders and files, and which others they must not know.
MUST_NOT_KNOW = {
    "processor.wire": ("attributes", "trace", "variables", "receive", "export", "settings", "telemetry", "pipeline"),
    "processor.attributes": ("trace", "variables", "receive", "export", "settings", "telemetry", "pipeline"),
    "processor.trace": ("wire", "variables", "receive", "export", "settings", "telemetry", "pipeline"),
    "processor.variables": ("trace", "receive", "export", "settings", "telemetry", "pipeline"),
    "processor.receive": ("trace", "attributes", "variables", "export", "settings", "pipeline", "intake", "metrics"),
    "processor.metrics": ("service", "cli", "admin", "observing", "readiness", "status", "logs"),
    "processor.admin": ("metrics", "export", "settings", "pipeline", "intake", "service"),
    "processor.journal": (
        "wire", "attributes", "trace", "variables", "receive", "export", "settings", "telemetry", "pipeline", "intake",
        "service", "span",
    ),
    "processor.pipeline": ("receive", "export", "settings", "telemetry", "intake", "service"),
    "processor.settings": ("service", "receive", "export", "trace", "pipeline"),
    "processor.cli": ("receive", "trace", "attributes", "wire", "intake"),
    "processor": ("cli", "__main__"),
}  # fmt: skip
# What makes a module depend on where and when it is imported, where it is called (`environ`: used) at import.
ENVIRONMENT = {
    "environ", "getenv", "putenv", "getcwd", "open", "read_text", "read_bytes", "write_text", "cwd", "home",
    "expanduser", "exists", "stat", "gethostname", "getaddrinfo", "create_connection", "Popen", "check_output",
    "Thread", "basicConfig", "simplefilter", "filterwarnings", "install", "seed", "urandom", "time", "monotonic",
    "perf_counter", "now", "today", "signal", "getpid", "uuid4", "isatty", "setrlimit", "CDLL", "print",
}  # fmt: skip


def imports(tree: ast.Module) -> Iterator[str]:
    """The full names of everything that a module imports, wherever in it, but for types."""
    for node in _without_type_checking(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports name the whole path"
            assert node.module is not None
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            modules = [name for name in names if name in PATHS]
            yield from modules if len(modules) == len(names) else [node.module, *modules]


def _without_type_checking(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and isinstance(child.test, ast.Name) and child.test.id == "TYPE_CHECKING":
            continue
        yield from _without_type_checking(child)


def reach(module: str) -> dict[str, str]:
    """Everything that a module imports, over all our modules in between: name → who imports it."""
    found: dict[str, str] = {}
    todo = [module]
    while todo:
        importer = todo.pop()
        for name in imports(TREES[importer]):
            if name not in found:
                found[name] = importer
                if name in TREES:
                    todo.append(name)
    return found


def is_within(module: str, room: str) -> bool:
    return module == room or module.startswith(room + ".")


@pytest.mark.parametrize("room", SANS_IO)
def test_the_core_does_no_io(room: str) -> None:
    """wire/, attributes/, trace/ and variables/ (but its sources) reach no transport and no event loop by imports."""
    modules = [module for module in PATHS if is_within(module, room) and module not in SOURCES]
    assert len(modules) > 3
    found = {
        f"{module} reaches {name} by {importer}"
        for module in modules
        for name, importer in reach(module).items()
        if name.partition(".")[0] in IO_LIBRARIES
    }
    assert set() == found


@pytest.mark.parametrize("room", MUST_NOT_KNOW)
def test_a_room_does_not_know_others(room: str) -> None:
    """The data goes one way, and a room imports only what its place in the architecture lets it know."""
    forbidden = [f"processor.{name}" for name in MUST_NOT_KNOW[room]]
    modules = [room] if room == "processor" else [module for module in PATHS if is_within(module, room)]
    assert modules
    found = {
        f"{module} imports {name}"
        for module in modules
        for name in imports(TREES[module])
        if any(is_within(name, other) for other in forbidden)
    }
    assert set() == found


@pytest.mark.parametrize("module", PATHS)
def test_a_module_has_one_job(module: str) -> None:
    """No module is longer than 400 lines."""
    lines = len(PATHS[module].read_text(encoding="utf-8").splitlines())
    assert lines <= MAX_LINES


@pytest.mark.parametrize("module", PATHS)
def test_a_module_opens_with_its_job(module: str) -> None:
    """Every module begins with a docstring."""
    assert ast.get_docstring(TREES[module])


@pytest.mark.parametrize("module", PATHS)
def test_importing_does_nothing(module: str) -> None:
    """At import nothing reads or changes the environment: no file, variable, clock, thread, socket or process."""
    found = {
        f"line {getattr(node, 'lineno', 0)}: {name}"
        for node in at_import(TREES[module])
        if (name := _name(node)) in ENVIRONMENT
    }
    assert set() == found


def at_import(tree: ast.Module) -> Iterator[ast.AST]:
    """What is called when a module is imported, and any use of `os.environ`; not in function bodies or `__main__`."""
    todo: list[ast.AST] = list(tree.body)
    while todo:
        node = todo.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            todo += [*node.decorator_list, *node.args.defaults, *(d for d in node.args.kw_defaults if d is not None)]
        elif isinstance(node, ast.Lambda) or (isinstance(node, ast.If) and _is_main(node.test)):
            continue
        elif isinstance(node, ast.AnnAssign):
            todo += [node.value] if node.value is not None else []
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            if isinstance(node, ast.Call):
                yield node.func
            elif _name(node) == "environ":
                yield node
            todo += ast.iter_child_nodes(node)


def _is_main(test: ast.expr) -> bool:
    return isinstance(test, ast.Compare) and isinstance(test.left, ast.Name) and test.left.id == "__name__"


def _name(node: ast.AST) -> str:
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import os\nHOME = os.environ['HOME']", {"environ"}),
        ("import os\nclass A:\n    home = os.getenv('HOME')", {"getenv"}),
        ("from pathlib import Path\ndef f(at=Path.cwd()): ...", {"cwd"}),
        ("TEXT = open('x').read()", {"open"}),
        ("import os\ndef f(): return os.environ['HOME']", set()),
        ("import time\nCLOCK = lambda: time.time()", set()),
        ("import time\ndef f(clock=time.monotonic): ...", set()),
        ("import time\nSTART = time.monotonic()", {"monotonic"}),
        ("if __name__ == '__main__':\n    print('x')", set()),
    ],
)
def test_the_search_finds_what_it_looks_for(source: str, found: set[str]) -> None:
    """The search sees module level, class bodies and default arguments, and passes over what runs later."""
    assert found == {_name(node) for node in at_import(ast.parse(source))} & ENVIRONMENT


def test_the_search_sees_indirect_imports() -> None:
    """Lazy imports within functions count, those for type checking do not."""
    tree = ast.parse(
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import grpc\ndef f():\n    import asyncio.tasks"
    )
    assert ["typing", "asyncio.tasks"] == list(imports(tree))
    assert "processor.span" in reach("processor.pipeline")
    assert "mypy_extensions" in reach("processor.service")
