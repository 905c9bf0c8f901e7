"""What the scripted server answers: plausible replies to the prompts of all stages, in both OpenAI-compatible APIs.

Knows nothing of HTTP, sockets, faults, time or the order of arrival, and no prompt template but for a few cues in it.
Guarantees that a reply is a pure function of (server seed, prompt text, request), so that a resumed run meets the
replies of the run that was interrupted, and that no instruction of the grammar holds a word that the pipeline's keyword
filter refuses.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from fastinstruct.records import FinishReason
from fastinstruct.scripted_server.draws import draw_64, text_sha256, unit_draw
from fastinstruct.scripted_server.shapes import Ask, Reply
from fastinstruct.scripted_server.words import (
    ANSWERS,
    AUDIENCES,
    CONSTRAINTS,
    FRAMES,
    JUNK,
    LABELS,
    OBJECTS,
    REMARKS,
    REPEATED,
    TOPICS,
    VERBS,
)

__all__ = [
    "Kind",
    "Replies",
    "ReplyRates",
    "asked_number",
    "drawn_answer",
    "drawn_instruction",
    "drawn_remark",
    "first_number",
    "grammar_instruction",
    "is_label_task",
    "kind_of",
    "recognise",
    "reply_to",
]

_T = TypeVar("_T")


class Kind(StrEnum):
    """What a prompt asks for."""

    INSTRUCTIONS = "instructions"
    CLASSIFICATION = "classification"
    INPUT_FIRST = "input-first"
    OUTPUT_FIRST = "output-first"


class Replies(StrEnum):
    """How replies come about.

    `written`: plausible ones. `quick`: cheaper, and of so many words that pools of a million fill. `canned`: the same
    bytes for every request, whose body is not read at all.
    """

    WRITTEN = "written"
    QUICK = "quick"
    CANNED = "canned"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRates:
    """Shares, each in 0..1, of what makes replies imperfect.

    `duplicate_rate`: of instructions that repeat one of a few nearly verbatim. `junk_rate`: of ones that the heuristic
    filters reject. `length_rate`: of replies with `finish_reason` "length" and a cut last item (never classification).
    """

    duplicate_rate: float = 0.05
    junk_rate: float = 0.03
    length_rate: float = 0.03


def recognise(prompt: str) -> Kind:
    """What the prompt asks for, by the first cue that it holds; one that speaks of JSON, by the keys that it names."""
    if "Label task" in prompt:
        return Kind.CLASSIFICATION
    if "JSON" in prompt and (kind := _kind_by_keys(prompt)) is not None:
        return kind
    if "Class label:" in prompt:
        return Kind.OUTPUT_FIRST
    return Kind.INPUT_FIRST if "Output:" in prompt else Kind.INSTRUCTIONS


def _kind_by_keys(prompt: str) -> Kind | None:
    if '"is_classification"' in prompt:
        return Kind.CLASSIFICATION
    if '"tasks"' in prompt:
        return Kind.INSTRUCTIONS
    if '"examples"' not in prompt:
        return None
    first_key = _FIELD_KEY.search(prompt)
    return Kind.OUTPUT_FIRST if first_key and first_key[1] == "output" else Kind.INPUT_FIRST


def kind_of(schema: Mapping[str, object]) -> Kind | None:
    """What a JSON schema asks for, by the names of its properties; None of a schema of others."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping):
        return None
    if "tasks" in properties:
        return Kind.INSTRUCTIONS
    if "is_classification" in properties:
        return Kind.CLASSIFICATION
    if "examples" not in properties:
        return None
    names = list(_inner(_inner(properties["examples"], "items"), "properties"))
    return Kind.OUTPUT_FIRST if names[:1] == ["output"] else Kind.INPUT_FIRST


def _inner(schema: object, name: str) -> Mapping[str, object]:
    inner = schema.get(name) if isinstance(schema, Mapping) else None
    return inner if isinstance(inner, Mapping) else {}


