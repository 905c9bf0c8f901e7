"""The same three stages as the released code of Self-Instruct asks and reads them, to the letter.

Its decoding parameters and filters stand in `config.profiles`.
"""

from __future__ import annotations

from typing import Any

from fastinstruct.pipeline.pool.task_pool import random_stream
from fastinstruct.pipeline.recipes.base import Recipe
from fastinstruct.pipeline.stages.base import Read, Task, began
from fastinstruct.pipeline.stages.classify import Classify
from fastinstruct.pipeline.stages.generate_instances import GenerateInstances
from fastinstruct.pipeline.stages.generate_instructions import GenerateInstructions
from fastinstruct.records import Api, Completion, FinishReason
from fastinstruct.text import paper
from fastinstruct.text.parsing import parse_instructions

__all__ = ["PAPER"]


class PaperInstructions(GenerateInstructions):
    """Stage 1 with the reference's stops, parser and filters."""

    is_text_only = True

    def _stops(self, *_: str) -> tuple[str, ...]:
        return ("\n\n", "\n16", "16.", "16 .")  # "16." also cuts a text that contains it, as there

    def parse(self, completion: Completion, task: Task) -> Read:
        found = paper.parse_instructions(self._laid_out(completion, len(task.shown) + 1), completion.finish_reason)
        return Read(candidates=found, **_nothing_found(completion, is_nothing=not found))

    def _laid_out(self, completion: Completion, first: int) -> str:
        """The reply as a completion would be: the reference knows no chat, whose items are laid out for it."""
        if self.context.api is Api.COMPLETIONS or completion.finish_reason is FinishReason.LENGTH:
            return completion.text
        parsed = parse_instructions(
            completion.text,
            api=self.context.api,
            first_number=first,
            max_items=self._num_items,
            finish_reason=completion.finish_reason,
        )
        # The reference rejects by its own rules alone, so what ours doubt goes to it as well, in the reply's order.
        reply = " ".join(completion.text.split())
        items = sorted([*parsed.kept, *(item for item, _ in parsed.rejected)], key=reply.find)
        return "".join(items[:1]) + "".join(f"\n{number}. {item}" for number, item in enumerate(items[1:], first + 1))


class PaperClassify(Classify):
    """Stage 2 with the reference's stops and its reading of an answer, which is never in doubt."""

    is_text_only = True

    def _stops(self, *_: str) -> tuple[str, ...]:
        return ("\n", "Task")

    def _answer(self, completion: Completion, task: Task) -> bool | None:
        return paper.is_classification(completion.text)


class PaperInstances(GenerateInstances):
    """Stage 3 with the reference's stops and parser; of more instances than are kept it draws some."""

    is_text_only = True

    def _stops(self, *_: str) -> tuple[str, ...]:
        return ("Example 6", "Task:")

    def parse(self, completion: Completion, task: Task) -> Read:
        sifted = paper.parse_instances(
            completion.text,
            is_classification=bool(task.is_classification),
            finish_reason=completion.finish_reason,
            max_instances=self._max_instances,
            rng=random_stream(self.context.config.rng_seed, self.name, task.number),
        )
        is_nothing = not sifted.kept and not sifted.rejected
        return Read(kept=sifted.kept, rejected=sifted.rejected, **_nothing_found(completion, is_nothing=is_nothing))


PAPER = Recipe("paper", (PaperInstructions, PaperClassify, PaperInstances), keeps_repeats=True)


def _nothing_found(completion: Completion, *, is_nothing: bool) -> dict[str, Any]:
    return {"is_unreadable": is_nothing, "stumbled_over": began(completion) if is_nothing else ""}
