"""`make test-clients`: installs the groups of clients, and runs their tests.

python tests/clients            every group whose tools are there; says which are left out
python tests/clients go js      these; fails where a tool is missing
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys

from groups import GROUPS, HERE


def main() -> int:
    """Install and test; pytest's exit code."""
    parser = argparse.ArgumentParser(prog="make test-clients")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=", ".join(GROUPS))
    named = parser.parse_args().groups
    if unknown := [name for name in named if name not in GROUPS]:
        parser.error(f"no such group: {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    absent = {name: _absent(name) for name in named or GROUPS}
    left_out = [f"{name}: not on PATH: {', '.join(tools)}" for name, tools in absent.items() if tools]
    if named and left_out:
        parser.error("; ".join(left_out))
    chosen = [name for name, tools in absent.items() if not tools]
    for name in chosen:
        print(f"installing {name}", flush=True)
        GROUPS[name].install()
    code = subprocess.run(
        [sys.executable, "-m", "pytest", *(str(HERE / name) for name in chosen)], check=False
    ).returncode
    for line in left_out:
        print(f"SKIPPED {line}")
    return code


def _absent(name: str) -> list[str]:
    return [tool for tool in GROUPS[name].tools if shutil.which(tool) is None]


if __name__ == "__main__":
    raise SystemExit(main())
