"""The items of a list: which lines of a reply begin one, and which lines belong to it.

Knows nothing of what an item says but for its shape. Takes any lines, never raises, and takes time linear in them.

* An item starts only at a line's start, no deeper than the list itself, with one of the next three numbers, as models
  skip some. "2016. Then" splits nothing. Where all numbers are equal ("1." before each), each starts an item.
* A list that starts again at 1 is a list inside the item if the item ends with a colon or its numbers go on afterwards;
  else it is the next part of the reply's list.
* A heading ends an item: a markdown one, a bold line of its own, or a short line with a colon before the next item.
* A number that is neither the next nor inside a sentence makes its item doubtful; so does a line with several items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from fastinstruct.text.annotations import annotation_label, is_annotation
from fastinstruct.text.inline_lists import holds_a_task
from fastinstruct.text.instruction_noise import is_answer_heading, is_closing_remark, is_introduction, is_role
from fastinstruct.text.numbering import BULLET, DECIMAL, LABEL, Marker
from fastinstruct.text.reply_lines import Line
from fastinstruct.text.task_words import begins_a_task

__all__ = ["Item", "Listed", "descended", "is_title", "list_items", "list_style"]

# How far the numbers of two items may be apart: models skip one now and then, but "2016." is content.
_MAX_STEP = 3
_FIRST_YEAR = 1000  # four digits at a line start are a year, or an amount
_MAX_HEADING_WORDS = 6
_COLONS = (":", "：")
_ENDS = (".", "!", "?", "。", "！", "？", "…", "।", "؟", ")", "）", '"', "”", "’", "」", "*", "`", ";", "；")


@dataclass(slots=True)
class Item:
    """One item: its marker, and the lines that may belong to it, in paragraphs; the first line has no marker."""

    marker: Marker
    paragraphs: list[list[Line]] = field(default_factory=lambda: [[]])
    is_doubtful: bool = False

    @property
    def lines(self) -> list[Line]:
        """All its lines."""
        return [line for paragraph in self.paragraphs for line in paragraph]

    @property
    def last_text(self) -> str:
        """What its last line says; "" if it has none yet."""
        return next((paragraph[-1].text for paragraph in reversed(self.paragraphs) if paragraph), "")


@dataclass(slots=True)
class Listed:
    """A reply's items, and the lines around them that nothing explains.

    `follows_question` says that a question stands before them, `is_inner` that a task does whose steps they may be, and
    `is_repeated` that the list begins again at its first number: one of the two is a draft of the other.
    """

    items: list[Item] = field(default_factory=list)
    rest: list[str] = field(default_factory=list)
    follows_question: bool = False
    is_inner: bool = False
    is_repeated: bool = False


def list_style(lines: Sequence[Line], first_number: int) -> str | None:
    """The style of the markers that begin the reply's items; None if no marker is believable."""
    by_style: dict[str, list[tuple[Line, Marker]]] = {}
    order: list[str] = []
    for line in lines:
        for marker in line.markers:
            if marker.style not in by_style:
                by_style[marker.style] = []
                order.append(marker.style)
            by_style[marker.style].append((line, marker))
    believed = [
        style for style in order if _is_believable(style, [marker for _, marker in by_style[style]], first_number)
    ]
    if not believed:
        return None
    first_line = by_style[believed[0]][0][0]
    # "- Task: Write ..." is a label and a bullet: what more lines begin with counts.
    first = max((style for style in believed if first_line.of(style)), key=lambda style: len(by_style[style]))
    if first.startswith(BULLET) or first == LABEL:
        for style in believed[1:]:
            if (
                not style.startswith(BULLET)
                and style != LABEL
                and _outranks(by_style[style], by_style[first], first_number)
            ):
                return style
    return first


