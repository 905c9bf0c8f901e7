"""The stages, the task pool, and the streaming runtime that joins them.

Knows nothing of argv or terminals; reads files only while it prepares a run. `Run` is one sitting of a run, `stream`
the same as an iterator of examples; `refilter` reads a run anew with other filters.

Importing it is light: what it names is loaded when it is first used, because compiled kernels and HTTP take a second.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastinstruct.pipeline.monitoring.progress import Progress
    from fastinstruct.pipeline.preparation import Preparation, dry_run, prepare
    from fastinstruct.pipeline.refiltering.refilter import Refiltered, refilter
    from fastinstruct.pipeline.run import Run, RunResult
    from fastinstruct.pipeline.streaming import stream

__all__ = ["Preparation", "Progress", "Refiltered", "Run", "RunResult", "dry_run", "prepare", "refilter", "stream"]

_HOMES = {
    "Preparation": "preparation",
    "Progress": "monitoring.progress",
    "Refiltered": "refiltering.refilter",
    "Run": "run",
    "RunResult": "run",
    "dry_run": "preparation",
    "prepare": "preparation",
    "refilter": "refiltering.refilter",
    "stream": "streaming",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
