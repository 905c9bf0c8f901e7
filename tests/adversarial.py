"""Worst inputs for regular expressions, derived from their own syntax trees.

Knows nothing of what a pattern is for. What makes a backtracking search slow is a text that nearly matches at many
places, or in many ways at one: whatever a pattern can begin with, over and over; a beginning that fits, then what one
of its repetitions takes, endlessly; and both with an end that does not fit.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from re import _constants as code  # type: ignore[attr-defined]  # the parser is not typed
from re import _parser as parser  # type: ignore[attr-defined]
from typing import Any

__all__ = ["pieces", "worst_texts"]

_FILLERS = (
    *(
        " ",
        "\n",
        " \n",
        "\t",
        "a",
        "a ",
        "A. ",
        "1",
        "1. ",
        "-",
        "\n- ",
        '"',
        "\\",
        "`",
        "_",
        "*",
        ":",
        "：",
        "é",
        "中",
    ),
    *("<", "(", "[", "{", "#", "|", ",", "'", ".", ";", "/", "$"),
)
_SHORT_FILLERS = (" ", "\n", "a", "1", "*", "_", "-", ".")
_END = "\x00"  # nothing fits it
_MOST_PIECES = 60
_MOST_LEADS = 12
_MOST_VARIANTS = 6
_CATEGORIES = {
    code.CATEGORY_DIGIT: "1",
    code.CATEGORY_NOT_DIGIT: "a",
    code.CATEGORY_SPACE: " ",
    code.CATEGORY_NOT_SPACE: "a",
    code.CATEGORY_WORD: "a",
    code.CATEGORY_NOT_WORD: "-",
}
_ESCAPES = {
    code.CATEGORY_DIGIT: r"\d",
    code.CATEGORY_NOT_DIGIT: r"\D",
    code.CATEGORY_SPACE: r"\s",
    code.CATEGORY_NOT_SPACE: r"\S",
    code.CATEGORY_WORD: r"\w",
    code.CATEGORY_NOT_WORD: r"\W",
}
_ALPHABET = string.ascii_letters + string.digits + " \n\t.:-_*()[]<>\"'`#|,;!?/\\{}" + "é中：、。“”\u3000\u00a0"


def worst_texts(pattern: re.Pattern[str]) -> Iterator[tuple[str, str, str]]:
    """A beginning, a piece to repeat, and an end: what the search may take longest for.

    Each is (lead, piece, end), to be read as lead + piece * many + end.
    """
    prefixes, pumps = pieces(pattern)
    texts: dict[tuple[str, str, str], None] = {}
    for piece in (*prefixes, *pumps, *_FILLERS):
        texts |= {("", piece, ""): None, ("", piece, _END): None}
    for lead in _spread(prefixes):
        for piece in (*_spread(pumps), *_SHORT_FILLERS):
            texts[lead, piece, _END] = None
    return iter(texts)


def _spread(texts: list[str]) -> list[str]:
    """Some of many, the first and the longest among them."""
    if len(texts) <= _MOST_LEADS:
        return texts
    step = len(texts) / (_MOST_LEADS - 1)
    return [texts[int(number * step)] for number in range(_MOST_LEADS - 1)] + [max(texts, key=len)]


def pieces(pattern: re.Pattern[str]) -> tuple[list[str], list[str]]:
    """The beginnings of what the pattern matches, and what its repetitions take."""
    prefixes: dict[str, None] = {}
    pumps: dict[str, None] = {}
    tree = parser.parse(pattern.pattern, pattern.flags)
    for walk in range(_MOST_VARIANTS):
        _walk(tree, "", walk, prefixes, pumps)
    return [text for text in prefixes if text][:_MOST_PIECES], [text for text in pumps if text][:_MOST_PIECES]


def _walk(  # noqa: C901 - one branch for each kind of node
    tree: Any, before: str, walk: int, prefixes: dict[str, None], pumps: dict[str, None]
) -> str:
    """One text that the tree matches, after `before`; notes each beginning and each repetition on the way."""
    text = before
    for at, (kind, value) in enumerate(tree):
        if kind in (code.MAX_REPEAT, code.MIN_REPEAT, getattr(code, "POSSESSIVE_REPEAT", None)):
            least, most, body = value
            one = _walk(body, "", walk, {}, pumps)
            if most > 8:
                pumps[one] = None
            for other in range(1, 4):
                if most > 8:
                    pumps[_walk(body, "", walk + other, {}, pumps)] = None
            text += one * (max(least, 1) if walk % 2 == 0 else least)
        elif kind is code.BRANCH:
            branches = value[1]
            for branch in branches if before == "" and at == 0 else ():
                _walk(branch, text, walk, prefixes, pumps)
            text = _walk(branches[walk % len(branches)], text, walk, prefixes, pumps)
        elif kind is code.SUBPATTERN:
            text = _walk(value[3], text, walk, prefixes, pumps)
        elif kind is getattr(code, "ATOMIC_GROUP", None):
            text = _walk(value, text, walk, prefixes, pumps)
        elif kind in (code.ASSERT, code.ASSERT_NOT):
            ahead = _walk(value[1], "", walk, {}, pumps)
            if kind is code.ASSERT and value[0] > 0:
                prefixes[text + ahead] = None
        else:
            text += _sample(kind, value, walk)
        if text:
            prefixes[text] = None
    return text


def _sample(kind: Any, value: Any, walk: int) -> str:
    if kind is code.LITERAL:
        return chr(value)
    if kind is code.NOT_LITERAL:
        return "a" if value != ord("a") else "b"
    if kind is code.ANY:
        return "a. "[walk % 3]
    if kind is code.IN:
        return _of_set(value, walk)
    return ""


def _of_set(members: list[Any], walk: int) -> str:
    if members[0][0] is code.NEGATE:
        fit = [char for char in _ALPHABET if not any(_is_in(char, member) for member in members[1:])]
        return fit[(walk * 7) % len(fit)] if fit else "\x01"
    kind, value = members[walk % len(members)]
    if kind is code.LITERAL:
        return chr(value)
    if kind is code.RANGE:
        return chr(value[0] + walk % (value[1] - value[0] + 1))
    return _CATEGORIES.get(value, "a") if walk % 2 == 0 or value is not code.CATEGORY_SPACE else "\n"


def _is_in(char: str, member: Any) -> bool:
    kind, value = member
    if kind is code.LITERAL:
        return bool(ord(char) == value)
    if kind is code.RANGE:
        return bool(value[0] <= ord(char) <= value[1])
    return re.match(str(_ESCAPES[value]), char) is not None
