"""Texts of a batch, compared in full with the pool texts that could be near them.

Knows nothing of lists. Every pool text noted is compared, once, unless its length, or the bitmaps of both, leave no
room for F above the threshold and above what was found before. So the verdict, the nearest text and its score don't
depend on the order in which they were noted.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, inlined_part, kernel_part, prefetch
from fastinstruct_kernels.bags import LONGEST_SHORT, bag_words, fill_folded, may_share
from fastinstruct_kernels.judgement import (
    FEW,
    NUM_COMPARED,
    NUM_FOUND,
    NUM_PAIRS,
    NUM_SEEN,
    NUM_TOGETHER,
    WIDEST,
    Batch,
    Scratch,
    Text,
    text_of,
)
from fastinstruct_kernels.lcs import (
    LANES,
    WORD_BITS,
    Pattern,
    clear_pattern,
    fill_pattern,
    four_lcs,
    is_stopped,
    pattern_lcs,
    unpacked_lcs,
)
from fastinstruct_kernels.pool import TABLE_LENGTH, Pool, bag_of
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs

# So many pool texts are fetched before they are compared.
_AHEAD = 64
# Scores are loosened by far more than their rounding, and by far less than one token, where they become bounds.
_SLACK = 0.5 * (1.0 - 1e-12)


@inlined_kernel
def needed_lcs(min_lcs: NDArray[np.int32], length: int, other_length: int, threshold: float) -> int:
    """rouge.min_rejecting_lcs, from the pool's table where it can."""
    if length <= TABLE_LENGTH and other_length <= TABLE_LENGTH:
        return int(min_lcs[length, other_length])
    return min_rejecting_lcs(length, other_length, threshold)


@inlined_kernel
def note_found(
    counters: NDArray[np.int64],
    found: NDArray[np.int32],
    next_found: NDArray[np.int32],
    found_heads: NDArray[np.int32],
    row: int,
    other: int,
) -> None:
    """Note a pool text for comparison with a text of the batch; there must be room."""
    number = counters[NUM_FOUND]
    found[number] = other
    next_found[number] = found_heads[row]
    found_heads[row] = number + 1
    counters[NUM_FOUND] = number + 1


@kernel_part
def compare_found(pool: Pool, batch: Batch, scratch: Scratch, first: int, last: int, threshold: float) -> None:
    """Compare the texts from `first` to before `last` with the pool texts found for them; nothing is noted then.

    The nearest so far, the first of equals, becomes a text's verdict. Those with more than a few are left out. Once the
    pattern's flag is raised, so is the rest.
    """
    for row in range(first, last):
        if scratch.found_heads[row] > 0:
            if scratch.num_found[row] < FEW:
                _compare_row(pool, batch, scratch, text_of(batch, row, threshold))
            scratch.found_heads[row] = 0
    scratch.counters[NUM_FOUND] = 0


@inlined_part
def begin_comparing(batch: Batch, scratch: Scratch, text: Text) -> None:
    """Make ready for comparisons with a text, until `end_comparing`."""
    scratch.counters[NUM_COMPARED] += 1
    end = text.begin + text.length
    fill_pattern(scratch.pattern, batch.tokens, text.begin, end)
    scratch.counters[WIDEST] = 0
    if 2 * text.length > LONGEST_SHORT:  # else none that it can be near has a bitmap, at the thresholds in use
        scratch.counters[WIDEST] = fill_folded(batch.keys, text.begin, end, scratch.bag)


@inlined_part
def end_comparing(batch: Batch, scratch: Scratch, text: Text) -> None:
    """Forget the text."""
    clear_pattern(scratch.pattern, batch.tokens, text.begin, text.begin + text.length)


