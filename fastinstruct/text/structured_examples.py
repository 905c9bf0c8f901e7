"""Instances out of a reply that is JSON.

Knows nothing of filters. `read_examples` takes any text, never raises, and takes time linear in its length. An
instance is kept only if its object is whole and says what its input and its output are, and nothing else that may
belong to them. Whatever stands inside its strings is content: their borders are certain, but for the marker of a field
that a model writes into its string, too, and a fence or quotes around all of it.
"""

from __future__ import annotations

import re
from dataclasses import replace

from fastinstruct.records import Instance, RejectReason
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.fields import (
    said_fault,
    unwrapped_alike,
    without_fence,
    without_lone_inputs,
    without_preamble,
    without_tag,
    without_tail,
)
from fastinstruct.text.further_examples import holds_another
from fastinstruct.text.layout import FIELDS
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markers import read_marker
from fastinstruct.text.markup import collapsed
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.structured_places import (
    INPUT_KEYS,
    OUTPUT_KEYS,
    by_the_letter,
    example_items,
    find,
    folded,
    place,
    storable,
    text_of,
)
from fastinstruct.text.structured_tasks import stumbled_over
from fastinstruct.text.torn_json import JsonKind, JsonState, JsonValue

__all__ = ["read_examples"]

_NUMBERS = frozenset({"id", "no", "nr", "number", "index", "example"})
_REMARK_WORDS = (
    "explanation reasoning rationale reason note notes comment thought thoughts why type difficulty category topic "
    "tags confidence language"
)
_REMARKS = frozenset(_REMARK_WORDS.split())
_REPEATED = frozenset({"instruction", "task", "prompt"})
_PLAIN_NUMBER = re.compile(r"-?\d{1,15}(?:\.\d{1,15})?")


def read_examples(
    text: str, *, is_torn: bool, instruction: str = "", is_classification: bool = False
) -> Parsed[Instance]:
    """Read the instances of a reply.

    Read are `{"examples": [{"input": ..., "output": ...}, ...]}`, bare lists and objects, and JSON Lines. Keys in
    other cases and obvious synonyms ("Answer") count where there is one of its kind. Instances of two values with
    prose between them are uncertain: one may be a draft of the other.

    Args:
        text: the reply.
        is_torn: whether the reply was cut at the limit; what is whole in it is kept.
        instruction: what the instances are of; an object that repeats it is certain, one that names another is not.
        is_classification: whether it was asked for labels; a label without its text, among others, is uncertain.
    """
    sound = _divided(_freed(_sound(text), instruction, is_classification=is_classification))
    if sound.kept and not sound.rejected:
        return sound
    found = find(text, lambda value: example_items(value) is not None)
    if not found.values:
        cut = " before the reply was cut" if is_torn else ""
        return Parsed(rest=found.rest, stumbled_over=f"no examples in JSON{cut}: {place(text, 0)}")
    items = [item for value in found.values for item in example_items(value) or ()]
    instances = [_instance(text, item, instruction) for item in items]
    read = _freed(instances, instruction, is_classification=is_classification)
    if found.between:
        read = [(instance, reason or RejectReason.UNCERTAIN) for instance, reason in read]
    asides = [aside for item in items for aside in _asides(text, item)]
    return replace(
        _divided(read),
        rest="\n".join(filter(None, [found.rest, *asides])),
        stumbled_over=stumbled_over(text, found, items) or _odd(text, items, read),
    )


_Read = tuple[Instance, RejectReason | None]


def _divided(read: list[_Read]) -> Parsed[Instance]:
    return Parsed(
        kept=tuple(instance for instance, reason in read if reason is None),
        rejected=tuple((instance, reason) for instance, reason in read if reason is not None),
    )


def _trimmed(field: str) -> str:
    """A string without blank lines around it; the first of several lines keeps its indentation, as code needs it."""
    if "\n" not in field:
        return field.strip()
    lines = field.rstrip().split("\n")
    first = next((number for number, line in enumerate(lines) if line.strip()), 0)
    return "\n".join(lines[first:]) if len(lines) - first > 1 else lines[first].strip()


def _sound(text: str) -> list[_Read]:
    """The instances of a reply by the letter of the schema, none missing; an empty list for any other reply."""
    examples = by_the_letter(text, "examples") or []
    for example in examples:
        if not isinstance(example, dict) or example.keys() != {"input", "output"}:
            return []
        if not all(isinstance(value, str) for value in example.values()):
            return []
    if any(text.count(f'"{key}"') != len(examples) for key in ("input", "output")):
        return []  # a key that stands twice, or a string that is one
    fields = [(_trimmed(storable(example["input"])), _trimmed(storable(example["output"]))) for example in examples]
    return [(Instance(input=given, output=output), None) for given, output in fields]


def _freed(read: list[_Read], instruction: str, *, is_classification: bool) -> list[_Read]:
    """The instances without their own markers, fences or quotes around all of a field, where that is certain."""
    inputs = [_bare(one.input, _INPUTS, instruction) for one, _ in read]
    outputs, faults = _answers(read, instruction)
    given, given_sure = unwrapped_alike(inputs, instruction)
    answers, answers_sure = unwrapped_alike(outputs, instruction)
    freed: list[_Read] = []
    for number, (before, reason) in enumerate(read):
        is_sure = given_sure[number] and answers_sure[number]
        instance = Instance(input=empty_if_none(_trimmed(given[number])), output=_trimmed(answers[number]))
        reason = reason or faults[number] or _fault(before, instance, instruction)
        freed.append((instance, reason or (None if is_sure else RejectReason.UNCERTAIN)))
    return without_lone_inputs(freed, [is_classification or bool(text.strip()) for text in inputs])


