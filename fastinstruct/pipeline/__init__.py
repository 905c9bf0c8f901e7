"""The stages, the task pool, and the streaming runtime that joins them.

Knows nothing of argv or terminals; reads files only while it prepares a run. `Run` is one sitting of a run, `stream`
the same as an iterator of examples.
"""

from __future__ import annotations

from fastinstruct.pipeline.preparation import Preparation, dry_run, prepare
from fastinstruct.pipeline.progress import Progress
from fastinstruct.pipeline.runner import Run, RunResult
from fastinstruct.pipeline.streaming import stream

__all__ = ["Preparation", "Progress", "Run", "RunResult", "dry_run", "prepare", "stream"]
