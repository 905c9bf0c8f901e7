"""The stages, the task pool, and the streaming runtime that joins them.

Knows nothing of argv or terminals; reads files only while it prepares a run. `Run` is one sitting of a run, `stream`
the same as an iterator of examples; `refilter` reads a run anew with other filters.
"""

from __future__ import annotations

from fastinstruct.pipeline.preparation import Preparation, dry_run, prepare
from fastinstruct.pipeline.progress import Progress
from fastinstruct.pipeline.refiltering import Refiltered, refilter
from fastinstruct.pipeline.result import RunResult
from fastinstruct.pipeline.runner import Run
from fastinstruct.pipeline.streaming import stream

__all__ = ["Preparation", "Progress", "Refiltered", "Run", "RunResult", "dry_run", "prepare", "refilter", "stream"]
