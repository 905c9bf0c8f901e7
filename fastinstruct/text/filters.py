"""The heuristic filters of the profile `default` for instructions: what is dropped before it meets the pool.

Knows nothing of parsing, similarity or runs. A rejection is a value, never an exception; the same arguments always give
the same verdict.

Words are runs between white space. Scripts without spaces are counted by characters instead: three ideographs make two
words, two kana one, four letters of Thai, Lao, Khmer or Burmese one; the sum is rounded up. So five Chinese characters
are enough for four words, and 225 the most within 150.
"""

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from fastinstruct.records import Rejection, RejectReason
from fastinstruct.text.instruction_noise import instruction_fault

__all__ = ["InstructionFilter", "keyword_pattern", "num_words"]

# Written as escapes: an editor that normalises text would turn the compatibility ideographs into others.
_IDEOGRAPHS = r"\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_KANA = r"\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\u31f0-\u31ff\uff66-\uff9f"
_OTHER_SPACELESS = (
    r"\u0e01-\u0e30\u0e32\u0e33\u0e40-\u0e46\u0e81-\u0eb0\u0eb2\u0eb3\u0ec0-\u0ec6\u1000-\u102a\u1780-\u17b3"
)
# Twelfths of a word that one character makes.
_SPACELESS = (
    (re.compile(f"[{_IDEOGRAPHS}]"), 8),
    (re.compile(f"[{_KANA}]"), 6),
    (re.compile(f"[{_OTHER_SPACELESS}]"), 3),
)
_MARKS_OF_SPACELESS = re.compile("[\u0e31-\u0e3a\u0e47-\u0e4e\u0eb1-\u0ebc\u0ec8-\u0ecd\u102b-\u103e\u17b4-\u17d3]")
_TRAILING = ".:!?。：！？… "


def num_words(text: str) -> int:
    """How many words a text has; see the module for scripts without spaces. ASCII text: `len(text.split())`."""
    if text.isascii():
        return len(text.split())
    twelfths = 0
    text = _MARKS_OF_SPACELESS.sub("", text)
    for pattern, weight in _SPACELESS:
        text, count = pattern.subn(" ", text)
        twelfths += weight * count
    if not twelfths:
        return len(text.split())
    # What is left between such characters is punctuation, or a word of another script.
    return -(-twelfths // 12) + sum(any(map(str.isalnum, part)) for part in text.split())


@lru_cache(maxsize=16)
def keyword_pattern(keywords: tuple[str, ...]) -> re.Pattern[str]:
    """A pattern that finds any of the keywords as a whole word, in any case; it finds nothing if there are none.

    A keyword that ends in an ideograph or kana needs no word boundary there: these scripts don't show any.
    """
    alike: dict[tuple[str, str], list[str]] = {}
    for keyword in map(str.strip, keywords):
        if keyword:
            alike.setdefault(_boundaries(keyword), []).append(r"\s+".join(map(re.escape, keyword.split())))
    # Looking for a word's beginning once, not for every keyword, takes a sixth of the time.
    groups = (f"{before}(?:{'|'.join(written)}){after}" for (before, after), written in alike.items())
    return re.compile("|".join(groups) or r"(?!)", re.IGNORECASE)


def _boundaries(keyword: str) -> tuple[str, str]:
    """What has to hold before and after a keyword."""
    spaceless = re.compile(f"[{_IDEOGRAPHS}{_KANA}{_OTHER_SPACELESS}]")
    return "" if spaceless.match(keyword[0]) else r"(?<!\w)", "" if spaceless.match(keyword[-1]) else r"(?!\w)"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstructionFilter:
    """The heuristics that a candidate instruction has to pass.

    Attributes:
        min_words: fewer are too short.
        max_words: more are too long.
        keywords: words for what a text model cannot do; whole words, in any case.
        prompt_phrases: lines of our own prompts; an instruction that is one of them, or begins with one, is an echo.

    Source: arXiv:2212.10560, section 2.2 (filtering) and its released code; refusals, echoes and leaks are ours, for
    chat models.
    """

    min_words: int = 4
    max_words: int = 150
    keywords: tuple[str, ...] = ()
    prompt_phrases: tuple[str, ...] = ()

    def judge(self, text: str, in_context: Sequence[str] = ()) -> Rejection | None:
        """Why `text` is rejected, the first reason that applies; None if it passes.

        Args:
            text: a candidate, with white space collapsed.
            in_context: the instructions its prompt showed.
        """
        reason = self._heuristic(text) or self._chat_fault(text, in_context)
        return None if reason is None else Rejection(reason=reason)

    def _heuristic(self, text: str) -> RejectReason | None:
        """What the paper filters."""
        if not text.strip():
            return RejectReason.EMPTY
        length = num_words(text)
        if length < self.min_words:
            return RejectReason.TOO_SHORT
        if length > self.max_words:
            return RejectReason.TOO_LONG
        if keyword_pattern(self.keywords).search(text):
            return RejectReason.KEYWORD
        if text.lower().startswith("write a program"):
            return RejectReason.WRITE_A_PROGRAM
        return RejectReason.PUNCTUATION if text[0] in string.punctuation else None

    def _chat_fault(self, text: str, in_context: Sequence[str]) -> RejectReason | None:
        """What chat models add: refusals, repetitions, pieces of the prompt and what is said around a task."""
        fault = instruction_fault(text)
        if fault is RejectReason.REFUSAL:
            return fault
        folded = _folded(text)
        if any(folded == _folded(shown) for shown in in_context):
            return RejectReason.ECHO
        if any(folded.startswith(_folded(phrase)) for phrase in self.prompt_phrases if phrase.strip()):
            return RejectReason.ECHO
        return fault


@lru_cache(maxsize=256)  # every candidate of a reply is compared with the same texts
def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(_TRAILING)