@inlined_part
def _compare_row(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    begin_comparing(batch, scratch, text)
    waiting = 0
    following = scratch.found_heads[text.row]
    while following > 0:
        other = scratch.found[following - 1]
        following = scratch.next_found[following - 1]
        if scratch.num_found[text.row] == 0 or not _is_seen(scratch.seen, scratch.counters[NUM_COMPARED], other):
            scratch.together[waiting] = other
            waiting += 1
    scratch.counters[NUM_TOGETHER] = waiting
    compare_together(pool, batch, scratch, text)
    end_comparing(batch, scratch, text)


@kernel_part
def compare_together(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    """Compare the text with what was collected in `scratch.together`, unless stopped.

    The nearest so far, the first of equals, becomes the text's verdict.
    """
    waiting = scratch.counters[NUM_TOGETHER]
    for first in range(0, waiting, _AHEAD):
        if is_stopped(scratch.pattern):
            return
        last = min(first + _AHEAD, waiting)
        # First a look at some, so that what is missing in the cache comes at the same time, not one after another.
        for number in range(first, last):
            prefetch(pool.tokens, pool.starts[scratch.together[number]])
        if text.length > WORD_BITS:
            _compare_long(pool, batch, scratch, text, first, last)
            continue
        if scratch.counters[WIDEST] > 0:
            last = _keep_possible(pool, batch, scratch, text, first, last)
        scratch.counters[NUM_PAIRS] += last - first
        _compare_fours(
            scratch.pattern,
            pool.tokens,
            pool.starts,
            pool.min_lcs,
            scratch.together,
            first,
            last,
            batch.nearest,
            batch.scores,
            batch.admitted,
            text,
        )


@inlined_part
def _compare_long(pool: Pool, batch: Batch, scratch: Scratch, text: Text, first: int, last: int) -> None:
    """Compare a text of more than 64 tokens with together[first:last]."""
    for number in range(first, last):
        other = scratch.together[number]
        needed = _possible_lcs(pool, batch, scratch, text, other)
        if needed < 0:
            continue
        scratch.counters[NUM_PAIRS] += 1
        begin, end = pool.starts[other], pool.starts[other + 1]
        lcs = pattern_lcs(scratch.pattern, text.length, pool.tokens, begin, end, needed)
        if lcs >= needed:
            score = f_measure(lcs, text.length, end - begin)
            _remember(batch.nearest, batch.scores, batch.admitted, text.row, other, score)


@inlined_part
def _keep_possible(pool: Pool, batch: Batch, scratch: Scratch, text: Text, first: int, last: int) -> int:
    """Keep those of together[first:last] that lengths and bitmaps don't refuse; returns where they end."""
    kept = first
    for number in range(first, last):
        other = scratch.together[number]
        if _possible_lcs(pool, batch, scratch, text, other) >= 0:
            scratch.together[kept] = other
            kept += 1
    return kept


@inlined_part
def _possible_lcs(pool: Pool, batch: Batch, scratch: Scratch, text: Text, other: int) -> int:
    """What a pair needs in common to become the text's verdict; -1 if lengths or bitmaps leave no room for that."""
    other_length = pool.starts[other + 1] - pool.starts[other]
    needed = needed_lcs(pool.min_lcs, text.length, other_length, text.threshold)
    if batch.nearest[text.row] >= 0:
        needed = max(needed, int(batch.scores[text.row] * (text.length + other_length) * _SLACK))
    if needed > min(text.length, other_length):
        return -1
    words = bag_words(other_length)
    if 0 < words <= scratch.counters[WIDEST] and not may_share(
        scratch.bag, text.length, pool.bags, bag_of(pool.long_marks, pool.longs, other), other_length, needed
    ):
        return -1
    return needed


@inlined_kernel
def _compare_fours(
    pattern: Pattern,
    tokens: NDArray[np.int32],
    starts: NDArray[np.int64],
    min_lcs: NDArray[np.int32],
    together: NDArray[np.int32],
    first: int,
    last: int,
    nearest: NDArray[np.int64],
    scores: NDArray[np.float64],
    admitted: NDArray[np.bool_],
    text: Text,
) -> None:
    """Compare a text of up to 64 tokens with together[first:last]; to fill up the last four, one of them again."""
    for number in range(first, last, LANES):
        common = four_lcs(
            pattern,
            tokens,
            starts,
            together[number],
            together[min(number + 1, last - 1)],
            together[min(number + 2, last - 1)],
            together[min(number + 3, last - 1)],
        )
        for lane in range(LANES):
            other = together[min(number + lane, last - 1)]
            length, lcs = starts[other + 1] - starts[other], unpacked_lcs(common, lane)
            if lcs >= needed_lcs(min_lcs, text.length, length, text.threshold):
                _remember(nearest, scores, admitted, text.row, other, f_measure(lcs, text.length, length))


@inlined_kernel
def _is_seen(seen: NDArray[np.int64], stamp: int, other: int) -> bool:
    """Whether the text that is compared has met this one; it has now. Room for more than a text can have found here."""
    slot = other & (NUM_SEEN - 1)
    while seen[slot] >> 32 == stamp:
        if seen[slot] & 0xFFFFFFFF == other:
            return True
        slot = (slot + 1) & (NUM_SEEN - 1)
    seen[slot] = (stamp << 32) | np.int64(other)
    return False


@inlined_kernel
def _remember(
    nearest: NDArray[np.int64],
    scores: NDArray[np.float64],
    admitted: NDArray[np.bool_],
    row: int,
    other: int,
    score: float,
) -> None:
    known, best = nearest[row], scores[row]
    if known == -1 or score > best or (score == best and other < known):
        nearest[row] = other
        scores[row] = score
        admitted[row] = False
