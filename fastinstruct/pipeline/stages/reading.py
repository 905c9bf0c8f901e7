"""How a profile reads replies: its parsers and filters behind one interface.

Pure; knows nothing of requests or stores. `default` is ours, `paper` reads as the reference's released code does. How a
reply was asked for, as JSON or as text, its template's name tells.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from fastinstruct.config import RunConfig
from fastinstruct.pipeline.stages.requests import Task
from fastinstruct.records import Api, Candidate, Completion, FinishReason, Rejection
from fastinstruct.text import paper
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.parsing_instructions import refined
from fastinstruct.text.sifting import Sifted, sift_instances
from fastinstruct.text.structured import read_examples, read_is_classification, read_tasks
from fastinstruct.text.word_filters import WordFilters

__all__ = ["Read", "Reading", "reading_of"]

T = TypeVar("T")
_MAX_QUOTED = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Read(Generic[T]):
    """What a reply came to.

    Attributes:
        found: what it gives.
        is_unreadable: it gives nothing, kept or rejected.
        rest: the lines that nothing explains; "" if it is all explained, or nothing is.
        stumbled_over: what kept the parser from reading on; "" if nothing did.
    """

    found: T
    is_unreadable: bool = False
    rest: str = ""
    stumbled_over: str = ""


class Reading(Protocol):
    """What admission needs of a profile."""

    def instructions(self, completion: Completion, task: Task) -> Read[list[Candidate]]:
        """Return the candidates of a stage-1 reply, filtered but not judged."""

    def classification(self, completion: Completion, task: Task) -> Read[bool | None]:
        """Return the answer of a stage-2 reply, or None if it holds neither yes nor no."""

    def instances(self, completion: Completion, task: Task, new_rng: Callable[[], random.Random]) -> Read[Sifted]:
        """Return the instances of a stage-3 reply, kept and rejected; `new_rng` is called where some are drawn."""


class _DefaultReading:
    def __init__(self, config: RunConfig, api: Api, prompt_phrases: Sequence[str]) -> None:
        filters = config.filters
        self._api = api
        self._num_items = config.instructions.num_items
        self._max_instances = config.instances.max_instances
        self._filter = InstructionFilter(
            min_words=filters.min_words,
            max_words=filters.max_words,
            keywords=filters.keywords,
            prompt_phrases=tuple(prompt_phrases),
        )
        self._word_filters = WordFilters.of(filters)

    def instructions(self, completion: Completion, task: Task) -> Read[list[Candidate]]:
        if task.is_json:
            parsed = refined(read_tasks(completion.text, max_items=self._num_items, is_torn=_is_torn(completion)))
        else:
            parsed = parse_instructions(
                completion.text,
                api=self._api,
                first_number=len(task.shown) + 1,
                max_items=self._num_items,
                finish_reason=completion.finish_reason,
            )
        candidates = [Candidate(text=text, rejection=self._judged(text, task.shown)) for text in parsed.kept]
        candidates += [Candidate(text=text, rejection=Rejection(reason=reason)) for text, reason in parsed.rejected]
        return _read(candidates, parsed, completion)

    def _judged(self, text: str, shown: Sequence[str]) -> Rejection | None:
        return self._filter.judge(text, shown) or self._word_filters.judge_instruction(text)

    def classification(self, completion: Completion, task: Task) -> Read[bool | None]:
        answer = (read_is_classification if task.is_json else parse_classification)(completion.text)
        return _read_answer(answer, completion)

    def instances(self, completion: Completion, task: Task, new_rng: Callable[[], random.Random]) -> Read[Sifted]:
        if task.is_json:
            parsed = read_examples(
                completion.text,
                is_torn=_is_torn(completion),
                instruction=task.instruction,
                is_classification=bool(task.is_classification),
            )
        else:
            parsed = parse_instances(
                completion.text,
                is_classification=bool(task.is_classification),
                finish_reason=completion.finish_reason,
                instruction=task.instruction,
            )
        verdicts = [(one, self._word_filters.judge_instance(task.instruction, one)) for one in parsed.kept]
        sound = [one for one, why in verdicts if why is None]
        sifted = sift_instances(sound, self._max_instances, instruction=task.instruction)
        ruled_out = tuple((one, why) for one, why in verdicts if why is not None)
        uncertain = tuple((one, Rejection(reason=reason)) for one, reason in parsed.rejected)
        found = Sifted(kept=sifted.kept, rejected=sifted.rejected + ruled_out + uncertain)
        return _read(found, parsed, completion)


class _PaperReading:
    def __init__(self, config: RunConfig, api: Api) -> None:
        self._api = api
        self._num_items = config.instructions.num_items
        self._max_instances = config.instances.max_instances

    def instructions(self, completion: Completion, task: Task) -> Read[list[Candidate]]:
        found = paper.parse_instructions(self._laid_out(completion, len(task.shown) + 1), completion.finish_reason)
        return Read(found=found, **_nothing_found(completion, is_nothing=not found))

    def _laid_out(self, completion: Completion, first: int) -> str:
        """The reply as a completion would be: the reference knows no chat, whose items are laid out for it."""
        if self._api is Api.COMPLETIONS or completion.finish_reason is FinishReason.LENGTH:
            return completion.text
        parsed = parse_instructions(
            completion.text,
            api=self._api,
            first_number=first,
            max_items=self._num_items,
            finish_reason=completion.finish_reason,
        )
        # The reference rejects by its own rules alone, so what ours doubt goes to it as well, in the reply's order.
        reply = " ".join(completion.text.split())
        items = sorted([*parsed.kept, *(item for item, _ in parsed.rejected)], key=reply.find)
        return "".join(items[:1]) + "".join(f"\n{number}. {item}" for number, item in enumerate(items[1:], first + 1))

    def classification(self, completion: Completion, task: Task) -> Read[bool | None]:
        return Read(found=paper.is_classification(completion.text))

    def instances(self, completion: Completion, task: Task, new_rng: Callable[[], random.Random]) -> Read[Sifted]:
        sifted = paper.parse_instances(
            completion.text,
            is_classification=bool(task.is_classification),
            finish_reason=completion.finish_reason,
            max_instances=self._max_instances,
            rng=new_rng(),
        )
        is_nothing = not sifted.kept and not sifted.rejected
        return Read(found=sifted, **_nothing_found(completion, is_nothing=is_nothing))


def reading_of(config: RunConfig, api: Api, prompt_phrases: Sequence[str] = ()) -> Reading:
    """Return the profile's way of reading replies to prompts written for `api`.

    `prompt_phrases` are the prompts' own lines: a model that repeats one has not invented a task.
    """
    return _PaperReading(config, api) if config.profile == "paper" else _DefaultReading(config, api, prompt_phrases)


def _is_torn(completion: Completion) -> bool:
    return completion.finish_reason is FinishReason.LENGTH


def _read(found: T, parsed: Parsed[Any], completion: Completion) -> Read[T]:
    if parsed.is_unreadable:
        told = parsed.stumbled_over if completion.text.strip() else ""
        return Read(found=found, is_unreadable=True, stumbled_over=told or _began(completion))
    return Read(found=found, rest=parsed.rest, stumbled_over=parsed.stumbled_over)


def _read_answer(answer: bool | None, completion: Completion) -> Read[bool | None]:
    stumbled_over = f"neither yes nor no: {_began(completion)}" if answer is None else ""
    return Read(found=answer, is_unreadable=answer is None, stumbled_over=stumbled_over)


def _nothing_found(completion: Completion, *, is_nothing: bool) -> dict[str, Any]:
    return {"is_unreadable": is_nothing, "stumbled_over": _began(completion) if is_nothing else ""}


def _began(completion: Completion) -> str:
    """How a reply begins, in quotes, to tell what was not understood."""
    words = " ".join(completion.text.split())
    if not words:
        return "an empty reply"
    return f'"{words[:_MAX_QUOTED]}…"' if len(words) > _MAX_QUOTED else f'"{words}"'
