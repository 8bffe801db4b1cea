"""Makes this folder's modules (the oracle, the builders, the driver) importable, behind everything that is
installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = str(Path(__file__).parent)
if HERE not in sys.path:
    sys.path.append(HERE)
