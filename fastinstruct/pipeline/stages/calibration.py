"""Stage 2 with log-probabilities: how sure is the model of Yes over No, and above which odds to believe it.

Pure functions; knows nothing of requests. A base model that answers greedily says yes far too often, but the odds
still rank tasks well: a threshold fitted on seed tasks that the prompt does not show mends the bias.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import pairwise

__all__ = ["answer_accuracy", "balanced_accuracy", "best_threshold", "cross_validated_accuracy", "is_yes", "log_odds"]

_YES = frozenset({"yes", "true"})
_NO = frozenset({"no", "false"})
_SMALLEST_REST = 1e-6  # servers round log-probabilities, so what they leave over is not known better


def log_odds(top_logprobs: Mapping[str, float] | None) -> float | None:
    """Return log P(yes) - log P(no) of the first token, or None where neither is among the alternatives.

    The alternatives end somewhere: an answer that is not among them has at most the probability of the last one, and
    at most what all of them leave over.
    """
    if not top_logprobs:
        return None
    yes = _log_sum(value for token, value in top_logprobs.items() if _word(token) in _YES)
    no = _log_sum(value for token, value in top_logprobs.items() if _word(token) in _NO)
    if yes is None and no is None:
        return None
    rest = 1 - sum(math.exp(min(value, 0.0)) for value in top_logprobs.values())
    floor = min(*top_logprobs.values(), math.log(max(rest, _SMALLEST_REST)))
    return (floor if yes is None else yes) - (floor if no is None else no)


def is_yes(odds: float, threshold: float) -> bool:
    """Say whether odds as `log_odds` returns them mean yes."""
    return odds > threshold


def best_threshold(yes: Sequence[float], no: Sequence[float]) -> float:
    """Return the threshold with the highest balanced accuracy: the middle of the widest best gap.

    Args:
        yes: the log-odds of tasks known to be classification.
        no: those of others.
    """
    values = sorted({*yes, *no})
    if not values:
        return 0.0
    cuts = [values[0] - 1.0, *((a + b) / 2 for a, b in pairwise(values)), values[-1] + 1.0]
    widths = [1.0, *(b - a for a, b in pairwise(values)), 1.0]
    ranked = [(balanced_accuracy(yes, no, cut), width, cut) for cut, width in zip(cuts, widths, strict=True)]
    return max(ranked)[2]


def balanced_accuracy(yes: Sequence[float], no: Sequence[float], threshold: float) -> float:
    """Return the mean of the shares that are right among yes and among no: 0.5 is what guessing gives."""
    right_yes = sum(is_yes(odds, threshold) for odds in yes) / len(yes) if yes else 0.5
    right_no = sum(not is_yes(odds, threshold) for odds in no) / len(no) if no else 0.5
    return (right_yes + right_no) / 2


def answer_accuracy(yes: Sequence[bool | None], no: Sequence[bool | None]) -> float:
    """Return the balanced accuracy of answers read from text; None, neither yes nor no, is taken for no as in stage 3.

    Args:
        yes: the answers about tasks known to be classification.
        no: those about others.
    """
    return balanced_accuracy([float(bool(answer)) for answer in yes], [float(bool(answer)) for answer in no], 0.5)


def cross_validated_accuracy(yes: Sequence[float], no: Sequence[float]) -> float:
    """Return the balanced accuracy on tasks that the threshold was not fitted on: two folds, every other task."""
    folds = [(yes[0::2], no[0::2]), (yes[1::2], no[1::2])]
    scores = [
        balanced_accuracy(*test, best_threshold(*train))
        for train, test in zip(folds, reversed(folds), strict=True)
        if all(train) and all(test)
    ]
    return sum(scores) / len(scores) if scores else 0.5


def _word(token: str) -> str:
    # Byte-level and SentencePiece vocabularies mark the space before a word in their own ways.
    return token.replace("Ġ", " ").replace("▁", " ").strip().strip("*\"'.").lower()


def _log_sum(values: Iterable[float]) -> float | None:
    logs = list(values)
    if not logs:
        return None
    top = max(logs)
    return top + math.log(sum(math.exp(value - top) for value in logs)) if math.isfinite(top) else top
