"""The contract of a stage: what it asks a model, and what it reads out of a reply.

A stage is pure: it knows nothing of HTTP, stores or clocks, and randomness is passed in. Its class says what it is,
for all that follows from a recipe (queues, resuming, forecasts, templates, settings, views); an instance belongs to one
run. Registration is explicit: a recipe names the classes of its stages.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, TypeAlias

from fastinstruct.config import RunConfig, SamplingConfig, StageSettings
from fastinstruct.lm import Request
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.pool.task_pool import request_seed
from fastinstruct.records import (
    Api,
    Candidate,
    Completion,
    FinishReason,
    Instance,
    Prompt,
    Rejection,
    ReplyForm,
    ReplyFormat,
    Sampling,
    SeedTask,
    Usage,
)
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.prompting import JSON_SUFFIX, Placeholders, PromptSet

__all__ = [
    "Annotation",
    "Annotations",
    "Context",
    "Item",
    "Read",
    "Stage",
    "Task",
    "began",
    "is_torn",
    "kind_of",
    "read_of",
]

Annotations: TypeAlias = "Mapping[str, Any]"
"""What earlier stages found out about an instruction: name -> value, as JSON has it."""

_MAX_QUOTED = 60
_NO_USAGE = Usage()


class Item(NamedTuple):
    """What a stage is to ask about.

    `number` is the request's index where it consumes the pool, else the instruction's id. `in_context` holds the pool
    positions that a prompt shows and `shown` their texts; `instruction` is what is asked about, and `known` what
    earlier stages found out about it.
    """

    number: int
    instruction: str = ""
    known: Annotations | None = None
    in_context: tuple[int, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One request of the pipeline, as its owner knows it: an `Item`, whose stage asks about it with which template."""

    stage: str
    number: int
    template: str
    in_context: tuple[int, ...] = ()
    shown: tuple[str, ...] = ()
    instruction: str = ""
    known: Annotations | None = None

    @property
    def is_json(self) -> bool:
        """Whether it was asked for as JSON."""
        return self.template.endswith(JSON_SUFFIX)

    @property
    def is_classification(self) -> bool | None:
        """What is known of the instruction's kind; None where nothing is."""
        return None if self.known is None else self.known.get("is_classification")


@dataclass(frozen=True, slots=True, kw_only=True)
class Annotation:
    """What a stage found out: a value as JSON has it (None: it could not tell) and how sure it is, in its own unit."""

    value: Any
    confidence: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What a reply came to.

    Attributes:
        candidates: instructions, each with what the heuristics said of it; `Admission` decides on those that passed.
        annotations: name -> what was found out about the instruction.
        kept, rejected: instances of the instruction.
        is_unreadable: it gives nothing, kept or rejected.
        rest: the lines that nothing explains; "" if it is all explained, or nothing is.
        stumbled_over: what kept the parser from reading on; "" if nothing did.
    """

    candidates: Sequence[Candidate] = ()
    annotations: Mapping[str, Annotation] = field(default_factory=dict)
    kept: Sequence[Instance] = ()
    rejected: Sequence[tuple[Instance, Rejection]] = ()
    is_unreadable: bool = False
    rest: str = ""
    stumbled_over: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a run gives one of its stages.

    Attributes:
        config: the run's.
        settings: the stage's own part of it.
        api: the route that its prompts are written for.
        prompts: the run's templates, with their demonstrations.
        form: how its replies are asked for.
        with_logprobs: whether the first token's log-probabilities are asked for, where the stage can use them.
        threshold: the log-odds above which an answer by log-probabilities means yes; None where the text decides.
    """

    config: RunConfig
    settings: Any
    api: Api
    prompts: PromptSet
    form: ReplyForm = ReplyForm.TEXT
    with_logprobs: bool = False
    threshold: float | None = None


