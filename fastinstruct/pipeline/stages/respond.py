"""An instruction answered as it stands: one example, mostly by a stronger model than the one that invents tasks.

No demonstrations are shown, so it is a question for chat models. Where an instruction needs something to work on, the
model writes that first, and then answers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastinstruct.config import SamplingConfig, StageSettings
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.stages.base import Annotations, Item, Stage, Task
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.records import Api, SeedTask
from fastinstruct.text.prompting import Placeholders

__all__ = ["Respond"]

_HOLES = Placeholders(frozenset({"instruction"}))


class Respond(GenerateInstances):
    """Asks for one answer; how it is read, and what is refused, is as of instances."""

    name = "respond"
    title = "2 respond"
    needs: ClassVar[tuple[str, ...]] = ()
    templates: ClassVar = {"respond": (_HOLES, _HOLES)}
    settings = StageSettings
    sampling: ClassVar[Mapping[Api, SamplingConfig]] = Stage.sampling

    @classmethod
    def demonstrations(
        cls,
        seeds: Sequence[SeedTask],
        packaged: Sequence[SeedTask],
        settings: Any,  # noqa: ANN401 - StageSettings
    ) -> Mapping[str, Sequence[str]]:
        return {}

    @classmethod
    def most_of(cls, settings: Any) -> int:  # noqa: ANN401 - StageSettings
        return 1

    @classmethod
    def known_by(cls, template: str) -> Annotations | None:
        return None

    def build(self, item: Item) -> Job[Task]:
        task = self._task(item, "respond")
        return self._job(task, self.context.prompts.about(task.template, item.instruction), self._stops("\nTask:"))

    def examples_of(self, item: Item) -> list[tuple[str, Job[Task]]]:
        return Stage.examples_of(self, item)
