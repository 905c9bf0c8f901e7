"""A reply to the prompt of stage 1 as lines, each with what it begins with.

Knows nothing of lists: what a line belongs to is for who sees all of them. Takes any text, never raises, and takes time
linear in its length.

Every line loses the quote signs (`>`) and the marks that show nothing around its words. Rows of a table become lines of
the style "table". A line that holds several items in a row ("9. A. 10. B. 11. C.") becomes one line for each where the
consecutive numbers make that certain, and is marked as doubtful where they do not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from fastinstruct.text.inline_lists import first_on_a_preamble, pieces
from fastinstruct.text.instruction_noise import is_introduction
from fastinstruct.text.markup import collapsed
from fastinstruct.text.numbering import DECIMAL, INVISIBLE, Marker, markers_of, trimmed
from fastinstruct.text.tables import is_row, rows

__all__ = ["Line", "read_lines"]

_COLONS = (":", "：")
_MAX_LINE = 20_000  # characters; a longer one holds no list that a model was asked for
_QUOTED = re.compile(rf"[{INVISIBLE}]?(?:> ?){{1,8}}")
_FENCE = re.compile(r"`{3,}|~{3,}")
_HEADING = re.compile(r"#{1,6} ?\S")
_SECTION = re.compile(r"\d{1,3}\.\d{1,3}[.)]? [^\W\d_]")
_BOLD_LINE = re.compile(r"(?:\*\*|__)[^*_]+(?:\*\*|__)[:：]?")
_BREAK = re.compile(
    r"<br ?/?>[ \t]?(?=[*_(]{0,3}\d{1,4}[.)]|\n|\Z)|(?:\\n[ \t]?){1,4}(?=[*_(]{0,3}\d{1,4}[.)]|[-*•] )", re.IGNORECASE
)
_ENCLOSED = re.compile(r"(?P<quote>[\"'“「『«`])(?P<inner>.*[^\s\\])(?:[\"'”」』»`])[,;，；]?\Z")


_TAGGED = re.compile(
    r"\s{0,40}<(?P<name>(?:task|instruction|item|prompt|question)[ _-]?\d{0,3}|"
    r"li)(?: [^<>]{0,60})?>(?P<inner>(?:(?!</)[^\n])*)(?:</(?P=name)>\s*)?\Z",
    re.IGNORECASE,
)
_TAG = re.compile(
    r"\s{0,40}</?(?:tasks?|instructions?|items?|prompts?|questions?|list|ol|ul|li|answer|final|output|"
    r"response)(?: [^<>]{0,60})?>\s*",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A line: `text` is the whole of it, with white space collapsed; `markers` the readings of its beginning.

    `is_doubtful` says that it seems to hold several items, and that where they end is not certain.
    """

    text: str
    indent: int = 0
    markers: tuple[Marker, ...] = ()
    is_fence: bool = False
    is_heading: bool = False
    is_bold: bool = False
    is_doubtful: bool = False

    def of(self, style: str) -> Marker | None:
        """The reading of this style, if the line bears it."""
        for marker in self.markers:
            if marker.style == style:
                return marker
        return None


_BLANK = Line(text="")


def read_lines(text: str, *, first_number: int, is_opened: bool) -> list[Line]:
    """The lines of a reply, blank ones as lines without text.

    Args:
        text: the reply.
        first_number: the number after the last in-context instruction.
        is_opened: whether the reply starts inside that item, as a completion does.
    """
    raw = _BREAK.sub("\n", text).split("\n")
    lines: list[Line] = []
    position = 0
    while position < len(raw):
        if is_row(raw[position]):
            end = position
            while end < len(raw) and is_row(raw[end]):
                end += 1
            lines.extend(_table_line(row) for row in rows(raw[position:end]))
            position = end
            continue
        lines.append(_read(raw[position]))
        position += 1
    return list(_apart(lines, first_number, is_opened=is_opened))


