"""The lists of one token that are to be read for a text, and the reading.

Knows nothing of what is done with what is found there.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, inlined_part, kernel, prefetch
from fastinstruct_kernels.comparison import needed_lcs
from fastinstruct_kernels.judgement import MOST_BLOCKS, NUM_PROMISED, NUM_SPANS, Scratch, Text
from fastinstruct_kernels.pool import LONGEST_GROUPED, SIZE, START, Pool
from fastinstruct_kernels.rouge import shortest_length
from fastinstruct_kernels.signatures import BLOCK, closer_ones, near_ones, ones_below

_LINE = 8  # signatures


@inlined_part
def note_lists(pool: Pool, scratch: Scratch, text: Text, token: int, place: int) -> None:
    """Note the lists of a token that stands at that place of the text; their postings count as promised."""
    scratch.counters[NUM_SPANS] = 0
    _note_span(pool.lists, pool.posting_bits, scratch.counters, scratch.spans, pool.whole[token], -1, -1)
    if pool.split[token] > 0:
        _note_groups(
            pool.lists,
            pool.posting_bits,
            pool.group_starts,
            pool.min_lcs,
            scratch.counters,
            scratch.spans,
            text,
            pool.split[token],
            place,
        )


@inlined_part
def _note_groups(
    lists: NDArray[np.int64],
    posting_bits: NDArray[np.uint64],
    group_starts: NDArray[np.int32],
    min_lcs: NDArray[np.int32],
    counters: NDArray[np.int64],
    spans: NDArray[np.int64],
    text: Text,
    split: int,
    place: int,
) -> None:
    """Note the lists of a split one where lengths and places leave enough tokens in common."""
    for length in range(max(shortest_length(text.length, text.threshold), 1), LONGEST_GROUPED + 1):
        needed = needed_lcs(min_lcs, text.length, length, text.threshold)
        if needed > text.length - place:
            break  # What a pair needs never falls with the length.
        first = split + group_starts[length]
        for number in range(first, first + length - needed + 1):
            spare, other_spare = text.length - place - needed, length - needed - (number - first)
            _note_span(lists, posting_bits, counters, spans, number, spare, other_spare)


@inlined_kernel
def _note_span(
    lists: NDArray[np.int64],
    posting_bits: NDArray[np.uint64],
    counters: NDArray[np.int64],
    spans: NDArray[np.int64],
    number: int,
    spare: int,
    other_spare: int,
) -> None:
    """Note a list that is to be read, and have the memory fetch where it begins; `spare` is -1 for any lengths."""
    start, size = lists[number, START], lists[number, SIZE]
    if size > 0:
        for line in range(start, start + min(size, BLOCK), _LINE):
            prefetch(posting_bits, line)
        counters[NUM_PROMISED] += size
        span = counters[NUM_SPANS]
        spans[span, 0] = start
        spans[span, 1] = start + size
        spans[span, 2] = spare
        spans[span, 3] = other_spare
        counters[NUM_SPANS] = span + 1


@kernel
def read_spans(
    posting_bits: NDArray[np.uint64],
    spans: NDArray[np.int64],
    num_spans: int,
    blocks: NDArray[np.int64],
    own: np.uint64,
    length: int,
    place: int,
    threshold: float,
) -> int:
    """Read the spans; each block with a posting that could be near is noted, with a one for each of these.

    Apart from what is done with them: with calls in this loop LLVM keeps nothing in registers, and it takes twice as
    long.

    Returns:
        How many blocks there are; if they fill the room, the spans are cut down to what is still to be read.
    """
    used = 0
    for span in range(num_spans):
        start, end = np.uint64(spans[span, 0]), np.uint64(spans[span, 1])
        spare, other_spare = spans[span, 2], spans[span, 3]
        for block in range(start, end, np.uint64(BLOCK)):
            if used == MOST_BLOCKS:
                spans[span, 0] = np.int64(block)
                return used
            if spare < 0:
                near = near_ones(posting_bits, block, own, length, place, threshold)
            else:
                near = closer_ones(posting_bits, block, own, spare, other_spare)
            if near != 0:
                blocks[used, 0] = np.int64(block)
                blocks[used, 1] = np.int64(near & ones_below(end - block))
                used += 1
        spans[span, 0] = np.int64(end)
    return used
