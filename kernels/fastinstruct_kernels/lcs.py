"""Length of the longest common subsequence of two token lists, 64 positions at a time.

Knows nothing of scores or of pools. Exact for any length, repeated tokens included.

A text to compare with many others is first turned into a `Pattern`: for each distinct token, the positions where it
stands, as bits. Bit p of the state is 0 once the p-th position of the pattern ends a longer common subsequence, so
the length is the number of zeros. Up to 64 tokens the state is one word. Longer patterns keep only the non-zero words
of each token, so their size is linear in the text and a token of the other text costs as many words as it has places
here, not as many as the pattern has.

The time of two long texts goes with the product of their lengths, so it may be a minute. Whoever waits may end it, by a
flag that is looked at every few milliseconds; what is returned then is no length.

Source: Hyyro, "Bit-parallel LCS-length computation revisited" (2004), section 3; Crochemore et al. (2001).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, read_anew

WORD_BITS = 64
STOPPED = -1
"""What stands for a length when the flag was raised: less than any."""
LANES = 4
"""So many texts are compared side by side: see `four_lcs`, and `scan`."""
QUICK_STEPS = 1 << 28
"""Steps of 1 to 3 ns that can't take a second: comparing a word with 64 of another text is one."""
_PACKED_BITS, _PACKED = np.uint64(16), np.uint64(0xFFFF)
# So many words of a state are passed between two looks at the flag: some 4 ms.
_WORDS_AT_A_TIME = 1 << 21
# So often a comparison of many words looks whether what is needed can still be reached.
_LOOKS = 8
_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ZERO = np.uint64(0)
_ONE = np.uint64(1)


class Pattern(NamedTuple):
    """One text, ready to be compared with many; made once and filled again for each text.

    `slots` says where a token's bits are: slot 0 is "not in this text" and has one empty word.
    """

    slots: NDArray[np.int32]  # int32[vocabulary]: zeros between texts
    starts: NDArray[np.int32]  # int32[room + 2]: the words of slot s are starts[s] to starts[s + 1]
    cursors: NDArray[np.int32]  # int32[room + 2]: scratch
    words: NDArray[np.int32]  # int32[room + 1]: which 64 positions an entry covers, ascending within a slot
    masks: NDArray[np.uint64]  # uint64[room + 1]: the places of the token among them
    state: NDArray[np.uint64]  # uint64[room / 64 + 1]: scratch
    stop: NDArray[np.int64]  # int64[1]: not 0 once whoever waits wants no result any more


