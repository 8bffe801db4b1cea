"""What `deploy/` holds, read as its readers would; no container engine, no cluster. This folder's modules are importable."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (str(HERE), str(HERE.parent / "e2e")):
    if folder not in sys.path:
        sys.path.append(folder)
