"""A number in the ways that lists are numbered. Pure functions."""

from __future__ import annotations

from typing import Final

__all__ = ["numerals"]

_WORDS: Final = ("One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
_ROMAN: Final = ((50, "L"), (40, "XL"), (10, "X"), (9, "IX"), (5, "V"), (4, "IV"), (1, "I"))
_CJK: Final = "〇一二三四五六七八九"


def numerals(n: int) -> dict[str, str]:
    """The number (from 1) by the names that templates use; where a way has no sign for it, in digits."""
    letter = chr(ord("a") + n - 1) if n <= 26 else str(n)
    return {
        "n": str(n),
        "word": _WORDS[n - 1] if n <= len(_WORDS) else str(n),
        "roman": _roman(n) if n < 90 else str(n),
        "letter": letter,
        "capital": letter.upper(),
        "circled": chr(0x2460 + n - 1) if n <= 20 else str(n),
        "cjk": _cjk(n) if n < 100 else str(n),
    }


def _roman(n: int) -> str:
    written = ""
    for value, sign in _ROMAN:
        written += sign * (n // value)
        n %= value
    return written


def _cjk(n: int) -> str:
    tens, ones = divmod(n, 10)
    return ("" if tens < 2 else _CJK[tens]) + ("十" if tens else "") + (_CJK[ones] if ones else "")
