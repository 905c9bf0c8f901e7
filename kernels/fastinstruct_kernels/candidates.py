"""Which pool texts could be near the texts of a batch.

Guarantees that no pool text above the threshold is missed: see `postings` for why.

The lists of a large pool are read from memory. So the batch is visited by token, not by text: what one text has fetched
is in the processor's cache for the others that share the token.

Where the time goes, at a pool of 1.8 million (13 us a text in batches of 4,096): 3 us to find the lists (170 of them),
5 us to fetch 110 KiB of signatures, 5 us to compare them, less than 1 us for the 12 texts that are left.

Tried and dropped: huge pages for the pool's arrays (5% to 8%, and no way to ask NumPy for them when an array grows);
fetching ahead without the other changes (5%: the processor waited for its own comparisons, not for memory).
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, prefetch
from fastinstruct_kernels.comparison import compare_found, needed_lcs, note_found
from fastinstruct_kernels.judgement import (
    MOST_BLOCKS,
    MOST_FOUND,
    NUM_FOUND,
    NUM_SPANS,
    NUM_VISITED,
    Batch,
    Scratch,
    Text,
    text_of,
)
from fastinstruct_kernels.lcs import is_stopped
from fastinstruct_kernels.pool import LONGEST_GROUPED, SIZE, START, Pool
from fastinstruct_kernels.rouge import prefix_length
from fastinstruct_kernels.signatures import BLOCK, closer_ones, key_token, lowest_one, near_ones, ones_below

_ONE = np.uint64(1)
_LINE = 8  # signatures


@inlined_kernel
def note_places(batch: Batch, scratch: Scratch, text: Text) -> None:
    """Remember which tokens the text is to be looked up by."""
    for place in range(text.begin, text.begin + prefix_length(text.length, text.threshold)):
        if place > text.begin and batch.keys[place] == batch.keys[place - 1]:
            continue
        token = key_token(batch.keys[place])
        if scratch.heads[token] == 0:
            scratch.visited[scratch.counters[NUM_VISITED]] = token
            scratch.counters[NUM_VISITED] += 1
        scratch.next_places[place] = scratch.heads[token]
        scratch.rows[place] = text.row
        scratch.heads[token] = place + 1


@inlined_kernel
def find_near(pool: Pool, batch: Batch, scratch: Scratch, first: int, last: int, threshold: float) -> None:
    """Judge the texts from `first` to before `last`, whose places are noted, token by token, unless it is stopped."""
    for visit in range(scratch.counters[NUM_VISITED]):
        token = scratch.visited[visit]
        following = scratch.heads[token]
        while following > 0 and not is_stopped(scratch.pattern):
            place = following - 1
            text = text_of(batch, scratch.rows[place], threshold)
            scratch.counters[NUM_SPANS] = 0
            _note_span(pool, scratch, pool.whole[token], -1, -1)
            if pool.split[token] > 0:
                _note_groups(pool, scratch, text, pool.split[token], place - text.begin)
            used = MOST_BLOCKS
            while used == MOST_BLOCKS:
                if scratch.counters[NUM_FOUND] + MOST_BLOCKS * BLOCK > MOST_FOUND:
                    compare_found(pool, batch, scratch, first, last, threshold)
                used = _scan(
                    pool.posting_bits,
                    scratch.spans,
                    scratch.counters[NUM_SPANS],
                    scratch.blocks,
                    batch.signatures[place],
                    text.length,
                    place - text.begin,
                    threshold,
                )
                _note_blocks(pool, scratch, text.row, used)
            following = scratch.next_places[place]
        scratch.heads[token] = 0
    scratch.counters[NUM_VISITED] = 0
    compare_found(pool, batch, scratch, first, last, threshold)


@inlined_kernel
def _note_groups(pool: Pool, scratch: Scratch, text: Text, split: int, place: int) -> None:
    """Note the lists of a split one where lengths and places leave enough tokens in common."""
    shortest = int(text.length * (text.threshold / (2.0 - text.threshold)))  # F of any shorter text is below
    for length in range(max(shortest, 1), LONGEST_GROUPED + 1):
        needed = needed_lcs(pool, text.length, length, text.threshold)
        if needed > text.length - place:
            break  # What a pair needs never falls with the length.
        first = split + pool.group_starts[length]
        for number in range(first, first + length - needed + 1):
            _note_span(pool, scratch, number, text.length - place - needed, length - needed - (number - first))


@inlined_kernel
def _note_span(pool: Pool, scratch: Scratch, number: int, spare: int, other_spare: int) -> None:
    """Note a list that is to be read, and have the memory fetch where it begins; `spare` is -1 for any lengths."""
    start, size = pool.lists[number, START], pool.lists[number, SIZE]
    if size > 0:
        for line in range(start, start + min(size, BLOCK), _LINE):
            prefetch(pool.posting_bits, line)
        span = scratch.counters[NUM_SPANS]
        scratch.spans[span, 0] = start
        scratch.spans[span, 1] = start + size
        scratch.spans[span, 2] = spare
        scratch.spans[span, 3] = other_spare
        scratch.counters[NUM_SPANS] = span + 1


@inlined_kernel
def _note_blocks(pool: Pool, scratch: Scratch, row: int, used: int) -> None:
    for number in range(used):
        first, near = scratch.blocks[number, 0], np.uint64(scratch.blocks[number, 1])
        while near != 0:
            note_found(pool, scratch, row, pool.posting_texts[first + np.int64(lowest_one(near))])
            near &= near - _ONE


@kernel
def _scan(
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
