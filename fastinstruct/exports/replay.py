"""The pool as it was when each instruction was admitted, replayed.

Knows nothing of runs or files. Guarantees the scores that the reference's filter computes: bit for bit with the
tokenizer `rouge`, highest first, the average in NumPy's order of summation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["NUM_MOST_SIMILAR", "PoolReplay", "Similarity"]

NUM_MOST_SIMILAR = 10
"""How many neighbours the reference keeps with an instruction."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarity:
    """How similar a text is to the pool: its nearest texts with their ROUGE-L F, highest first, and the mean F."""

    most_similar: dict[str, float]
    average: float


class PoolReplay:
    """A pool that starts with the seeds' instructions and grows by what is admitted, in the order it was.

    Args:
        seeds: the seeds' instructions, in pool order.
        tokenizer: the run's.
    """

    def __init__(self, seeds: Sequence[str], tokenizer: str) -> None:
        from fastinstruct.similarity import RougeIndex  # loads Numba, which the other formats need not wait for

        self._texts = list(seeds)
        self._index = RougeIndex(tokenizer=tokenizer)
        self._index.add(self._texts)

    def __getitem__(self, position: int) -> str:
        return self._texts[position]

    def admit(self, text: str) -> Similarity:
        """Return how similar `text` is to the pool as it is, then let it join."""
        nearest = self._index.most_similar(text, NUM_MOST_SIMILAR)
        similarity = Similarity(
            most_similar={self._texts[position]: score for position, score in nearest},
            average=self._index.average_similarity(text),
        )
        self._index.add([text])
        self._texts.append(text)
        return similarity
