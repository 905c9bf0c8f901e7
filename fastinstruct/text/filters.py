"""The heuristic filters of the profile `default`: what is dropped before any text is compared with the pool.

Knows nothing of parsing, similarity or runs. A rejection is a value, never an exception; the same arguments always give
the same verdict.

Words are runs between white space. Scripts without spaces are counted by characters instead: three ideographs make two
words, two kana one, four letters of Thai, Lao, Khmer or Burmese one; the sum is rounded up. So five Chinese characters
are enough for four words, and 225 the most within 150.
"""

import random
import re
import string
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from fastinstruct.records import Instance, Rejection, RejectReason
from fastinstruct.text.phrases import is_refusal, leaks_into_instance, leaks_into_instruction

__all__ = ["InstructionFilter", "Sifted", "keyword_pattern", "num_words", "sift", "sift_instances"]

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
        """What chat models add: refusals, repetitions and pieces of the prompt."""
        if is_refusal(text):
            return RejectReason.REFUSAL
        folded = _folded(text)
        if any(folded == _folded(shown) for shown in in_context):
            return RejectReason.ECHO
        if any(folded.startswith(_folded(phrase)) for phrase in self.prompt_phrases if phrase.strip()):
            return RejectReason.ECHO
        return RejectReason.TEMPLATE_LEAK if leaks_into_instruction(text) else None


@lru_cache(maxsize=256)  # every candidate of a reply is compared with the same texts
def _folded(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(_TRAILING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sifted:
    """One instruction's instances, divided: in the order of the reply, each with its reason where rejected."""

    kept: tuple[Instance, ...]
    rejected: tuple[tuple[Instance, Rejection], ...]


def sift_instances(instances: Iterable[Instance], max_instances: int = 5) -> Sifted:
    """Keep the sound instances of one instruction, the first `max_instances` of them.

    Rejected are: an empty output, an input equal to its output, an input or output that ends with a colon (it was
    broken off), refusals and pieces of the prompt; all instances, if two have the same input, not empty, and different
    outputs; duplicates; and what is beyond the limit.

    Source: arXiv:2212.10560, section 2.2; refusals and leaks are ours, for chat models.
    """
    return sift(instances, _fault, max_instances, None)


def sift(
    instances: Iterable[Instance],
    fault: Callable[[Instance], RejectReason | None],
    max_instances: int,
    rng: random.Random | None,
) -> Sifted:
    """Sift one instruction's instances by `fault` and against one another.

    Of more than `max_instances`, that many are drawn with `rng`, or the first kept without one. Kept instances stay in
    the order of the reply, however they were drawn.
    """
    listed = list(instances)
    reasons = [fault(instance) for instance in listed]
    sound = [place for place, reason in enumerate(reasons) if reason is None]
    if _conflict(listed[place] for place in sound):
        reasons = [reason or RejectReason.CONFLICTING_OUTPUTS for reason in reasons]
    else:
        first_place = {listed[place]: place for place in reversed(sound)}
        for place in sound:
            if first_place[listed[place]] != place:
                reasons[place] = RejectReason.DUPLICATE
        for place in _surplus(sorted(first_place.values()), max_instances, rng):
            reasons[place] = RejectReason.SURPLUS
    kept = tuple(instance for instance, reason in zip(listed, reasons, strict=True) if reason is None)
    judged = zip(listed, reasons, strict=True)
    rejected = tuple((instance, Rejection(reason=reason)) for instance, reason in judged if reason is not None)
    return Sifted(kept=kept, rejected=rejected)


def _conflict(instances: Iterable[Instance]) -> bool:
    """Whether two instances have the same input, not empty, but different outputs."""
    outputs: dict[str, str] = {}
    return any(one.input and outputs.setdefault(one.input, one.output) != one.output for one in instances)


def _surplus(places: Sequence[int], max_instances: int, rng: random.Random | None) -> Iterable[int]:
    if len(places) <= max_instances:
        return ()
    if rng is None:
        return places[max_instances:]
    return set(places) - set(rng.sample(places, max_instances))


def _fault(instance: Instance) -> RejectReason | None:
    """What is wrong with an instance by itself."""
    given, output = instance.input.strip(), instance.output.strip()
    if not output:
        return RejectReason.EMPTY_OUTPUT
    if given == output:
        return RejectReason.INPUT_EQUALS_OUTPUT
    if given.endswith((":", "：")) or output.endswith((":", "：")):
        return RejectReason.TRAILING_COLON
    if is_refusal(instance.output):
        return RejectReason.REFUSAL
    leaks = leaks_into_instance(instance.output) or leaks_into_instance(instance.input)
    return RejectReason.TEMPLATE_LEAK if leaks else None
