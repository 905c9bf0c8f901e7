"""What one sitting of a run works with, once everything is open."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fastinstruct.pipeline.commit.admission import Judge
from fastinstruct.pipeline.monitoring.monitor import Monitor
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.preparation import Preparation
from fastinstruct.pipeline.stages.reading import reading_of
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

    def new_judge(self, threshold: float | None, example_filter: CustomFilter | None) -> Judge:
        """Return what admits, told what earlier sittings have kept; reads the store.

        Args:
            threshold: the log-odds above which stage 2 says yes; None where it reads the reply's text.
            example_filter: the caller's own filter, if there is one.
        """
        preparation = self.preparation
        return Judge(
            reading_of(preparation.config, preparation.api, preparation.prompts.phrases()),
            self.index,
            num_seeds=len(preparation.seeds),
            rng_seed=preparation.config.rng_seed,
            threshold=threshold,
            next_request_id=self.state.next_request_id,
            next_candidate_id=self.state.next_candidate_id,
            against=self.against,
            example_filter=example_filter,
            repeated=self._repeated_outputs(),
        )

    def _repeated_outputs(self) -> RepeatedOutputs | None:
        config = self.preparation.config
        if config.profile == "paper" or config.filters.max_repeated_output is None:
            return None
        found = RepeatedOutputs(config.filters.max_repeated_output)
        with RunReader(self.store.path.parent) as reader:
            for outputs in reader.outputs_by_instruction():
                found.count(outputs)
        return found
