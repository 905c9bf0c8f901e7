"""What the kernels compute, said as plainly as possible: the twins that tests compare them with.

Knows nothing of the kernels or of NumPy and imports neither. Slow on purpose: where there is a clever way, it isn't
taken.
"""

import hashlib
import math
import unicodedata
from collections.abc import Sequence

INVISIBLE = {0x00AD, 0x180B, 0x180C, 0x180D, 0x180F, 0x200C, 0x200D, 0x2060, 0xFEFF} | {
    *range(0xFE00, 0xFE10),
    *range(0xE0100, 0xE01F0),
}


def is_ideograph(character: str) -> bool:
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
        if ord(character) in INVISIBLE:
            continue
        if unicodedata.category(character)[0] in "LMN" and not is_ideograph(character):
            word += character
            continue
        if word:
            tokens.append(word)
        word = ""
        if unicodedata.category(character)[0] in "LMN":
            tokens.append(character)
    return [*tokens, word] if word else tokens


# What Unicode calls Default_Ignorable_Code_Point.
IGNORABLE = {0x00AD, 0x034F, 0x061C, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFEFF, 0xFFA0} | {
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
HAMZA_AND_MADDAH = {0x0653, 0x0654, 0x0655, 0x065F}
SMALL_LETTERS_AND_TATWEEL = {0x06E5, 0x06E6, 0x0640}
APOSTROPHES = {*range(0x02B9, 0x02C0), 0x07F4, 0x07F5, 0xA78B, 0xA78C}


def is_vowel_mark(code: int) -> bool:
    """Of Arabic, Hebrew and Syriac, and what else these are written without."""
    if code in SMALL_LETTERS_AND_TATWEEL or code == 0xFB1E or 0x10EFC <= code <= 0x10EFF:
        return True
    is_mark = unicodedata.category(chr(code)) == "Mn" and code not in HAMZA_AND_MADDAH
    return is_mark and (0x0590 <= code <= 0x06FF or 0x0730 <= code <= 0x074A or 0x0898 <= code <= 0x08FF)


def is_unseen(character: str) -> bool:
    """Whether tokenizer `unicode-2` drops a character: it, or all that it stands for."""
    return all(
        ord(part) in IGNORABLE or is_vowel_mark(ord(part)) or unicodedata.category(part) == "Me"
        for part in unicodedata.normalize("NFKD", character)
    )


def is_accent(character: str) -> bool:
    """Whether it is a mark of no script of its own."""
    blocks = [(0x0300, 0x36F), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20FF), (0x302A, 0x302D)]
    blocks += [(0x3099, 0x309A), (0xFE20, 0xFE2F)]
    return any(first <= ord(character) <= last for first, last in blocks)


def without_stress(word: str) -> str:
    """The word without an acute on a Cyrillic vowel."""
    kept = ""
    for character in word:
        if character == "\u0301" and kept and kept[-1] in "аеёиоуыэюяіїє":
            continue
        kept += character
    return kept


def unicode_2_tokens(text: str) -> list[str]:
    """Tokenizer `unicode-2`, one character after another."""
    seen = "".join(character for character in text if not is_unseen(character))
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", seen).casefold())
    words = [""]
    for character in folded:
        is_letter = unicodedata.category(character)[0] in "LMN" and ord(character) not in APOSTROPHES
        if is_unseen(character):
            continue
        if character == "\u0671":
            words[-1] += "\u0627"
        elif is_letter and is_ideograph(character):
            words += [character, ""]
        elif is_letter:
            words[-1] += character
        else:
            words.append("")
    tokens = []
    for word in words:
        word = unicodedata.normalize("NFC", word)
        word = without_stress(unicodedata.normalize("NFC", word.replace("i\u0307", "i")))
        while word and is_accent(word[0]):
            word = word[1:]
        if word:
            tokens.append(word)
    return tokens


unicode_tokens = unicode_2_tokens  # `unicode` asks for the newest


def lcs_length(left: Sequence[object], right: Sequence[object]) -> int:
    """The textbook table, one row at a time."""
    above = [0] * (len(right) + 1)
    for token in left:
        row = [0]
        for column, other in enumerate(right):
            row.append(above[column] + 1 if token == other else max(above[column + 1], row[column]))
        above = row
    return above[-1]


def f_measure(lcs: int, left_length: int, right_length: int) -> float:
    """The reference's arithmetic, in its order."""
    if lcs == 0:
        return 0.0
    precision = lcs / left_length
    recall = lcs / right_length
    return 2 * precision * recall / (precision + recall)


def rouge_l(left: Sequence[object], right: Sequence[object]) -> float:
    """ROUGE-L F-measure of two token lists."""
    return f_measure(lcs_length(left, right), len(left), len(right))


def min_rejecting_lcs(left_length: int, right_length: int, threshold: float) -> int:
    """The smallest LCS whose F exceeds the threshold, or one more than there can be."""
    shorter = min(left_length, right_length)
    return next(
        (lcs for lcs in range(1, shorter + 1) if f_measure(lcs, left_length, right_length) > threshold), shorter + 1
    )


class Pool:
    """Every text, compared with every text."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.texts: list[Sequence[object]] = []

    def scores(self, tokens: Sequence[object]) -> list[float]:
        return [rouge_l(tokens, text) for text in self.texts]

    def judge(self, tokens: Sequence[object]) -> tuple[bool, int | None, float]:
        """(admitted, nearest, score), with NaN as the score of the admitted."""
        scores = self.scores(tokens)
        best = max(scores, default=0.0)
        if best > self.threshold:
            return False, scores.index(best), best
        return True, None, math.nan

    def admit(self, tokens: Sequence[object]) -> tuple[bool, int | None, float]:
        verdict = self.judge(tokens)
        if verdict[0]:
            self.texts.append(tokens)
        return verdict

    def most_similar(self, tokens: Sequence[object], k: int) -> list[tuple[int, float]]:
        ranked = sorted(enumerate(self.scores(tokens)), key=lambda pair: (-pair[1], pair[0]))
        return ranked[:k]


def mixed(value: int) -> int:
    """The 32-bit finalizer of MurmurHash3."""
    value ^= value >> 16
    value = value * 0x85EBCA6B % 2**32
    value ^= value >> 13
    value = value * 0xC2B2AE35 % 2**32
    return value ^ value >> 16


def signature(tokens: Sequence[str], multipliers: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """The MinHash signature of a token set, one permutation after another."""
    digests = [hashlib.sha1(token.encode()).digest() for token in tokens]
    elements = [mixed(int.from_bytes(digest[:4], "little")) for digest in digests]
    return [
        min(((multiplier * element + offset) % 2**32 for element in elements), default=2**32 - 1)
        for multiplier, offset in zip(multipliers, offsets, strict=True)
    ]


def agree_in_a_band(left: Sequence[int], right: Sequence[int], bands: int, rows: int) -> bool:
    """Whether two signatures have all rows of some band in common."""
    return any(left[band * rows : (band + 1) * rows] == right[band * rows : (band + 1) * rows] for band in range(bands))


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
