"""A reply as lines, with its markers and its fences: what stands where, and nothing of what it means.

Knows nothing of pairs or labels. Guarantees one pass over the lines and one over the markers; every index is a line of
the cleaned reply.

A line inside a fence that a field opened is content, whatever it looks like. A fence around markers (all of the reply,
or an example) is a wrapper: its own lines count as blank.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from fastinstruct.text.marker_names import Kind
from fastinstruct.text.markers import Marker, read_markers
from fastinstruct.text.remarks import is_closing_remark

__all__ = ["FIELDS", "Layout", "Token", "between", "fence_sizes", "is_blank_or_rule", "lay_out"]

FIELDS = frozenset({Kind.INPUT, Kind.OUTPUT, Kind.ANSWER, Kind.LABEL, Kind.CATEGORY})
"""What begins a field of an example."""

_FENCE = re.compile(r"[ ]{0,3}(?P<fence>`{3,}|~{3,})(?P<info>[^`\n]{0,60})")
_MAX_MARKED = 1000  # lines; a model that writes more markers goes round in circles
_RULE = re.compile(r"[ ]{0,3}[-*_=]{3,}[ ]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A marker and where it stands; `is_apart` says whether a blank line, a rule or nothing stands above it."""

    marker: Marker
    line: int
    is_apart: bool

    @property
    def kind(self) -> Kind:
        """What the marker begins."""
        return self.marker.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A reply's lines and markers.

    Attributes:
        lines: the lines; those of a wrapper fence are empty.
        tokens: the markers outside the fields' own fences, in order.
        fenced: the markers inside them.
        has_odd_fence: whether a fence is never closed, or a wrapper closes where it should not.
        is_crowded: whether there are more markers than any example has; none is given then.
    """

    lines: Sequence[str]
    tokens: tuple[Token, ...]
    fenced: tuple[Token, ...]
    has_odd_fence: bool
    is_crowded: bool = False

    def text(self, first: int, last: int) -> str:
        """The lines from `first` up to, not including, `last`."""
        return "\n".join(self.lines[first:last])

    def is_blank(self, first: int, last: int) -> bool:
        """Whether nothing but white space and rules stands there."""
        return all(is_blank_or_rule(line) for line in self.lines[first:last])

    def field(self, token: Token, end: int) -> str:
        """The text of the field that a token begins and that ends before line `end`."""
        return "\n".join([token.marker.rest, *self.lines[token.line + 1 : end]])


def is_blank_or_rule(line: str) -> bool:
    """Whether a line says nothing."""
    return not line or line.isspace() or _RULE.fullmatch(line) is not None


def fence_sizes(line: str) -> tuple[str, int, str] | None:
    """The sign, the length and the language of a fence's line; None for another line."""
    if not line.lstrip(" ").startswith(("```", "~~~")):
        return None
    found = _FENCE.fullmatch(line.rstrip())
    return None if found is None else (found["fence"][0], len(found["fence"]), found["info"].strip())


def between(tokens: Sequence[Token], first: int, last: int) -> Sequence[Token]:
    """The tokens from a line up to, not including, another."""
    place = bisect_left(tokens, first, key=lambda token: token.line)
    return tokens[place : bisect_left(tokens, last, lo=place, key=lambda token: token.line)]


def lay_out(text: str) -> Layout:
    """Read the lines of a cleaned reply."""
    lines = text.split("\n")
    marked = list(islice(_marked(lines), _MAX_MARKED + 1))
    if len(marked) > _MAX_MARKED:
        return Layout(lines=lines, tokens=(), fenced=(), has_odd_fence=False, is_crowded=True)
    inside, has_odd_fence = (
        _fenced_lines(lines, dict(marked)) if "```" in text or "~~~" in text else (frozenset(), False)
    )
    tokens: list[Token] = []
    fenced: list[Token] = []
    for number, markers in marked:
        is_apart = number == 0 or is_blank_or_rule(lines[number - 1])
        for marker in markers:
            (fenced if number in inside else tokens).append(Token(marker=marker, line=number, is_apart=is_apart))
    return Layout(lines=lines, tokens=tuple(tokens), fenced=tuple(fenced), has_odd_fence=has_odd_fence)


def _marked(lines: Sequence[str]) -> Iterator[tuple[int, tuple[Marker, ...]]]:
    for number, line in enumerate(lines):
        if line and (found := read_markers(line)):
            yield number, found


def _fenced_lines(lines: list[str], marked: dict[int, tuple[Marker, ...]]) -> tuple[frozenset[int], bool]:
    """The lines inside fields' fences, and whether a fence is odd; empties the lines of wrapper fences."""
    inside: set[int] = set()
    following = _next_filled(lines)
    opened: tuple[str, int] | None = None
    wrapper: tuple[str, int] | None = None
    opened_at, in_field, is_odd = 0, False, False
    for number, line in enumerate(lines):
        fence = fence_sizes(line)
        if opened is not None:
            if _closes(fence, opened):
                opened = None
            else:
                inside.add(number)
        elif fence is None:
            in_field = _is_in_field(marked.get(number, ()), in_field)
            opened, opened_at = _opened_by(marked.get(number, ())), number
        elif wrapper is not None and _closes(fence, wrapper):
            is_odd = is_odd or not _may_end(lines, marked, following[number + 1])
            lines[number], wrapper, in_field = "", None, False
        elif wrapper is None and not in_field and _wraps(lines, marked, following[number + 1]):
            lines[number], wrapper = "", fence[:2]
        else:
            opened, opened_at = fence[:2], number
    if opened is not None:  # it protects nothing: what follows may well be the next example
        inside -= set(range(opened_at, len(lines)))
    return frozenset(inside), is_odd or opened is not None or wrapper is not None


def _next_filled(lines: Sequence[str]) -> list[int]:
    """For each line, the first one from there that is not blank."""
    following = [len(lines)] * (len(lines) + 1)
    for number in range(len(lines) - 1, -1, -1):
        following[number] = following[number + 1] if is_blank_or_rule(lines[number]) else number
    return following


def _closes(fence: tuple[str, int, str] | None, opened: tuple[str, int]) -> bool:
    return fence is not None and not fence[2] and fence[0] == opened[0] and fence[1] >= opened[1]


def _opened_by(markers: Sequence[Marker]) -> tuple[str, int] | None:
    """The fence that opens on the line of a field's marker ("Input: ```python"), if one does."""
    fence = fence_sizes(markers[-1].rest) if markers and markers[-1].kind in FIELDS else None
    return fence[:2] if fence is not None and " " not in fence[2] else None


def _is_in_field(markers: Sequence[Marker], in_field: bool) -> bool:  # a state, not an option
    for marker in markers:
        if marker.kind is Kind.EXAMPLE:
            in_field = False
        elif marker.kind in FIELDS:
            in_field = True
    return in_field


def _wraps(lines: Sequence[str], marked: dict[int, tuple[Marker, ...]], number: int) -> bool:
    return number in marked or (number < len(lines) and lines[number].lstrip().startswith(("{", "[")))


def _may_end(lines: list[str], marked: dict[int, tuple[Marker, ...]], number: int) -> bool:
    """Whether a wrapper may end before this line: only a marker follows, or a closing remark, which is emptied."""
    if number == len(lines) or number in marked:
        return True
    end = number
    while end < len(lines) and not is_blank_or_rule(lines[end]) and end not in marked:
        end += 1
    if not is_closing_remark(" ".join(lines[number:end])):
        return False
    lines[number:end] = [""] * (end - number)
    return True
