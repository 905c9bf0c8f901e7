"""Which label belongs to which text: the grammar of a reply to a prompt for labelled texts.

Knows nothing of what a text or a label says, but that a label is one short line. Guarantees that a draft without a
reason, in a reading without a doubt, is vouched for by the whole reply: a label stands above its text, or under it, in
all of it, and what stands before the first label, after the last and the blank lines all say which.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from fastinstruct.records import RejectReason
from fastinstruct.text.drafts import Draft, Reading, doubt, is_said_before
from fastinstruct.text.layout import Layout, Token, between, is_blank_or_rule
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markup import unwrapped
from fastinstruct.text.remarks import is_closing_remark
from fastinstruct.text.tasks_in_text import is_content, next_task

__all__ = ["read_labels"]

_MAX_LABEL_CHARS, _MAX_LABEL_WORDS = 80, 8
_REASON = re.compile(
    r"[(（,–—:-] ?(?:because|since|due to|as (?:it|the)|weil|parce que|porque|perché|потому|因为)\b", re.IGNORECASE
)
_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Label:
    """A label and what stands around it: lines, the last ones not included."""

    token: Token
    text: str
    first: int  # where what stands under it begins
    start: int  # where what stands above it begins
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reply:
    layout: Layout
    tokens: Sequence[Token]
    end: int
    instruction: str
    is_torn: bool


def read_labels(layout: Layout, *, instruction: str, is_torn: bool) -> Reading:
    """Read a reply that gives texts with their labels."""
    kinds = [token.kind for token in layout.tokens]
    chosen = next((kind for kind in (Kind.LABEL, Kind.OUTPUT, Kind.CATEGORY, Kind.ANSWER) if kind in kinds), None)
    if chosen is None:
        return doubt("no label", layout.text(0, 9))
    stop, is_clear = next_task(layout, chosen)
    end = len(layout.lines) if stop is None else stop.line
    tokens = [token for token in layout.tokens if token.line < end]
    reply = _Reply(layout=layout, tokens=tokens, end=end, instruction=instruction, is_torn=is_torn and stop is None)
    heads = _heads(reply, chosen)
    labels = _labels(reply, chosen, heads)
    if not is_clear:
        return doubt("a task among the texts", layout.lines[end], _apart(reply, labels))
    fault = _fault(reply, chosen, labels)
    reading = doubt(*fault) if fault else _read(reply, labels, heads)
    return reading if not reading.doubt else doubt(reading.doubt, reading.place, _apart(reply, labels))


def _labels(reply: _Reply, kind: Kind, heads: Sequence[Token]) -> list[_Label]:
    """The labels, each with the lines from the label before it, or an example's heading, to the next one."""
    is_head = set(map(id, heads))
    borders = [token for token in reply.tokens if token.kind is kind or id(token) in is_head]
    ends = [token.line for token in borders[1:]] + [reply.end]
    labels: list[_Label] = []
    start = 0
    for token, end in zip(borders, ends, strict=True):
        if token.kind is not kind:
            start = token.line + 1
            continue
        text, first = _label_text(reply.layout, token, end)
        labels.append(_Label(token=token, text=text, first=first, start=start, end=end))
        start = first
    return labels


def _heads(reply: _Reply, kind: Kind) -> list[Token]:
    """The headings of examples; numbers that stand alone are some where there is one for each label."""
    numbered = [token for token in reply.tokens if token.kind is Kind.EXAMPLE and token.marker.number is not None]
    named = [token for token in numbered if token.marker.name]
    if named:
        return named
    count = sum(token.kind is kind for token in reply.tokens)
    numbers = [token.marker.number for token in numbered]
    return numbered if numbers in (list(range(1, count + 1)), list(range(1, count + 2))) else []


def _label_text(layout: Layout, token: Token, end: int) -> tuple[str, int]:
    """A label, from its marker's line or else the next one, and the line after it."""
    if token.marker.rest.strip():
        return token.marker.rest, token.line + 1
    line = token.line + 1
    while line < end and is_blank_or_rule(layout.lines[line]):
        line += 1
    return (layout.lines[line], line + 1) if line < end else ("", end)


