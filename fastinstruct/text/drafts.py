"""What a grammar of markers makes of a reply: instances whose borders it vouches for, and its doubts.

Knows nothing of grammars; the values that they share.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from fastinstruct.records import RejectReason
from fastinstruct.text.layout import Layout
from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markers import read_marker
from fastinstruct.text.markup import collapsed, unwrapped
from fastinstruct.text.remarks import is_closing_remark, is_introduction

__all__ = ["Draft", "Reading", "doubt", "is_own_field", "is_said_before", "repeats"]

_MAX_ANNOUNCEMENT = 300
_MARKS = "\u0300-\u036f\u0591-\u05c7\u064b-\u065f\u0900-\u0903\u093a-\u094f"  # of letters, which \w leaves out
_OWN_FIELD = re.compile(rf"[^\W\d_][\w' {_MARKS}-]{{0,24}}[:：]\s*\S")
_HEADLINE = re.compile(
    r"[\s#*_]*(?:examples?|beispiele?|exemples?|ejemplos?|exemplos?|esempi|примеры|示例|例|例子|예시|أمثلة|"
    r"उदाहरण)[\s*_:：]*",
    re.I,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An instance as it stands in the reply; `reason` says what is wrong with its borders, if anything is."""

    input: str
    output: str
    reason: RejectReason | None = None
    has_input_marker: bool = False

    def because(self, reason: RejectReason | None) -> Draft:
        """Return the draft with this reason, unless it has one."""
        return self if self.reason is not None or reason is None else replace(self, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read; a doubt about one pairing is one about all of them.

    `doubt` says in a few words what kept the reply from being certain, and `place` is where.
    """

    drafts: tuple[Draft, ...] = ()
    doubt: str = ""
    place: str = ""


def doubt(words: str, place: str, drafts: tuple[Draft, ...] = ()) -> Reading:
    """A reading that nobody can be sure of."""
    return Reading(drafts=drafts, doubt=words, place=place)


def repeats(text: str, instruction: str) -> bool:
    """Whether a text is the task again."""
    told = collapsed(unwrapped(text)).casefold().rstrip(" .:：")
    return bool(told) and told == collapsed(instruction).casefold().rstrip(" .:：")


def is_said_before(layout: Layout, first: int, last: int, instruction: str) -> bool:
    """Whether what stands before a first marker is nothing, an introduction or the task again."""
    paragraphs = re.split(r"\n[ \t]*(?:\n[ \t]*)+", layout.text(first, last).strip("\n"))
    return all(_is_said(paragraph.strip(), instruction) for paragraph in paragraphs)


def _is_said(paragraph: str, instruction: str) -> bool:
    first, _, more = paragraph.partition("\n")
    marker = read_marker(first)
    if marker is not None and marker.kind in {Kind.TASK, Kind.ROLE}:
        told = f"{marker.rest}\n{more}".strip()
        return not told or repeats(told, instruction) or (marker.kind is Kind.ROLE and is_introduction(told))
    if marker is not None and marker.kind is Kind.EXAMPLE and marker.number is not None:
        return False
    if not paragraph.strip("-*_= \t\n") or is_introduction(paragraph) or repeats(paragraph, instruction):
        return True
    if is_closing_remark(paragraph):  # after the examples of another round
        return True
    if _HEADLINE.fullmatch(paragraph):
        return True
    return not more and paragraph.endswith((":", "：")) and len(paragraph) < _MAX_ANNOUNCEMENT


def is_own_field(text: str) -> bool:
    """Whether a text begins with a name of its own and a colon: "Sentence: ..."."""
    return _OWN_FIELD.match(text.lstrip()) is not None and not is_introduction(text)
