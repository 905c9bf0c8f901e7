"""Lists that stand on one line, and the first item on the line of a preamble.

Knows nothing of the other lines but the next number. Takes any text, never raises, and takes time linear in its length.

"9. A. 10. B. 11. C." holds three items, since the numbers go on from the line's own and each piece ends as a sentence
does. "List: a) red b) blue" and "Step 1: ..., Step 2: ..." hold none: their numbers don't go on from the line's own.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence

from fastinstruct.text.instruction_noise import is_introduction
from fastinstruct.text.numbering import BULLET, DECIMAL, Marker, inline_markers
from fastinstruct.text.phrases import is_preamble
from fastinstruct.text.task_words import asks, begins_a_task, opens_a_task

__all__ = ["by_dividers", "first_on_a_preamble", "holds_a_task", "is_divided", "pieces"]

_ENDED = re.compile(r"[.!?…。！？;；।؟][\"'”’」』)*_]{0,3}\s?\Z")
_SEMICOLON = re.compile(r"[;；]\s?")
_DIVIDER_SIGNS = frozenset("|｜/;；")
_DIVIDERS = (re.compile(r" ?[|｜] ?"), re.compile(r" // | / "), _SEMICOLON)
_COLONS, _PAUSES = (":", "："), (",", "，", "、")
_PART_END = re.compile(r"[.!?:。！？：,，、]")
_BETWEEN = (*_PAUSES, "|", "｜", "/")
_MAX_INTRODUCTION = 200  # characters
_MAX_SEEN = 2_000
_MAX_PARTS = 100  # nobody asks for more tasks
_NOUN = re.compile(r"(?:list of|liste|plan of|set of|type of)\b", re.IGNORECASE)  # not the verb that looks so
_SPACELESS = re.compile("[\u3041-\u30ff\u3400-\u9fff\uac00-\ud7a3]")
_LETTERS = {
    "letter",
    "Letter",
    "roman",
    "Roman",
    "cyrillic",
    "Cyrillic",
    "hangul",
    "katakana",
    "devanagari",
    "arabic letter",
    "stem",
}


def pieces(markers: Sequence[Marker], number_after: int | None) -> tuple[list[Marker], bool]:
    """The items on a line with these readings, and whether it is doubtful where they end; one item if there is but one.

    Args:
        markers: the readings of the line's beginning.
        number_after: the number of the next numbered line, if there is one.
    """
    for marker in markers:
        cuts = _cuts(marker)
        if not cuts:
            continue
        found = _cut(marker, cuts)
        if _are_certain(marker, found) and _goes_on(found, number_after, marker):
            return found, False
        if len(cuts) == 1 and number_after == cuts[0][2] and marker.style == DECIMAL:
            continue  # "9. Say what costs 10. Then ..." before "10. ..."
        if _may_be_items(marker, found):
            return [marker], True
    return list(markers[:1]), False


def _cuts(marker: Marker) -> list[tuple[int, int, int]]:
    """Where the next numbers stand in an item: beginning, end, number."""
    cuts: list[tuple[int, int, int]] = []
    is_bullet = marker.style.startswith(BULLET)
    expected = marker.number + 1
    if marker.number == 0 and not is_bullet:
        return []
    for start, end, found in inline_markers(marker.rest):
        if found.style == marker.style and (is_bullet or found.number == expected) and start:
            cuts.append((start, end, found.number))
            expected += 1
    return cuts


def _cut(marker: Marker, cuts: Sequence[tuple[int, int, int]]) -> list[Marker]:
    starts = [0, *(end for _, end, _ in cuts)]
    ends = [*(start for start, _, _ in cuts), len(marker.rest)]
    numbers = [marker.number, *(number for _, _, number in cuts)]
    texts = [marker.rest[start:end].strip().rstrip(";； ") for start, end in zip(starts, ends, strict=True)]
    if all(text.endswith(_BETWEEN) for text in texts[:-1]):
        texts = [text.rstrip(",，、|｜/ ") for text in texts]
    return [Marker(style=marker.style, number=number, rest=text) for number, text in zip(numbers, texts, strict=True)]


def _are_certain(marker: Marker, found: Sequence[Marker]) -> bool:
    texts = [piece.rest for piece in found]
    if not all(map(_is_phrase, texts)):
        return False
    if marker.style in _LETTERS and not all(map(begins_a_task, texts)):
        return False
    if all(_ENDED.search(text[-6:]) for text in texts[:-1]):
        return True
    return len(texts) > 2 and all(map(_begins_apart, texts)) and all(map(begins_a_task, texts))


def _may_be_items(marker: Marker, found: Sequence[Marker]) -> bool:
    """Whether any of the later pieces may be an item after all: "the vote of 10. may" holds none."""
    if marker.style in _LETTERS:
        return any(begins_a_task(piece.rest) for piece in found[1:])
    for before, piece in itertools.pairwise(found):
        is_apart = piece.rest[:1].isalpha() and _begins_apart(piece.rest)
        if is_apart or opens_a_task(piece.rest) or (_ENDED.search(before.rest[-6:]) and piece.rest[:1].isalpha()):
            return True
    return False


def _goes_on(found: Sequence[Marker], number_after: int | None, marker: Marker) -> bool:
    if marker.style != DECIMAL or number_after is None:
        return True
    return number_after > found[-1].number or number_after <= 1


def _is_phrase(text: str) -> bool:
    """Whether the text is long enough for a task: two words, or four characters of a script without spaces."""
    return " " in text or len(_SPACELESS.findall(text[:40])) >= 4


def _begins_apart(text: str) -> bool:
    return text[0].isupper() or not text[0].islower()


def first_on_a_preamble(line: str, first_number: int, *, is_first: bool) -> tuple[str, str]:
    """A line that introduces and then begins a list ("Sure! Here are more tasks: 9. Write ..."), in its two parts.

    The second part is "" if the line is no such line.

    Args:
        line: without a marker at its beginning.
        first_number: the number after the last in-context instruction.
        is_first: whether only introductions stand before it; below others it has to be one beyond doubt.
    """
    for start, _, marker in inline_markers(line):
        if marker.style not in (DECIMAL, "sign", "ideographic") or marker.number not in (1, first_number):
            continue
        head = line[:start].rstrip().rstrip("*_")
        if _introduces(head, is_first=is_first):
            return head, line[start:].strip()
        break
    return line, ""


def _introduces(head: str, *, is_first: bool) -> bool:
    if is_preamble(head) and (_ENDED.search(head[-6:]) is not None or head.endswith(_PAUSES)):
        return True
    if not head.endswith(_COLONS) or len(head) > _MAX_INTRODUCTION:
        return False
    return is_introduction(head) or (is_first and not holds_a_task(head))


def holds_a_task(line: str) -> bool:
    """Whether a line before a list asks for something, as a task with steps does ("Sure! Here are more:" does not)."""
    parts = (part.strip(" *_") for part in _PART_END.split(line[:_MAX_SEEN]))
    told = [part for part in parts if (" " in part or not part.isascii()) and not _NOUN.match(part)]
    return any(asks(part) and not is_introduction(f"{part}:") for part in told)


def is_divided(text: str) -> bool:
    """Whether bars, slashes or semicolons seem to divide a text into tasks."""
    if _DIVIDER_SIGNS.isdisjoint(text):
        return False
    for sign in _DIVIDERS:
        parts = _parts(sign, text)
        least = 2 if sign is not _SEMICOLON or all(map(_is_ended, parts[:-1])) else 3
        if len(parts) > 1 and sum(begins_a_task(part) and _begins_apart(part) for part in parts) >= least:
            return True
    return False


def by_dividers(text: str) -> list[str]:
    """The tasks of a text that bars, slashes or semicolons divide; a single one if none does or it is not certain."""
    for sign in _DIVIDERS:
        parts = _parts(sign, text)
        if len(parts) > _MAX_PARTS:
            continue
        are_many = len(parts) > 2 or (len(parts) > 1 and _is_ended(parts[0]))
        if are_many and all(begins_a_task(part) and _begins_apart(part) and _is_phrase(part) for part in parts):
            return parts
    return [text]


def _parts(sign: re.Pattern[str], text: str) -> list[str]:
    return [part.strip() for part in sign.split(text) if part.strip()]


def _is_ended(text: str) -> bool:
    return _ENDED.search(text[-6:]) is not None
