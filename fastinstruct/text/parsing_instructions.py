"""Instructions out of a reply to the prompt of stage 1.

Knows nothing of filters. `parse_instructions` takes any text, never raises, and takes time linear in its length.

A reply is read line by line. What its first marker is, a number, a bullet or a label ("Task:"), decides what starts
an item; whatever else follows an item's first line belongs to it:

* an item starts only at a line start, no deeper than the list itself;
* in a numbered list only with one of the next three numbers, as models skip some. So "2016. Then", or a list that
  restarts at 1 inside an item, splits nothing. After a heading the list may restart. Where all numbers are equal
  ("1." before each), each starts an item;
* a paragraph after an empty line belongs to the item in a chat reply, if another item follows; after the last item
  it is taken for a closing remark, unless the other items have such paragraphs too. In completions it never belongs:
  a base model that leaves the list has begun to do the task.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import dropwhile

from fastinstruct.records import Api, FinishReason
from fastinstruct.text.markup import cleaned, closed, collapsed, unwrapped
from fastinstruct.text.phrases import is_preamble, is_remark

__all__ = ["parse_instructions"]

# How far the numbers of two items may be apart: models skip one now and then, but "2016." is content.
_MAX_STEP = 3
_FIRST_YEAR = 1000  # four digits at a line start are a year, or an amount

_LABELS = (
    r"task|instruction|item|prompt|question|exercise|aufgabe|anweisung|tâche|consigne|tarea|instrucción|tarefa|instrução|compito|"
    r"задача|задание|инструкция|任务|任務|指令|题目|題目|タスク|課題|指示|작업|과제|지시"
)
# These match a line whose runs of white space are single spaces.
_NUMBERED = re.compile(
    rf"(?:\#{{1,6}} ?|> ?)?(?P<mark>[*_]{{1,3}})?(?:(?P<label>{_LABELS}) ?)?(?:[#№] ?|No\. ?)?"
    r"(?:[(（\[【](?P<enclosed>\d{1,4})[)）\]】][.:：、]?"
    r"|(?P<plain>\d{1,4}) ?(?P<late>[*_]{1,3})?(?:[.)）:：、．。](?!\d)| ?[-–—] |(?(label) ?$|(?!))))"
    r"(?P<after>[*_]{1,3}(?=\s|$))?",
    re.IGNORECASE,
)
_BULLET = re.compile(r"(?:[-*+–—] |[•‣◦·●○▪■□►➤] ?)(?:\[[ xX]\] ?)?(?=\S)")
_LABELLED = re.compile(
    rf"(?P<mark>[*_]{{1,3}})?(?:{_LABELS}) ?\d{{0,4}}(?P<late>[*_]{{1,3}})? ?[:：](?P<after>[*_]{{1,3}}(?=\s|$))?",
    re.IGNORECASE,
)
_HEADING = re.compile(r"#{1,6} \S")
_BOLD_LINE = re.compile(r"(?:\*\*|__)[^*_]+(?:\*\*|__)[:：]?")
_FENCE = re.compile(r"(?:```|~~~)")
_RULE = re.compile(r"[-*_=]{3,}")
_JSON_LIST = re.compile(r'^[ \t]*(?:\{\s*"\w{1,40}"\s*:\s*)?\[(?=\s*["{])', re.MULTILINE)
_JSON = json.JSONDecoder(strict=False)
_COLONS = (":", "：")


class _Kind(Enum):
    NUMBER = auto()
    BULLET = auto()
    LABEL = auto()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Line:
    """`text` is the whole line, `rest` what follows its marker, if it has one."""

    indent: int
    text: str
    kind: _Kind | None = None
    number: int = 0
    rest: str = ""


_BLANK = _Line(indent=0, text="")


@dataclass(slots=True)
class _Item:
    """Lines of an item, in paragraphs."""

    paragraphs: list[list[str]] = field(default_factory=lambda: [[]])

    def add(self, text: str, *, new_paragraph: bool) -> None:
        if new_paragraph and self.paragraphs[-1]:
            self.paragraphs.append([])
        if text:
            self.paragraphs[-1].append(text)


def parse_instructions(
    text: str, *, api: Api, first_number: int, max_items: int, finish_reason: FinishReason
) -> list[str]:
    """The instructions in a reply, in order, as the model wrote them but for white space, markers and markup.

    Args:
        text: the reply; a completion starts inside item `first_number`.
        api: the route the prompt was written for; chat replies may have preambles, remarks and any list format.
        first_number: the number after the last in-context instruction.
        max_items: items beyond that many are cut off (the reference stops before item 16).
        finish_reason: `LENGTH` drops the last item, which is torn; the reference drops the whole reply.

    Source: arXiv:2212.10560, section 2.2 and appendix A.1.
    """
    text = cleaned(text)
    complete = _json_items(text) if api is Api.CHAT else None
    if complete is None:
        items = _listed(text, api, first_number)
        complete = items[:-1] if finish_reason is FinishReason.LENGTH else items
    tidied = (_tidied(item) for item in complete)
    return [item for item in tidied if item][: max(max_items, 0)]


def _tidied(item: str) -> str:
    """One line, without what encloses it and without a label that follows its number."""
    item = collapsed(item)
    label = _LABELLED.match(item)
    if label:
        item = closed(item[label.end() :].strip(), label["mark"] if not (label["late"] or label["after"]) else None)
    return collapsed(unwrapped(item))


def _listed(text: str, api: Api, first_number: int) -> list[str]:
    lines = [_read(line) for line in text.split("\n")]
    if api is Api.COMPLETIONS or _continues_the_prompt(lines, first_number):
        if api is Api.CHAT:
            lines = list(dropwhile(_is_preface, lines))
        splitter = _Splitter(lines, _Kind.NUMBER, first_number, opened=not _restates(lines, first_number))
        return splitter.items(paragraphs_belong=api is Api.CHAT)
    highest = _highest_first(lines, first_number)
    first = next((line for line in lines if _may_be_first(line, highest)), None)
    if first is None or first.kind is None:
        return _unmarked(lines)
    return _Splitter(lines, first.kind, first_number, base_indent=first.indent).items(paragraphs_belong=True)


def _read(line: str) -> _Line:
    text = collapsed(line)
    if not text:
        return _BLANK
    indent = len(line[: len(line) - len(line.lstrip())].expandtabs(4))
    numbered = _NUMBERED.match(text)
    if numbered:
        number = int(numbered["enclosed"] or numbered["plain"])
        still_open = numbered["mark"] if not (numbered["late"] or numbered["after"]) else None
        rest = closed(text[numbered.end() :].strip(), still_open)
        return _Line(indent=indent, text=text, kind=_Kind.NUMBER, number=number, rest=rest)
    bullet = _BULLET.match(text)
    if bullet and not _RULE.fullmatch(text.replace(" ", "")):
        rest = text[bullet.end() :]
        inner = _NUMBERED.match(rest)
        return _Line(indent=indent, text=text, kind=_Kind.BULLET, rest=rest[inner.end() :].strip() if inner else rest)
    if _LABELLED.match(text):
        return _Line(indent=indent, text=text, kind=_Kind.LABEL, rest=text)
    return _Line(indent=indent, text="" if _RULE.fullmatch(text) else text)


def _may_be_first(line: _Line, highest: int) -> bool:
    return line.kind is not None and (line.kind is not _Kind.NUMBER or line.number <= highest)


def _highest_first(lines: Sequence[_Line], first_number: int) -> int:
    """The highest number that a list may start from: any but a year's, if the next numbered line counts on."""
    numbers = [line.number for line in lines if line.kind is _Kind.NUMBER][:2]
    counts_on = len(numbers) == 2 and 0 < numbers[1] - numbers[0] <= _MAX_STEP and numbers[0] < _FIRST_YEAR
    return max(first_number + _MAX_STEP, numbers[0] if counts_on else 0)


