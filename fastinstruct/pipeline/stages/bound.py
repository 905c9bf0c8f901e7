"""The stages of one run, each with what the run gives it."""

from __future__ import annotations

from collections.abc import Mapping

from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.pool.task_pool import TaskPool
from fastinstruct.pipeline.stages.base import Item, Stage, Task
from fastinstruct.store import DrawRow

__all__ = ["Stages"]


class Stages:
    """Makes the requests of one run.

    Args:
        stages: name -> stage, in the order of the recipe.
    """

    def __init__(self, stages: Mapping[str, Stage]) -> None:
        self._stages = dict(stages)
        self.names = tuple(stages)

    def __getitem__(self, name: str) -> Stage:
        return self._stages[name]

    def job(self, draw: DrawRow, pool: TaskPool) -> Job[Task]:
        """Write out what was drawn, with the texts of the pool."""
        if draw.stage == self.names[0]:
            shown = tuple([pool[position] for position in draw.in_context])
            return self._stages[draw.stage].build(Item(draw.number, in_context=draw.in_context, shown=shown))
        instruction = pool[pool.num_seeds + draw.number]
        return self._stages[draw.stage].build(Item(draw.number, instruction, draw.known))

    def smaller(self, job: Job[Task]) -> Job[Task]:
        """The same question for a model with a small context."""
        return self._stages[job.about.stage].smaller(job)
