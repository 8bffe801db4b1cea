"""Makes the contract folder's driver and builders importable, behind everything that is installed."""

from __future__ import annotations

import sys
from pathlib import Path

CONTRACT = str(Path(__file__).parents[1] / "contract")
if CONTRACT not in sys.path:
    sys.path.append(CONTRACT)