def _restates(lines: Sequence[_Line], first_number: int) -> bool:
    """Whether the reply writes the number again that the prompt ended with."""
    first = next((line for line in lines if line.text), None)
    return first is not None and first.kind is _Kind.NUMBER and first.number == first_number


def _continues_the_prompt(lines: Sequence[_Line], first_number: int) -> bool:
    """Whether a chat reply goes on as a completion does: item 9 without its number, then "10."."""
    before: list[_Line] = []
    for line in lines:
        if line.kind is not None:
            follows = line.kind is _Kind.NUMBER and line.number == first_number + 1 and first_number > 1
            return follows and not all(map(_is_preface, before))
        if line.text:
            before.append(line)
    return False


def _is_preface(line: _Line) -> bool:
    return not line.text or line.text.endswith(_COLONS) or is_preamble(line.text)


class _Splitter:
    """Deals the lines of a reply out to items."""

    def __init__(
        self, lines: Sequence[_Line], kind: _Kind, first_number: int, *, opened: bool = False, base_indent: int = 0
    ) -> None:
        self._lines = lines
        self._kind = kind
        self._max_indent = base_indent + 1
        numbers = [line.number for line in lines if line.kind is _Kind.NUMBER and line.indent <= self._max_indent]
        self._all_alike = len(numbers) > 1 and len(set(numbers)) == 1
        self._highest_first = _highest_first(lines, first_number)
        self._last = first_number if opened else None
        self._inner = 0  # the last number of a list inside the current item
        self._after_heading = False
        self._items = [_Item()] if opened else []
        self._open = opened

    def items(self, *, paragraphs_belong: bool) -> list[str]:
        """The items' texts; empty ones are kept, so that the last is the one that may be torn."""
        self._deal()
        filled = [[lines for lines in item.paragraphs if lines] for item in self._items]
        belonging = max((len(paragraphs) for paragraphs in filled[:-1]), default=1) if paragraphs_belong else 1
        kept = [paragraphs[: max(belonging, 1)] for paragraphs in filled]
        if kept and paragraphs_belong:
            _drop_remarks(kept[-1])
        return [" ".join(line for lines in paragraphs for line in lines) for paragraphs in kept]

    def _deal(self) -> None:
        blank = fenced = False
        for line in self._lines:
            if not line.text:
                blank = True
                continue
            if _FENCE.match(line.text) and (fenced or not self._items):
                if fenced and self._items:
                    return  # the fence was around the whole list
                fenced = True
            elif self._starts_item(line):
                self._items.append(_Item([[line.rest] if line.rest else []]))
                self._open = True
            elif line.kind is not _Kind.NUMBER and _is_heading(line, after_blank=blank):
                self._open, self._after_heading = False, True
            elif self._open:
                self._items[-1].add(line.text, new_paragraph=blank and line.indent <= self._max_indent)
            blank = False

    def _starts_item(self, line: _Line) -> bool:
        if line.kind is not self._kind or line.indent > self._max_indent:
            return False
        starts = self._kind is not _Kind.NUMBER or self._all_alike or self._is_next(line.number)
        if starts:
            self._last, self._inner, self._after_heading = line.number, 0, False
        return starts

    def _is_next(self, number: int) -> bool:
        if self._last is None:
            return number <= self._highest_first
        if self._after_heading and number <= 1:
            return True
        if self._inner and number == self._inner + 1:
            self._inner = number
            return False
        if self._last < number <= self._last + _MAX_STEP:
            return True
        if number == 1:
            self._inner = 1
        return False


