"""Texts of a batch, compared in full with the pool texts that could be near them.

Knows nothing of lists. Every pool text noted is compared, once, unless its length, or the bitmaps of both, leave no
room for F above the threshold and above what was found before. So the verdict, the nearest text and its score don't
depend on the order in which they were noted.
"""

import numpy as np

from fastinstruct_kernels._jit import inlined_kernel, kernel, prefetch
from fastinstruct_kernels.bags import LONGEST_SHORT, bag_words, fill_folded, may_share
from fastinstruct_kernels.judgement import (
    FEW,
    NUM_COMPARED,
    NUM_FOUND,
    NUM_LANES,
    NUM_PAIRS,
    NUM_SEEN,
    WIDEST,
    Batch,
    Scratch,
    Text,
    text_of,
)
from fastinstruct_kernels.lcs import WORD_BITS, clear_pattern, fill_pattern, four_lcs, is_stopped, pattern_lcs
from fastinstruct_kernels.pool import TABLE_LENGTH, Pool, bag_of
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs

# Scores are loosened by far more than their rounding, and by far less than one token, where they become bounds.
_SLACK = 0.5 * (1.0 - 1e-12)


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

    The nearest so far, the first of equals, becomes a text's verdict. Those with more than a few are left out. Once the
    pattern's flag is raised, so is the rest.
    """
    for row in range(first, last):
        if scratch.found_heads[row] > 0:
            if scratch.num_found[row] < FEW:
                _compare_row(pool, batch, scratch, text_of(batch, row, threshold))
            scratch.found_heads[row] = 0
    scratch.counters[NUM_FOUND] = 0


@inlined_kernel
def begin_comparing(batch: Batch, scratch: Scratch, text: Text) -> None:
    """Make ready for comparisons with a text, until `end_comparing`."""
    scratch.counters[NUM_COMPARED] += 1
    end = text.begin + text.length
    fill_pattern(scratch.pattern, batch.tokens, text.begin, end)
    scratch.counters[WIDEST] = 0
    if 2 * text.length > LONGEST_SHORT:  # else none that it can be near has a bitmap, at the thresholds in use
        scratch.counters[WIDEST] = fill_folded(batch.keys, text.begin, end, scratch.bag)


@inlined_kernel
def end_comparing(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    """Compare what waits, and forget the text."""
    for lane in range(scratch.counters[NUM_LANES]):
        begin, end = scratch.lanes[lane, 0], scratch.lanes[lane, 1]
        scratch.lanes[lane, 2] = pattern_lcs(scratch.pattern, text.length, pool.tokens, begin, end)
    _end_lanes(batch, scratch, text)
    clear_pattern(scratch.pattern, batch.tokens, text.begin, text.begin + text.length)


@inlined_kernel
def compare(pool: Pool, batch: Batch, scratch: Scratch, text: Text, other: int) -> None:
    """Compare the text with one of the pool, at the latest when the comparing ends.

    The nearest so far, the first of equals, becomes its verdict.
    """
    begin, end = pool.starts[other], pool.starts[other + 1]
    other_length = end - begin
    needed = needed_lcs(pool, text.length, other_length, text.threshold)
    if batch.nearest[text.row] >= 0:
        needed = max(needed, int(batch.scores[text.row] * (text.length + other_length) * _SLACK))
    if needed > min(text.length, other_length):
        return
    words = bag_words(other_length)
    if 0 < words <= scratch.counters[WIDEST] and not may_share(
        scratch.bag, text.length, pool.bags, bag_of(pool, other), other_length, needed
    ):
        return
    scratch.counters[NUM_PAIRS] += 1
    if text.length > WORD_BITS:
        lcs = pattern_lcs(scratch.pattern, text.length, pool.tokens, begin, end, needed)
        if lcs >= needed:
            _remember(batch, text.row, other, f_measure(lcs, text.length, other_length))
        return
    lane = scratch.counters[NUM_LANES]
    scratch.lanes[lane, 0], scratch.lanes[lane, 1] = begin, end
    scratch.lanes[lane, 3], scratch.lanes[lane, 4] = needed, other
    scratch.counters[NUM_LANES] = lane + 1
    if lane == 3:
        four_lcs(scratch.pattern, pool.tokens, scratch.lanes)
        _end_lanes(batch, scratch, text)


@inlined_kernel
def _end_lanes(batch: Batch, scratch: Scratch, text: Text) -> None:
    for lane in range(scratch.counters[NUM_LANES]):
        lcs = scratch.lanes[lane, 2]
        if lcs >= scratch.lanes[lane, 3]:
            score = f_measure(lcs, text.length, scratch.lanes[lane, 1] - scratch.lanes[lane, 0])
            _remember(batch, text.row, scratch.lanes[lane, 4], score)
    scratch.counters[NUM_LANES] = 0


@inlined_kernel
def _compare_row(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    begin_comparing(batch, scratch, text)
    # First a look at all, so that what is missing in the cache comes at the same time, not one after another.
    following = scratch.found_heads[text.row]
    while following > 0:
        prefetch(pool.tokens, pool.starts[scratch.found[following - 1]])
        following = scratch.next_found[following - 1]
    following = scratch.found_heads[text.row]
    while following > 0 and not is_stopped(scratch.pattern):
        other = scratch.found[following - 1]
        following = scratch.next_found[following - 1]
        if scratch.num_found[text.row] == 0 or not _is_seen(scratch, other):
            compare(pool, batch, scratch, text, other)
    end_comparing(pool, batch, scratch, text)


@inlined_kernel
def _is_seen(scratch: Scratch, other: int) -> bool:
    """Whether the text that is compared has met this one; it has now. Room for more than a text can have found here."""
    stamp = scratch.counters[NUM_COMPARED]
    slot = other & (NUM_SEEN - 1)
    while scratch.seen[slot] >> 32 == stamp:
        if scratch.seen[slot] & 0xFFFFFFFF == other:
            return True
        slot = (slot + 1) & (NUM_SEEN - 1)
    scratch.seen[slot] = (stamp << 32) | np.int64(other)
    return False


@inlined_kernel
def _remember(batch: Batch, index: int, other: int, score: float) -> None:
    nearest, best = batch.nearest[index], batch.scores[index]
    if nearest == -1 or score > best or (score == best and other < nearest):
        batch.nearest[index] = other
        batch.scores[index] = score
        batch.admitted[index] = False
