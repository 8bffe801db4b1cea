"""Makes what several folders of tests share importable, behind everything that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
for folder in ("contract", "e2e", "fuzz", "journal", "labels", "receive"):
    path = str(HERE / folder)
    if path not in sys.path:
        sys.path.append(path)
