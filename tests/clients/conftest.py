"""Tests with SDKs that only the extra `clients` installs (`make test-clients`); without it nothing here is collected."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

TESTS = Path(__file__).parent.parent
for folder in ("e2e", "labels"):
    if str(TESTS / folder) not in sys.path:
        sys.path.append(str(TESTS / folder))

collect_ignore_glob = [] if find_spec("logfire") else ["test_*.py"]