def reply_to(ask: Ask, *, seed: int, rates: ReplyRates, kind: Kind | None = None) -> Reply:
    """The scripted reply: the same for the same arguments, whenever and however often it is asked for.

    `kind` is what the prompt asks for; by default, what can be told from it.
    """
    kind = kind or recognise(ask.prompt)
    if kind is Kind.CLASSIFICATION:
        return _classification(ask, seed)
    rng = random.Random(draw_64("reply", seed, ask.seed, text_sha256(ask.prompt)))
    items = _ITEMS[kind](ask, rng, rates)
    is_cut = rng.random() < rates.length_rate
    if is_cut:
        items[-1] = items[-1][: 1 + len(items[-1]) // 2].rstrip()
    finish_reason = FinishReason.LENGTH if is_cut else FinishReason.STOP
    return Reply(text="".join(items).lstrip("\n"), finish_reason=finish_reason)


def is_label_task(prompt: str, seed: int) -> bool:
    """What stage 2 is told of the last task in its prompt: a quarter are."""
    return unit_draw("is_classification", seed, _last_task(prompt)) < 0.25


def _last_task(prompt: str) -> str:
    return text_sha256(prompt.rpartition("Task:")[2].strip().partition("\n")[0])


def _classification(ask: Ask, seed: int) -> Reply:
    key = _last_task(ask.prompt)
    answers = ["Yes", "No"] if is_label_task(ask.prompt, seed) else ["No", "Yes"]
    first = 0.55 + 0.4 * unit_draw("confidence", seed, key)
    shares = {answers[0]: first, answers[1]: (1 - first) * 0.8}
    shares |= {word: (1 - first) * 0.1 * 0.5**rank for rank, word in enumerate(_OTHER_TOKENS)}
    space = "" if ask.chat else " "
    top_logprobs = None
    if ask.num_logprobs is not None:
        ranked = list(shares.items())[: ask.num_logprobs]
        top_logprobs = {space + word: round(math.log(share), 6) for word, share in ranked}
    return Reply(text=space + answers[0], finish_reason=FinishReason.STOP, top_logprobs=top_logprobs)


_OTHER_TOKENS = ("Maybe", "It", "The", "This", "Probably", "Not", "Classification", "That", "Both", "Is")
_FIRST_NUMBER = re.compile(r"(\d+)\.\s*\Z")
_RANGE = re.compile(r"\b(\d{1,4}) to \d{1,4}\b")
_FIELD_KEY = re.compile(r'"(input|output)"')


def first_number(prompt: str) -> int | None:
    """The number that a prompt's list breaks off at, which a completion goes on with; None where it does not."""
    asked = _FIRST_NUMBER.search(prompt, max(0, len(prompt) - 32))
    return int(asked[1]) if asked else None


def asked_number(prompt: str) -> int | None:
    """The same, or else the first of the numbers that the end of a prompt asks for ("tasks 9 to 16")."""
    ranges = _RANGE.findall(prompt, max(0, len(prompt) - 300))
    return first_number(prompt) or (int(ranges[-1]) if ranges else None)


def _instruction_items(ask: Ask, rng: random.Random, rates: ReplyRates) -> list[str]:
    """5 to 8 instructions as list items; a completions reply goes on where the prompt's numbering ends."""
    texts = [drawn_instruction(rng, rates) for _ in range(5 + int(rng.random() * 4))]
    asked = first_number(ask.prompt)
    if not ask.chat:
        first = 1 if asked is None else asked
        items = [f"\n{number}. {text}" for number, text in enumerate(texts, first)]
        return items if asked is None else [f" {texts[0]}", *items[1:]]
    opening, bullet, first = _pick(rng, _CHAT_LISTS)
    first = asked if asked is not None and first > 1 else first
    items = [f"\n{bullet.format(number)}{text}" for number, text in enumerate(texts, first)]
    return [opening, *items]


# How chat models open a list, what they put before an item, and the number that they start from.
_CHAT_LISTS = (
    ("Sure! Here are some more tasks for your list:\n", "{}. ", 1),
    ("", "- ", 1),
    ("", "**Task {}:** ", 9),
    ("", "{}. ", 9),
)


def drawn_instruction(rng: random.Random, rates: ReplyRates) -> str:
    """An instruction of the grammar but for the shares of junk and of duplicates."""
    draw = rng.random()
    if draw < rates.junk_rate:
        return _pick(rng, JUNK).format(topic=_pick(rng, TOPICS))
    if draw < rates.junk_rate + rates.duplicate_rate:
        return _pick(rng, REPEATED) + _pick(rng, (".", "!", ", please."))
    return grammar_instruction(rng)


def grammar_instruction(rng: random.Random) -> str:
    """An instruction of 8 to 25 words, one of many millions."""
    text = _pick(rng, FRAMES).format(
        verb=_pick(rng, VERBS),
        object=_pick(rng, OBJECTS),
        topic=_pick(rng, TOPICS),
        audience=_pick(rng, AUDIENCES),
        constraint=_pick(rng, CONSTRAINTS),
        label=_pick(rng, LABELS)[0],
        other_label=_pick(rng, LABELS)[1],
    )
    return text[0].upper() + text[1:]


def _input_first_items(_ask: Ask, rng: random.Random, _rates: ReplyRates) -> list[str]:
    if rng.random() < 0.35:
        return [f"Output: {_sentence(rng, ANSWERS)}"]
    remarks = rng.sample(REMARKS, 1 + int(rng.random() * 3))
    return [
        f"\n\nExample {number}\nInput: {remark.format(topic=_pick(rng, TOPICS))}\nOutput: {_sentence(rng, ANSWERS)}"
        for number, remark in enumerate(remarks, 1)
    ]


def _output_first_items(_ask: Ask, rng: random.Random, _rates: ReplyRates) -> list[str]:
    labels = _pick(rng, LABELS)
    remarks = rng.sample(REMARKS, 2 + int(rng.random() * 2))
    return [
        f"\n\nClass label: {labels[number % 2]}\n{remark.format(topic=_pick(rng, TOPICS))}"
        for number, remark in enumerate(remarks)
    ]


_ITEMS = {
    Kind.INSTRUCTIONS: _instruction_items,
    Kind.INPUT_FIRST: _input_first_items,
    Kind.OUTPUT_FIRST: _output_first_items,
}


def drawn_remark(rng: random.Random) -> str:
    """A sentence to work on."""
    return _sentence(rng, REMARKS)


def drawn_answer(rng: random.Random) -> str:
    """A sentence of advice."""
    return _sentence(rng, ANSWERS)


def _pick(rng: random.Random, options: Sequence[_T]) -> _T:
    return options[int(rng.random() * len(options))]


def _sentence(rng: random.Random, options: Sequence[str]) -> str:
    return _pick(rng, options).format(topic=_pick(rng, TOPICS))
