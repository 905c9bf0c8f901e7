"""What this process takes of its machine: CPU time and memory. Knows nothing of runs."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

__all__ = ["cpu_s", "memory_bytes"]

_STATM = Path("/proc/self/statm")


def cpu_s() -> float:
    """Return the CPU seconds that this process has used, all its threads together."""
    return time.process_time()


def memory_bytes() -> int | None:
    """Return the resident memory in bytes; where only its peak is told (macOS), that; None where nothing is."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return _peak_bytes()


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
