"""Scores of texts with every text of the pool, four texts at a time.

Knows nothing of thresholds or of threads: whoever calls may share out the pool's texts. Guarantees the bits of
rouge.f_measure for every pair.

Four bit-parallel comparisons go through a pool text together: its tokens are read once, and the four chains of
additions, each of which waits for itself, fill the processor's units.
"""

from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, making_kernel
from fastinstruct_kernels.lcs import (
    LANES,
    WORD_BITS,
    Pattern,
    clear_pattern,
    fill_pattern,
    is_stopped,
    pattern_lcs,
    popcount,
)
from fastinstruct_kernels.rouge import f_measure

_ONES = np.uint64(0xFFFFFFFFFFFFFFFF)
_ONE = np.uint64(1)


class ScoredTexts(Protocol):
    """A pool, of whatever index: its texts one after another."""

    @property
    def tokens(self) -> NDArray[np.int32]:
        """Tokens of all texts: int32[tokens]."""

    @property
    def starts(self) -> NDArray[np.int64]:
        """int64[texts + 1]: text i is tokens[starts[i]:starts[i + 1]]."""


class Lanes(NamedTuple):
    """Scratch of one thread: where the tokens of four texts stand."""

    slots: NDArray[np.int32]  # int32[vocabulary]: row of `masks`, 0 for a token of none of them; zeros between calls
    masks: NDArray[np.uint64]  # uint64[4 * 64 + 1, 4]: places of a token in each


@making_kernel
def new_lanes(vocabulary: int) -> Lanes:
    """Scratch for tokens in `[0, vocabulary)`."""
    return Lanes(np.zeros(vocabulary, dtype=np.int32), np.zeros((LANES * WORD_BITS + 1, LANES), dtype=np.uint64))


@kernel
def score_texts(
    pool: ScoredTexts,
    tokens: NDArray[np.int32],
    starts: NDArray[np.int64],
    lanes: Lanes,
    pattern: Pattern,
    first: int,
    last: int,
    scores: NDArray[np.float64],
) -> None:
    """F of texts with the pool's texts from `first` to before `last`.

    Args:
        pool: the texts to compare with.
        tokens: int32[tokens], one text after another.
        starts: int64[n + 1].
        lanes: scratch.
        pattern: scratch, with room for the longest text; its flag ends this before all scores are there.
        first: pool position.
        last: pool position.
        scores: float64[n, texts]; columns `first` to `last` are filled.
    """
    for index in range(0, starts.size - 1, LANES):
        if is_stopped(pattern):
            return
        end = min(index + LANES, starts.size - 1)
        # One text alone would wait for the three lanes that it leaves empty: twice the time.
        if end - index > 1 and _longest(starts, index, end) <= WORD_BITS:
            _fill_lanes(lanes, tokens, starts, index, end)
            _score_lanes(pool, starts, lanes, index, end, first, last, scores)
            clear_slots(lanes, tokens, starts[index], starts[end])
            continue
        for text in range(index, end):
            fill_pattern(pattern, tokens, starts[text], starts[text + 1])
            _score_one(pool, pattern, starts[text + 1] - starts[text], first, last, scores[text])
            clear_pattern(pattern, tokens, starts[text], starts[text + 1])


@kernel
def _longest(starts: NDArray[np.int64], index: int, end: int) -> int:
    longest = 0
    for text in range(index, end):
        longest = max(longest, starts[text + 1] - starts[text])
    return longest


@kernel
def _fill_lanes(lanes: Lanes, tokens: NDArray[np.int32], starts: NDArray[np.int64], index: int, end: int) -> None:
    rows = 0
    for text in range(index, end):
        for position in range(starts[text], starts[text + 1]):
            row = lanes.slots[tokens[position]]
            if row == 0:
                rows += 1
                row = rows
                lanes.slots[tokens[position]] = row
                for lane in range(LANES):
                    lanes.masks[row, lane] = 0
            lanes.masks[row, text - index] |= _ONE << np.uint64(position - starts[text])


@kernel
def clear_slots(lanes: Lanes, tokens: NDArray[np.int32], begin: int, end: int) -> None:
    """Forget the texts tokens[begin:end]."""
    for position in range(begin, end):
        lanes.slots[tokens[position]] = 0


@inlined_kernel
def _advanced(state: np.uint64, mask: np.uint64) -> np.uint64:
    matches = state & mask
    return (state + matches) | (state - matches)


@kernel
def _score_lanes(
    pool: ScoredTexts,
    starts: NDArray[np.int64],
    lanes: Lanes,
    index: int,
    end: int,
    first: int,
    last: int,
    scores: NDArray[np.float64],
) -> None:
    masks, count = lanes.masks, end - index
    for text in range(first, last):
        begin, stop = pool.starts[text], pool.starts[text + 1]
        one, two, three, four = _ONES, _ONES, _ONES, _ONES
        for position in range(np.uint64(begin), np.uint64(stop)):
            row = np.uint32(lanes.slots[np.uint32(pool.tokens[position])])
            one = _advanced(one, masks[row, 0])
            two = _advanced(two, masks[row, 1])
            three = _advanced(three, masks[row, 2])
            four = _advanced(four, masks[row, 3])
        for lane, state in enumerate((one, two, three, four)):
            if lane < count:
                scores[index + lane, text] = f_measure(
                    int(popcount(~state)), int(starts[index + lane + 1] - starts[index + lane]), int(stop - begin)
                )


@kernel
def _score_one(
    pool: ScoredTexts, pattern: Pattern, length: int, first: int, last: int, scores: NDArray[np.float64]
) -> None:
    for text in range(first, last):
        begin, end = pool.starts[text], pool.starts[text + 1]
        scores[text] = f_measure(pattern_lcs(pattern, length, pool.tokens, begin, end), length, end - begin)


@kernel
def highest(scores: NDArray[np.float64], positions: NDArray[np.int64]) -> None:
    """Positions of the highest scores, highest first and equals by position, into `positions: int64[k]`, k <= n.

    By insertion, so for a small k; a partial sort of the whole takes ten times as long.
    """
    used = 0
    for position in range(scores.size):
        if used == positions.size and scores[position] <= scores[positions[used - 1]]:
            continue
        place = used if used < positions.size else used - 1
        used = min(used + 1, positions.size)
        while place > 0 and scores[positions[place - 1]] < scores[position]:
            positions[place] = positions[place - 1]
            place -= 1
        positions[place] = position
