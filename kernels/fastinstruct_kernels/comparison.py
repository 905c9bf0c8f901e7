"""Texts of a batch, compared in full with the pool texts that could be near them.

Knows nothing of lists. Every pool text noted is compared, most of them once, so the verdict, the nearest text and its
score don't depend on the order in which they were noted.
"""

import numpy as np

from fastinstruct_kernels._jit import inlined_kernel, kernel, prefetch
from fastinstruct_kernels.judgement import NUM_COMPARED, NUM_FOUND, NUM_SEEN, Batch, Scratch, Text, text_of
from fastinstruct_kernels.lcs import clear_pattern, fill_pattern, is_stopped, pattern_lcs
from fastinstruct_kernels.pool import TABLE_LENGTH, Pool
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs


@inlined_kernel
def needed_lcs(pool: Pool, length: int, other_length: int, threshold: float) -> int:
    """rouge.min_rejecting_lcs, from the pool's table where it can."""
    if length <= TABLE_LENGTH and other_length <= TABLE_LENGTH:
        return int(pool.min_lcs[length, other_length])
    return min_rejecting_lcs(length, other_length, threshold)


@inlined_kernel
def note_found(pool: Pool, scratch: Scratch, row: int, other: int) -> None:
    """Note a pool text for comparison with a text of the batch; there must be room."""
    number = scratch.counters[NUM_FOUND]
    prefetch(pool.starts, other)
    scratch.found[number] = other
    scratch.next_found[number] = scratch.found_heads[row]
    scratch.found_heads[row] = number + 1
    scratch.counters[NUM_FOUND] = number + 1


@kernel
def compare_found(pool: Pool, batch: Batch, scratch: Scratch, first: int, last: int, threshold: float) -> None:
    """Compare the texts from `first` to before `last` with the pool texts found for them; nothing is noted then.

    The nearest so far, the first of equals, becomes a text's verdict. Once the pattern's flag is raised, the rest is
    left out.
    """
    for row in range(first, last):
        if scratch.found_heads[row] > 0:
            _compare_row(pool, batch, scratch, text_of(batch, row, threshold))
            scratch.found_heads[row] = 0
    scratch.counters[NUM_FOUND] = 0


@inlined_kernel
def _compare_row(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    scratch.counters[NUM_COMPARED] += 1
    pattern, stop = scratch.pattern, text.begin + text.length
    fill_pattern(pattern, batch.tokens, text.begin, stop)
    # First a look at all, so that what is missing in the cache comes at the same time, not one after another.
    following = scratch.found_heads[text.row]
    while following > 0:
        prefetch(pool.tokens, pool.starts[scratch.found[following - 1]])
        following = scratch.next_found[following - 1]
    following = scratch.found_heads[text.row]
    while following > 0 and not is_stopped(pattern):
        other = scratch.found[following - 1]
        following = scratch.next_found[following - 1]
        mark = (scratch.counters[NUM_COMPARED] << 32) | np.int64(other)
        if scratch.seen[other & (NUM_SEEN - 1)] == mark:
            continue
        scratch.seen[other & (NUM_SEEN - 1)] = mark
        begin, end = pool.starts[other], pool.starts[other + 1]
        needed = needed_lcs(pool, text.length, end - begin, text.threshold)
        if needed <= min(text.length, end - begin):
            lcs = pattern_lcs(pattern, text.length, pool.tokens, begin, end)
            if lcs >= needed:
                _remember(batch, text.row, other, f_measure(lcs, text.length, end - begin))
    clear_pattern(pattern, batch.tokens, text.begin, stop)


@inlined_kernel
def _remember(batch: Batch, index: int, other: int, score: float) -> None:
    nearest, best = batch.nearest[index], batch.scores[index]
    if nearest == -1 or score > best or (score == best and other < nearest):
        batch.nearest[index] = other
        batch.scores[index] = score
        batch.admitted[index] = False
