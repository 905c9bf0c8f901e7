"""Text to tokens, in two ways, and tokens to numbers.

Knows nothing of scores or pools. Both tokenizers are pure functions of the text, take any `str` (a lone surrogate
separates tokens like punctuation does), and give the same tokens for ASCII text.

`rouge` is the default tokenizer of rouge_score 0.1.2, without its stemmer: lower case, then runs of a-z and 0-9.
Letters of other scripts separate words, so a Chinese or Russian text has no tokens at all and is never anybody's
near-duplicate.

`unicode` covers every script: NFKC and full case folding, so that width, ligatures and case make no difference; then

* a token is a maximal run of letters, marks and numbers (general categories L, M and N), so a combining mark stays
  with its letter;
* each CJK ideograph is a token of its own, as Chinese has no spaces and a sentence would otherwise be one token. Kana
  and Hangul stay runs: between ideographs these are words and endings, and one token for each kana would make polite
  endings outweigh what differs;
* the marks that only choose a glyph (variation selectors), joiners and the soft hyphen are dropped: they are
  invisible. The zero width space, which does separate words, separates;
* scripts written without spaces that are not ideographs, Thai for one, are as coarse as their authors' punctuation.

Letters that are newer than the running Python's Unicode tables separate words.
"""

import logging
import re
import unicodedata
from collections.abc import Callable, Mapping
from types import MappingProxyType

from fastinstruct.errors import InputError

_LOG = logging.getLogger("fastinstruct")

_ASCII_WORDS = bytes(ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else ord(" ") for code in range(256))


def _ascii_words(text: str) -> list[str]:
    """Runs of ASCII letters and digits, in lower case; by way of bytes, whose translation is the fastest."""
    return text.encode("ascii", "replace").translate(_ASCII_WORDS).decode("ascii").split()


def _rouge(text: str) -> list[str]:
    # The reference lowers first, and two letters outside ASCII lower into it: U+0130 (a dotted I) and U+212A (the
    # Kelvin sign).
    return _ascii_words(text if text.isascii() else text.lower())


def _unicode(text: str) -> list[str]:
    if text.isascii():
        return _ascii_words(text)
    # Folding can undo the normal form (as for some Greek letters with two marks), so it is taken again.
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return folded.translate(_UNICODE_WORDS).split()


class _UnicodeWords(dict[int, str]):
    """What `str.translate` puts for a code point, worked out when it is first met: itself, apart or not, or less."""

    def __missing__(self, code: int) -> str:
        self[code] = replacement = _unicode_replacement(chr(code))
        return replacement


_UNICODE_WORDS = _UnicodeWords()
_INVISIBLE = re.compile(r"[\u00ad\u180b-\u180d\u180f\u200c\u200d\u2060\ufe00-\ufe0f\ufeff\U000e0100-\U000e01ef]")
# Ideographic closing mark and zero, extension A, the unified ideographs, compatibility ideographs, planes 2 and 3.
_IDEOGRAPH = re.compile(r"[\u3006\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


def _unicode_replacement(character: str) -> str:
    if _INVISIBLE.match(character):
        return ""
    if unicodedata.category(character)[0] not in "LMN":
        return " "
    return f" {character} " if _IDEOGRAPH.match(character) else character


_TOKENIZERS: Mapping[str, Callable[[str], list[str]]] = MappingProxyType({"rouge": _rouge, "unicode": _unicode})


def tokenizer_named(name: str) -> Callable[[str], list[str]]:
    """The tokenizer of that name.

    Raises:
        InputError: there is none.
    """
    tokenizer = _TOKENIZERS.get(str(name))
    if tokenizer is None:
        raise InputError(f"tokenizer must be one of {', '.join(sorted(_TOKENIZERS))}; got {name!r}")
    return tokenizer


class WatchedTokenizer:
    """An index's tokenizer: `rouge` warns, once, of a text that has letters but no token for it.

    Raises:
        InputError: there is no tokenizer of that name.
    """

    def __init__(self, name: str) -> None:
        self._tokenize = tokenizer_named(name)
        self._warns = name == "rouge"

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

    Raises:
        InputError: `text` is no str, or there is no tokenizer of that name.

    Source: rouge_score 0.1.2, tokenize.py; Unicode Standard Annex 15 (NFKC) and section 3.13 (case folding).
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a str; got {type(text).__name__}")
    return tokenizer_named(tokenizer)(text)
