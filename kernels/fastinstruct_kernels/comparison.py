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
    NUM_LANES,
    NUM_PAIRS,
    NUM_SEEN,
    NUM_TOGETHER,
    WIDEST,
    Batch,
    Scratch,
    Text,
    text_of,
)
from fastinstruct_kernels.lcs import WORD_BITS, clear_pattern, fill_pattern, four_lcs, is_stopped, pattern_lcs
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
def end_comparing(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    """Compare what waits, and forget the text."""
    for lane in range(scratch.counters[NUM_LANES]):
        begin, end = scratch.lanes[lane, 0], scratch.lanes[lane, 1]
        scratch.lanes[lane, 2] = pattern_lcs(scratch.pattern, text.length, pool.tokens, begin, end)
    _end_lanes(scratch.counters, scratch.lanes, batch.nearest, batch.scores, batch.admitted, text)
    clear_pattern(scratch.pattern, batch.tokens, text.begin, text.begin + text.length)


@inlined_part
def _compare(pool: Pool, batch: Batch, scratch: Scratch, text: Text, other: int) -> None:
    """The nearest so far, the first of equals, becomes the text's verdict; up to three pairs may have to wait."""
    begin, end = pool.starts[other], pool.starts[other + 1]
    other_length = end - begin
    needed = needed_lcs(pool.min_lcs, text.length, other_length, text.threshold)
    if batch.nearest[text.row] >= 0:
        needed = max(needed, int(batch.scores[text.row] * (text.length + other_length) * _SLACK))
    if needed > min(text.length, other_length):
        return
    words = bag_words(other_length)
    if 0 < words <= scratch.counters[WIDEST] and not may_share(
        scratch.bag, text.length, pool.bags, bag_of(pool.long_marks, pool.longs, other), other_length, needed
    ):
        return
    scratch.counters[NUM_PAIRS] += 1
    if text.length > WORD_BITS:
        lcs = pattern_lcs(scratch.pattern, text.length, pool.tokens, begin, end, needed)
        if lcs >= needed:
            _remember(
                batch.nearest,
                batch.scores,
                batch.admitted,
                text.row,
                other,
                f_measure(lcs, text.length, other_length),
            )
        return
    lane = scratch.counters[NUM_LANES]
    scratch.lanes[lane, 0], scratch.lanes[lane, 1] = begin, end
    scratch.lanes[lane, 3], scratch.lanes[lane, 4] = needed, other
    scratch.counters[NUM_LANES] = lane + 1
    if lane == 3:
        four_lcs(scratch.pattern, pool.tokens, scratch.lanes)
        _end_lanes(scratch.counters, scratch.lanes, batch.nearest, batch.scores, batch.admitted, text)


@inlined_part
def _end_lanes(
    counters: NDArray[np.int64],
    lanes: NDArray[np.int64],
    nearest: NDArray[np.int64],
    scores: NDArray[np.float64],
    admitted: NDArray[np.bool_],
    text: Text,
) -> None:
    for lane in range(counters[NUM_LANES]):
        lcs = lanes[lane, 2]
        if lcs >= lanes[lane, 3]:
            score = f_measure(lcs, text.length, lanes[lane, 1] - lanes[lane, 0])
            _remember(nearest, scores, admitted, text.row, lanes[lane, 4], score)
    counters[NUM_LANES] = 0


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
    end_comparing(pool, batch, scratch, text)


@kernel_part
def compare_together(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    """Compare the text with what was collected in `scratch.together`, unless stopped; up to three pairs may wait."""
    waiting = scratch.counters[NUM_TOGETHER]
    for first in range(0, waiting, _AHEAD):
        # First a look at some, so that what is missing in the cache comes at the same time, not one after another.
        for number in range(first, min(first + _AHEAD, waiting)):
            prefetch(pool.tokens, pool.starts[scratch.together[number]])
        for number in range(first, min(first + _AHEAD, waiting)):
            if is_stopped(scratch.pattern):
                return
            _compare(pool, batch, scratch, text, scratch.together[number])


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