def _is_believable(style: str, markers: Sequence[Marker], first_number: int) -> bool:
    if style.startswith(BULLET) or style in (LABEL, "table", "tag"):
        return True
    numbers = [marker.number for marker in markers[:2]]
    counts_on = len(numbers) == 2 and 0 < numbers[1] - numbers[0] <= _MAX_STEP and numbers[0] < _FIRST_YEAR
    if style == DECIMAL:
        return numbers[0] <= max(first_number + _MAX_STEP, numbers[0] if counts_on else 0)
    return counts_on or (style in ("sign", "ideographic") and numbers[0] in (1, first_number))


def _outranks(
    numbered: Sequence[tuple[Line, Marker]], bulleted: Sequence[tuple[Line, Marker]], first_number: int
) -> bool:
    """Whether numbers, not the bullets before them, begin the items: the bullets are headings or a preface."""
    if len(numbered) < 2:
        return False
    if numbered[0][1].number == first_number > 1:
        return True
    base = min(line.indent for line, _ in bulleted)
    return all(is_title(marker.rest) for line, marker in bulleted if line.indent <= base + 1)


def is_title(text: str) -> bool:
    """Whether the text is short and no sentence, as a title or a category is."""
    bare = text.strip(" *_#").rstrip(":：").strip(" *_")
    return (
        bare.count(" ") < _MAX_HEADING_WORDS
        and not bare.endswith((".", "!", "?", "。", "！", "？"))
        and not begins_a_task(bare)
    )


def list_items(lines: Sequence[Line], style: str, first_number: int, *, is_opened: bool) -> Listed:
    """Deal the lines out to items.

    Args:
        lines: all lines of the reply.
        style: what `list_style` returned.
        first_number: the number after the last in-context instruction.
        is_opened: whether the reply starts inside that item.
    """
    start = 0 if is_opened else _start(lines, style, first_number)
    listed = _Dealer(lines[start:], style, first_number, is_opened=is_opened).deal()
    listed.rest[:0] = [line.text for line in lines[:start] if line.text]
    return listed


def _start(lines: Sequence[Line], style: str, first_number: int) -> int:
    """Where the list begins that goes on from the prompt, if another one, from 1, stands before it: a draft."""
    before: int | None = None
    for place, line in enumerate(lines):
        marker = line.of(style)
        if marker is None or style != DECIMAL:
            continue
        if marker.number == first_number and before is not None:
            return place if before < first_number - _MAX_STEP else 0
        before = marker.number
    return 0


def descended(listed: Listed, first_number: int) -> Listed:
    """The items below the items, if all of these are but categories: "* **Creative:**" with deeper bullets."""
    if not listed.items or not all(map(_is_category, listed.items)):
        return listed
    deeper = replace(listed, items=[])
    for item in listed.items:
        lines = item.lines[1:]
        style = list_style(lines, first_number)
        if style is None:
            return listed
        found = list_items(lines, style, first_number, is_opened=False)
        deeper.items.extend(found.items)
        deeper.rest.extend(found.rest)
    return deeper


def _is_category(item: Item) -> bool:
    lines = item.lines
    if len(lines) < 2 or item.is_doubtful or not is_title(lines[0].text):
        return False
    below = [line.markers[-1].rest for line in lines[1:] if line.markers]
    return all(line.indent > lines[0].indent + 1 for line in lines[1:]) and any(map(begins_a_task, below))


