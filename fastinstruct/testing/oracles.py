"""ROUGE-L and a pool of texts said as plainly as possible: what kernels, indexes and foreign tools are held against.

Knows nothing of the kernels or of NumPy and imports neither. Slow on purpose: where there is a clever way, it isn't
taken. What is compared are tokens of any kind; `tokens` makes them of texts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Pool", "f_measure", "lcs_length", "min_rejecting_lcs", "rouge_l"]


def lcs_length(left: Sequence[object], right: Sequence[object]) -> int:
    """Length of the longest common subsequence: the textbook table, one row at a time."""
    above = [0] * (len(right) + 1)
    for token in left:
        row = [0]
        for column, other in enumerate(right):
            row.append(above[column] + 1 if token == other else max(above[column + 1], row[column]))
        above = row
    return above[-1]


def f_measure(lcs: int, left_length: int, right_length: int) -> float:
    """ROUGE-L F in the reference's arithmetic and its order, so that every bit is the reference's.

    Source: rouge_score 0.1.2, `scoring.fmeasure`, with precision and recall as `rouge_scorer._score_lcs` has them.
    """
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
    """A near-duplicate filter that compares every text with every text it kept; texts are token lists."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.texts: list[Sequence[object]] = []

    def scores(self, tokens: Sequence[object]) -> list[float]:
        """F of the tokens with each text of the pool, in its order."""
        return [rouge_l(tokens, text) for text in self.texts]

    def judge(self, tokens: Sequence[object]) -> tuple[bool, int | None, float]:
        """(admitted, nearest, score), with NaN as the score of the admitted."""
        scores = self.scores(tokens)
        best = max(scores, default=0.0)
        if best > self.threshold:
            return False, scores.index(best), best
        return True, None, math.nan

    def admit(self, tokens: Sequence[object]) -> tuple[bool, int | None, float]:
        """The same; what is admitted is in the pool for the next."""
        verdict = self.judge(tokens)
        if verdict[0]:
            self.texts.append(tokens)
        return verdict

    def most_similar(self, tokens: Sequence[object], k: int) -> list[tuple[int, float]]:
        """The `k` texts with the highest F, equals in the pool's order: (position, F)."""
        ranked = sorted(enumerate(self.scores(tokens)), key=lambda pair: (-pair[1], pair[0]))
        return ranked[:k]
