"""Instances out of a reply to a prompt of stage 3.

Knows nothing of filters. `parse_instances` takes any text, never raises, and takes time linear in its length.

An instance is kept only if its fields and their borders are certain; where one pairing is in doubt, all of the reply's
instances are rejected. How markers order a reply is for `pairing` and `labelling`; what stands around a field is for
`fields`; a reply that is JSON, though it was asked for as text, is for `structured`.
"""

import re
from collections.abc import Sequence

from fastinstruct.records import FinishReason, Instance, RejectReason
from fastinstruct.text.drafts import Draft, Reading
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.fields import cleaned_field, unwrapped_alike, without_lone_inputs
from fastinstruct.text.labelling import read_labels
from fastinstruct.text.layout import Layout, lay_out
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markup import cleaned, collapsed, unwrapped
from fastinstruct.text.pairing import read_pairs
from fastinstruct.text.parsed import Parsed
from fastinstruct.text.structured import is_json_like, read_examples

__all__ = ["parse_instances"]

_QUOTED_CHARS = 60
_TORN = frozenset({FinishReason.LENGTH, FinishReason.CONTENT_FILTER})


def parse_instances(
    text: str, *, is_classification: bool, finish_reason: FinishReason, instruction: str = ""
) -> Parsed[Instance]:
    """Read the instances in a reply, in order, unfiltered.

    Args:
        text: the reply.
        is_classification: whether it was asked for labels and the texts that carry them; else for inputs and outputs,
            or outputs alone. Text without a marker is no output.
        finish_reason: `LENGTH` (and `CONTENT_FILTER`) make the last instance a torn one, unless the model had gone on
            to another task by then.
        instruction: the task; a reply may repeat it, and a task about quotes or examples reads them otherwise.

    Inputs such as "N/A" or "(none)" become empty.

    Source: arXiv:2212.10560, section 2.2 and appendix A.3, A.4.
    """
    text = cleaned(text)
    if not text.strip():
        return Parsed()
    if (thought := _THOUGHT.search(text)) is not None:  # it was not told apart from the answer, so nothing is certain
        return Parsed(rest=text.strip(), stumbled_over=_told("a thought among the examples", text[thought.start() :]))
    layout, is_torn = lay_out(text), finish_reason in _TORN
    if layout.is_crowded:
        return Parsed(rest=text.strip(), stumbled_over=_told("more markers than any example has", text))
    if not _has_outputs(layout) and is_json_like(text):
        return read_examples(text, is_torn=is_torn, instruction=instruction, is_classification=is_classification)
    read = read_labels if is_classification else read_pairs
    reading = read(layout, instruction=instruction, is_torn=is_torn)
    if layout.has_odd_fence and not is_torn and not reading.doubt:
        reading = Reading(drafts=reading.drafts, doubt="a fence that does not close", place=text)
    return _parsed(text, reading, is_classification=is_classification, instruction=instruction)


def _has_outputs(layout: Layout) -> bool:
    return any(token.kind in {Kind.OUTPUT, Kind.ANSWER, Kind.LABEL, Kind.CATEGORY} for token in layout.tokens)


def _parsed(text: str, reading: Reading, *, is_classification: bool, instruction: str) -> Parsed[Instance]:
    """What a reading comes to, its fields freed of what stands around them."""
    judged = _instances(reading.drafts, is_classification=is_classification, instruction=instruction)
    if reading.doubt:
        judged = [(instance, reason or RejectReason.UNCERTAIN) for instance, reason in judged]
    return Parsed(
        kept=tuple(instance for instance, reason in judged if reason is None),
        rejected=tuple((instance, reason) for instance, reason in judged if reason is not None),
        rest=text.strip() if reading.doubt else "",
        stumbled_over=_told(reading.doubt, reading.place) if reading.doubt else _first_fault(judged),
    )


def _told(words: str, place: str) -> str:
    begin = collapsed(place[: 4 * _QUOTED_CHARS])
    return f"{words}: “{begin[:_QUOTED_CHARS]}{'…' if len(begin) > _QUOTED_CHARS else ''}”"


def _first_fault(judged: Sequence[tuple[Instance, RejectReason | None]]) -> str:
    """What kept the first rejected instance from being certain, where none was kept."""
    if not judged or any(reason is None for _, reason in judged):
        return ""
    instance, reason = judged[0]
    return _told(f"rejected as {reason}", instance.output or instance.input)


def _instances(
    drafts: Sequence[Draft], *, is_classification: bool, instruction: str
) -> list[tuple[Instance, RejectReason | None]]:
    inputs = [
        cleaned_field(draft.input, is_output=False, instruction=instruction, is_labelled=is_classification)
        for draft in drafts
    ]
    if is_classification:
        outputs: list[tuple[str, RejectReason | None]] = [(unwrapped(draft.output), None) for draft in drafts]
    else:
        outputs = [cleaned_field(draft.output, is_output=True, instruction=instruction) for draft in drafts]
    given, given_sure = unwrapped_alike(_without_questions([field for field, _ in inputs]), instruction)
    answers, answers_sure = unwrapped_alike([field for field, _ in outputs], instruction)
    judged = []
    for place, draft in enumerate(drafts):
        is_sure = given_sure[place] and answers_sure[place]
        if len(drafts) == 1 and not given[place] and _holds_a_pair(answers[place]):
            is_sure = "json" in instruction.casefold()
        reason = draft.reason or inputs[place][1] or outputs[place][1] or (None if is_sure else RejectReason.UNCERTAIN)
        judged.append((Instance(input=empty_if_none(given[place]), output=answers[place].strip()), reason))
    return without_lone_inputs(judged, [is_classification or bool(text.strip()) for text in given])


_THOUGHT = re.compile(
    r"^[ \t]{0,3}(?:</?(?:think|thinking|thought|reasoning|seed:think)>|\[/?THINK\]|◁/?think▷|<\|channel\|>|"
    r"<\|start\|>assistant)",
    re.IGNORECASE | re.MULTILINE,
)


def _without_questions(inputs: Sequence[str]) -> list[str]:
    """The inputs without "Question:" before each, a name of the input where its output is called the answer."""
    filled = [text for text in inputs if text]
    if not filled or not all(map(_QUESTION.match, filled)):
        return list(inputs)
    return [_QUESTION.sub("", text, count=1) for text in inputs]


_QUESTION = re.compile(
    r"[*_]{0,3}(?:question|frage|pregunta|pergunta|domanda|вопрос|问题|問題|質問|질문|سؤال|السؤال|प्रश्न|सवाल)"
    r"[*_]{0,3} ?[:：][*_]{0,3}\s*",
    re.IGNORECASE,
)


_TEXT_OUTPUT = re.compile(r"[\"'](?:output|answer|response)[\"']\s*:\s*[\"']", re.IGNORECASE)


def _holds_a_pair(output: str) -> bool:
    """Whether an output is JSON that holds an input and an output itself."""
    if not output.startswith(("{", "[")) or _TEXT_OUTPUT.search(output) is None:
        return False
    return is_json_like(output) and bool(read_examples(output, is_torn=False).kept)