def _fault(reply: _Reply, kind: Kind, labels: Sequence[_Label]) -> tuple[str, str] | None:
    """What makes all of the reply uncertain, whatever order its labels and texts have."""
    layout = reply.layout
    if layout.has_odd_fence and not reply.is_torn:
        return "a fence that does not close", layout.text(0, 9)
    rivals = ({Kind.OUTPUT, Kind.LABEL} | ({Kind.ANSWER} if kind is Kind.OUTPUT else set())) - {kind}
    for token in reply.tokens:
        if token.kind in rivals:
            return "labels of two kinds", layout.lines[token.line]
    whole = labels[:-1] if reply.is_torn else labels
    for label in whole:
        if not _is_label(label.text):
            return "a label that is none", label.text or layout.lines[label.token.line]
    if any(token.kind is kind for token in layout.fenced):
        return "a label inside a fence", layout.text(0, 9)
    if len({label.token.marker.full_dress for label in labels}) > 1:
        return "labels written in two ways", layout.lines[labels[-1].token.line]
    inputs = [token for token in reply.tokens if token.kind is Kind.INPUT]
    is_cut_short = reply.is_torn and labels[0].token.line < inputs[0].line if inputs else False
    if inputs and len(inputs) < len(labels) - is_cut_short:
        return "texts with a marker among texts without one", layout.lines[inputs[0].line]
    return None


def _is_label(text: str) -> bool:
    text = unwrapped(text)
    if _REASON.search(text):
        return False
    return bool(text) and len(text) <= _MAX_LABEL_CHARS and len(text.split()) <= _MAX_LABEL_WORDS


def _read(reply: _Reply, labels: Sequence[_Label], heads: Sequence[Token]) -> Reading:
    if heads and len(heads) >= len(labels):
        return _headed(reply, labels, heads)
    if heads:
        return doubt("labels without headings among labels with one", reply.layout.lines[heads[0].line])
    return _in_order(reply, labels, is_headed=False)


def _headed(reply: _Reply, labels: Sequence[_Label], heads: Sequence[Token]) -> Reading:
    numbers = [head.marker.number for head in heads]
    torn = len(heads) == len(labels) + 1
    if numbers != list(range(1, len(heads) + 1)) or (torn and not reply.is_torn) or len(heads) > len(labels) + 1:
        return doubt("headings out of order", reply.layout.lines[heads[-1].line])
    if len({head.marker.full_dress for head in heads}) > 1:
        return doubt("headings of two kinds", reply.layout.lines[heads[-1].line])
    if not is_said_before(reply.layout, 0, heads[0].line, reply.instruction):
        return doubt("text before the first marker", reply.layout.text(0, heads[0].line))
    if any(label.token.line < head.line for label, head in zip(labels, heads, strict=False)):
        return doubt("a heading without its label", reply.layout.lines[heads[0].line])
    return _in_order(reply, labels, is_headed=True)


def _in_order(reply: _Reply, labels: Sequence[_Label], *, is_headed: bool) -> Reading:
    """Read labels above their texts, or under them, whichever the reply allows; a doubt where it is neither or both."""
    above = _above(reply, labels, is_headed=is_headed)
    under = _under(reply, labels, is_headed=is_headed)
    if above is None and under is None:
        return doubt("labels whose texts are not certain", reply.layout.lines[labels[0].token.line])
    if above is not None and under is not None:
        return doubt("labels that may stand above or under their texts", reply.layout.lines[labels[0].token.line])
    drafts = above if above is not None else under
    return Reading(drafts=tuple(drafts or ()))


def _above(reply: _Reply, labels: Sequence[_Label], *, is_headed: bool) -> list[Draft] | None:
    """The texts under their labels; None if the reply speaks against it."""
    layout = reply.layout
    if not (is_headed or is_said_before(layout, 0, labels[0].token.line, reply.instruction)):
        return None
    drafts = []
    for place, label in enumerate(labels):
        is_last = place == len(labels) - 1
        is_torn = is_last and reply.is_torn
        text = _text(reply, label.first, label.end)
        if is_headed and not layout.is_blank(label.start, label.token.line):
            return None
        if not is_torn and not _without_remark(text).strip():
            return None
        if place and not is_headed and _leans_up(layout, label):
            return None
        draft = Draft(input=text, output=label.text, reason=_reason(reply, label.first, label.end))
        drafts.append(draft.because(RejectReason.TRUNCATED if is_torn else None))
    return drafts


