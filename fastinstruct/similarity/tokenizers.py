"""Text to tokens, in each of the ways that have a name.

Knows nothing of scores or pools. Tokenizers are pure functions of the text, take any `str` (a lone surrogate
separates tokens like punctuation does), and give the same tokens for ASCII text.

`rouge` is the default tokenizer of rouge_score 0.1.2, without its stemmer: lower case, then runs of a-z and 0-9.
Letters of other scripts separate words, so a Chinese or Russian text has no tokens at all and is never anybody's
near-duplicate.

`unicode-1` covers every script: NFKC and full case folding, so that width, ligatures and case make no difference; then

* a token is a maximal run of letters, marks and numbers (general categories L, M and N), so a combining mark stays
  with its letter;
* each CJK ideograph is a token of its own, as Chinese has no spaces and a sentence would otherwise be one token. Kana
  and Hangul stay runs: between ideographs these are words and endings, and one token for each kana would make polite
  endings outweigh what differs;
* the marks that only choose a glyph (variation selectors), joiners and the soft hyphen are dropped: they are
  invisible. The zero width space separates;
* scripts written without spaces that are not ideographs, Thai for one, are as coarse as their authors' punctuation.

`unicode-2` is `unicode-1`, but that texts which read alike have the same tokens:

* whatever has no look of its own is dropped (`characters.UNSEEN`): every zero-width character, direction marks,
  embeddings and isolates, fillers, tags. The zero width space too, everywhere: in Latin it hides a copy, and in Thai
  and Khmer, where it stands between words, one text has it and the next has not. So their words are no tokens;
* so are the vowel marks that readers of Arabic, Hebrew and Syriac do without, the accent on a stressed Cyrillic vowel,
  Arabic's stretching stroke, and circles around a character; alef wasla is an alef. Signs that a word is not written
  without stay: vowel signs of Indic scripts, of Thai and Thaana, hamza and maddah, Latin accents, the voicing of kana;
* an accent without a letter is no token, and a letter that is written for an apostrophe (U+02BC) separates as an
  apostrophe does: don't, don’t, don´t and donʼt are alike;
* a dot above an i is the dot it has, so that the Turkish capital folds to i. The dotless i is a letter of its own.

It gives the same tokens for a text in NFC, NFD, NFKC and NFKD, and with unseen characters between any two others.

Letters that are newer than the running Python's Unicode tables separate words.
"""

import re
import unicodedata
from collections.abc import Callable, Mapping
from itertools import groupby
from types import MappingProxyType

from fastinstruct.errors import InputError
from fastinstruct.escaping import package_logger
from fastinstruct.similarity.characters import LONE_MARKS, STRESSED, UNSEEN, WordsOf, unicode_1_words, unicode_2_words
from fastinstruct.tokenizer_names import exact_tokenizer, stored_tokenizer

__all__ = ["WatchedTokenizer", "exact_tokenizer", "stored_tokenizer", "tokenize", "tokenizer_named"]

_LOG = package_logger("fastinstruct")

_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))


def _ascii_words(text: str) -> list[str]:
    """Runs of ASCII letters and digits, in lower case; by way of bytes, whose translation is the fastest."""
    return text.encode("ascii", "replace").translate(_ASCII_WORDS).decode("ascii").split()


def _rouge(text: str) -> list[str]:
    # The reference lowers first, and two letters outside ASCII lower into it: U+0130 (a dotted I) and U+212A (the
    # Kelvin sign).
    return _ascii_words(text if text.isascii() else text.lower())


def _unicode_1(text: str) -> list[str]:
    if text.isascii():
        return _ascii_words(text)
    return _folded(text).translate(_UNICODE_1_WORDS).split()


def _unicode_2(text: str) -> list[str]:
    if text.isascii():
        return _ascii_words(text)
    # First of all: an unseen character between a letter and its mark keeps them from being composed.
    seen = UNSEEN.sub("", text)
    if seen.isascii():
        return _ascii_words(seen)
    words = unicodedata.normalize("NFC", _folded(seen).translate(_UNICODE_2_WORDS))
    if _DOTTED_I in words:
        words = unicodedata.normalize("NFC", words.replace(_DOTTED_I, "i"))
    if _ACUTE in words:
        words = STRESSED.sub("", words)
    return LONE_MARKS.sub(" ", f" {words}").split()


def _folded(text: str) -> str:
    if len(text) > _MARKS_AT_EASE:
        text = _MANY_MARKS.sub(_in_canonical_order, text)
    # Folding can undo the normal form (as for some Greek letters with two marks), so it is taken again.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())


# `normalize` sorts the marks behind a letter in quadratic time: a megabyte of them, mixed, would take half an hour.
# Sorted already, which is all the same to it, they take none. No mark is among \w, but for two that become marks.
_MARKS_AT_EASE = 1000
_MANY_MARKS = re.compile(rf"(?:[^\w\s]|[\uff9e\uff9f]){{{_MARKS_AT_EASE},}}")
# What is no mark by its combining class, and begins with one when it is taken apart.
_BECOME_MARKS = {
    code: unicodedata.normalize("NFKD", chr(code)) for code in (0x0F73, 0x0F75, 0x0F81, ord("\uff9e"), ord("\uff9f"))
}


def _in_canonical_order(run: re.Match[str]) -> str:
    """The run with the marks behind each other character sorted by combining class, equal classes as they were."""
    ordered: list[str] = []
    for _, characters in groupby(run[0].translate(_BECOME_MARKS), lambda mark: unicodedata.combining(mark) > 0):
        ordered += sorted(characters, key=unicodedata.combining)  # where these are no marks, all are of class 0
    return "".join(ordered)


_UNICODE_1_WORDS, _UNICODE_2_WORDS = WordsOf(unicode_1_words), WordsOf(unicode_2_words)
_DOTTED_I, _ACUTE = "i\u0307", "\u0301"

_TOKENIZERS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType(
    {"rouge": _rouge, "unicode-1": _unicode_1, "unicode-2": _unicode_2}
)


def tokenizer_named(name: str) -> Callable[[str], list[str]]:
    """The tokenizer of that name.

    Raises:
        InputError: there is none.
    """
    return _TOKENIZERS[exact_tokenizer(name)]


class WatchedTokenizer:
    """An index's tokenizer: `rouge` warns, once, of a text that has letters but no token for it.

    Raises:
        InputError: there is no tokenizer of that name.
    """

    def __init__(self, name: str) -> None:
        self._tokenize = tokenizer_named(name)
        self._warns = exact_tokenizer(name) == "rouge"

    def __call__(self, text: str) -> list[str]:
        tokens = self._tokenize(text)
        if self._warns and not tokens and any(map(str.isalpha, text)):
            self._warns = False
            _LOG.warning(
                "tokenizer 'rouge' finds no token in a text of other letters than a to z: such texts score 0 and are "
                "never rejected; tokenizer 'unicode' covers every script"
            )
        return tokens


def tokenize(text: str, tokenizer: str = "unicode") -> list[str]:
    """The tokens of `text`, in order.

    Args:
        text: any str.
        tokenizer: `unicode` (every script, its newest version), `unicode-1`, `unicode-2`, or `rouge` (a-z and 0-9, as
            the reference).

    Raises:
        InputError: `text` is no str, or there is no tokenizer of that name.

    Source: rouge_score 0.1.2, tokenize.py; Unicode Standard Annex 15 (NFKC), sections 3.13 (case folding) and 5.21
    (default ignorable code points).
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a str; got {type(text).__name__}")
    return tokenizer_named(tokenizer)(text)
