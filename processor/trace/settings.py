"""How trees are held, and the closed lists of why spans leave and why they leave without a value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# Why a span left (metric span_processor.spans.released).
BY_DECISION: Final = "decided"
BY_MAX_WAIT: Final = "max_wait"
BY_MEMORY: Final = "memory"
BY_TRACE_SIZE: Final = "trace_size"
BY_SHUTDOWN: Final = "shutdown"

FILL_NONE: Final = 0
FILL_ORPHANS: Final = 1
FILL_TRACE: Final = 2


@dataclass(frozen=True, slots=True)
class TreeSettings:
    """Times in seconds; `fill` is one of FILL_*."""

    roots_any: bool = False
    fill: int = FILL_ORPHANS
    trace_quiet_s: float = 10.0
    max_wait_s: float = 300.0
    remember_traces: int = 100_000
    remember_for_s: float = 600.0
    max_spans_per_trace: int = 32_000
