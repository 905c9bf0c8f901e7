"""Length of the longest common subsequence of two token lists, 64 positions at a time.

Knows nothing of scores or of pools. Exact for any length, repeated tokens included.

A text to compare with many others is first turned into a `Pattern`: for each distinct token, the positions where it
stands, as bits. Bit p of the state is 0 once the p-th position of the pattern ends a longer common subsequence, so
the length is the number of zeros. Up to 64 tokens the state is one word. Longer patterns keep only the non-zero words
of each token, so their size is linear in the text and a token of the other text costs as many words as it has places
here, not as many as the pattern has.

Source: Hyyro, "Bit-parallel LCS-length computation revisited" (2004), section 3; Crochemore et al. (2001).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel

WORD_BITS = 64
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Pattern(NamedTuple):
    """One text, ready to be compared with many.

    The caller's `slots: int32[vocabulary]` says where a token's bits are: slot 0 is "not in this text" and has one
    empty word.
    """

    length: int
    starts: NDArray[np.int32]  # int32[distinct + 2]: the words of slot s are starts[s] to starts[s + 1]
    words: NDArray[np.int32]  # int32[entries]: which 64 positions an entry covers, ascending within a slot
    masks: NDArray[np.uint64]  # uint64[entries]: the places of the token among them
    state: NDArray[np.uint64]  # uint64[ceil(length / 64)]: scratch


@inlined_kernel
def popcount(bits: np.uint64) -> np.uint64:
    """Count the ones of a 64-bit word; written so that LLVM sees the idiom and emits one instruction."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)


@kernel
def build_pattern(tokens: NDArray[np.int32], slots: NDArray[np.int32]) -> Pattern:
    """Make the pattern of `tokens: int32[m]`.

    `slots: int32[vocabulary]` must be all zero; it holds the pattern's slots until `clear_slots`.
    """
    length = tokens.size
    starts = np.zeros(length + 2, dtype=np.int32)
    last_word = np.full(length + 1, -1, dtype=np.int32)
    distinct = 0
    for position in range(length):
        slot = slots[tokens[position]]
        if slot == 0:
            distinct += 1
            slot = distinct
            slots[tokens[position]] = slot
        if last_word[slot] != position // WORD_BITS:
            last_word[slot] = position // WORD_BITS
            starts[slot + 1] += 1
    starts[1] = 1
    for slot in range(1, distinct + 1):
        starts[slot + 1] += starts[slot]
    words = np.full(starts[distinct + 1], -1, dtype=np.int32)
    masks = np.zeros(starts[distinct + 1], dtype=np.uint64)
    next_entry = starts.copy()
    for position in range(length):
        slot = slots[tokens[position]]
        word = position // WORD_BITS
        entry = next_entry[slot]
        if words[entry] != -1 and words[entry] != word:
            entry += 1
            next_entry[slot] = entry
        words[entry] = word
        masks[entry] |= _ONE << np.uint64(position % WORD_BITS)
    state = np.empty((length + WORD_BITS - 1) // WORD_BITS, dtype=np.uint64)
    return Pattern(length, starts, words, masks, state)


@kernel
def clear_slots(tokens: NDArray[np.int32], slots: NDArray[np.int32]) -> None:
    """Make `slots` all zero again after `build_pattern(tokens, slots)`."""
    for token in tokens:
        slots[token] = 0


@inlined_kernel
def pattern_lcs(pattern: Pattern, slots: NDArray[np.int32], tokens: NDArray[np.int32], begin: int, end: int) -> int:
    """Length of the longest common subsequence of the pattern's text and `tokens[begin:end]`.

    Bounds instead of a slice: making one costs as much as a short comparison.
    """
    if pattern.length > WORD_BITS:
        return _many_words_lcs(pattern, slots, tokens, begin, end)
    # Every slot has exactly one word here, so a slot is also its entry. Bits above the pattern's length stay 1.
    masks = pattern.masks
    state = _ONES
    for position in range(np.uint64(begin), np.uint64(end)):
        matches = state & masks[slots[np.uint32(tokens[position])]]
        state = (state + matches) | (state - matches)
    return int(popcount(~state))


@kernel
def _many_words_lcs(pattern: Pattern, slots: NDArray[np.int32], tokens: NDArray[np.int32], begin: int, end: int) -> int:
    state = pattern.state
    state[:] = _ONES
    for position in range(begin, end):
        slot = slots[tokens[position]]
        if slot != 0:
            _advance(state, pattern.words, pattern.masks, pattern.starts[slot], pattern.starts[slot + 1])
    zeros = _ZERO
    for word in range(state.size):
        zeros += popcount(~state[word])
    return int(zeros)


@inlined_kernel
def _advance(
    state: NDArray[np.uint64], words: NDArray[np.int32], masks: NDArray[np.uint64], entry: int, end: int
) -> None:
    """Let the state pass one token with the places `entry` to `end`: only their words, or a carry's, can change."""
    word = words[entry]
    carry = _ZERO
    while word < state.size and (entry < end or carry != _ZERO):
        mask = _ZERO
        if entry < end and words[entry] == word:
            mask = masks[entry]
            entry += 1
        elif carry == _ZERO:
            word = words[entry]
            continue
        before = state[word]
        matches = before & mask
        half = before + matches
        total = half + carry
        carry = _ONE if half < before or total < half else _ZERO
        state[word] = total | (before - matches)
        word += 1


@kernel
def lcs_length(left: NDArray[np.int32], right: NDArray[np.int32], vocabulary: int) -> int:
    """Length of the longest common subsequence of `int32[m]` and `int32[n]`, whose tokens lie in `[0, vocabulary)`."""
    slots = np.zeros(vocabulary, dtype=np.int32)
    return pattern_lcs(build_pattern(left, slots), slots, right, 0, right.size)
