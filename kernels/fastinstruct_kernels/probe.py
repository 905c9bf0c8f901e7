"""The entry points: settle a batch of texts in order, and score one text against the whole pool.

Knows nothing of text or of how arrays grow: a kernel that lacks room says how far it came and is called again.
Guarantees exactness: every pool text that a bound does not exclude is compared in full, so the verdict, the nearest
text and its score do not depend on the order of the lists.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.lcs import build_pattern, clear_slots, pattern_lcs
from fastinstruct_kernels.pool import NUM_PROBES, NUM_TEXTS, SIZE, START, Pool
from fastinstruct_kernels.postings import bitmap_of, join, lcs_bound, prefix_of
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs

# What becomes of the texts of a batch: judged and, if admitted, joined; judged only; joined unjudged.
ADMIT, QUERY, ADD = 0, 1, 2


class Batch(NamedTuple):
    """Texts to settle, and room for what becomes of them."""

    tokens: NDArray[np.int32]  # int32[tokens]: one text after another
    starts: NDArray[np.int64]  # int64[n + 1]
    admitted: NDArray[np.bool_]  # bool[n]
    nearest: NDArray[np.int64]  # int64[n]: the most similar text above the threshold, -1 for none
    scores: NDArray[np.float64]  # float64[n]: its F, NaN for none


@kernel
def settle(pool: Pool, batch: Batch, first: int, mode: int, threshold: float, fullest: int) -> int:
    """Settle the batch's texts from `first` on, one after another.

    Returns:
        The first text not settled: the pool has reached `fullest` texts, or its postings have no room for this one.
    """
    for index in range(first, batch.starts.size - 1):
        tokens = batch.tokens[batch.starts[index] : batch.starts[index + 1]]
        prefix = prefix_of(tokens, pool.ranks, threshold)
        bitmap = bitmap_of(tokens)
        nearest, score = -1, np.nan
        if mode != ADD and prefix.size > 0:
            nearest, score = _nearest_above(pool, tokens, prefix, bitmap, threshold)
        joins = mode == ADD or (mode == ADMIT and nearest == -1)
        if joins and (pool.counters[NUM_TEXTS] >= fullest or not join(pool, tokens, prefix, bitmap)):
            return index
        batch.admitted[index] = nearest == -1
        batch.nearest[index] = nearest
        batch.scores[index] = score
    return int(batch.starts.size - 1)


@kernel
def _nearest_above(
    pool: Pool, tokens: NDArray[np.int32], prefix: NDArray[np.int32], bitmap: np.uint64, threshold: float
) -> tuple[int, float]:
    """The pool text with the highest F above the threshold, the first of equals; (-1, NaN) without one."""
    nearest, best = -1, np.nan
    pool.counters[NUM_PROBES] += 1
    pattern = build_pattern(tokens, pool.slots)
    for token in prefix:
        begin = np.uint64(pool.lists[token, START])
        for posting in range(begin, begin + np.uint64(pool.lists[token, SIZE])):
            length = pool.posting_lengths[posting]
            needed = _needed_lcs(pool, tokens.size, length, threshold)
            if lcs_bound(bitmap, tokens.size, pool.posting_bitmaps[posting], length) < needed:
                continue
            text = pool.posting_texts[posting]
            if pool.probed[text] == pool.counters[NUM_PROBES]:
                continue
            pool.probed[text] = pool.counters[NUM_PROBES]
            lcs = pattern_lcs(pattern, pool.slots, pool.tokens, pool.starts[text], pool.starts[text + 1])
            if lcs >= needed:
                score = f_measure(lcs, tokens.size, length)
                if nearest == -1 or score > best or (score == best and text < nearest):
                    nearest, best = text, score
    clear_slots(tokens, pool.slots)
    return nearest, best


@inlined_kernel
def _needed_lcs(pool: Pool, length: int, other_length: int, threshold: float) -> int:
    if length < pool.min_lcs.shape[0] and other_length < pool.min_lcs.shape[0]:
        return int(pool.min_lcs[length, other_length])
    return min_rejecting_lcs(length, other_length, threshold)


@kernel
def score_all(pool: Pool, tokens: NDArray[np.int32], scores: NDArray[np.float64]) -> None:
    """F of `tokens: int32[m]` against every pool text, in order, into `scores: float64[texts]`."""
    pattern = build_pattern(tokens, pool.slots)
    for text in range(scores.size):
        begin, end = pool.starts[text], pool.starts[text + 1]
        scores[text] = f_measure(pattern_lcs(pattern, pool.slots, pool.tokens, begin, end), tokens.size, end - begin)
    clear_slots(tokens, pool.slots)
