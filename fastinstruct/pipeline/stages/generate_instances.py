"""Stage 3: ask for instances of an instruction, output-first for a classification task, else input-first.

Source: Self-Instruct (arXiv:2212.10560), section 2.2 and appendices A.3 and A.4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from fastinstruct.config import InstancesConfig, SamplingConfig, StageSettings
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.stages.base import (
    Annotations,
    Context,
    Item,
    Read,
    Stage,
    Task,
    is_torn,
    kind_of,
    read_of,
)
from fastinstruct.pipeline.stages.classify import IS_CLASSIFICATION
from fastinstruct.pipeline.stages.generate_instructions import BASE_MODEL_PENALTIES
from fastinstruct.records import Api, Completion, Instance, Rejection, ReplyForm, ReplyFormat, SeedTask
from fastinstruct.text.demonstrations import (
    input_first_demonstrations,
    output_first_demonstrations,
    render_input_first,
    render_input_first_as_json,
    render_output_first,
    render_output_first_as_json,
)
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_instances
from fastinstruct.text.prompting import Placeholders
from fastinstruct.text.sifting import sift_instances
from fastinstruct.text.structured import examples_format, is_json_like, read_examples
from fastinstruct.text.word_filters import WordFilters

__all__ = ["GenerateInstances"]

_HOLES = Placeholders(frozenset({"demonstrations", "instruction"}))


class GenerateInstances(Stage):
    """Asks for worked cases: an input first and the output to it, or a label first and an input that it fits."""

    name = "instances"
    title = "3 generate instances"
    makes = "examples"
    needs: ClassVar[tuple[str, ...]] = (IS_CLASSIFICATION,)
    templates: ClassVar = {"input_first": (_HOLES, _HOLES), "output_first": (_HOLES, _HOLES)}
    settings: ClassVar[type[StageSettings]] = InstancesConfig
    sampling: ClassVar[Mapping[Api, SamplingConfig]] = {
        Api.COMPLETIONS: SamplingConfig(temperature=0.7, top_p=0.95, max_tokens=512, **BASE_MODEL_PENALTIES),
        Api.CHAT: SamplingConfig(temperature=0.7, top_p=0.95, max_tokens=4096),
    }

    @classmethod
    def demonstrations(
        cls,
        seeds: Sequence[SeedTask],
        packaged: Sequence[SeedTask],
        settings: Any,  # noqa: ANN401 - an InstancesConfig
    ) -> Mapping[str, Sequence[str]]:
        input_first = input_first_demonstrations(seeds, packaged, settings.num_input_first_demonstrations)
        output_first = output_first_demonstrations(seeds, packaged, settings.num_output_first_demonstrations)
        return {
            "input_first": [*map(render_input_first, input_first)],
            "output_first": [*map(render_output_first, output_first)],
            "input_first.json": [*map(render_input_first_as_json, input_first)],
            "output_first.json": [*map(render_output_first_as_json, output_first)],
        }

    def __init__(self, context: Context) -> None:
        self._max_instances = self.most_of(context.settings)
        super().__init__(context)
        self._word_filters = WordFilters.of(context.config.filters)

    def reply_format(self, kind: str, form: ReplyForm) -> ReplyFormat | None:
        if form is ReplyForm.TEXT:
            return None
        return examples_format(form, max_instances=self._max_instances, output_first=kind == "output_first")

    @classmethod
    def most_of(cls, settings: Any) -> int:  # noqa: ANN401 - an InstancesConfig
        """Return how many examples of an instruction are kept at most."""
        return int(settings.max_instances)

    def build(self, item: Item) -> Job[Task]:
        is_classification = item.known is not None and item.known.get(IS_CLASSIFICATION)
        task = self._task(item, "output_first" if is_classification else "input_first")
        stops = self._stops("\nTask:", f"\nExample {self._max_instances + 1}")
        return self._job(task, self.context.prompts.about(task.template, item.instruction), stops)

    def examples_of(self, item: Item) -> list[tuple[str, Job[Task]]]:
        ways = {"input-first": False, "output-first": True}
        return [
            (f"{self.title}, {way}", self.build(item._replace(known={IS_CLASSIFICATION: is_classification})))
            for way, is_classification in ways.items()
        ]

    @classmethod
    def known_by(cls, template: str) -> Annotations | None:
        return {IS_CLASSIFICATION: kind_of(template) == "output_first"}

    def parse(self, completion: Completion, task: Task) -> Read:
        parsed = self._parsed(completion, task)
        verdicts = [(one, self._word_filters.judge_instance(task.instruction, one)) for one in parsed.kept]
        sound = [one for one, why in verdicts if why is None]
        sifted = sift_instances(sound, self._max_instances, instruction=task.instruction)
        ruled_out = [(one, why) for one, why in verdicts if why is not None]
        uncertain = [(one, Rejection(reason=reason)) for one, reason in parsed.rejected]
        rejected = [*sifted.rejected, *ruled_out, *uncertain]
        return read_of(parsed, completion, kept=sifted.kept, rejected=rejected)

    def gives_something(self, text: str) -> bool:
        return is_json_like(text) and bool(read_examples(text, is_torn=False).kept)

    def _parsed(self, completion: Completion, task: Task) -> Parsed[Instance]:
        if task.is_json:
            return read_examples(
                completion.text,
                is_torn=is_torn(completion),
                instruction=task.instruction,
                is_classification=bool(task.is_classification),
            )
        return parse_instances(
            completion.text,
            is_classification=bool(task.is_classification),
            finish_reason=completion.finish_reason,
            instruction=task.instruction,
        )