@inlined_kernel
def popcount(bits: np.uint64) -> np.uint64:
    """Count the ones of a 64-bit word; written so that LLVM sees the idiom and emits one instruction."""
    bits = bits - ((bits >> np.uint64(1)) & np.uint64(0x5555555555555555))
    bits = (bits & np.uint64(0x3333333333333333)) + ((bits >> np.uint64(2)) & np.uint64(0x3333333333333333))
    bits = (bits + (bits >> np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
    return (bits * np.uint64(0x0101010101010101)) >> np.uint64(56)


def new_pattern(room: int, vocabulary: int, stop: NDArray[np.int64]) -> Pattern:
    """A pattern for texts of up to `room` tokens, which lie in `[0, vocabulary)`; `stop: int64[1]` is the flag."""
    return Pattern(
        slots=np.zeros(vocabulary, dtype=np.int32),
        starts=np.zeros(room + 2, dtype=np.int32),
        cursors=np.zeros(room + 2, dtype=np.int32),
        words=np.zeros(room + 1, dtype=np.int32),
        masks=np.zeros(room + 1, dtype=np.uint64),
        state=np.zeros(room // WORD_BITS + 1, dtype=np.uint64),
        stop=stop,
    )


@inlined_kernel
def is_stopped(pattern: Pattern) -> bool:
    """Whether whoever waits wants no result any more; once it is so, it is so until the kernel has returned."""
    return read_anew(pattern.stop, 0) != 0


@kernel
def fill_pattern(pattern: Pattern, tokens: NDArray[np.int32], begin: int, end: int) -> None:
    """Make it the pattern of `tokens[begin:end]`, until `clear_pattern`."""
    if end - begin > WORD_BITS:
        _fill_many_words(pattern, tokens, begin, end)
        return
    distinct = 0
    for position in range(np.uint64(begin), np.uint64(end)):
        token = np.uint32(tokens[position])
        slot = pattern.slots[token]
        if slot == 0:
            distinct += 1
            slot = distinct
            pattern.slots[token] = slot
            pattern.masks[slot] = _ZERO
        pattern.masks[slot] |= _ONE << (position - np.uint64(begin))


@kernel
def _fill_many_words(pattern: Pattern, tokens: NDArray[np.int32], begin: int, end: int) -> None:
    slots, starts, cursors, words, masks = pattern.slots, pattern.starts, pattern.cursors, pattern.words, pattern.masks
    for slot in range(end - begin + 2):
        starts[slot] = 0
        cursors[slot] = -1  # the last word of each slot, while they are counted
    distinct = 0
    for position in range(end - begin):
        token = tokens[begin + position]
        if slots[token] == 0:
            distinct += 1
            slots[token] = distinct
        slot = slots[token]
        if cursors[slot] != position // WORD_BITS:
            cursors[slot] = position // WORD_BITS
            starts[slot + 1] += 1
    starts[1] = 1
    for slot in range(1, distinct + 1):
        starts[slot + 1] += starts[slot]
        cursors[slot] = starts[slot] - 1
    for position in range(end - begin):
        slot = slots[tokens[begin + position]]
        entry = cursors[slot]
        if entry < starts[slot] or words[entry] != position // WORD_BITS:
            entry += 1
            cursors[slot] = entry
            words[entry] = position // WORD_BITS
            masks[entry] = _ZERO
        masks[entry] |= _ONE << np.uint64(position % WORD_BITS)


@kernel
def clear_pattern(pattern: Pattern, tokens: NDArray[np.int32], begin: int, end: int) -> None:
    """Forget the text `tokens[begin:end]`."""
    for position in range(np.uint64(begin), np.uint64(end)):
        pattern.slots[np.uint32(tokens[position])] = 0


@inlined_kernel
def pattern_lcs(pattern: Pattern, length: int, tokens: NDArray[np.int32], begin: int, end: int, needed: int = 0) -> int:
    """Length of the longest common subsequence of the pattern's text, of `length` tokens, and `tokens[begin:end]`.

    `STOPPED` if the flag was raised before it was known; texts of up to 64 tokens are compared without a look at it.
    Where it can't come to `needed`, any length below that.

    Bounds instead of a slice: making one costs as much as a short comparison.
    """
    if length > WORD_BITS:
        return _many_words_lcs(pattern, length, tokens, begin, end, needed)
    state = _ONES
    for position in range(np.uint64(begin), np.uint64(end)):
        state = _advanced(pattern, state, tokens[position])
    return int(popcount(~state))


@inlined_kernel
def _advanced(pattern: Pattern, state: np.uint64, token: np.int32) -> np.uint64:
    """The one word of a state when it has passed a token."""
    # Every slot has exactly one word here, so a slot is also its entry. Bits above the text's length stay 1.
    matches = state & pattern.masks[np.uint32(pattern.slots[np.uint32(token)])]
    after: np.uint64 = (state + matches) | (state - matches)
    return after


@inlined_kernel
def four_lcs(
    pattern: Pattern,
    tokens: NDArray[np.int32],
    starts: NDArray[np.int64],
    one: int,
    two: int,
    three: int,
    four: int,
) -> np.uint64:
    """`pattern_lcs` of a text of up to 64 tokens with LANES others, packed into one word: see `unpacked_lcs`.

    Text t is tokens[starts[t]:starts[t + 1]]. Each state waits for itself, for some five cycles a token; four of them
    fill the processor's units.
    """
    first, second, third, fourth = starts[one], starts[two], starts[three], starts[four]
    first_length, second_length = starts[one + 1] - first, starts[two + 1] - second
    third_length, fourth_length = starts[three + 1] - third, starts[four + 1] - fourth
    shortest = min(first_length, second_length, third_length, fourth_length)
    longest = max(first_length, second_length, third_length, fourth_length)
    a, b, c, d = _ONES, _ONES, _ONES, _ONES
    for offset in range(shortest):
        a = _advanced(pattern, a, tokens[np.uint64(first + offset)])
        b = _advanced(pattern, b, tokens[np.uint64(second + offset)])
        c = _advanced(pattern, c, tokens[np.uint64(third + offset)])
        d = _advanced(pattern, d, tokens[np.uint64(fourth + offset)])
    for offset in range(shortest, longest):
        if offset < first_length:
            a = _advanced(pattern, a, tokens[np.uint64(first + offset)])
        if offset < second_length:
            b = _advanced(pattern, b, tokens[np.uint64(second + offset)])
        if offset < third_length:
            c = _advanced(pattern, c, tokens[np.uint64(third + offset)])
        if offset < fourth_length:
            d = _advanced(pattern, d, tokens[np.uint64(fourth + offset)])
    packed = (popcount(~d) << _PACKED_BITS) | popcount(~c)
    return (((packed << _PACKED_BITS) | popcount(~b)) << _PACKED_BITS) | popcount(~a)


@inlined_kernel
def unpacked_lcs(packed: np.uint64, lane: int) -> int:
    """The length with one of the texts of `four_lcs`."""
    return int(np.int64((packed >> (np.uint64(lane) * _PACKED_BITS)) & _PACKED))


@kernel
def _many_words_lcs(pattern: Pattern, length: int, tokens: NDArray[np.int32], begin: int, end: int, needed: int) -> int:
    state = pattern.state
    num_words = (length + WORD_BITS - 1) // WORD_BITS
    state[:num_words] = _ONES
    at_a_time = min(_WORDS_AT_A_TIME // num_words, (end - begin) // _LOOKS) + 1
    first, common = begin, 0
    while first < end and common + end - first >= needed:
        if is_stopped(pattern):
            return STOPPED
        last = min(first + at_a_time, end)
        for position in range(first, last):
            slot = pattern.slots[tokens[position]]
            if slot != 0:
                _advance(state, num_words, pattern.words, pattern.masks, pattern.starts[slot], pattern.starts[slot + 1])
        first, common = last, _num_zeros(state, num_words)
    return common


@inlined_kernel
def _num_zeros(state: NDArray[np.uint64], num_words: int) -> int:
    zeros = _ZERO
    for word in range(num_words):
        zeros += popcount(~state[word])
    return int(zeros)


@inlined_kernel
def _advance(
    state: NDArray[np.uint64],
    num_words: int,
    words: NDArray[np.int32],
    masks: NDArray[np.uint64],
    entry: int,
    end: int,
) -> None:
    """Let the state pass one token with the places `entry` to `end`: only their words, or a carry's, can change.

    Tried and dropped: all words, without branches, for a token that stands in every other word (1.4 to 2.6 times the
    time); carries as "makes one" and "hands one on", which waits less for the word before (no difference).
    """
    word = words[entry]
    carry = _ZERO
    while word < num_words and (entry < end or carry != _ZERO):
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


def lcs_length(left: NDArray[np.int32], right: NDArray[np.int32], vocabulary: int, stop: NDArray[np.int64]) -> int:
    """Length of the longest common subsequence of `int32[m]` and `int32[n]`, whose tokens lie in `[0, vocabulary)`.

    `STOPPED` once the flag `stop: int64[1]` is raised.
    """
    return _lcs_of(new_pattern(len(left), vocabulary, stop), left, right)


@kernel
def _lcs_of(pattern: Pattern, left: NDArray[np.int32], right: NDArray[np.int32]) -> int:
    fill_pattern(pattern, left, 0, left.size)
    return pattern_lcs(pattern, left.size, right, 0, right.size)
