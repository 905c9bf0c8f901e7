"""How many near-duplicates an approximate index finds: the measurement, and the pairs to measure with.

Knows nothing of how candidates are found. Randomness is passed in.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels.lcs import STOPPED, lcs_length
from fastinstruct_kernels.rouge import f_measure

__all__ = ["Recall", "edited", "recall_of"]

_Z = 1.959963984540054  # the normal distribution's 97.5th percentile: 95% lie between -z and z


@dataclass(frozen=True, slots=True, kw_only=True)
class Recall:
    """The share of near-duplicates that were found, with its 95% confidence interval.

    Without any pair to judge, `value` is NaN and the interval 0 to 1.
    """

    value: float
    low: float
    high: float
    num_pairs: int

    def __str__(self) -> str:
        return f"{self.value:.4f} (95% confidence {self.low:.4f} to {self.high:.4f}, {self.num_pairs:,} pairs)"


def recall_of(num_found: int, num_pairs: int) -> Recall:
    """The recall and its interval when `num_found` of `num_pairs` were found.

    Source: Wilson, "Probable inference, the law of succession, and statistical inference" (1927): unlike the normal
    approximation, the interval is honest near 1.
    """
    if num_pairs == 0:
        return Recall(value=math.nan, low=0.0, high=1.0, num_pairs=0)
    share, weight = num_found / num_pairs, _Z * _Z / num_pairs
    middle = (share + weight / 2) / (1 + weight)
    reach = _Z / (1 + weight) * math.sqrt(share * (1 - share) / num_pairs + weight / (4 * num_pairs))
    return Recall(
        value=share,
        low=0.0 if num_found == 0 else max(0.0, middle - reach),
        high=1.0 if num_found == num_pairs else min(1.0, middle + reach),
        num_pairs=num_pairs,
    )


def edited(
    text: NDArray[np.int32],
    words: NDArray[np.int32],
    threshold: float,
    rng: np.random.Generator,
    stop: NDArray[np.int64],
) -> NDArray[np.int32] | None:
    """A near-duplicate of `text`, with F above the threshold and below 1; None if the first edit already left that.

    Up to as many edits as the text is long, the number drawn evenly, stopping at the threshold: so many of the pairs
    lie just above it, where they are hardest to find. An edit replaces a word by one of `words`, drops it, or inserts
    one. None, too, once the flag `stop: int64[1]` is raised.
    """
    found: NDArray[np.int32] | None = None
    changed = text
    vocabulary = int(max(text.max(), words.max())) + 1
    for _ in range(int(rng.integers(1, len(text) + 1))):
        changed = _with_one_edit(changed, words, rng)
        lcs = lcs_length(text, changed, vocabulary, stop)
        if lcs == STOPPED:
            return None
        score = f_measure(lcs, len(text), len(changed))
        if score <= threshold:
            break
        if score < 1.0:
            found = changed
    return found


def _with_one_edit(text: NDArray[np.int32], words: NDArray[np.int32], rng: np.random.Generator) -> NDArray[np.int32]:
    place = int(rng.integers(len(text)))
    kind = int(rng.integers(3))
    kept_from = place if kind == 2 else place + 1
    new = words[:0] if kind == 1 else rng.choice(words, 1)
    changed = np.concatenate([text[:place], new, text[kept_from:]])
    return changed if len(changed) else text
