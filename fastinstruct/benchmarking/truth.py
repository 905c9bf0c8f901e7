"""The exact verdicts on a stream of texts, and how right others are.

Knows nothing of clocks. The verdicts are `RougeIndex`'s; a sample of the scores that it rejects for can be held against
rouge_score, bit for bit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinstruct.benchmarking.arms import Question
from fastinstruct.errors import Mismatch
from fastinstruct.similarity import RougeIndex

__all__ = ["Truth", "spread"]


class Truth:
    """The exact verdicts on a stream, and its pool as it was before each text.

    `rejected: bool[n]`; `kept: int64[admitted]`, the places of the texts in the pool; `mean_pool`: how many texts it
    held on average when a text came.
    """

    def __init__(self, texts: list[str], question: Question) -> None:
        self.texts = texts
        self.question = question
        verdicts = RougeIndex(question.threshold, question.tokenizer).admit(texts)
        self.rejected = ~verdicts.admitted
        self.kept = np.flatnonzero(verdicts.admitted)
        self._nearest, self._scores = verdicts.nearest, verdicts.scores
        self.mean_pool = float(np.mean(np.cumsum(verdicts.admitted) - verdicts.admitted))

    def pool_size(self, place: int) -> int:
        """How many texts the pool held when the text at `place` came."""
        return int(np.searchsorted(self.kept, place))

    def pool(self, place: int) -> list[str]:
        """The pool when the text at `place` came."""
        return [self.texts[kept] for kept in self.kept[: self.pool_size(place)].tolist()]

    def checked_pairs(self, count: int) -> int:
        """Hold the scores of `count` rejected texts against rouge_score's, bit for bit; how many there were.

        Raises:
            Mismatch: one differs.
        """
        from rouge_score import rouge_scorer

        score = rouge_scorer.RougeScorer(["rougeL"], use_stemmer=False).score
        places = spread(np.flatnonzero(self.rejected), count)
        for place in places:
            neighbour = self.texts[self.kept[self._nearest[place]]]
            expected, said = score(neighbour, self.texts[place])["rougeL"].fmeasure, float(self._scores[place])
            if expected != said or expected <= self.question.threshold:
                told = f"text {place}: rouge_score says {expected}, FastInstruct {said}"
                raise Mismatch(told, case=(neighbour, self.texts[place]), expected=expected, said=said)
        return len(places)

    def judged(self, verdicts: Sequence[bool], places: list[int] | None = None) -> dict[str, Any]:
        """Recall and precision of verdicts on these places (all without); None where there is nothing to divide by."""
        said = np.array(verdicts, dtype=np.bool_)
        true = self.rejected if places is None else self.rejected[places]
        right = int((said & true).sum())
        return {
            "recall": right / int(true.sum()) if true.any() else None,
            "precision": right / int(said.sum()) if said.any() else None,
            "kept": int((~said).sum()) if places is None else None,
        }


def spread(places: NDArray[np.int64], count: int) -> list[int]:
    """At most `count` of the places, evenly spread."""
    if len(places) <= count:
        return [int(place) for place in places]
    return [int(place) for place in places[(np.arange(count) * 2 + 1) * len(places) // (2 * count)]]
