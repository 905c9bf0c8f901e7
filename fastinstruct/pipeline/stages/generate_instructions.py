"""Stage 1: show some tasks of the pool and ask for new ones.

Source: Self-Instruct (arXiv:2212.10560), section 2.2 and appendix A.1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fastinstruct.config import InstructionsConfig, SamplingConfig
from fastinstruct.lm.scheduling.job import Job
from fastinstruct.pipeline.stages.base import Context, Item, Read, Stage, Task, is_torn, read_of
from fastinstruct.records import Api, Candidate, Completion, Rejection, ReplyForm, ReplyFormat
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_instructions
from fastinstruct.text.parsing_instructions import refined
from fastinstruct.text.prompting import Placeholders, asking_for_tasks
from fastinstruct.text.structured import is_json_like, read_tasks, tasks_format
from fastinstruct.text.word_filters import WordFilters

__all__ = ["BASE_MODEL_PENALTIES", "GenerateInstructions"]

# Measured with the embedded 270M base model on 12 tasks and 8 stage-1 prompts: with the penalties 18 of 19 instances
# were kept, for 1,070 tokens; without them 11 of 40, for 1,696. Stronger ones derail its lists into prose.
BASE_MODEL_PENALTIES = {"presence_penalty": 0.5, "frequency_penalty": 0.3}
"""What keeps a base model, which never stops by itself, from repeating itself."""

_TEXT = Placeholders(frozenset({"tasks", "next_number"}), frozenset({"num_items", "last_number"}))
_JSON = Placeholders(frozenset({"tasks"}), frozenset({"num_items", "next_number", "last_number"}))


class GenerateInstructions(Stage):
    """Asks for new instructions; what passes the heuristics becomes a candidate of the task pool."""

    name = "instructions"
    title = "1 generate instructions"
    consumes = "pool"
    makes = "candidates"
    templates: ClassVar = {"instructions": (_TEXT, _JSON)}
    settings = InstructionsConfig
    sampling: ClassVar = {
        Api.COMPLETIONS: SamplingConfig(temperature=0.9, top_p=0.95, max_tokens=512, **BASE_MODEL_PENALTIES),
        Api.CHAT: SamplingConfig(temperature=1.0, top_p=0.95, max_tokens=4096),
    }

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        filters = context.config.filters
        self._num_items: int = context.settings.num_items
        self._filter = InstructionFilter(
            min_words=filters.min_words,
            max_words=filters.max_words,
            keywords=filters.keywords,
            # A model that repeats a line of its prompt has not invented a task.
            prompt_phrases=context.prompts.phrases(self.placeholders()),
        )
        self._word_filters = WordFilters.of(filters)

    def reply_format(self, kind: str, form: ReplyForm) -> ReplyFormat | None:
        return None if form is ReplyForm.TEXT else tasks_format(form, max_items=self.context.settings.num_items)

    def build(self, item: Item) -> Job[Task]:
        task = self._task(item, "instructions")
        last = len(item.shown) + self._num_items
        prompt = asking_for_tasks(self.context.prompts.templates[task.template], item.shown, self._num_items)
        return self._job(task, prompt, self._stops(f"\n{last + 1}."))

    def smaller(self, job: Job[Task]) -> Job[Task]:
        task = job.about
        kept = max(1, len(task.shown) // 2)
        job = self.build(Item(number=task.number, in_context=task.in_context[:kept], shown=task.shown[:kept]))
        return self._halved(job, job.request.prompt)

    def parse(self, completion: Completion, task: Task) -> Read:
        parsed = self._parsed(completion, task)
        candidates = [Candidate(text=text, rejection=self._judged(text, task.shown)) for text in parsed.kept]
        candidates += [Candidate(text=text, rejection=Rejection(reason=reason)) for text, reason in parsed.rejected]
        return read_of(parsed, completion, candidates=candidates)

    def gives_something(self, text: str) -> bool:
        return is_json_like(text) and bool(read_tasks(text, max_items=1, is_torn=False).kept)

    def _parsed(self, completion: Completion, task: Task) -> Parsed[str]:
        if task.is_json:
            return refined(read_tasks(completion.text, max_items=self._num_items, is_torn=is_torn(completion)))
        return parse_instructions(
            completion.text,
            api=self.context.api,
            first_number=len(task.shown) + 1,
            max_items=self._num_items,
            finish_reason=completion.finish_reason,
        )

    def _judged(self, text: str, shown: Sequence[str]) -> Rejection | None:
        return self._filter.judge(text, shown) or self._word_filters.judge_instruction(text)
