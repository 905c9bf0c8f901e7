"""Tasks, and the answer of stage 2, out of a reply that is JSON.

Knows nothing of filters. Every function takes any text, never raises, and takes time linear in its length. Only what
is certain is kept: a string that is whole, or the one of an object under a key that says so.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from fastinstruct.records import RejectReason
from fastinstruct.text.markup import collapsed, unwrapped
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.structured_places import (
    TASK_KEYS,
    Found,
    by_the_letter,
    classification_member,
    find,
    folded,
    place,
    storable,
    task_items,
    text_of,
)
from fastinstruct.text.torn_json import JsonKind, JsonState, JsonValue

__all__ = ["read_is_classification", "read_tasks"]

_NUMBER = re.compile(
    r"[\s*_#(\[]{0,6}(?:(?:task|"
    r"instruction)\s{0,3})?[#(\[]?(?P<number>\d{1,4})(?:[.):、．）\]]{1,3}[*_]{0,3}\s*+(?=\D)|\s?[-–—]\s)",
    re.IGNORECASE,
)
_MAX_SINGLE_NUMBER = 99  # a list of one task that begins "365. ..." has no number
_MAX_NUMBER = 999  # "2016. ..." is content
_SORTING_WORDS = "id no nr number index title name category type kind topic domain difficulty language lang tags"
_SAID_ASIDE = frozenset([*_SORTING_WORDS.split(), "isclassification"])
# As servers that hold a model to a schema write it: the quick look spares most replies the reader for all others.
_SOUND_ANSWERS = {
    f'{{{space}"is_classification":{gap}{word}{space}}}': word == "true"
    for word in ("true", "false")
    for gap in ("", " ")
    for space in ("", " ", "\n  ", "\n")
}
_WORDS = {**dict.fromkeys(("true", "yes"), True), **dict.fromkeys(("false", "no"), False)}


def read_tasks(text: str, *, max_items: int, is_torn: bool) -> Parsed[str]:
    """Read the tasks of a reply, each on one line, without the numbers that they may all begin with.

    Read are `{"tasks": [...]}`, bare lists, JSON Lines, strings and objects that hold one under a key such as
    "instruction". Tasks of two values with prose between them are uncertain: one may be a draft of the other.

    Args:
        text: the reply.
        max_items: tasks beyond that many are rejected as surplus.
        is_torn: whether the reply was cut at the limit; what is whole in it is kept.
    """
    strings = by_the_letter(text, "tasks")
    if strings and all(isinstance(one, str) for one in strings):
        told = [_tidied(storable(one)) for one in strings]
        if all(told):
            return _limited(told, max_items)
    found = find(text, lambda value: task_items(value) is not None)
    if not found.values:
        return Parsed(rest=found.rest, stumbled_over=_nothing("tasks", text, is_torn=is_torn))
    items = [item for value in found.values for item in task_items(value) or ()]
    read = [_task(text, item) for item in items]
    asides = [aside for item in items for aside in _asides(text, item)]
    whole = [task for task, reason in read if reason is None]
    rejected = [(task, reason) for task, reason in read if reason is not None]
    if found.between:
        rejected, whole = [*((task, RejectReason.UNCERTAIN) for task in _without_numbers(whole)), *rejected], []
    limited = _limited(whole, max_items)
    return replace(
        limited,
        rejected=(*rejected, *limited.rejected),
        rest="\n".join(filter(None, [found.rest, *asides])),
        stumbled_over=stumbled_over(text, found, items),
    )


def _limited(tasks: list[str], max_items: int) -> Parsed[str]:
    """The tasks without their numbers, those beyond `max_items` rejected."""
    bare, limit = _without_numbers(tasks), max(max_items, 0)
    return Parsed(kept=tuple(bare[:limit]), rejected=tuple((task, RejectReason.SURPLUS) for task in bare[limit:]))


def _nothing(what: str, text: str, *, is_torn: bool) -> str:
    return f"no {what} in JSON{' before the reply was cut' if is_torn else ''}: {place(text, 0)}"


def stumbled_over(text: str, found: Found, items: Sequence[JsonValue]) -> str:
    """What is not certain in a reply: prose between values, or the first item that is not whole."""
    if found.between:
        return f"prose between two JSON values: {place(found.between, 0)}"
    for item in items:
        if not item.is_whole:
            return f"{'torn' if item.state is JsonState.TORN else 'not certain'}: {place(text, item.start)}"
    broken = next((value for value in found.values if value.state is JsonState.UNCERTAIN), None)
    return f"no JSON from here on: {place(text, broken.end)}" if broken and broken.end < len(text) else ""


def _task(text: str, item: JsonValue) -> tuple[str, RejectReason | None]:
    """What an item says, and why it is not certain that it is a task."""
    told = [item] if item.kind is JsonKind.STRING else _told(item)
    said = _tidied(text_of(told[0])) if len(told) == 1 else collapsed(text[item.start : item.end])
    if item.state is JsonState.TORN:
        return said, RejectReason.TRUNCATED
    if item.state is JsonState.UNCERTAIN or len(told) != 1:
        return said, RejectReason.UNCERTAIN
    return said, None if said else RejectReason.EMPTY


def _told(item: JsonValue) -> list[JsonValue]:
    """The strings of an object that may be its task; under "instruction", it's that one."""
    strings = [(folded(key), one) for key, one in item.members if one.kind is JsonKind.STRING]
    sure = [one for key, one in strings if key == "instruction"]
    return sure or [one for key, one in strings if key in TASK_KEYS]


def _asides(text: str, item: JsonValue) -> list[str]:
    """What a whole object holds beside its task, but for what numbers or sorts it."""
    told = _told(item)
    return [
        f"{key}: {collapsed(text[one.start : one.end])}"
        for key, one in item.members
        if item.is_whole and one not in told and folded(key) not in _SAID_ASIDE and one.content
    ]


def _tidied(said: str) -> str:
    return collapsed(unwrapped(collapsed(said)))


def _without_numbers(tasks: list[str]) -> list[str]:
    """The tasks without their numbers, if all have one and these count on; else a number is content."""
    matches = [match for match in map(_NUMBER.match, tasks) if match is not None]
    numbers = [int(match["number"]) for match in matches]
    if not matches or len(matches) < len(tasks) or numbers != [*range(numbers[0], numbers[0] + len(numbers))]:
        return tasks
    if numbers[-1] > _MAX_NUMBER or (len(numbers) == 1 and numbers[0] > _MAX_SINGLE_NUMBER):
        return tasks
    return [collapsed(unwrapped(task[match.end() :])) for task, match in zip(tasks, matches, strict=True)]


def read_is_classification(text: str) -> bool | None:
    """Read the answer of stage 2: `{"is_classification": true}` or the bare word; None if it is not certain.

    A reply that was cut inside the object, but after the word, has answered; two answers that differ have not.
    """
    sound = _SOUND_ANSWERS.get(text)
    if sound is not None:
        return sound
    word = _WORDS.get(folded(text[:40])) if len(text) <= 40 else None
    if word is not None:
        return word
    found = find(text, lambda value: classification_member(value) is not None)
    answers = {_answer(value) for value in found.values}
    return answers.pop() if len(answers) == 1 else None


def _answer(value: JsonValue) -> bool | None:
    member = classification_member(value)
    is_certain = member is not None and member.is_whole and value.state is not JsonState.UNCERTAIN
    if member is None or not is_certain or member.kind not in {JsonKind.BOOLEAN, JsonKind.STRING}:
        return None
    return _WORDS.get(folded(member.content))