def _bare(field: str, kinds: frozenset[Kind], instruction: str) -> str:
    return without_fence(without_tag(_without_marker(field, kinds), instruction))


def _answers(read: list[_Read], instruction: str) -> tuple[list[str], list[RejectReason | None]]:
    """The outputs without what is said before and after them, and where that is not certain."""
    bare = [_bare(one.output, _OUTPUTS, instruction) for one, _ in read]
    tails = [without_tail(output, instruction, is_answer=False) for output in bare]
    return [without_preamble(text) for text, _ in tails], [reason for _, reason in tails]


def _fault(before: Instance, instance: Instance, instruction: str) -> RejectReason | None:
    """What a string holds that belongs to no field: its own marker and another's, an example more, a thought."""
    for written, field, is_output in ((before.input, instance.input, False), (before.output, instance.output, True)):
        if _ends_with_heading(field) or holds_another(field, instruction):
            return RejectReason.MARKER
        if _without_marker(written, _OUTPUTS if is_output else _INPUTS) != written and _holds_a_field(field):
            return RejectReason.MARKER
        fault = said_fault(field, instruction, is_output=is_output)
        if fault is not None:
            return fault
    return None


def _holds_a_field(field: str) -> bool:
    """Whether a later line begins with the marker of a field."""
    lines = field.split("\n")[1:]
    markers = [read_marker(line) for line in lines if len(line) < _MAX_MARKED]
    return any(marker is not None and marker.kind in FIELDS and not marker.is_weak for marker in markers)


def _ends_with_heading(field: str) -> bool:
    """Whether the last line is the heading of a further example, which never came."""
    before, _, last = field.rpartition("\n")
    marker = read_marker(last) if before.strip() and len(last) < _MAX_MARKED else None
    return marker is not None and marker.kind is Kind.EXAMPLE and bool(marker.name) and not marker.rest


def _without_marker(field: str, kinds: frozenset[Kind]) -> str:
    """A field without the marker of its own kind that a model wrote into the string."""
    first, newline, rest = field.partition("\n")
    if len(first) >= _MAX_MARKED or _MARKING.isdisjoint(first):  # as mostly
        return field
    marker = read_marker(first)
    if marker is None or marker.kind not in kinds or marker.is_weak or marker.number is not None:
        return field
    return f"{marker.rest}{newline}{rest}".strip()


_MARKING = frozenset(":：︰*_`#[【「")  # no marker that stands for more than a bare name has none of these
_INPUTS, _OUTPUTS = frozenset({Kind.INPUT}), frozenset({Kind.OUTPUT})
_MAX_MARKED = 2000


def _odd(text: str, items: list[JsonValue], read: list[tuple[Instance, RejectReason | None]]) -> str:
    """The first object that is whole and yet no example."""
    for item, (_, reason) in zip(items, read, strict=True):
        if reason is RejectReason.UNCERTAIN:
            return f"no input and output that are certain: {place(text, item.start)}"
    return ""


def _instance(text: str, item: JsonValue, instruction: str) -> tuple[Instance, RejectReason | None]:
    """What an object says, and why it is not certain that it is an instance."""
    inputs = [one for key, one in item.members if folded(key) in INPUT_KEYS]
    outputs = [one for key, one in item.members if folded(key) in OUTPUT_KEYS]
    given, answer = (_told(values[0]) if len(values) == 1 else None for values in (inputs, outputs))
    if given is None and answer is None and item.kind is not JsonKind.OBJECT:
        answer = text[item.start : item.end]
    instance = Instance(input=_trimmed(given or ""), output=_trimmed(answer or ""))
    if item.state is JsonState.TORN:
        return instance, RejectReason.TRUNCATED
    if "\ufffd" in f"{given}{answer}" and "\ufffd" not in text[item.start : item.end]:
        return instance, RejectReason.UNCERTAIN  # half of a character
    is_certain = item.is_whole and len(inputs) <= 1 and len(outputs) == 1 and (given is not None or not inputs)
    if not is_certain or not all(_is_explained(key, one, instruction) for key, one in item.members):
        return instance, RejectReason.UNCERTAIN
    if outputs[0].kind is JsonKind.NULL:
        return instance, RejectReason.EMPTY_OUTPUT
    return instance, RejectReason.UNCERTAIN if answer is None else None


def _told(value: JsonValue) -> str | None:
    """The text of a string, a boolean or a plain number; "" for null; None for what has no certain text."""
    if value.kind is JsonKind.STRING:
        return text_of(value)
    if value.kind is JsonKind.NULL:
        return ""
    is_plain = value.kind is JsonKind.BOOLEAN or _PLAIN_NUMBER.fullmatch(value.content) is not None
    return value.content if is_plain else None


def _is_explained(key: str, value: JsonValue, instruction: str) -> bool:
    """Whether a member can belong neither to the input nor to the output."""
    name = folded(key)
    if name in _REPEATED:
        return bool(instruction) and collapsed(value.content).casefold() == collapsed(instruction).casefold()
    return name in INPUT_KEYS or name in OUTPUT_KEYS or name in _REMARKS or (name in _NUMBERS and not value.items)


def _asides(text: str, item: JsonValue) -> list[str]:
    """What a whole object says beside its input and output."""
    return [
        f"{key}: {collapsed(text[one.start : one.end])}"
        for key, one in item.members
        if item.is_whole and folded(key) in _REMARKS and one.content
    ]
