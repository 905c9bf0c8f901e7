"""A bitmap of a long text's bag of tokens, so that two long texts are hardly ever compared in full to be refused.

Knows nothing of pools. A text of up to `LONGEST_SHORT` tokens has none: its postings' signatures say enough. In those
of a longer one nearly every bit is set. Each token has a bit for each time it occurs: the second "the" is another bit
than the first. So of two texts, every bit that one of them lacks is a token of the other without a partner, repeated
tokens included.

A bitmap has two to four bits a token, a power of two. So it can be folded to half of its size, and texts of different
lengths be compared at the size of the smaller bitmap.

Source: bitmap filter: Sandes, Teodoro, Melo, "Bitmap Filter: Speeding up exact set similarity joins" (2018), section 3;
that occurrences are told apart, and the folding, are ours.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.lcs import popcount
from fastinstruct_kernels.signatures import key_token

LONGEST_SHORT = 32
"""Texts of more tokens have a bitmap."""
# Words of 64 bits in the bitmap of a text; one of more than 2,048 tokens has no more.
_LEAST_WORDS, MOST_WORDS = 2, 64
BAG_ROOM = 2 * MOST_WORDS
"""Words of a bitmap with all that it is folded to: that of w words is bag[w : 2 * w]."""
_ONE = np.uint64(1)


@inlined_kernel
def bag_words(length: int) -> int:
    """How many words the bitmap of a text has: a power of two, at most a sixteenth of its tokens; 0 of a short text."""
    if length <= LONGEST_SHORT:
        return 0
    words = _LEAST_WORDS
    while words < MOST_WORDS and 32 * words < length:
        words *= 2
    return words


@inlined_kernel
def bag_bit(token: int, occurrence: int) -> np.uint64:
    """12 bits by multiplicative hashing."""
    mixed = (np.uint64(token) << np.uint64(24)) ^ np.uint64(occurrence)
    return (mixed * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(52)


@kernel
def fill_bag(keys: NDArray[np.int64], begin: int, end: int, bag: NDArray[np.uint64], first: int, words: int) -> None:
    """Put the bitmap of a text into bag[first : first + words]; its keys are sorted (see signatures.sign)."""
    for word in range(words):
        bag[first + word] = np.uint64(0)
    mask = np.uint64(64 * words - 1)
    occurrence = 0
    for place in range(begin, end):
        occurrence = occurrence + 1 if place > begin and keys[place] == keys[place - 1] else 0
        bit = bag_bit(key_token(keys[place]), occurrence) & mask
        bag[first + np.int64(bit >> np.uint64(6))] |= _ONE << (bit & np.uint64(63))


@kernel
def fill_folded(keys: NDArray[np.int64], begin: int, end: int, bag: NDArray[np.uint64]) -> int:
    """Put a text's bitmap into `bag: uint64[BAG_ROOM]`, at twice its size and folded; returns the most words there.

    Twice: the texts that it can be near are up to twice as long at the thresholds in use.
    """
    widest = min(2 * max(bag_words(end - begin), _LEAST_WORDS // 2), MOST_WORDS)
    fill_bag(keys, begin, end, bag, widest, widest)
    fold(bag, widest, _LEAST_WORDS)
    return widest


@inlined_kernel
def fold(bag: NDArray[np.uint64], widest: int, least: int) -> None:
    """Fold the bitmap of so many words in bag[widest:] to every size down to `least` words."""
    words = widest // 2
    while words >= least:
        for word in range(words):
            bag[words + word] = bag[2 * words + word] | bag[3 * words + word]
        words //= 2


@inlined_kernel
def may_share(
    bag: NDArray[np.uint64], length: int, bags: NDArray[np.uint64], start: int, other_length: int, needed: int
) -> bool:
    """Whether the bitmaps leave room for so many tokens in common; bags[start:] is the other text's."""
    return most_shared(bag, bag_words(other_length), length, bags, start, other_length) >= needed


@inlined_kernel
def most_shared(
    bag: NDArray[np.uint64], words: int, length: int, bags: NDArray[np.uint64], start: int, other_length: int
) -> int:
    """How many tokens the bitmaps, of so many words, leave in common at most: a bit without a partner, a token."""
    missing, others = np.uint64(0), np.uint64(0)
    for word in range(np.uint64(words)):
        own, other = bag[np.uint64(words) + word], bags[np.uint64(start) + word]
        missing += popcount(own & ~other)
        others += popcount(other & ~own)
    return int(min(length - np.int64(missing), other_length - np.int64(others)))
