"""What a list keeps of each of its texts, so that nearly every one is refused without a look at its tokens.

Knows nothing of pools. Let p and q be the places of the first shared token in two texts sorted by rarity (of a
repeated token, the first). All L common tokens stand from there on, in both. So a list's signature of a text has a bit
for each token from q on, and each bit that the other text lacks is a token without a partner.

Source: bitmap filter: Sandes, Teodoro, Melo, "Bitmap Filter: Speeding up exact set similarity joins" (2018), section 3.
That the bits end at the shared token is ours: at a pool of 535,000 it leaves 12 texts to compare, and not 31.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.lcs import popcount

# A signature's low 6 bits are the length less one, 63 standing for every length from 64 on; the next 5 are the place,
# 31 standing for every place from there on; the others are a bitmap.
_LENGTH_BITS = np.uint64(63)
_PLACE_BITS = np.uint64(31)
_PLACE_SHIFT = np.uint64(6)
_BITMAP_SHIFT = np.uint64(11)
_BITMAP_BITS = np.uint64(53)
_BITMAP = ~np.uint64(2047)
_TOKEN = np.int64(0xFFFFFFFF)
# Signatures are read this many at a time, so readable ones must follow the last.
BLOCK = 32
# The threshold as a fraction of this, so that bounds are compared in whole numbers.
_UNIT_BITS = np.uint64(20)
_WORD = np.uint64(0xFFFFFFFF)
_ONE = np.uint64(1)
_FAR = np.uint64(1 << 40)


@inlined_kernel
def token_bit(token: int) -> np.uint64:
    """The bit of a token in a bitmap: one of 53, by multiplicative hashing."""
    spread = (np.uint64(token) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(32)
    return _ONE << (_BITMAP_SHIFT + ((spread * _BITMAP_BITS) >> np.uint64(32)))


@inlined_kernel
def sign(
    tokens: NDArray[np.int32],
    begin: int,
    end: int,
    ranks: NDArray[np.int32],
    keys: NDArray[np.int64],
    signatures: NDArray[np.uint64],
    first: int,
) -> None:
    """Put `rank << 32 | token` of tokens[begin:end] into keys[first:], rarest first, and each place's signature."""
    length = end - begin
    for offset in range(length):
        token = tokens[begin + offset]
        keys[first + offset] = (np.int64(ranks[token]) << 32) | np.int64(token)
    _sort_descending(keys, first, first + length)
    bits = np.uint64(min(length, 64) - 1)
    for place in range(length - 1, -1, -1):
        bits |= token_bit(key_token(keys[first + place]))
        signatures[first + place] = bits | (np.uint64(min(place, 31)) << _PLACE_SHIFT)


@inlined_kernel
def key_token(key: np.int64) -> int:
    """The token of a key."""
    return int(key & _TOKEN)


@kernel
def _sort_descending(keys: NDArray[np.int64], begin: int, end: int) -> None:
    # Shell's sort, Knuth's gaps: insertion sort for an instruction, still fine for a book, and a second less to
    # compile than np.sort.
    gap = 1
    while 12 * gap < end - begin:
        gap = 3 * gap + 1
    while gap > 0:
        for right in range(begin + gap, end):
            key = keys[right]
            left = right
            while left >= begin + gap and keys[left - gap] < key:
                keys[left] = keys[left - gap]
                left -= gap
            keys[left] = key
        gap //= 3


@inlined_kernel
def near_ones(
    signatures: NDArray[np.uint64], first: int | np.uint64, own: np.uint64, length: int, place: int, threshold: float
) -> np.uint64:
    """Which of BLOCK signatures leave room for F above the threshold: a one each.

    `own` is the signature of a text of that length at that place. F > t needs 2 L > t (m + n). Texts of 64 tokens and
    more count as 64 on the right side and as endless on the left.

    LLVM makes four AVX-512 vectors of this; with a shorter block it doesn't.
    """
    # One less than the real threshold's, so that no rounding in the reference can reject below it.
    rate = np.uint64(max(int(threshold * (1 << 20)) - 1, 0)) & _WORD
    own_rate = rate * np.uint64(length)
    bits, left = own & _BITMAP, np.uint64(length - place)
    found = np.uint64(0)
    for offset in range(np.uint64(BLOCK)):
        signature = signatures[first + offset]
        other_length = (signature & _LENGTH_BITS) + _ONE
        other_left = other_length - ((signature >> _PLACE_SHIFT) & _PLACE_BITS)
        bitmap = signature & _BITMAP
        bound = left - popcount(bits & ~bitmap)
        other_bound = other_left - popcount(bitmap & ~bits) if other_length <= _LENGTH_BITS else _FAR
        is_near = (min(bound, other_bound) << (_UNIT_BITS + _ONE)) > own_rate + rate * other_length
        found |= np.uint64(is_near) << offset
    return found


@inlined_kernel
def closer_ones(
    signatures: NDArray[np.uint64], first: int | np.uint64, own: np.uint64, spare: int, other_spare: int
) -> np.uint64:
    """Which of BLOCK signatures lack at most `spare` of the own bits and have at most `other_spare` others."""
    bits, most, most_others = own & _BITMAP, np.uint64(spare), np.uint64(other_spare)
    found = np.uint64(0)
    for offset in range(np.uint64(BLOCK)):
        bitmap = signatures[first + offset] & _BITMAP
        is_near = (popcount(bits & ~bitmap) <= most) & (popcount(bitmap & ~bits) <= most_others)
        found |= np.uint64(is_near) << offset
    return found


@inlined_kernel
def lowest_one(bits: np.uint64) -> np.uint64:
    """The place of the lowest one."""
    return popcount(~bits & (bits - _ONE))


@inlined_kernel
def ones_below(count: np.uint64) -> np.uint64:
    """A word with ones below that place, all ones from 64 on."""
    return (_ONE << count) - _ONE if count < np.uint64(64) else ~np.uint64(0)