def _table_line(row: Marker | str) -> Line:
    if isinstance(row, Marker):
        return Line(text=row.rest, markers=(row,))
    return Line(text=row, is_doubtful=True, markers=(Marker(style="table", number=0, rest=row),) if row else ())


def _read(raw: str) -> Line:
    tagged = _TAGGED.match(raw)
    if tagged:
        raw = tagged["inner"]
        rest = trimmed(raw)
        inner = markers_of(rest)
        rest = inner[0].rest if inner else rest
        return Line(text=rest or "<>", markers=(Marker(style="tag", number=0, rest=rest),))
    if _TAG.fullmatch(raw):
        return _BLANK
    quoted = _QUOTED.match(raw)
    if quoted:
        raw = raw[quoted.end() :]
    text = collapsed(trimmed(raw))
    if _FENCE.match(text):
        return Line(text=text, is_fence=True)
    if not any(map(str.isalnum, text)):
        return _BLANK
    indent = len(raw[: len(raw) - len(raw.lstrip())].expandtabs(4))
    markers = markers_of(text)
    enclosed = None if markers else _ENCLOSED.match(text)
    if enclosed:
        markers = markers_of(enclosed["inner"])
    if markers:
        return Line(text=text, indent=indent, markers=markers)
    return Line(
        text=text,
        indent=indent,
        is_heading=_HEADING.match(text) is not None,
        is_bold=_BOLD_LINE.fullmatch(text) is not None,
        is_doubtful=_is_section(text),
    )


def _is_section(text: str) -> bool:
    """Whether the line is a numbered part of an item ("9.1 Use rhyme."); "9.5 metres" is none."""
    found = _SECTION.match(text)
    return found is not None and text[found.end() - 1].isupper()


def _apart(lines: Sequence[Line], first_number: int, *, is_opened: bool) -> Iterator[Line]:
    """The lines, those with several items as one line for each."""
    numbers_after = _next_numbers(lines)
    awaits_list = is_first = True  # nothing but what introduces a list was said; nothing at all
    for place, line in enumerate(lines):
        if not line.text:
            yield line
        elif line.markers:
            yield from _pieces_of(line, numbers_after[place], keeps_first=True)
            awaits_list = is_first = is_opened = False
        elif is_opened:
            opened = Marker(style=DECIMAL, number=first_number, rest=line.text)
            yield from _pieces_of(replace(line, markers=(opened,)), numbers_after[place], keeps_first=False)
            awaits_list = is_opened = False
        elif awaits_list and len(line.text) <= _MAX_LINE:
            head, tail = first_on_a_preamble(line.text, first_number, is_first=is_first)
            yield replace(line, text=head) if tail else line
            if tail:
                marked = replace(line, text=tail, markers=markers_of(tail))
                yield from _pieces_of(marked, numbers_after[place], keeps_first=True)
            awaits_list = not tail  # a preamble may have several lines
            is_first = is_first and (line.text.endswith(_COLONS) or is_introduction(line.text))
        else:
            yield line


def _pieces_of(line: Line, number_after: int | None, *, keeps_first: bool) -> Iterator[Line]:
    found, is_doubtful = pieces(line.markers, number_after) if len(line.text) <= _MAX_LINE else (line.markers, True)
    if len(found) < 2 or is_doubtful:
        kept = line if keeps_first else replace(line, markers=())
        yield replace(kept, is_doubtful=True) if is_doubtful else kept
        return
    for place, marker in enumerate(found):
        keeps = place > 0 or keeps_first
        yield replace(line, text=marker.rest, markers=(marker,) if keeps else ())


def _next_numbers(lines: Sequence[Line]) -> list[int | None]:
    """For every line, the decimal number of the next line that has one."""
    after: list[int | None] = []
    number: int | None = None
    for line in reversed(lines):
        after.append(number)
        marker = line.of(DECIMAL)
        if marker:
            number = marker.number
    return after[::-1]
