"""The judgement of texts: probe a batch against the pool as it is, then settle it in order.

Knows nothing of text, threads or how arrays grow: a kernel that lacks room says how far it came and is called again.
Guarantees exactness: every pool text that no bound excludes is compared in full, so the verdict, the nearest text and
its score depend neither on the order of the lists nor on how the texts are cut into batches and threads.

`probe` changes nothing but the batch's own rows and the caller's scratch, so several threads may probe parts of a
batch. `settle` compares the batch's texts with what the batch itself has added before them, by signature, one after
another: less work than another look at the lists, up to some thousand texts.

Both end early once the flag of the scratch's pattern is raised: what they have found is no verdict then, but the pool
and the scratch are as whole as ever.
"""

import numpy as np

from fastinstruct_kernels._jit import inlined_part, kernel
from fastinstruct_kernels.alone import is_for_a_scan, judge_alone
from fastinstruct_kernels.candidates import find_near, note_places
from fastinstruct_kernels.comparison import compare_found, note_found
from fastinstruct_kernels.handles import Handle, batch_at, pool_at, scratch_at
from fastinstruct_kernels.judgement import FEW, NUM_FOUND, Batch, Scratch, Text, text_of
from fastinstruct_kernels.lcs import is_stopped
from fastinstruct_kernels.pool import NUM_TEXTS, NUM_TOKENS, Pool, note_text
from fastinstruct_kernels.postings import append_postings
from fastinstruct_kernels.signatures import BLOCK, lowest_one, near_ones, ones_below, sign

# What becomes of the texts of a batch: judged and, if admitted, joined; judged only; joined unjudged.
ADMIT, QUERY, ADD = 0, 1, 2

_ONE = np.uint64(1)


@kernel
def probe(
    of_pool: Handle, of_batch: Handle, of_scratch: Handle, first: int, last: int, mode: int, threshold: float
) -> None:
    """Judge the texts from `first` to before `last` against the pool; only make ready for `settle` what won't be.

    `of_pool`, `of_batch` and `of_scratch` are handles, see `handles`.
    """
    pool, batch, scratch = pool_at(of_pool), batch_at(of_batch), scratch_at(of_scratch)
    for index in range(first, last):
        if is_stopped(scratch.pattern):
            break
        begin, end = batch.starts[index], batch.starts[index + 1]
        sign(batch.tokens, begin, end, pool.ranks, batch.keys, batch.signatures, begin)
        batch.nearest[index] = -1
        batch.scores[index] = np.nan
        batch.admitted[index] = True
        text = text_of(batch, index, threshold)
        if mode != ADD and is_for_a_scan(pool, batch, text):
            scratch.num_found[index] = FEW + 1
        elif mode != ADD:
            note_places(batch, scratch, text)
    find_near(pool, batch, scratch, threshold)
    compare_found(pool, batch, scratch, first, last, threshold)
    for row in range(first, last):
        if scratch.num_found[row] >= FEW and not is_stopped(scratch.pattern):
            judge_alone(pool, batch, scratch, text_of(batch, row, threshold))
        scratch.num_found[row] = 0


@kernel
def settle(
    of_pool: Handle, of_batch: Handle, of_scratch: Handle, first: int, known: int, mode: int, threshold: float
) -> int:
    """Settle the probed texts from `first` on in order, `known` being how many the pool had for `probe`.

    Returns:
        The first text not settled, since the postings have no room for it, or it was stopped; or their number.
    """
    pool, batch, scratch = pool_at(of_pool), batch_at(of_batch), scratch_at(of_scratch)
    for index in range(first, batch.starts.size - 1):
        text = text_of(batch, index, threshold)
        if mode == ADMIT and text.length > 0:
            _scan_fresh(pool, batch, scratch, text, known)
            if scratch.counters[NUM_FOUND] > 0:
                compare_found(pool, batch, scratch, index, index + 1, threshold)
        if is_stopped(scratch.pattern):
            return index
        if batch.admitted[index] or mode == ADD:
            if not _join(pool, batch, text):
                return index
            if text.length > 0:
                batch.fresh[pool.counters[NUM_TEXTS] - known - 1] = batch.signatures[text.begin]
    return int(batch.starts.size - 1)


@inlined_part
def _scan_fresh(pool: Pool, batch: Batch, scratch: Scratch, text: Text, known: int) -> None:
    own = batch.signatures[text.begin]
    end = np.uint64(pool.counters[NUM_TEXTS] - known)
    for block in range(np.uint64(0), end, np.uint64(BLOCK)):
        near = near_ones(batch.fresh, block, own, text.length, 0, text.threshold) & ones_below(end - block)
        while near != 0:
            other = known + int(np.int64(block + lowest_one(near)))
            note_found(scratch.counters, scratch.found, scratch.next_found, scratch.found_heads, text.row, other)
            near &= near - _ONE


@inlined_part
def _join(pool: Pool, batch: Batch, text: Text) -> bool:
    """Append the text to the pool; False, with the pool as it was, when its postings have no room."""
    position = pool.counters[NUM_TEXTS]
    if not append_postings(pool, position, batch.keys, batch.signatures, text.begin, text.length, text.threshold):
        return False
    note_text(pool, position, batch.keys, text.begin, text.begin + text.length)
    used = pool.counters[NUM_TOKENS]
    for offset in range(text.length):
        pool.tokens[used + offset] = batch.tokens[text.begin + offset]
    pool.starts[position + 1] = used + text.length
    pool.counters[NUM_TOKENS] = used + text.length
    pool.counters[NUM_TEXTS] = position + 1
    return True
