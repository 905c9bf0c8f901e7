"""A text that comes alone: from its bytes to its verdict, and into the pool, in one call.

Knows nothing of how arrays grow. Whatever is not at hand, be it room for one more word or a pool so large that the text
had better be judged in another thread, makes it leave the text alone: whoever calls has another way for every text.
Guarantees that it may be asked about anew then, for the pool is as it was.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import bytes_at, inlined_part, int64_at, kernel
from fastinstruct_kernels.handles import Handle, batch_at, pool_at, scratch_at, words_at
from fastinstruct_kernels.judgement import Batch, Scratch
from fastinstruct_kernels.lcs import QUICK_STEPS, is_stopped
from fastinstruct_kernels.pool import NUM_TEXTS, NUM_TOKENS, has_room
from fastinstruct_kernels.probe import QUERY, probe, settle
from fastinstruct_kernels.signatures import BLOCK
from fastinstruct_kernels.words import NUM_WORDS, number_words

NOT_JUDGED = -2
"""What stands for the nearest text where the text was left alone."""

MOST_BYTES = 2047
"""Longer texts are left alone."""


class OneText(NamedTuple):
    """Room for the text: as a batch, for `probe` and `settle`, and as it comes."""

    batch: Batch
    text: NDArray[np.uint8]  # uint8[MOST_BYTES]
    ends: NDArray[np.int64]  # int64[1]


def new_text() -> OneText:
    """Room for a text."""
    room = MOST_BYTES // 2 + 1
    batch = Batch(
        tokens=np.zeros(room, dtype=np.int32),
        starts=np.zeros(2, dtype=np.int64),
        keys=np.zeros(room, dtype=np.int64),
        signatures=np.zeros(room, dtype=np.uint64),
        fresh=np.zeros(1 + BLOCK, dtype=np.uint64),
        admitted=np.zeros(1, dtype=np.bool_),
        nearest=np.zeros(1, dtype=np.int64),
        scores=np.zeros(1, dtype=np.float64),
    )
    return OneText(batch, np.zeros(MOST_BYTES, dtype=np.uint8), np.zeros(1, dtype=np.int64))


@kernel
def judge_one(
    of_words: Handle,
    of_pool: Handle,
    of_scratch: Handle,
    of_text: Handle,
    num_bytes: int,
    mode: int,
    threshold: float,
    rebuild_at: int,
) -> int:
    """Judge the text whose bytes lie in the room `of_text`, and let it join if it is admitted.

    Args:
        of_words: handle of the Words.
        of_pool: handle of the Pool.
        of_scratch: handle of the Scratch.
        of_text: handle of the OneText.
        num_bytes: how many bytes the text has.
        mode: ADMIT or QUERY, see probe.
        threshold: as for probe.
        rebuild_at: with so many texts in the pool, the text is left alone.

    Returns:
        The most similar text above the threshold, its F being scores[0] of the batch; -1 for none; or NOT_JUDGED.
    """
    words, pool, scratch, batch = words_at(of_words), pool_at(of_pool), scratch_at(of_scratch), batch_at(of_text)
    text, ends = bytes_at(of_text[16], of_text[17]), int64_at(of_text[18], of_text[19])
    known, joining = pool.counters[NUM_TEXTS], int(mode != QUERY)
    ends[0] = num_bytes
    if known >= rebuild_at or number_words(words, text, ends, 0, mode != QUERY, batch.tokens, batch.starts) == 0:
        return NOT_JUDGED
    length, vocabulary = batch.starts[1], words.counters[NUM_WORDS] + 1
    steps = (1 + length // 64) * pool.counters[NUM_TOKENS]
    has_all = has_room(pool, joining, joining * length, vocabulary) and _has_scratch(scratch, length, vocabulary, known)
    if steps >= QUICK_STEPS or not has_all:
        return NOT_JUDGED
    probe(of_pool, of_text, of_scratch, 0, 1, mode, threshold)
    if is_stopped(scratch.pattern) or (
        joining and settle(of_pool, of_text, of_scratch, 0, known, mode, threshold) == 0
    ):
        return NOT_JUDGED
    return int(batch.nearest[0])


@inlined_part
def _has_scratch(scratch: Scratch, length: int, vocabulary: int, num_texts: int) -> bool:
    """Whether there is room for a text of that length in a pool of so many."""
    has_tokens = length <= scratch.visited.size and length < scratch.pattern.masks.size
    return has_tokens and vocabulary <= scratch.heads.size and num_texts < 64 * scratch.marks.size
