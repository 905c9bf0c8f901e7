"""What one sitting of a run works with, once everything is open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastinstruct.pipeline.monitor import Monitor
from fastinstruct.pipeline.pool import TaskPool
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import RunStore, StoredState

__all__ = ["Desk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """Store, indexes and books; `state` is what earlier sittings left, `thread` the similarity thread."""

    store: RunStore
    state: StoredState
    preparation: Preparation
    index: RougeIndex
    against: RougeIndex | None
    thread: ThreadPoolExecutor
    monitor: Monitor

    def new_pool(self) -> TaskPool:
        """Return a task pool that holds the seeds and what earlier sittings admitted."""
        return TaskPool([seed.instruction for seed in self.preparation.seeds], self.state.instructions)
