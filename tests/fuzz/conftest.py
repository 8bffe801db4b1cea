"""Makes this folder's module, and the oracle's folder that it needs, importable, behind everything that is
installed.
"""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
for folder in (str(HERE), str(HERE.parent / "contract")):
    if folder not in sys.path:
        sys.path.append(folder)
