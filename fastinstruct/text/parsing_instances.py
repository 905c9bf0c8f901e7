"""Instances out of a reply to a prompt of stage 3.

Knows nothing of filters. `parse_instances` takes any text, never raises, and takes time linear in its length.

A marker counts only at a line start, in bold or as a heading too: `Example 2`, `Input:`, `Output:`, `Class label:`,
`Task:`. So the words "example" and "input" inside content split nothing, nor does an indented line of code such as `
   Output: x`.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from fastinstruct.records import FinishReason, Instance
from fastinstruct.text.emptiness import empty_if_none
from fastinstruct.text.markup import cleaned, closed, collapsed, unwrapped, without_rules
from fastinstruct.text.phrases import is_preamble

__all__ = ["parse_instances"]

_MARKER = re.compile(
    r"[ ]{0,3}(?P<heading>\#{1,6}[ \t]*)?(?P<mark>[*_]{1,3})?"
    r"(?P<name>Input|INPUT|Output|OUTPUT|Task|TASK|Example|EXAMPLE|Class [Ll]abel|CLASS LABEL)"
    r"[ \t]*(?P<number>\d{1,3})?(?P<late>[*_]{1,3})?[ \t]*"
    r"(?P<colon>[:：])?(?P<dot>[.)–—-])?(?P<after>[*_]{1,3}(?=\s|$))?[ \t]*(?P<rest>.*)"
)


@dataclass(slots=True)
class _Field:
    """A marker and the lines up to the next one.

    `raw` is the marker's line as it stood; text before any marker has the name "".
    """

    name: str
    raw: str
    lines: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "\n".join(self.lines).strip()


def parse_instances(
    text: str, *, is_classification: bool, finish_reason: FinishReason, instruction: str = ""
) -> list[Instance]:
    """The instances in a reply, in order, unfiltered.

    Args:
        text: the reply.
        is_classification: whether it was asked for output-first: "Class label: X", then the input that carries it.
        Otherwise
            input-first: blocks that begin "Example k", or a single pair; an output without an input is a task that
            needs none. Inside a block, text without an output marker is the output; outside one it yields nothing.
        finish_reason: `LENGTH` drops the last instance, unless the model had gone on to another task by then.
        instruction: the task; a chat reply may begin by repeating it. Any other line that begins "Task:" ends the
        reply.

    Inputs such as "N/A" or "(none)" become empty.

    Source: arXiv:2212.10560, section 2.2 and appendix A.3, A.4.
    """
    text = cleaned(text)
    lines, is_cut = _without_fence(text.split("\n")), False
    if "Task" in text or "TASK" in text:  # mostly none does
        lines, is_cut = _up_to_next_task(lines, instruction)
    instances = list(_output_first(lines) if is_classification else _input_first(lines))
    return instances[:-1] if finish_reason is FinishReason.LENGTH and not is_cut else instances


def _without_fence(lines: list[str]) -> list[str]:
    """The lines without a code fence around a reply that begins with a marker inside it."""
    if not any(line.startswith("```") for line in lines):
        return lines
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if (
        len(filled) > 2
        and lines[filled[0]].startswith("```")
        and lines[filled[-1]].strip() == "```"
        and _name(lines[filled[1]])
    ):
        return lines[filled[1] : filled[-1]]
    return lines


def _up_to_next_task(lines: Sequence[str], instruction: str) -> tuple[list[str], bool]:
    """The lines before one that begins "Task:", and whether there was one."""
    kept: list[str] = []
    for line in lines:
        if _name(line) != "task":
            kept.append(line)
        elif not _repeats(line, instruction) or any(map(_name, kept)):
            return kept, True
    return kept, False


def _repeats(line: str, instruction: str) -> bool:
    marker = _MARKER.match(line)
    told = collapsed(unwrapped(closed(marker["rest"], marker["mark"]))) if marker else ""
    return bool(told) and told.casefold() == collapsed(instruction).casefold()


def _name(line: str) -> str:
    """What the line is a marker of, in lower case; "" if of nothing."""
    marker = _MARKER.match(line)
    return _marked(marker) if marker else ""


def _marked(marker: re.Match[str]) -> str:
    """What a line that looks like a marker is one of; "" if of nothing."""
    if marker["name"].lower() != "example":
        return _field_name(marker)
    if not marker["number"]:
        return ""
    follower = _MARKER.match(marker["rest"])  # "Example 1 Input: ..." on one line
    is_followed = follower is not None and _field_name(follower) in {"input", "output", "class label"}
    return "example" if not marker["rest"] or marker["colon"] or marker["dot"] or is_followed else ""


def _field_name(marker: re.Match[str]) -> str:
    is_heading = marker["heading"] and not marker["rest"] and not marker["dot"]
    return marker["name"].lower() if marker["colon"] or is_heading else ""


def _fields(lines: Sequence[str], names: set[str]) -> list[_Field]:
    """The reply cut at the markers of these names; text before the first is a field without a name."""
    fields = [_Field("", "")]
    for line in lines:
        marker = _MARKER.match(line)
        name = _marked(marker) if marker else ""
        if marker is None or name not in names:
            fields[-1].lines.append(line)
            continue
        rest = _after(marker)
        fields.append(_Field(name, line))
        if name == "example" and _name(rest) in names - {"example"}:
            fields.append(_Field(_name(rest), rest))
            rest = _rest(rest)
        fields[-1].lines.append(rest)
    return fields


def _rest(line: str) -> str:
    marker = _MARKER.match(line)
    return _after(marker) if marker else line


def _after(marker: re.Match[str]) -> str:
    return closed(marker["rest"], marker["mark"] if not (marker["late"] or marker["after"]) else None)


def _input_first(lines: Sequence[str]) -> Iterator[Instance]:
    block: list[_Field] = []
    in_example = False
    for part in [*_fields(lines, {"example", "input", "output"}), _Field("example", "")]:
        if part.name != "example":
            block.append(part)
            continue
        pair = _pair(block, in_example=in_example)
        if pair is not None:
            yield pair
        block, in_example = [_Field("", "", part.lines)], True


def _pair(block: Sequence[_Field], *, in_example: bool) -> Instance | None:
    outputs = [place for place, part in enumerate(block) if part.name == "output"]
    if outputs:
        given = _given(block[: outputs[0]], in_example=in_example)
        return Instance(input=given, output=without_rules(block[outputs[0]].text))
    is_blank = not any(part.name or part.text for part in block)
    return None if is_blank or not in_example else Instance(input="", output=without_rules(block[0].text))


def _given(parts: Sequence[_Field], *, in_example: bool) -> str:
    """The input: all that stands before the output, but for a preamble and the first marker."""
    texts: list[str] = []
    for part in parts:
        if not part.name:
            text = part.text if in_example else _without_preamble(part.text, is_introduction=len(parts) > 1)
        else:
            text = "\n".join([part.raw, *part.lines[1:]]).strip() if texts else part.text
        if text:
            texts.append(text)
    return empty_if_none(without_rules("\n".join(texts)))


def _without_preamble(text: str, *, is_introduction: bool) -> str:
    """Without a first paragraph such as "Sure! Here is one:", if an empty line or "Input:" sets it apart."""
    first, _, rest = text.partition("\n\n")
    is_apart = "\n" not in first.strip() and bool(rest or is_introduction)
    if is_apart and (is_preamble(first) or first.rstrip().endswith((":", "："))):
        return rest.strip()
    return text


def _output_first(lines: Sequence[str]) -> Iterator[Instance]:
    for part in _fields(lines, {"example", "class label"}):
        if part.name == "class label":
            label, _, given = part.text.partition("\n")
            given = given.strip()
            if _name(given.split("\n", 1)[0]) == "input":
                first, _, more = given.partition("\n")
                given = f"{_rest(first)}\n{more}"
            yield Instance(input=empty_if_none(without_rules(given)), output=unwrapped(label))