def _under(reply: _Reply, labels: Sequence[_Label], *, is_headed: bool) -> list[Draft] | None:
    """The texts above their labels; None if the reply speaks against it."""
    layout = reply.layout
    drafts = []
    for place, label in enumerate(labels):
        start = label.start
        if not place and not is_headed:
            start = _after_introduction(reply, label.token.line)
        text = _text(reply, start, label.token.line)
        if not text.strip() or (place and not is_headed and _leans_down(layout, labels[place - 1])):
            return None
        if is_headed and not _is_over(reply, label):
            return None
        drafts.append(Draft(input=text, output=label.text, reason=_reason(reply, start, label.token.line)))
    last = labels[-1]
    rest = layout.text(last.first, last.end)
    if reply.is_torn:
        is_whole = bool(rest.strip()) and is_blank_or_rule(layout.lines[last.first])
        if rest.strip() and not all(_stands_under(layout, label) for label in labels):
            return None  # what follows the last label may be its own text
        drafts[-1] = drafts[-1].because(None if is_whole else RejectReason.TRUNCATED)
        if is_whole:
            drafts.append(Draft(input=rest, output="", reason=RejectReason.TRUNCATED))
    elif not _is_over(reply, last):
        return None
    return drafts


def _is_over(reply: _Reply, label: _Label) -> bool:
    """Whether nothing stands under a label but a closing remark."""
    rest = reply.layout.text(label.first, label.end).strip("-*_= \n\t")
    return not rest or is_closing_remark(rest)


def _after_introduction(reply: _Reply, end: int) -> int:
    """The line where the first text begins, after an introduction in paragraphs of its own."""
    lines, start = reply.layout.lines, 0
    inputs = [token.line for token in between(reply.tokens, 0, end) if token.kind is Kind.INPUT]
    if inputs and is_said_before(reply.layout, 0, inputs[0], reply.instruction):
        return inputs[0]
    for line in range(end):
        if is_blank_or_rule(lines[line]):
            if not is_said_before(reply.layout, start, line, reply.instruction):
                return start
            start = line + 1
    return start


def _leans_up(layout: Layout, label: _Label) -> bool:
    """Whether a label stands right under the text above it, and apart from the one under it."""
    return not label.token.is_apart and label.first < len(layout.lines) and is_blank_or_rule(layout.lines[label.first])


def _stands_under(layout: Layout, label: _Label) -> bool:
    """Whether a label stands right under a text, and apart from what follows."""
    return not label.token.is_apart and is_blank_or_rule(layout.lines[label.first])


def _leans_down(layout: Layout, previous: _Label) -> bool:
    """Whether a label stands apart from the text above it, and right above the next label's."""
    is_near = previous.first < len(layout.lines) and not is_blank_or_rule(layout.lines[previous.first])
    return is_near and previous.token.is_apart


def _text(reply: _Reply, first: int, last: int) -> str:
    """A text, without the marker of an input at its beginning."""
    for token in between(reply.tokens, first, last)[:1]:
        if token.kind is Kind.INPUT and reply.layout.is_blank(first, token.line):
            return reply.layout.field(token, last)
    return reply.layout.text(first, last)


def _reason(reply: _Reply, first: int, last: int) -> RejectReason | None:
    """What is wrong with a text that holds what looks like a marker."""
    inside = between(reply.tokens, first, last)
    inputs = [token for token in inside if token.kind is Kind.INPUT]
    if len(inputs) > 1 or (inputs and not reply.layout.is_blank(first, inputs[0].line)):
        return RejectReason.MARKER
    if any(token.kind in {Kind.ROLE, Kind.LABEL, Kind.OUTPUT} for token in inside):
        return RejectReason.MARKER
    if any(map(_is_heading, inside)):
        return RejectReason.MARKER
    tasks = [token for token in inside if token.kind is Kind.TASK]
    is_sound = all(is_content(reply.layout, token, tasks, last, reply.instruction) for token in tasks)
    return None if is_sound else RejectReason.MARKER


def _is_heading(token: Token) -> bool:
    """Whether a token is an example's heading; "### 1. Cats" inside a text may well be its own."""
    is_title = not token.marker.name and token.marker.rest != ""
    return token.kind is Kind.EXAMPLE and token.marker.number is not None and not is_title


def _without_remark(text: str) -> str:
    before, _, last = text.strip().rpartition("\n\n")
    return before if is_closing_remark(last) else text


def _apart(reply: _Reply, labels: Sequence[_Label]) -> tuple[Draft, ...]:
    """The texts as they would be under their labels, or above them where nothing stands under the last."""
    is_under = not reply.layout.text(labels[-1].first, labels[-1].end).strip()
    drafts = []
    for label in labels:
        borders = (label.start, label.token.line) if is_under else (label.first, label.end)
        text = reply.layout.text(*borders)
        drafts.append(Draft(input=text, output=label.text, reason=RejectReason.UNCERTAIN))
    return tuple(drafts)
