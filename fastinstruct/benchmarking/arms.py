"""What is measured: tools that decide a stream of texts, and tools that compare a text with a whole pool.

Knows nothing of clocks, nor of any tool but our own. All are asked one question: is there a text in the pool so far
whose ROUGE-L F with this one is above the threshold? Each begins with `str`; a text that it doesn't reject joins its
own pool, so a wrong verdict may lead to others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from fastinstruct.similarity import LSHIndex, RougeIndex, tokenize

__all__ = ["Arm", "Contest", "Decide", "Matrix", "Question", "Rejects", "Scan", "approximate", "exact", "exact_singly"]

Decide: TypeAlias = Callable[[Sequence[str]], list[bool]]
"""Says of each text, in order, whether it is rejected; called with one batch after another, over one pool."""

Rejects: TypeAlias = Callable[[list[str], str], bool]
"""Whether a text is rejected for one of this pool."""

BATCH = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What every tool is asked; `tokenizer` by its exact name, `batch` in texts."""

    threshold: float = 0.7
    tokenizer: str = "rouge"
    batch: int = BATCH

    @property
    def lowest_jaccard(self) -> float:
        """What two token sets have in common at least if ROUGE-L is above the threshold: see `similarity.lsh`."""
        return round(self.threshold / (2 - self.threshold), 2)

    def tokens(self, text: str) -> list[str]:
        """The tokens of a text, by the fastest tokenizer in Python that we know."""
        return tokenize(text, self.tokenizer)


@dataclass(frozen=True, slots=True, kw_only=True)
class Arm:
    """A tool with its settings that decides a stream: `start` makes one with an empty pool.

    `is_slow`: may be asked in one round only. `is_whole`: needs all texts in one call.
    """

    name: str
    settings: str
    start: Callable[[], Decide]
    is_slow: bool = False
    is_whole: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A tool that compares one text with each of many, too slow for a stream: it is asked about so many `samples`."""

    name: str
    settings: str
    make: Callable[[], Rejects]
    samples: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Matrix:
    """A tool that compares a batch of texts with a pool at once, both prepared before.

    `prepare` makes of all texts what it compares; `rejected(pool, batch)` are the verdicts on the batch, in order.
    """

    name: str
    settings: str
    prepare: Callable[[Sequence[str]], list[str]]
    rejected: Callable[[list[str], list[str]], list[bool]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contest:
    """All that one stream is measured with, besides our own."""

    arms: tuple[Arm, ...] = ()
    scans: tuple[Scan, ...] = ()
    matrices: tuple[Matrix, ...] = ()

    def __add__(self, other: Contest) -> Contest:
        return Contest(
            arms=self.arms + other.arms, scans=self.scans + other.scans, matrices=self.matrices + other.matrices
        )


def exact(question: Question, name: str = "FastInstruct RougeIndex") -> Arm:
    """Our exact index, in batches: what the others are compared with."""

    def start() -> Decide:
        index = RougeIndex(question.threshold, question.tokenizer)
        return lambda texts: [not admitted for admitted in index.admit(texts).admitted.tolist()]

    return Arm(name=name, settings=f"batches of {question.batch:,}", start=start)


def exact_singly(question: Question, name: str = "FastInstruct RougeIndex") -> Arm:
    """The same, a call a text."""

    def start() -> Decide:
        index = RougeIndex(question.threshold, question.tokenizer)
        return lambda texts: [not index.admit([text]).admitted[0] for text in texts]

    return Arm(name=name, settings="one text a call", start=start, is_slow=True)


def approximate(question: Question, name: str = "FastInstruct LSHIndex") -> Arm:
    """Our approximate index, in batches."""

    def start() -> Decide:
        index = LSHIndex(question.threshold, question.tokenizer)
        return lambda texts: [not admitted for admitted in index.admit(texts).admitted.tolist()]

    return Arm(name=name, settings=f"batches of {question.batch:,}", start=start)
