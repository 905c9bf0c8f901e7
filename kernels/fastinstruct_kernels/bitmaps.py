"""Bitmaps of the bags of tokens of texts of any length, made from the tokens as they stand.

Knows nothing of pools. The bits are those of `bags`, two to four a token and one for each time it occurs; but here a
short text has a bitmap, too, of one word, and occurrences are counted in an array over the vocabulary: no sorted keys.

The single word of 64 bits that every text had before says nothing of a text of 168 words, nearly all its bits being
set: each text that shared a bucket was compared in full.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.bags import BAG_ROOM, LONGEST_SHORT, MOST_WORDS, bag_bit, bag_words, fold, most_shared

BITMAP_ROOM = BAG_ROOM
"""Words of a bitmap at twice its size and folded: that of w words is bitmap[w : 2 * w]."""
_ONE = np.uint64(1)


@inlined_kernel
def bitmap_words(length: int) -> int:
    """How many words the bitmap of a text has: a power of two."""
    return bag_words(length) if length > LONGEST_SHORT else 1


@kernel
def fill_bitmap(tokens: NDArray[np.int32], counts: NDArray[np.int32], bitmap: NDArray[np.uint64]) -> int:
    """Put a text's bitmap into `bitmap: uint64[BITMAP_ROOM]`, at twice its size and folded; returns the most words.

    `counts: int32[vocabulary]` is scratch, zeros between calls. Twice: the texts that it can be near are up to twice
    as long at the thresholds in use.
    """
    widest = min(2 * bitmap_words(tokens.size), MOST_WORDS)
    for word in range(widest, 2 * widest):
        bitmap[word] = np.uint64(0)
    mask = np.uint64(64 * widest - 1)
    for token in tokens:
        bit = bag_bit(token, counts[token]) & mask
        bitmap[np.uint64(widest) + (bit >> np.uint64(6))] |= _ONE << (bit & np.uint64(63))
        counts[token] += 1
    for token in tokens:
        counts[token] = 0
    fold(bitmap, widest, 1)
    return widest


@inlined_kernel
def most_common(
    bitmap: NDArray[np.uint64],
    widest: int,
    length: int,
    others: NDArray[np.uint64],
    start: int,
    other_length: int,
) -> int:
    """An upper bound of the LCS with another text, whose bitmap is others[start:]: a bit without a partner, a token."""
    words = bitmap_words(other_length)
    if words > widest:
        return min(length, other_length)
    return most_shared(bitmap, words, length, others, start, other_length)
