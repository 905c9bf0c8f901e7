"""What a character is to the tokenizers of every script: a part of a word, a word, a gap, or nothing to look at.

Knows nothing of normal forms or case. Sets of characters are the insides of regular expressions' brackets; they are
written out, as the running Python's tables don't have these properties, and a tokenizer must not change with Python.
"""

import re
import unicodedata
from collections.abc import Callable

__all__ = ["LONE_MARKS", "STRESSED", "UNSEEN", "WordsOf", "unicode_1_words", "unicode_2_words"]

# Ideographic closing mark and zero, extension A, the unified ideographs, compatibility ideographs, planes 2 and 3.
_IDEOGRAPH = re.compile(r"[\u3006\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
_UNSEEN_1 = re.compile(r"[\u00ad\u180b-\u180d\u180f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")

# What has no look of its own: soft hyphen, joiners, zero width space, direction marks, variation selectors, fillers,
# tags. All that Unicode calls Default_Ignorable_Code_Point, code points that it keeps free for more of them included.
_FORMAT = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff0-\ufff8\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
# What Arabic is read aloud by: honorifics, tanwin, short vowels, shadda, sukun, the marks of the Quran, and the stroke
# that stretches a word. Maddah and the two hamzas (U+0653 to U+0655, U+065F) are parts of letters and stay. The last
# line are strokes with such marks on them, as one character.
_ARABIC = (
    r"\u0610-\u061a\u0640\u064b-\u0652\u0656-\u065e\u0670\u06d6-\u06dc\u06df-\u06e8\u06ea-\u06ed"
    r"\u0898-\u089f\u08ca-\u08e1\u08e3-\u08ff\U00010efc-\U00010eff"
    r"\ufcf2-\ufcf4\ufe71\ufe77\ufe79\ufe7b\ufe7d\ufe7f"
)
_HEBREW = r"\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\ufb1e"
_SYRIAC = r"\u0730-\u074a"
# Circles, squares and keycaps around a character: it is read as without, as NFKC does with those that have one.
_ENCLOSING = r"\u0488\u0489\u1abe\u20dd-\u20e0\u20e2-\u20e4\ua670-\ua672"

UNSEEN = re.compile(f"[{_FORMAT}{_ARABIC}{_HEBREW}{_SYRIAC}{_ENCLOSING}]")
"""What makes no difference to `unicode-2`."""

# Accents that belong to no one script, behind a gap: what is left of a spacing accent (can´t), or of one on a symbol.
LONE_MARKS = re.compile(
    r" [\u0300-\u036f\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\u302a-\u302d\u3099\u309a\ufe20-\ufe2f]+"
)
"""Accents without a letter, with the space before them."""

STRESSED = re.compile("(?<=[аеёиоуыэюяіїє])\u0301")
"""The accent that tells learners of a Cyrillic vowel, in lower case, that it is stressed; the letter has none."""

# Letters by category that people write for an apostrophe or a prime, and as such in other texts (Ukrainian, Hawaiian,
# transliterated Arabic and Russian): apart like those. The last two are the saltillo.
_APOSTROPHE = re.compile(r"[\u02b9-\u02bf\u07f4\u07f5\ua78b\ua78c]")
_ALEF_WASLA, _ALEF = "\u0671", "\u0627"  # the first is written in vowelled text only


class WordsOf(dict[int, str]):
    """What `str.translate` puts for a code point, worked out when it is first met: itself, apart or not, or less."""

    def __init__(self, replacement: Callable[[str], str]) -> None:
        super().__init__()
        self._replacement = replacement

    def __missing__(self, code: int) -> str:
        self[code] = replacement = self._replacement(chr(code))
        return replacement


def unicode_1_words(character: str) -> str:
    """Return what `unicode-1` reads for a character: itself, itself apart, a gap, or nothing."""
    return "" if _UNSEEN_1.match(character) else _letters(character)


def unicode_2_words(character: str) -> str:
    """Return what `unicode-2` reads for a character: itself, itself apart, a gap, or nothing."""
    if UNSEEN.match(character):
        return ""
    if _APOSTROPHE.match(character):
        return " "
    return _ALEF if character == _ALEF_WASLA else _letters(character)


def _letters(character: str) -> str:
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    return f" {character} " if _IDEOGRAPH.match(character) else character
