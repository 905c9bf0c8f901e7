"""The tokenizers said as plainly as possible, one character after another: twins of `similarity.tokenizers`.

Knows nothing of the package's own tokenizers, nor of regular expressions. Slow on purpose: where there is a clever way,
it isn't taken.
"""

from __future__ import annotations

import string
import unicodedata

from fastinstruct.tokenizer_names import exact_tokenizer

__all__ = ["rouge_tokens", "tokens_of", "unicode_1_tokens", "unicode_2_tokens"]

_LETTERS_AND_DIGITS = frozenset(string.ascii_lowercase + string.digits)


def rouge_tokens(text: str) -> list[str]:
    """Tokenizer `rouge`: lower case, then runs of a-z and 0-9.

    Source: rouge_score 0.1.2, tokenize.py.
    """
    words = [""]
    for character in text.lower():
        if character in _LETTERS_AND_DIGITS:
            words[-1] += character
        else:
            words.append("")
    return [word for word in words if word]


_INVISIBLE = {0x00AD, 0x180B, 0x180C, 0x180D, 0x180F, 0x200C, 0x200D, 0x2060, 0xFEFF} | {
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
}


def _is_ideograph(character: str) -> bool:
    code = ord(character)
    return (
        code in (0x3006, 0x3007)
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
        or 0x20000 <= code <= 0x3FFFF
    )


def unicode_1_tokens(text: str) -> list[str]:
    """Tokenizer `unicode-1`, one character after another."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    tokens: list[str] = []
    word = ""
    for character in folded:
        if ord(character) in _INVISIBLE:
            continue
        if unicodedata.category(character)[0] in "LMN" and not _is_ideograph(character):
            word += character
            continue
        if word:
            tokens.append(word)
        word = ""
        if unicodedata.category(character)[0] in "LMN":
            tokens.append(character)
    return [*tokens, word] if word else tokens


# What Unicode calls Default_Ignorable_Code_Point.
_IGNORABLE = {0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0} | {
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    *range(0xFE00, 0xFE10),
    *range(0xFFF0, 0xFFF9),
    *range(0x1BCA0, 0x1BCA4),
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
}
_HAMZA_AND_MADDAH = {0x0653, 0x0654, 0x0655, 0x065F}
_SMALL_LETTERS_AND_TATWEEL = {0x06E5, 0x06E6, 0x0640}
_APOSTROPHES = {*range(0x02B9, 0x02C0), 0x07F4, 0x07F5, 0xA78B, 0xA78C}


def _is_vowel_mark(code: int) -> bool:
    """Of Arabic, Hebrew and Syriac, and what else these are written without."""
    if code in _SMALL_LETTERS_AND_TATWEEL or code == 0xFB1E or 0x10EFC <= code <= 0x10EFF:
        return True
    is_mark = unicodedata.category(chr(code)) == "Mn" and code not in _HAMZA_AND_MADDAH
    return is_mark and (0x0590 <= code <= 0x06FF or 0x0730 <= code <= 0x074A or 0x0898 <= code <= 0x08FF)


def _is_unseen(character: str) -> bool:
    """Whether tokenizer `unicode-2` drops a character: it, or all that it stands for."""
    return all(
        ord(part) in _IGNORABLE or _is_vowel_mark(ord(part)) or unicodedata.category(part) == "Me"
        for part in unicodedata.normalize("NFKD", character)
    )


def _is_accent(character: str) -> bool:
    """Whether it is a mark of no script of its own."""
    blocks = [(0x0300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0x302A, 0x302D)]
    blocks += [(0x3099, 0x309A), (0xFE20, 0xFE2F)]
    return any(first <= ord(character) <= last for first, last in blocks)


def _without_stress(word: str) -> str:
    """The word without an acute on a Cyrillic vowel."""
    kept = ""
    for character in word:
        if character == "\u0301" and kept and kept[-1] in "аеёиоуыэюяіїє":
            continue
        kept += character
    return kept


def unicode_2_tokens(text: str) -> list[str]:
    """Tokenizer `unicode-2`, one character after another."""
    seen = "".join(character for character in text if not _is_unseen(character))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    words = [""]
    for character in folded:
        is_letter = unicodedata.category(character)[0] in "LMN" and ord(character) not in _APOSTROPHES
        if _is_unseen(character):
            continue
        if character == "\u0671":
            words[-1] += "\u0627"
        elif is_letter and _is_ideograph(character):
            words += [character, ""]
        elif is_letter:
            words[-1] += character
        else:
            words.append("")
    tokens = []
    for word in words:
        word = unicodedata.normalize("NFC", word)
        word = _without_stress(unicodedata.normalize("NFC", word.replace("i\u0307", "i")))
        while word and _is_accent(word[0]):
            word = word[1:]
        if word:
            tokens.append(word)
    return tokens


_TOKENIZERS = {"rouge": rouge_tokens, "unicode-1": unicode_1_tokens, "unicode-2": unicode_2_tokens}


def tokens_of(text: str, tokenizer: str = "rouge") -> list[str]:
    """The tokens of a text by the tokenizer of that name; `unicode` is its newest version.

    Raises:
        InputError: there is no tokenizer of that name.
    """
    return _TOKENIZERS[exact_tokenizer(tokenizer)](text)
