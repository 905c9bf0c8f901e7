"""Which pool texts could be near the texts of a batch.

Guarantees that no pool text above the threshold is missed: see `postings` for why.

A text for which much is found, or would be, is judged alone afterwards, see `alone`: so what is found for a batch
always has room, and no pair is compared twice.

The lists of a large pool are read from memory. So the batch is visited by token, not by text: what one text has fetched
is in the processor's cache for the others that share the token.

Where the time goes, at a pool of 1.8 million (13 us a text in batches of 4,096): 3 us to find the lists (170 of them),
5 us to fetch 110 KiB of signatures, 5 us to compare them, less than 1 us for the 12 texts that are left.

Tried and dropped: fetching ahead without the other changes (5%: the processor waited for its own comparisons, not for
memory).
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, inlined_part, prefetch
from fastinstruct_kernels.comparison import note_found
from fastinstruct_kernels.judgement import FEW, MOST_BLOCKS, NUM_SPANS, NUM_VISITED, Batch, Scratch, Text, text_of
from fastinstruct_kernels.lcs import is_stopped
from fastinstruct_kernels.pool import Pool
from fastinstruct_kernels.rouge import prefix_length
from fastinstruct_kernels.signatures import key_token, lowest_one
from fastinstruct_kernels.spans import note_lists, read_spans

_ONE = np.uint64(1)


@inlined_part
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


@inlined_part
def find_near(pool: Pool, batch: Batch, scratch: Scratch, threshold: float) -> None:
    """Note what could be near the texts whose places are noted, token by token, unless it is stopped.

    Of a text for which much is found, num_found says so, and not all of it is noted.
    """
    for visit in range(scratch.counters[NUM_VISITED]):
        token = scratch.visited[visit]
        following = scratch.heads[token]
        while following > 0 and not is_stopped(scratch.pattern):
            place = following - 1
            row = scratch.rows[place]
            following = scratch.next_places[place]
            if scratch.num_found[row] < FEW:
                _look_up(pool, batch, scratch, text_of(batch, row, threshold), token, place)
        scratch.heads[token] = 0
    scratch.counters[NUM_VISITED] = 0


@inlined_part
def _look_up(pool: Pool, batch: Batch, scratch: Scratch, text: Text, token: int, place: int) -> None:
    note_lists(pool, scratch, text, token, place - text.begin)
    used = MOST_BLOCKS
    while used == MOST_BLOCKS and scratch.num_found[text.row] < FEW:
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
        _note_blocks(
            pool.posting_texts,
            pool.starts,
            scratch.counters,
            scratch.blocks,
            scratch.num_found,
            scratch.found,
            scratch.next_found,
            scratch.found_heads,
            text.row,
            used,
        )


@inlined_kernel
def _note_blocks(
    posting_texts: NDArray[np.int32],
    starts: NDArray[np.int64],
    counters: NDArray[np.int64],
    blocks: NDArray[np.int64],
    num_found: NDArray[np.int32],
    found: NDArray[np.int32],
    next_found: NDArray[np.int32],
    found_heads: NDArray[np.int32],
    row: int,
    used: int,
) -> None:
    for number in range(used):
        first, near = blocks[number, 0], np.uint64(blocks[number, 1])
        while near != 0 and num_found[row] < FEW:
            other = posting_texts[first + np.int64(lowest_one(near))]
            prefetch(starts, other)
            note_found(counters, found, next_found, found_heads, row, other)
            num_found[row] += 1
            near &= near - _ONE
