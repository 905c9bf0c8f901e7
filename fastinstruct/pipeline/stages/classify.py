"""Stage 2: is an instruction a classification task?

Source: Self-Instruct (arXiv:2212.10560), section 2.2 and appendix A.2.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastinstruct.config import ClassificationConfig, SamplingConfig
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.stages.base import Annotation, Item, Read, Stage, Task, began
from fastinstruct.pipeline.stages.calibration import is_yes, log_odds
from fastinstruct.records import Api, Completion, ReplyForm, ReplyFormat, SeedTask
from fastinstruct.text.demonstrations import (
    classification_demonstrations,
    held_out,
    render_classification,
    render_classification_as_json,
)
from fastinstruct.text.parsing import parse_classification
from fastinstruct.text.prompting import Placeholders
from fastinstruct.text.structured import is_classification_format, is_json_like, read_is_classification

__all__ = ["IS_CLASSIFICATION", "Classify", "held_out_seeds"]

IS_CLASSIFICATION = "is_classification"
"""The annotation that this stage makes: true, false, or null where it could not tell."""

_NUM_LOGPROBS = 20  # the most that OpenAI gives
_HOLES = Placeholders(frozenset({"demonstrations", "instruction"}))


class Classify(Stage):
    """Tells classification tasks, which stage 3 asks about in another order."""

    name = "classification"
    title = "2 identify classification"
    makes = "annotations"
    annotates = (IS_CLASSIFICATION,)
    templates: ClassVar = {"classification": (_HOLES, _HOLES)}
    settings = ClassificationConfig
    sampling: ClassVar = {
        Api.COMPLETIONS: SamplingConfig(temperature=0.0, max_tokens=3),
        Api.CHAT: SamplingConfig(temperature=0.0, max_tokens=1024),
    }

    @classmethod
    def demonstrations(
        cls,
        seeds: Sequence[SeedTask],
        packaged: Sequence[SeedTask],
        settings: Any,  # noqa: ANN401 - a ClassificationConfig
    ) -> Mapping[str, Sequence[str]]:
        shown = classification_demonstrations(seeds, packaged, settings.num_demonstrations)
        return {
            "classification": [*map(render_classification, shown)],
            "classification.json": [*map(render_classification_as_json, shown)],
        }

    def reply_format(self, kind: str, form: ReplyForm) -> ReplyFormat | None:
        return None if form is ReplyForm.TEXT else is_classification_format(form)

    def build(self, item: Item) -> Job[Task]:
        task = self._task(item, "classification")
        prompt = self.context.prompts.about(task.template, item.instruction)
        num_logprobs = _NUM_LOGPROBS if self.context.with_logprobs else None
        return self._job(task, prompt, self._stops("\n"), num_logprobs)

    def parse(self, completion: Completion, task: Task) -> Read:
        threshold = self.context.threshold
        odds = None if threshold is None else log_odds(completion.top_logprobs)
        if odds is not None and threshold is not None:
            return Read(annotations={IS_CLASSIFICATION: Annotation(value=is_yes(odds, threshold), confidence=odds)})
        answer = self._answer(completion, task)
        return Read(
            annotations={IS_CLASSIFICATION: Annotation(value=answer)},
            is_unreadable=answer is None,
            stumbled_over=f"neither yes nor no: {began(completion)}" if answer is None else "",
        )

    def gives_something(self, text: str) -> bool:
        return is_json_like(text) and read_is_classification(text) is not None

    def _answer(self, completion: Completion, task: Task) -> bool | None:
        return (read_is_classification if task.is_json else parse_classification)(completion.text)


def held_out_seeds(
    seeds: Sequence[SeedTask], packaged: Sequence[SeedTask], settings: ClassificationConfig
) -> tuple[SeedTask, ...]:
    """Return seed tasks of known kind that the prompts do not show, to try the stage with."""
    shown = classification_demonstrations(seeds, packaged, settings.num_demonstrations)
    return tuple(held_out([*seeds, *packaged], shown, settings.num_calibration_seeds))
