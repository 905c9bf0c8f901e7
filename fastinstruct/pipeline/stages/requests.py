"""What each stage asks: a task of the pipeline becomes a request.

Pure, but for the templates it was given: knows nothing of HTTP, stores or time. What is done with the answers is
`judge`'s part.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from fastinstruct.config import RunConfig
from fastinstruct.lm import Request
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.pool.task_pool import TaskPool, request_seed
from fastinstruct.pipeline.stages.sampling import effective_sampling
from fastinstruct.records import Api, Prompt, ReplyForm, ReplyFormat, Sampling, Stage
from fastinstruct.store import DrawRow
from fastinstruct.text.prompting import PromptSet
from fastinstruct.text.structured import examples_format, is_classification_format, tasks_format

__all__ = ["JSON_SUFFIX", "NUM_LOGPROBS", "STAGE_OF_TEMPLATE", "Stages", "Task", "kind_of_template"]

NUM_LOGPROBS = 20  # the most that OpenAI gives
JSON_SUFFIX = ".json"
"""What a template's name ends with that asks for JSON: it tells of a stored request how its reply is to be read."""

STAGE_OF_TEMPLATE = {
    "instructions": Stage.INSTRUCTIONS,
    "classification": Stage.CLASSIFICATION,
    "input_first": Stage.INSTANCES,
    "output_first": Stage.INSTANCES,
}
_AS_TEXT: Mapping[Stage, ReplyForm] = {}
_PAPER_STOPS = {
    # Source: the released code of Self-Instruct; "16." also cuts a text that contains it, as there.
    Stage.INSTRUCTIONS: ("\n\n", "\n16", "16.", "16 ."),
    Stage.CLASSIFICATION: ("\n", "Task"),
    Stage.INSTANCES: ("Example 6", "Task:"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request of the pipeline, as its owner knows it.

    `number` is the request's index in stage 1, the instruction's id in stages 2 and 3. `in_context` holds the pool
    positions that a stage-1 prompt shows and `shown` their texts; `instruction` is what stages 2 and 3 ask about.
    """

    stage: Stage
    number: int
    template: str
    in_context: tuple[int, ...] = ()
    shown: tuple[str, ...] = ()
    instruction: str = ""
    is_classification: bool | None = None

    @property
    def is_json(self) -> bool:
        """Whether it was asked for as JSON."""
        return self.template.endswith(JSON_SUFFIX)


def kind_of_template(name: str) -> str:
    """Return what a template asks, whether as JSON or as text."""
    return name.removesuffix(JSON_SUFFIX)


class Stages:
    """Makes the requests of one run.

    Args:
        config: the run's configuration.
        apis: by stage, the route its prompts are written for.
        prompts: templates with their demonstrations.
        forms: by stage, how its replies are asked for; as text where it is not named.
        with_logprobs: whether stage 2 asks for the first token's log-probabilities.
    """

    def __init__(
        self,
        config: RunConfig,
        apis: Mapping[Stage, Api],
        prompts: PromptSet,
        forms: Mapping[Stage, ReplyForm] = _AS_TEXT,
        *,
        with_logprobs: bool,
    ) -> None:
        self._config = config
        self._apis = apis
        self._prompts = prompts
        self._with_logprobs = with_logprobs
        self._formats = {
            template: _reply_format(config, template, forms.get(stage, ReplyForm.TEXT))
            for template, stage in STAGE_OF_TEMPLATE.items()
        }
        self._parameters = {stage: effective_sampling(config, apis[stage], stage).model_dump() for stage in Stage}
        self._sends_seed = {stage: config.model_of(stage).send_seed for stage in Stage}

    def job(self, draw: DrawRow, pool: TaskPool) -> Job[Task]:
        """Write out what was drawn, with the texts of the pool."""
        if draw.stage is Stage.INSTRUCTIONS:
            return self.generate(draw.number, draw.in_context, tuple(pool[position] for position in draw.in_context))
        instruction = pool[pool.num_seeds + draw.number]
        if draw.stage is Stage.CLASSIFICATION:
            return self.classify(draw.number, instruction)
        return self.instantiate(draw.number, instruction, draw.is_classification)

    def generate(self, number: int, in_context: tuple[int, ...], shown: tuple[str, ...]) -> Job[Task]:
        """Stage 1: ask for new instructions after the ones shown."""
        num_items = self._config.instructions.num_items
        template = self._template("instructions")
        task = Task(stage=Stage.INSTRUCTIONS, number=number, template=template, in_context=in_context, shown=shown)
        last = len(shown) + num_items
        stops = self._stops(Stage.INSTRUCTIONS, (f"\n{last + 1}.",))
        prompt = self._prompts.instructions(shown, num_items, template)
        return self._job(task, prompt, stops)

    def classify(self, instruction_id: int, instruction: str) -> Job[Task]:
        """Stage 2: ask whether an instruction is a classification task."""
        template = self._template("classification")
        task = Task(stage=Stage.CLASSIFICATION, number=instruction_id, template=template, instruction=instruction)
        prompt = self._prompts.about(template, instruction)
        stops = self._stops(Stage.CLASSIFICATION, ("\n",))
        num_logprobs = NUM_LOGPROBS if self._with_logprobs else None
        return self._job(task, prompt, stops, num_logprobs)

    def instantiate(self, instruction_id: int, instruction: str, is_classification: bool | None) -> Job[Task]:
        """Stage 3: ask for instances, output-first for a classification task, else (or if unknown) input-first."""
        template = self._template("output_first" if is_classification else "input_first")
        task = Task(
            stage=Stage.INSTANCES,
            number=instruction_id,
            template=template,
            instruction=instruction,
            is_classification=is_classification,
        )
        most = self._config.instances.max_instances
        stops = self._stops(Stage.INSTANCES, ("\nTask:", f"\nExample {most + 1}"))
        return self._job(task, self._prompts.about(template, instruction), stops)

    def smaller(self, job: Job[Task]) -> Job[Task]:
        """The same question for a model with a small context: half of the demonstrations, half of the reply's room."""
        task = job.about
        if task.stage is Stage.INSTRUCTIONS:
            kept = max(1, len(task.shown) // 2)
            job = self.generate(task.number, task.in_context[:kept], task.shown[:kept])
            prompt = job.request.prompt
        else:
            prompt = self._prompts.about(task.template, task.instruction, share=0.5)
        most = job.request.sampling.max_tokens
        sampling = replace(job.request.sampling, max_tokens=None if most is None else max(1, most // 2))
        return replace(job, request=replace(job.request, prompt=prompt, sampling=sampling))

    def _stops(self, stage: Stage, stops: tuple[str, ...]) -> tuple[str, ...]:
        """Stop a base model that runs on; a chat model stops by itself."""
        if self._config.profile == "paper":
            return _PAPER_STOPS[stage]
        is_text = all(self._formats[name] is None for name, of in STAGE_OF_TEMPLATE.items() if of is stage)
        return stops if is_text and self._apis[stage] is Api.COMPLETIONS else ()

    def _template(self, kind: str) -> str:
        return kind if self._formats[kind] is None else kind + JSON_SUFFIX

    def _job(self, task: Task, prompt: Prompt, stops: tuple[str, ...], num_logprobs: int | None = None) -> Job[Task]:
        stage = task.stage
        seed = request_seed(self._config.rng_seed, stage, task.number) if self._sends_seed[stage] else None
        sampling = Sampling(**self._parameters[stage], stop=stops, seed=seed, num_logprobs=num_logprobs)
        reply_format = self._formats[kind_of_template(task.template)]
        request = Request(key=f"{stage}:{task.number}", prompt=prompt, sampling=sampling, reply_format=reply_format)
        return Job(request=request, about=task, lane=stage)


def _reply_format(config: RunConfig, template: str, form: ReplyForm) -> ReplyFormat | None:
    """The JSON that a template's reply is to be; None where it is text."""
    if form is ReplyForm.TEXT:
        return None
    match template:
        case "instructions":
            return tasks_format(form, max_items=config.instructions.num_items)
        case "classification":
            return is_classification_format(form)
        case _:
            most = config.instances.max_instances
            return examples_format(form, max_instances=most, output_first=template == "output_first")
