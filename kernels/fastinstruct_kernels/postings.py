"""Which pool texts could match: per token, a list of the texts that have it among their rarest.

Knows nothing of verdicts. Guarantees that two texts whose F exceeds the threshold share a token of their prefixes, in
whatever total order the ranks are (see rouge.prefix_length; a repeated token counts as that many elements, next to
each other in the order, so the first of them stands for all). A posting carries the text's length and a bitmap, so
that nearly every text is refused without a look at its tokens.

Source: bitmap filter: Sandes, Teodoro, Melo, "Bitmap Filter: Speeding up exact set similarity joins" (2018), section 3.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.lcs import popcount
from fastinstruct_kernels.pool import NUM_POSTINGS, NUM_TEXTS, NUM_TOKENS, ROOM, SIZE, START, Pool
from fastinstruct_kernels.rouge import prefix_length

_FIRST_ROOM = 2


@kernel
def bitmap_of(tokens: NDArray[np.int32]) -> np.uint64:
    """One of 64 bits for each token (multiplicative hashing), all or-ed together."""
    bitmap = np.uint64(0)
    for token in tokens:
        bitmap |= np.uint64(1) << ((np.uint64(token) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(58))
    return bitmap


@inlined_kernel
def lcs_bound(bitmap: np.uint64, length: int, other_bitmap: np.uint64, other_length: int) -> int:
    """An upper bound of the LCS: each bit that only one side has is at least one token of it without a partner."""
    bound = length - int(popcount(bitmap & ~other_bitmap))
    other_bound = other_length - int(popcount(other_bitmap & ~bitmap))
    return min(bound, other_bound)


@kernel
def prefix_of(tokens: NDArray[np.int32], ranks: NDArray[np.int32], threshold: float) -> NDArray[np.int32]:
    """The distinct tokens among the `prefix_length` rarest of `tokens: int32[m]`, rarest first."""
    keys = np.empty(tokens.size, dtype=np.int64)
    for position in range(tokens.size):
        keys[position] = (np.int64(ranks[tokens[position]]) << 32) | np.int64(tokens[position])
    _sort_descending(keys)
    prefix = np.empty(prefix_length(tokens.size, threshold), dtype=np.int32)
    distinct = 0
    for position in range(prefix.size):
        if position == 0 or keys[position] != keys[position - 1]:
            prefix[distinct] = keys[position] & 0xFFFFFFFF
            distinct += 1
    return prefix[:distinct]


@kernel
def _sort_descending(keys: NDArray[np.int64]) -> None:
    # Shell's sort, Knuth's gaps: insertion sort for an instruction, still fine for a book, and a second less to
    # compile than np.sort.
    gap = 1
    while 3 * gap + 1 < keys.size:
        gap = 3 * gap + 1
    while gap > 0:
        for right in range(gap, keys.size):
            key = keys[right]
            left = right
            while left >= gap and keys[left - gap] < key:
                keys[left] = keys[left - gap]
                left -= gap
            keys[left] = key
        gap //= 3


@kernel
def join(pool: Pool, tokens: NDArray[np.int32], prefix: NDArray[np.int32], bitmap: np.uint64) -> bool:
    """Append a text to the pool; False, with nothing changed, when its postings have no room."""
    position = pool.counters[NUM_TEXTS]
    if not append_postings(pool, position, tokens.size, prefix, bitmap):
        return False
    begin = pool.counters[NUM_TOKENS]
    for index in range(tokens.size):
        pool.tokens[begin + index] = tokens[index]
    pool.starts[position + 1] = begin + tokens.size
    pool.counters[NUM_TEXTS] += 1
    pool.counters[NUM_TOKENS] += tokens.size
    return True


@kernel
def append_postings(pool: Pool, position: int, length: int, prefix: NDArray[np.int32], bitmap: np.uint64) -> bool:
    """Append a text to the list of each token of its prefix; False, with nothing changed, when there is no room."""
    missing = 0
    for token in prefix:
        if pool.lists[token, SIZE] == pool.lists[token, ROOM]:
            missing += max(2 * pool.lists[token, ROOM], _FIRST_ROOM)
    if pool.counters[NUM_POSTINGS] + missing > pool.posting_texts.size:
        return False
    for token in prefix:
        if pool.lists[token, SIZE] == pool.lists[token, ROOM]:
            _move_list(pool, token)
        posting = pool.lists[token, START] + pool.lists[token, SIZE]
        pool.posting_texts[posting] = position
        pool.posting_lengths[posting] = length
        pool.posting_bitmaps[posting] = bitmap
        pool.lists[token, SIZE] += 1
    return True


@kernel
def _move_list(pool: Pool, token: int) -> None:
    """Give a full list twice its room at the end of the postings; the old place lies idle until the next rebuild."""
    old, size = pool.lists[token, START], pool.lists[token, SIZE]
    room = max(2 * pool.lists[token, ROOM], _FIRST_ROOM)
    new = pool.counters[NUM_POSTINGS]
    for posting in range(size):  # As slices, these three lines take Numba 1.5 s to compile.
        pool.posting_texts[new + posting] = pool.posting_texts[old + posting]
        pool.posting_lengths[new + posting] = pool.posting_lengths[old + posting]
        pool.posting_bitmaps[new + posting] = pool.posting_bitmaps[old + posting]
    pool.lists[token, START] = new
    pool.lists[token, ROOM] = room
    pool.counters[NUM_POSTINGS] = new + room


@kernel
def refill(pool: Pool, first: int, threshold: float) -> int:
    """Append the postings of the pool's texts from `first` on; returns the first without room, or their number."""
    for position in range(first, pool.counters[NUM_TEXTS]):
        tokens = pool.tokens[pool.starts[position] : pool.starts[position + 1]]
        prefix = prefix_of(tokens, pool.ranks, threshold)
        if not append_postings(pool, position, tokens.size, prefix, bitmap_of(tokens)):
            return position
    return int(pool.counters[NUM_TEXTS])
