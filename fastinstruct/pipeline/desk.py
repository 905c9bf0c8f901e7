"""What one sitting of a run works with, once everything is open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastinstruct.pipeline.commit.admission import Admission
from fastinstruct.pipeline.monitoring.monitor import Monitor
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.bound import Stages
from fastinstruct.similarity import RougeIndex
from fastinstruct.store import RunReader, RunStore, StoredState
from fastinstruct.text.custom_filters import CustomFilter
from fastinstruct.text.repeated_outputs import RepeatedOutputs

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

    def new_admission(self, stages: Stages, example_filter: CustomFilter | None) -> Admission:
        """Return what admits, told what earlier sittings have kept; reads the store.

        Args:
            stages: the run's.
            example_filter: the caller's own filter, if there is one.
        """
        return Admission(
            stages,
            self.index,
            num_seeds=len(self.preparation.seeds),
            next_request_id=self.state.next_request_id,
            next_candidate_id=self.state.next_candidate_id,
            against=self.against,
            example_filter=example_filter,
            repeated=self._repeated_outputs(),
        )

    def _repeated_outputs(self) -> RepeatedOutputs | None:
        most = self.preparation.config.filters.max_repeated_output
        if self.preparation.recipe.keeps_repeats or most is None:
            return None
        found = RepeatedOutputs(most)
        with RunReader(self.store.path.parent) as reader:
            for outputs in reader.outputs_by_instruction():
                found.count(outputs)
        return found
