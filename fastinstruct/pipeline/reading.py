"""How a profile reads replies: its parsers and filters behind one interface.

Pure; knows nothing of requests or stores. `default` is ours, `paper` reads as the reference's released code does.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Protocol

from fastinstruct.config import RunConfig
from fastinstruct.records import Api, Candidate, Completion, FinishReason
from fastinstruct.text import paper
from fastinstruct.text.filters import InstructionFilter
from fastinstruct.text.parsing import parse_classification, parse_instances, parse_instructions
from fastinstruct.text.sifting import Sifted, sift_instances

__all__ = ["Reading", "reading_of"]


class Reading(Protocol):
    """What the judge needs of a profile."""

    def instructions(self, completion: Completion, shown: Sequence[str]) -> list[Candidate]:
        """Return the candidates of a stage-1 reply to a prompt that showed these tasks, filtered but not judged."""

    def classification(self, completion: Completion) -> bool | None:
        """Return the answer of a stage-2 reply, or None if it holds neither yes nor no."""

    def instances(
        self, completion: Completion, instruction: str, *, is_classification: bool, new_rng: Callable[[], random.Random]
    ) -> Sifted:
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

    def instructions(self, completion: Completion, shown: Sequence[str]) -> list[Candidate]:
        texts = parse_instructions(
            completion.text,
            api=self._api,
            first_number=len(shown) + 1,
            max_items=self._num_items,
            finish_reason=completion.finish_reason,
        )
        return [Candidate(text=text, rejection=self._filter.judge(text, shown)) for text in texts]

    def classification(self, completion: Completion) -> bool | None:
        return parse_classification(completion.text)

    def instances(
        self, completion: Completion, instruction: str, *, is_classification: bool, new_rng: Callable[[], random.Random]
    ) -> Sifted:
        found = parse_instances(
            completion.text,
            is_classification=is_classification,
            finish_reason=completion.finish_reason,
            instruction=instruction,
        )
        return sift_instances(found, self._max_instances)


class _PaperReading:
    def __init__(self, config: RunConfig, api: Api) -> None:
        self._api = api
        self._num_items = config.instructions.num_items
        self._max_instances = config.instances.max_instances

    def instructions(self, completion: Completion, shown: Sequence[str]) -> list[Candidate]:
        if self._api is Api.COMPLETIONS or completion.finish_reason is FinishReason.LENGTH:
            return paper.parse_instructions(completion.text, completion.finish_reason)
        # The reference knows no chat: lay a chat reply's items out as a completion would have, then read them its way.
        first = len(shown) + 1
        items = parse_instructions(
            completion.text,
            api=self._api,
            first_number=first,
            max_items=self._num_items,
            finish_reason=completion.finish_reason,
        )
        if not items:
            return []
        text = items[0] + "".join(f"\n{number}. {item}" for number, item in enumerate(items[1:], first + 1))
        return paper.parse_instructions(text, completion.finish_reason)

    def classification(self, completion: Completion) -> bool | None:
        return paper.is_classification(completion.text)

    def instances(
        self, completion: Completion, instruction: str, *, is_classification: bool, new_rng: Callable[[], random.Random]
    ) -> Sifted:
        return paper.parse_instances(
            completion.text,
            is_classification=is_classification,
            finish_reason=completion.finish_reason,
            max_instances=self._max_instances,
            rng=new_rng(),
        )


def reading_of(config: RunConfig, api: Api, prompt_phrases: Sequence[str] = ()) -> Reading:
    """Return the profile's way of reading replies to prompts written for `api`.

    `prompt_phrases` are the prompts' own lines: a model that repeats one has not invented a task.
    """
    return _PaperReading(config, api) if config.profile == "paper" else _DefaultReading(config, api, prompt_phrases)
