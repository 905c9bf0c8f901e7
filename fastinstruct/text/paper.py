"""The profile `paper`: replies read and filtered with the reference's exact behaviour, its quirks included.

Knows nothing of prompts or runs. Guarantees the reference's results but for what it leaves to chance: instances stay in
the order of the reply, where it has the order of a set. Every rejection is returned, so that it can be counted; the
reference drops silently.

Quirks that the profile `default` does not share: everything after an instruction's first letter becomes lower case; a
reply that broke off is thrown away whole; an instruction in another script is never kept; the word "Example" and
"Input:" anywhere in content split it; all that is not exactly "Yes", "yes" or "YES" is a no.

Source: arXiv:2212.10560 and its released code (bootstrap_instructions, prepare_for_finetuning).
"""

import random
import re
import string
from collections.abc import Iterator

from fastinstruct.records import Candidate, FinishReason, Instance, Rejection, RejectReason
from fastinstruct.text.filters import keyword_pattern
from fastinstruct.text.sifting import Sifted, sift

__all__ = ["KEYWORDS", "is_classification", "parse_instances", "parse_instructions"]

KEYWORDS = (
    *("image", "images", "graph", "graphs", "picture", "pictures", "file", "files", "map", "maps"),
    *("draw", "plot", "go to"),
)
"""What the reference takes for signs of a task that a text model cannot do."""

_MIN_WORDS, _MAX_WORDS = 4, 150
_NEXT_ITEM = re.compile(r"\n\d+\s?\. ")
_EXAMPLE = re.compile(r"Example\s?\d*\.?")
# Possessive: white space that no colon follows is walked over once.
_OUTPUT = re.compile(r"Output\s*+(?:\d++\s*+)?:")
_INPUT = re.compile(r"Input\s*+(?:\d++\s*+)?:")
_LABEL = "Class label:"


def parse_instructions(text: str, finish_reason: FinishReason) -> list[Candidate]:
    """The candidates in a completion that starts inside the first item, each with the reason that rejects it, if any.

    Source: arXiv:2212.10560, section 2.2.
    """
    torn = Rejection(reason=RejectReason.TRUNCATED) if finish_reason is FinishReason.LENGTH else None
    pieces = (" ".join(piece.split()).capitalize() for piece in _NEXT_ITEM.split(text))
    return [Candidate(text=piece, rejection=torn or _rejection(piece)) for piece in pieces]


def _rejection(text: str) -> Rejection | None:
    reason = _reason(text)
    return None if reason is None else Rejection(reason=reason)


def _reason(text: str) -> RejectReason | None:
    if not text:
        return RejectReason.EMPTY
    num_words = len(text.split())
    if num_words < _MIN_WORDS:
        return RejectReason.TOO_SHORT
    if num_words > _MAX_WORDS:
        return RejectReason.TOO_LONG
    if keyword_pattern(KEYWORDS).search(text):
        return RejectReason.KEYWORD
    if text.startswith("Write a program"):
        return RejectReason.WRITE_A_PROGRAM
    if text[0] in string.punctuation:
        return RejectReason.PUNCTUATION
    return None if text[0].isascii() else RejectReason.NON_ASCII


def is_classification(text: str) -> bool:
    """Whether a reply to the prompt of stage 2 is a yes to the reference; a failed call, an empty text, is a no."""
    return text.strip() in {"Yes", "yes", "YES"}


def parse_instances(
    text: str,
    *,
    is_classification: bool,
    finish_reason: FinishReason,
    max_instances: int = 5,
    rng: random.Random | None = None,
) -> Sifted:
    """The instances in a reply, filtered.

    Of more than `max_instances`, that many are drawn with `rng`, or the first kept without one.

    Source: arXiv:2212.10560, section 2.2 and appendix A.3, A.4.
    """
    instances = list(_output_first(text) if is_classification else _input_first(text))
    torn = instances[-1:] if finish_reason is FinishReason.LENGTH else []
    sifted = sift(instances[: len(instances) - len(torn)], _fault, max_instances, rng)
    truncated = tuple((instance, Rejection(reason=RejectReason.TRUNCATED)) for instance in torn)
    return Sifted(kept=sifted.kept, rejected=sifted.rejected + truncated)


def _output_first(text: str) -> Iterator[Instance]:
    for part in text.strip().split(_LABEL)[1:]:
        label, _, given = part.strip().partition("\n")
        yield Instance(input=given.strip(), output=label.strip())


def _input_first(text: str) -> Iterator[Instance]:
    text = text.strip()
    if _EXAMPLE.search(text):
        yield from (_pair(block.strip()) for block in _EXAMPLE.split(text) if block.strip())
    elif _OUTPUT.search(text):
        yield _pair(text)


def _pair(text: str) -> Instance:
    """An input and its output; a block without an output marker is an output without input."""
    before, *after = _OUTPUT.split(text)
    given, answer = (before.strip(), after[0]) if after else ("", text)
    marker = _INPUT.match(given)
    return Instance(input=given[marker.end() if marker else 0 :].strip(), output=_INPUT.split(answer)[0].strip())


def _fault(instance: Instance) -> RejectReason | None:
    if not instance.output:
        return RejectReason.EMPTY_OUTPUT
    if instance.input == instance.output:
        return RejectReason.INPUT_EQUALS_OUTPUT
    return RejectReason.TRAILING_COLON if instance.input.endswith(":") or instance.output.endswith(":") else None
