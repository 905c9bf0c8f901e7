"""What styled replies say: instructions, inputs, outputs and labels.

A tenth of the rows hold content that looks like a marker, so that a reader's strictness has its price. Knows nothing of
styles, nor of who reads. Guarantees that contents are a function of the random generator alone, that no two are near
one another, and that instructions pass the pipeline's heuristic filters.
"""

from __future__ import annotations

import random
from typing import Final

from fastinstruct.records import Instance
from fastinstruct.scripted_server.languages import Words
from fastinstruct.scripted_server.quick import instruction, name, remark, things
from fastinstruct.scripted_server.words import LABELS

__all__ = ["MARKER_LIKE_SHARE", "fillers", "instances", "instructions", "labelled"]

MARKER_LIKE_SHARE: Final = 0.1

# What an instruction ends with; before it stands one of very many, so that no two are near one another.
_TASK_ENDS: Final = (
    "Start with Input: and Output:, as {place} does.",
    "Use steps: 1. {things}, 2. {more}.",
    "Follow Example 1 by {other}.",
    "Close with task: done, owner: {name}.",
)
_IN_MID_SENTENCE: Final = (
    "On the form at {place}, {name} writes Input: before the {things} and Output: before the {more}, never the reverse."
)
_PLAN: Final = (
    "Plan for {place}\nTask: Order {number} {things}\nOwner: {name}\nTask: Count the {more}\nOwner: {other}\n"
    "Both report on Friday."
)
_FORM: Final = (
    "The filled-in form for {place} reads as follows.\nInput: {number} crates of {things}\nUnit: crates\n"
    "Signed by {name} and {other}."
)
_CODE: Final = '{slug} = {number}\nfor step in range(3):\n    {slug} += step\nprint("Output:", {slug})'
_EXERCISE: Final = (
    "Given the weights of some {things}, return the two largest for {name}.\n\nExample 1:\nInput: [{number}, 7, 1]\n"
    "Output: [{number}, 7]\n\nExample 2:\nInput: [4, 4]\nOutput: [4, 4]\n\nThe list holds at least two weights."
)
_LIST: Final = "1. Wash the {things}.\n2. Ask {name} for {number} boxes.\n3. Carry everything to {place}."
_DIALOGUE: Final = "{name}: Have you seen the {things}?\n{other}: Only the {more}.\n{name}: Then look in {place} again."
_DOCUMENT: Final = (
    "# Care of {things}\n\n## Before you start\n\n- Call {name}.\n- Bring **two** cloths.\n\n## Afterwards\n\n"
    "Store the {more} in {place}."
)
_OUTPUTS: Final = (_IN_MID_SENTENCE, _PLAN, _FORM, _CODE, _EXERCISE, _LIST, _DIALOGUE, _DOCUMENT)
_INPUTS: Final = (_IN_MID_SENTENCE, _PLAN, _CODE, _LIST, _DIALOGUE, _DOCUMENT)
_ANSWERS: Final = (
    "Count the {things} first, then ask {name} about the {more} in {place}.",
    "In {place}, {name} keeps {number} {things}; the {more} belong to {other}.",
    "No: the {things} that {name} sold to {other} were older than the {more}.",
    "{name} should write to {other}, because the {things} reached {place} {number} days late.\n\nThe {more} can wait.",
)


def fillers(rng: random.Random) -> dict[str, str]:
    """Names, places and things for a frame to choose from."""
    bits = rng.randbytes(16)
    collected = things(bits, 0)
    return {
        "name": name(bits, 2),
        "other": name(bits, 4),
        "place": name(bits, 6),
        "things": collected,
        "slug": collected.lower(),
        "more": things(bits, 8),
        "number": str(11 + bits[12] % 80),
    }


def instructions(rng: random.Random, count: int) -> tuple[list[str], list[int]]:
    """So many instructions, and the places of those whose content looks like a marker."""
    marked = _marked(rng, count)
    bits = [rng.randbytes(16) for _ in range(count)]
    texts = [instruction(bits[n], 0) for n in range(count)]
    return [f"{text} {_said(rng, _TASK_ENDS)}" if n in marked else text for n, text in enumerate(texts)], marked


def instances(rng: random.Random, count: int, words: Words, *, has_input: bool) -> tuple[list[Instance], list[int]]:
    """So many worked cases, half of them in the language of the words, and the places of the marker-like ones."""
    marked = _marked(rng, count)
    found = []
    for n in range(count):
        is_foreign = bool(words.inputs) and rng.random() < 0.5
        given = _said(rng, words.inputs) if is_foreign else remark(rng.randbytes(16), 0)
        output = _said(rng, words.outputs if is_foreign else _ANSWERS)
        if n in marked and has_input and rng.random() < 0.3:
            given = _said(rng, _INPUTS)
        elif n in marked:
            output = _said(rng, _OUTPUTS)
        found.append(Instance(input=given if has_input else "", output=output))
    return found, marked


def labelled(rng: random.Random, count: int, words: Words) -> tuple[list[Instance], list[int]]:
    """So many texts with labels in turn, and the places of the marker-like ones."""
    marked = _marked(rng, count)
    labels = LABELS[rng.randrange(len(LABELS))]
    found = []
    for n in range(count):
        is_foreign = bool(words.inputs) and rng.random() < 0.5
        given = _said(rng, words.inputs) if is_foreign else remark(rng.randbytes(16), 0)
        found.append(Instance(input=_said(rng, _INPUTS) if n in marked else given, output=labels[n % 2]))
    return found, marked


def _marked(rng: random.Random, count: int) -> list[int]:
    return [n for n in range(count) if rng.random() < MARKER_LIKE_SHARE]


def _said(rng: random.Random, frames: tuple[str, ...]) -> str:
    return frames[rng.randrange(len(frames))].format(**fillers(rng))