class _Dealer:
    """One pass over the lines; what comes next is looked up, never searched again."""

    def __init__(self, lines: Sequence[Line], style: str, first_number: int, *, is_opened: bool) -> None:
        self._lines = lines
        self._style = style
        marked = [(line, marker) for line in lines if (marker := line.of(style)) is not None]
        base = 0 if is_opened or not marked else marked[0][0].indent
        self._max_indent = base + 1
        numbers = [marker.number for line, marker in marked if line.indent <= self._max_indent]
        self._all_alike = len(numbers) > 1 and len(set(numbers)) == 1
        self._numbers = numbers
        self._seen = 0  # how many of them have been passed
        self._first_number = first_number
        self._last: int | None = first_number if is_opened else None
        self._inner = 0  # the last number of a list inside the current item
        self._listed = Listed()
        self._open = is_opened
        self._after_heading = self._after_blank = self._are_spaced = False
        self._fence_around = self._fence_inside = False
        if is_opened:
            self._listed.items.append(Item(Marker(style=style, number=first_number, rest="")))

    def deal(self) -> Listed:
        """Return the items and what stands around them."""
        after_blank = False
        upcoming = self._upcoming()
        for place, line in enumerate(self._lines):
            if not line.text:
                after_blank = True
                continue
            self._after_blank = after_blank
            if self._is_end(line):
                self._listed.rest.extend(left.text for left in self._lines[place:] if left.text)
                break
            self._take(line, after_blank=after_blank, before_item=upcoming[place])
            after_blank = False
        return self._listed

    def _upcoming(self) -> list[bool]:
        """For every line, whether the next line with text bears a marker of the list."""
        after: list[bool] = []
        is_item = False
        for line in reversed(self._lines):
            after.append(is_item)
            if line.text:
                is_item = line.of(self._style) is not None
        return after[::-1]

    def _is_end(self, line: Line) -> bool:
        """Whether the model has begun to speak for another: what follows is no list any more."""
        if not self._listed.items or line.markers:
            return self._is_other_list(line)
        return is_role(line.text) or is_answer_heading(line.text)

    def _is_other_list(self, line: Line) -> bool:
        """Whether a list starts again without a heading and, unlike the first, holds no tasks: answers, mostly."""
        marker = line.of(self._style)
        if not marker or marker.number != 1 or line.indent > self._max_indent or self._after_heading or self._all_alike:
            return False
        begins = self._last is not None and self._last > 1 and not self._open_with_colon() and not self._resumes()
        begins = begins and self._after_blank
        return begins and not begins_a_task(marker.rest)

    def _open_with_colon(self) -> bool:
        return bool(self._listed.items) and self._listed.items[-1].last_text.endswith(_COLONS)

    def _resumes(self) -> bool:
        """Whether the numbers go on from the last item's after the list that starts at the next 1."""
        position, expected = self._seen, 1
        while position < len(self._numbers) and self._numbers[position] == expected:
            position, expected = position + 1, expected + 1
        return position < len(self._numbers) and 0 < self._numbers[position] - (self._last or 0) <= _MAX_STEP

    def _take(self, line: Line, *, after_blank: bool, before_item: bool) -> None:
        items = self._listed.items
        marker = line.of(self._style)
        if line.is_fence:
            self._fence()
        elif self._fence_inside:
            items[-1].is_doubtful = True
            items[-1].paragraphs[-1].append(line)
        elif marker and self._starts_item(line, marker):
            first = Line(text=marker.rest, indent=line.indent, is_heading=marker.is_title_line)
            items.append(Item(marker, [[first] if marker.rest else []], is_doubtful=line.is_doubtful))
            self._open = True
        elif not items and line.text.endswith(("?", "？")):
            self._listed.follows_question = True
            self._listed.rest.append(line.text)
        elif not items and before_item and line.text.endswith(_COLONS) and holds_a_task(line.text):
            self._listed.is_inner = True
            self._listed.rest.append(line.text)
        elif not marker and self._is_heading(line, after_blank=after_blank, before_item=before_item):
            self._open, self._after_heading = False, True
        elif self._open and items:
            self._add(items[-1], line, marker, after_blank=after_blank)
        elif not self._is_said_around(line):
            self._listed.rest.append(line.text)

    def _fence(self) -> None:
        """A fence around the list is nothing; one inside an item makes it doubtful: its lines cannot become one."""
        if self._fence_inside:
            self._fence_inside = False
        elif self._fence_around:
            self._fence_around = self._open = False
        elif self._open and self._listed.items:
            self._fence_inside = True
        else:
            self._fence_around = True

    def _add(self, item: Item, line: Line, marker: Marker | None, *, after_blank: bool) -> None:
        is_flush = line.indent <= self._max_indent
        if marker and is_flush and self._is_stray(item, marker):
            item.is_doubtful = True
        if line.is_doubtful:
            item.is_doubtful = True
        if after_blank and item.paragraphs[-1]:
            item.paragraphs.append([])
        item.paragraphs[-1].append(line)

    def _is_stray(self, item: Item, marker: Marker) -> bool:
        """Whether a number at a line start is neither the next one, nor of a list inside, nor within a sentence."""
        if self._style.startswith(BULLET) or self._style == LABEL or self._inner == marker.number:
            return False
        before = item.last_text
        return marker.number < _FIRST_YEAR or before.endswith((".", "!", "?", "。", "！", "？"))

    def _is_said_around(self, line: Line) -> bool:
        text = line.text
        if self._listed.items:
            return is_closing_remark(text) or is_introduction(text) or is_annotation(text)
        if is_introduction(text):
            return not holds_a_task(text)
        return text.endswith(_COLONS) or line.is_heading or line.is_bold or is_title(text)

    def _is_heading(self, line: Line, *, after_blank: bool, before_item: bool) -> bool:
        if line.is_heading or (line.is_bold and after_blank and before_item and not annotation_label(line.text)):
            return True
        if is_annotation(line.text) or line.indent > self._max_indent:
            return False
        if self._open and not self._listed.items[-1].last_text:
            return False  # the item's own first line
        if line.is_bold and (after_blank or before_item):
            return is_title(line.text)
        if not before_item or line.markers:
            return False
        return self._is_plain_heading(line, after_blank=after_blank)

    def _is_plain_heading(self, line: Line, *, after_blank: bool) -> bool:
        """Whether a line before an item is a category: short, and not the end of a sentence that goes on."""
        if not is_title(line.text):
            return False
        if after_blank:
            return line.text.endswith(_COLONS) or (bool(self._listed.items) and not self._open_with_colon())
        if not line.text.endswith(_COLONS) or not self._listed.items:
            return False
        before = self._listed.items[-1].last_text
        return bool(before) and (before.endswith(_ENDS) or not line.text[0].islower())

    def _starts_item(self, line: Line, marker: Marker) -> bool:
        is_flush = line.indent <= self._max_indent
        number = marker.number
        if is_flush and self._style == DECIMAL and number == self._first_number > 1 and number < (self._last or 0):
            self._listed.is_repeated |= begins_a_task(marker.rest)
        if number == 0 or self._all_alike or self._style == "table":
            starts = is_flush
        elif not is_flush:
            starts = self._last is not None and not self._inner and number == self._last + 1 > 2
        else:
            starts = self._is_next(number)
        if starts:
            begins_anew = self._last is not None and number <= 1 < self._last
            self._are_spaced |= self._after_blank and self._last is not None and not begins_anew
            self._last, self._inner, self._after_heading = number, 0, False
        self._seen += is_flush
        return starts

    def _is_next(self, number: int) -> bool:
        if self._last is None:
            return number <= max(self._first_number + _MAX_STEP, self._numbers[0])
        if self._after_heading and number <= 1:
            return True
        if self._inner and number == self._inner + 1:
            self._inner = number
            return False
        if self._last < number <= self._last + _MAX_STEP or (number == self._last > 1):
            return True
        if number == 1:
            return self._begins_anew()
        return False

    def _begins_anew(self) -> bool:
        """Whether a number 1 goes on with the reply's list; else it begins a list inside the item."""
        stands_apart = self._after_blank and not self._are_spaced
        if self._open_with_colon() or self._resumes() or not stands_apart:
            self._inner = 1
            self._listed.items[-1].is_doubtful |= not self._open_with_colon()
            return False
        return self._last is not None and self._last > 1
