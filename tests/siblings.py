"""Replies of stage 3 that tests make up, each with a task of its own and what is kept of it; a run over them all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from replying import Outcome, Pair, Reply, chat, sit, task_of

DOG: Pair = ("The dog barks.", "El perro ladra.")
CAT: Pair = ("The cat sleeps.", "El gato duerme.")
BOTH = (DOG, CAT)
NICE: Pair = ("I loved every minute of it.", "Positive")
BAD: Pair = ("The room was filthy and loud.", "Negative")
REVIEWS = (NICE, BAD)
TRANSLATE = "Translate the given sentence into Spanish as traveller {} would."
POEM = "Write a line of verse about the given place for reader {}."
EXERCISE = "Write an exercise about lists of numbers for class {}."
REVIEW = "Decide whether hotel review {} is positive or negative."
_PER_REPLY = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Sibling:
    """A reply, and what is kept of it; `reason` is the one why anything is rejected, "unreadable" where all is."""

    name: str
    reply: str
    pairs: tuple[Pair, ...]
    reason: str = ""
    task: str = TRANSLATE
    finish: str = "stop"


def two(heading: str, given: str, output: str, numbers: tuple[str, str] = ("1", "2"), gap: str = "\n\n") -> str:
    """Both pairs, each under a heading."""
    parts = zip(numbers, BOTH, strict=True)
    return gap.join(f"{heading.format(number)}\n{given}{a}\n{output}{b}" for number, (a, b) in parts)


def pairs(name: str, heading: str, given: str, output: str, *numbers: str) -> Sibling:
    return Sibling(name=name, reply=two(heading, given, output, (numbers or ("1", "2"))[:2]), pairs=BOTH)  # type: ignore[arg-type]  # two


def kept(name: str, reply: str, *found: Pair, task: str = TRANSLATE, reason: str = "", finish: str = "stop") -> Sibling:
    return Sibling(name=name, reply=reply, pairs=found, task=task, reason=reason, finish=finish)


def of_each(siblings: Sequence[Sibling], folder: Path) -> Mapping[str, Outcome]:
    """What each sibling's reply came to, by its name, in one run over HTTP."""
    tasks = {sibling.task.format(number): sibling for number, sibling in enumerate(siblings)}

    def reply(stage: str, number: int, body: Mapping[str, Any]) -> Reply:
        if stage == "instructions":
            listed = list(tasks)[number * _PER_REPLY :][:_PER_REPLY] or list(tasks)[:1]
            return "\n".join(f"{9 + place}. {task}" for place, task in enumerate(listed))
        sibling = tasks[task_of(body)]
        if stage == "classification":
            return "Yes" if sibling.task is REVIEW else "No"
        return chat(sibling.reply.replace(TRANSLATE, task_of(body)), finish=sibling.finish)

    flags = {
        "model.replies": "text",
        "target": len(tasks),
        "budget.max_requests": 10 * len(tasks),
        "instructions.num_items": _PER_REPLY,
        "instances.max_instances": 9,
        "similarity.threshold": 1.0,
        "filters.max_repeated_output": 1000,
        "filters.max_unreadable": 1.0,
    }
    sitting = asyncio.run(sit(folder, reply, **flags))
    assert (sitting.ended_by, sitting.exit_code) == ("target", 0)
    texts = sitting.tasks
    answers = [outcome for outcome in sitting.outcomes if outcome.stage == "instances"]
    return {tasks[texts[answer.number]].name: answer for answer in answers}
