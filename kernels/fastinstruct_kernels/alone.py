"""The judgement of one text for which much is found in the lists, or would be: from them, or by a scan of the pool.

Long texts, small vocabularies, permutations of the same words: there the lists hold nearly the whole pool, again and
again. So what they promise is weighed against a scan, by counts, and either way each pool text is compared once. The
verdict is the same.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_part, kernel, kernel_part
from fastinstruct_kernels.bags import LONGEST_SHORT
from fastinstruct_kernels.comparison import begin_comparing, compare_together, end_comparing
from fastinstruct_kernels.judgement import (
    FEW,
    MOST_BLOCKS,
    MOST_MARKED,
    MOST_TOGETHER,
    NUM_ALONE,
    NUM_PROMISED,
    NUM_SCANNED,
    NUM_SPANS,
    NUM_TOGETHER,
    Batch,
    Scratch,
    Text,
)
from fastinstruct_kernels.lcs import is_stopped
from fastinstruct_kernels.pool import NUM_LONG, NUM_TEXTS, SIZE, TEXT, Pool, num_of_lengths
from fastinstruct_kernels.rouge import longest_length, prefix_length, shortest_length
from fastinstruct_kernels.signatures import key_token, lowest_one
from fastinstruct_kernels.spans import note_lists, read_spans

# Nanoseconds, measured: to read a posting, and to look at one that is found; to skip a text in a scan, to refuse a long
# one by its bitmap, and to compare a short one.
_READ, _LOOK = 0.5, 5.0
_SKIP, _REFUSE, _COMPARE = 1.0, 7.0, 20.0
_ONE = np.uint64(1)


@inlined_part
def _needs_only_long(text: Text) -> bool:
    """Whether F with every short text is below the threshold."""
    return shortest_length(text.length, text.threshold) > LONGEST_SHORT


@kernel_part
def scan_ns(pool: Pool, text: Text) -> float:
    """What a scan for the text would cost."""
    shortest, longest = shortest_length(text.length, text.threshold), longest_length(text.length, text.threshold)
    if _needs_only_long(text):
        return float(_SKIP * pool.counters[NUM_LONG] + _REFUSE * num_of_lengths(pool, shortest, longest))
    short = num_of_lengths(pool, shortest, min(longest, LONGEST_SHORT))
    long = num_of_lengths(pool, LONGEST_SHORT + 1, longest) if longest > LONGEST_SHORT else 0
    return float(_SKIP * pool.counters[NUM_TEXTS] + _COMPARE * short + _REFUSE * long)


@kernel_part
def is_for_a_scan(pool: Pool, batch: Batch, text: Text) -> bool:
    """Whether the lists promise so much that there is no use in reading them: looked at for long texts only."""
    if text.length <= LONGEST_SHORT:
        return False
    promised = 0
    for place in range(text.begin, text.begin + prefix_length(text.length, text.threshold)):
        if place == text.begin or batch.keys[place] != batch.keys[place - 1]:
            promised += pool.lists[pool.whole[key_token(batch.keys[place])], SIZE]
    return promised * (_READ + _LOOK / 2) > scan_ns(pool, text)


@kernel_part
def judge_alone(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    """Judge a text against the pool as it is, and no other meanwhile."""
    scratch.counters[NUM_ALONE] += 1
    begin_comparing(batch, scratch, text)
    if scratch.num_found[text.row] > FEW or _lists_ns(pool, batch, scratch, text) > scan_ns(pool, text):
        scratch.counters[NUM_SCANNED] += 1
        first, last = 0, pool.counters[NUM_LONG if _needs_only_long(text) else NUM_TEXTS]
        while first < last and not is_stopped(scratch.pattern):
            first = _collect_compatible(pool.starts, pool.longs, scratch.counters, scratch.together, text, first, last)
            compare_together(pool, batch, scratch, text)
    else:
        _read_lists(pool, batch, scratch, text)
    end_comparing(batch, scratch, text)


@kernel_part
def _lists_ns(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> float:
    """What reading all lists would cost if all that is read there is found."""
    scratch.counters[NUM_PROMISED] = 0
    for place in range(text.begin, text.begin + prefix_length(text.length, text.threshold)):
        if place == text.begin or batch.keys[place] != batch.keys[place - 1]:
            note_lists(pool, scratch, text, key_token(batch.keys[place]), place - text.begin)
    return float(scratch.counters[NUM_PROMISED] * (_READ + _LOOK))


@kernel_part
def _collect_compatible(
    starts: NDArray[np.int64],
    longs: NDArray[np.int64],
    counters: NDArray[np.int64],
    together: NDArray[np.int32],
    text: Text,
    first: int,
    last: int,
) -> int:
    """Collect pool texts of a length that leaves room for F above the threshold, from `first` on; returns the next."""
    shortest, longest = shortest_length(text.length, text.threshold), longest_length(text.length, text.threshold)
    only_long = _needs_only_long(text)
    waiting, number = 0, first
    while number < last and waiting < MOST_TOGETHER:
        other = longs[number, TEXT] if only_long else number
        if shortest <= starts[other + 1] - starts[other] <= longest:
            together[waiting] = other
            waiting += 1
        number += 1
    counters[NUM_TOGETHER] = waiting
    return number


@kernel_part
def _read_lists(pool: Pool, batch: Batch, scratch: Scratch, text: Text) -> None:
    marked = 0
    for place in range(text.begin, text.begin + prefix_length(text.length, text.threshold)):
        if place > text.begin and batch.keys[place] == batch.keys[place - 1]:
            continue
        note_lists(pool, scratch, text, key_token(batch.keys[place]), place - text.begin)
        used = MOST_BLOCKS
        while used == MOST_BLOCKS and not is_stopped(scratch.pattern):
            used = read_spans(
                pool.posting_bits,
                scratch.spans,
                scratch.counters[NUM_SPANS],
                scratch.blocks,
                batch.signatures[place],
                text.length,
                place - text.begin,
                text.threshold,
            )
            marked = _collect_found(
                pool.posting_texts,
                scratch.counters,
                scratch.blocks,
                scratch.marks,
                scratch.marked,
                scratch.together,
                used,
                marked,
            )
            compare_together(pool, batch, scratch, text)
    if marked > MOST_MARKED:
        scratch.marks[:] = np.uint64(0)
    for number in range(min(marked, MOST_MARKED)):
        scratch.marks[scratch.marked[number] >> 6] = np.uint64(0)


@kernel
def _collect_found(
    posting_texts: NDArray[np.int32],
    counters: NDArray[np.int64],
    blocks: NDArray[np.int64],
    marks: NDArray[np.uint64],
    marked_texts: NDArray[np.int32],
    together: NDArray[np.int32],
    used: int,
    marked: int,
) -> int:
    """Collect what is found in blocks and not marked, and mark it; returns how many texts are marked now."""
    waiting = 0
    for number in range(used):
        first, near = blocks[number, 0], np.uint64(blocks[number, 1])
        while near != np.uint64(0):
            other = posting_texts[first + np.int64(lowest_one(near))]
            near &= near - _ONE
            bit = _ONE << np.uint64(other & 63)
            if marks[other >> 6] & bit == np.uint64(0):
                marks[other >> 6] |= bit
                if marked < MOST_MARKED:
                    marked_texts[marked] = other
                marked += 1
                together[waiting] = other
                waiting += 1
    counters[NUM_TOGETHER] = waiting
    return marked