class Stage(ABC):
    """One question that a run asks a model again and again.

    Attributes:
        name: what its requests, its settings and its rows are called; stored, so it never changes.
        title: what a person reads: `2 identify classification`; by default, the name.
        consumes: `pool` (it shows tasks and asks for new ones) or `instruction` (it asks about an admitted one).
        makes: `candidates`, `annotations` or `examples`.
        annotates, needs: the names of the annotations that it makes, and of those that it cannot do without.
        templates: the name of each template without `.json` -> the placeholders of its text, and those of its JSON;
            None: it is never asked as JSON.
        prompts: the folder of its templates, a folder a route; None: the packaged ones.
        settings: its part of a configuration.
        sampling: the decoding parameters of each route where the configuration leaves them null.
        is_text_only: whether its replies are text, whatever a server bears.
    """

    name: ClassVar[str]
    title: ClassVar[str] = ""
    consumes: ClassVar[Literal["pool", "instruction"]] = "instruction"
    makes: ClassVar[Literal["candidates", "annotations", "examples"]]
    annotates: ClassVar[tuple[str, ...]] = ()
    needs: ClassVar[tuple[str, ...]] = ()
    templates: ClassVar[Mapping[str, tuple[Placeholders, Placeholders | None]]]
    prompts: ClassVar[Path | None] = None
    settings: ClassVar[type[StageSettings]] = StageSettings
    sampling: ClassVar[Mapping[Api, SamplingConfig]] = {
        Api.COMPLETIONS: SamplingConfig(temperature=0.7, top_p=0.95, max_tokens=512),
        Api.CHAT: SamplingConfig(temperature=0.7, top_p=0.95, max_tokens=4096),
    }
    is_text_only: ClassVar[bool] = False

    def __init__(self, context: Context) -> None:
        self.context = context
        self._formats = {kind: self.reply_format(kind, context.form) for kind in self.templates}
        self._parameters = self.effective_sampling(context.settings, context.api).model_dump()
        model = context.config.model_of(self.name)
        self._rng_seed = context.config.rng_seed if model.send_seed else None

    @classmethod
    def demonstrations(
        cls,
        seeds: Sequence[SeedTask],
        packaged: Sequence[SeedTask],
        settings: Any,  # noqa: ANN401 - an instance of `settings`
    ) -> Mapping[str, Sequence[str]]:
        """Return the name of each template that shows seed tasks -> these, written out."""
        return {}

    @classmethod
    def effective_sampling(cls, settings: StageSettings, api: Api) -> SamplingConfig:
        """Return the decoding parameters for a route: what is configured, else what suits it."""
        return cls.sampling[api].model_copy(update=settings.sampling.model_dump(exclude_none=True))

    @classmethod
    def placeholders(cls) -> dict[str, Placeholders]:
        """Return the name of each template, those for JSON included -> what it is filled with."""
        as_text = {kind: text for kind, (text, _) in cls.templates.items()}
        as_json = {kind + JSON_SUFFIX: holes for kind, (_, holes) in cls.templates.items() if holes is not None}
        return as_text | as_json

    def reply_format(self, kind: str, form: ReplyForm) -> ReplyFormat | None:
        """Return the JSON that the reply to a template is to be; None where it is text. Called once a template."""
        return None

    def build(self, item: Item) -> Job[Task]:
        """Return the request about an item; by default, what the stage's first template asks about an instruction."""
        task = self._task(item, next(iter(self.templates)))
        return self._job(task, self.context.prompts.about(task.template, item.instruction), ())

    @abstractmethod
    def parse(self, completion: Completion, task: Task) -> Read:
        """Read a reply. In a worker thread; an exception costs this reply alone, which is stored."""

    def smaller(self, job: Job[Task]) -> Job[Task]:
        """The same question for a model with a small context: half of the demonstrations, half of the reply's room."""
        task = job.about
        return self._halved(job, self.context.prompts.about(task.template, task.instruction, share=0.5))

    def examples_of(self, item: Item) -> list[tuple[str, Job[Task]]]:
        """Return what the stage would ask about an item, each with a title, to show it to a person."""
        return [(self.title or self.name, self.build(item))]

    @classmethod
    def known_by(cls, template: str) -> Annotations | None:
        """Return what was known of an instruction that was asked about with this template, as far as that tells."""
        return None

    def gives_something(self, text: str) -> bool:
        """Whether a reply in JSON is one that a run reads, whatever is around it."""
        completion = Completion(text=text, finish_reason=FinishReason.STOP, usage=_NO_USAGE, model="")
        task = Task(stage=self.name, number=0, template=next(iter(self.templates)) + JSON_SUFFIX)
        return not self.parse(completion, task).is_unreadable

    def _template(self, kind: str) -> str:
        return kind if self._formats[kind] is None else kind + JSON_SUFFIX

    def _stops(self, *stops: str) -> tuple[str, ...]:
        """Stop a base model that runs on; a chat model stops by itself."""
        is_text = all(reply_format is None for reply_format in self._formats.values())
        return stops if is_text and self.context.api is Api.COMPLETIONS else ()

    def _task(self, item: Item, kind: str) -> Task:
        return Task(
            stage=self.name,
            number=item.number,
            template=self._template(kind),
            in_context=item.in_context,
            shown=item.shown,
            instruction=item.instruction,
            known=item.known,
        )

    def _job(self, task: Task, prompt: Prompt, stops: tuple[str, ...], num_logprobs: int | None = None) -> Job[Task]:
        seed = None if self._rng_seed is None else request_seed(self._rng_seed, self.name, task.number)
        sampling = Sampling(**self._parameters, stop=stops, seed=seed, num_logprobs=num_logprobs)
        request = Request(
            key=f"{self.name}:{task.number}",
            prompt=prompt,
            sampling=sampling,
            reply_format=self._formats[kind_of(task.template)],
        )
        return Job(request=request, about=task, lane=self.name)

    @staticmethod
    def _halved(job: Job[Task], prompt: Prompt) -> Job[Task]:
        most = job.request.sampling.max_tokens
        sampling = replace(job.request.sampling, max_tokens=None if most is None else max(1, most // 2))
        return replace(job, request=replace(job.request, prompt=prompt, sampling=sampling))


def kind_of(template: str) -> str:
    """Return what a template asks, whether as JSON or as text."""
    return template.removesuffix(JSON_SUFFIX)


def read_of(parsed: Parsed[Any], completion: Completion, **found: Any) -> Read:  # noqa: ANN401 - fields of `Read`
    """Return what a text's parser found, with what it did not understand."""
    if parsed.is_unreadable:
        told = parsed.stumbled_over if completion.text.strip() else ""
        return Read(**found, is_unreadable=True, stumbled_over=told or began(completion))
    return Read(**found, rest=parsed.rest, stumbled_over=parsed.stumbled_over)


def is_torn(completion: Completion) -> bool:
    """Whether a reply reached its length."""
    return completion.finish_reason is FinishReason.LENGTH


def began(completion: Completion) -> str:
    """Return how a reply begins, in quotes, to tell what was not understood."""
    words = " ".join(completion.text.split())
    if not words:
        return "an empty reply"
    return f'"{words[:_MAX_QUOTED]}…"' if len(words) > _MAX_QUOTED else f'"{words}"'