def _is_heading(line: _Line, *, after_blank: bool) -> bool:
    if _HEADING.match(line.text):
        return True
    return after_blank and line.indent <= 1 and _BOLD_LINE.fullmatch(line.text) is not None


def _drop_remarks(paragraphs: list[list[str]]) -> None:
    """Take closing remarks off the last item; its first line stays."""
    while paragraphs and is_remark(paragraphs[-1][-1]) and (len(paragraphs) > 1 or len(paragraphs[0]) > 1):
        paragraphs[-1].pop()
        if not paragraphs[-1]:
            paragraphs.pop()


def _unmarked(lines: Iterable[_Line]) -> list[str]:
    """The items of a reply without markers: its lines, but for what introduces, divides or ends them."""
    texts = [line.text for line in lines if any(map(str.isalnum, line.text)) and not _FENCE.match(line.text)]
    if len(texts) <= 1:
        return texts
    kept = [text for text in texts if not text.endswith(_COLONS) and not is_remark(text) and not _HEADING.match(text)]
    if len(kept) > 1 and is_preamble(kept[0]):
        kept = kept[1:]
    return kept


def _json_items(text: str) -> list[str] | None:
    """The items of a reply that is a JSON list; of a torn one, those that are whole; None if it is no such list."""
    start = _JSON_LIST.search(text)
    if start is None or any(_read(line).kind is not None for line in text[: start.start()].split("\n")):
        return None
    return [cleaned(item) for item in _json_strings(text, start.end())] or None


def _after_separators(text: str, position: int) -> int:
    while position < len(text) and text[position] in ", \t\n":
        position += 1
    return position


def _json_strings(text: str, position: int) -> Iterator[str]:
    """Strings, and instructions of objects, from inside a list until it ends or breaks off."""
    while True:
        try:
            entry, position = _JSON.raw_decode(text, _after_separators(text, position))
        except (ValueError, RecursionError):  # the end, a torn entry, or one that is nested without end
            return
        if isinstance(entry, dict):
            entry = entry.get("instruction", entry.get("task", next(iter(entry.values()), None)))
        if isinstance(entry, str):
            yield entry
