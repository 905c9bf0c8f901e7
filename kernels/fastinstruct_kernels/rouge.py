"""ROUGE-L as doubles and as integers.

Knows nothing of tokens. Guarantees the bits of the reference, rouge_score 0.1.2, each step rounded to double:

    P = L / m    R = L / n    F = 2 * P * R / (P + R)

That is not `2 * L / (m + n)`: seven of (8, 12) tokens score 0.7000000000000001, seven of (10, 10) exactly 0.7. F rises
with L by far more than its rounding error, so "F > threshold" is the same as "L >= a whole number" that depends on the
lengths and the threshold.

Source: Lin, "ROUGE: A Package for Automatic Evaluation of Summaries" (2004), section 3.1, with beta = 1.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, making_kernel

# Real bounds are loosened by far more than the few roundings in them, and by far less than one token.
_SLACK = 1.0 - 1e-12


@inlined_kernel
def f_measure(lcs: int, left_length: int, right_length: int) -> float:
    """ROUGE-L F of two texts of these lengths; 0.0 where nothing is common. Symmetric in the lengths."""
    if lcs == 0:
        return 0.0
    precision = lcs / left_length
    recall = lcs / right_length
    return 2.0 * precision * recall / (precision + recall)


@kernel
def min_rejecting_lcs(left_length: int, right_length: int, threshold: float) -> int:
    """The smallest LCS whose F exceeds the threshold; `min(lengths) + 1` where none does."""
    shorter = min(left_length, right_length)
    # Begins one below the real bound, t * (m + n) / 2, so that no rounding in it can skip the first that rejects.
    lcs = max(int(threshold * (left_length + right_length) / 2.0) - 1, 1)
    while lcs <= shorter and f_measure(lcs, left_length, right_length) <= threshold:
        lcs += 1
    return min(lcs, shorter + 1)


@making_kernel
def min_rejecting_table(longest: int, threshold: float) -> NDArray[np.int32]:
    """`min_rejecting_lcs` of every pair of lengths up to `longest`: int32[longest + 1, longest + 1]."""
    table = np.empty((longest + 1, longest + 1), dtype=np.int32)
    for left_length in range(longest + 1):
        for right_length in range(left_length + 1):
            lcs = min_rejecting_lcs(left_length, right_length, threshold)
            table[left_length, right_length] = lcs
            table[right_length, left_length] = lcs
    return table


@inlined_kernel
def shortest_length(length: int, threshold: float) -> int:
    """F of a text of that length with any shorter one than this is below the threshold."""
    return int(length * (threshold / (2.0 - threshold)))


@inlined_kernel
def longest_length(length: int, threshold: float) -> int:
    """F of a text of that length with any longer one than this is below the threshold; at most 2**31 - 1."""
    most = 2**31 - 1
    if threshold * most > length * 2.0:
        most = int(length * ((2.0 - threshold) / threshold)) + 1
    return most


@kernel
def prefix_length(length: int, threshold: float) -> int:
    """How many of a text's rarest tokens to look at: two texts above the threshold share one of these.

    `F > t` needs `2 * L > t * (m + n)`, and `n >= L`, so `L > m * t / (2 - t)`. Two bags with L tokens in common
    can't both have all of them outside the rarest `m - L + 1` and `n - L + 1`.

    Source: Bayardo, Ma, Srikant, "Scaling up all pairs similarity search" (2007), section 4 (the prefix filter);
    Xiao et al., "Efficient similarity joins for near duplicate detection" (2008).
    """
    least_lcs = int(length * (threshold / (2.0 - threshold)) * _SLACK) + 1
    return max(length - least_lcs + 1, 0)
