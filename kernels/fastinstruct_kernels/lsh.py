"""Locality-sensitive hashing of MinHash signatures: which pool texts to compare in full, and the verdicts on them.

Knows nothing of text, of how bands and rows are chosen or of how arrays grow: a kernel that lacks room says how far it
came and is called again. Guarantees that every rejection is a pair compared in full: what is approximate is only which
pairs are compared. A pair is compared when all rows of some band agree, and at times by chance. Guarantees, too, that
the work for a text is bounded, whatever the pool holds:

    an equal text                          found by its hash, and then nothing else is looked at
    members of its buckets                 at most `buckets.MOST_KEPT` a band, a sample of those that joined
    pairs compared in full                 at most `most_compared`, those whose bitmaps leave room for the highest F

Whether a text was met in another bucket is asked before its bitmap is looked at; to ask it only of what the bitmaps
leave made no difference.

How often a bound took something away is counted in Buckets.counters.

Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets" (3rd edition), section 3.4.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, prefetch, read_anew
from fastinstruct_kernels.bitmaps import BITMAP_ROOM, fill_bitmap, most_common
from fastinstruct_kernels.buckets import (
    JOINED,
    MOST_KEPT,
    NUM_COMPARED,
    NUM_CUT_SHORT,
    NUM_DISTINCT,
    NUM_PROBES,
    NUM_READ,
    NUM_TEXTS,
    NUM_TOKENS,
    TEXTS,
    Banding,
    Buckets,
    bitmap_of,
    find_places,
    has_room,
    length_of,
    note_bitmap,
    put,
)
from fastinstruct_kernels.equals import NONE, find_equal, hash_tokens, note_equal
from fastinstruct_kernels.lcs import Pattern, clear_pattern, fill_pattern, new_pattern, pattern_lcs
from fastinstruct_kernels.minhash import sign
from fastinstruct_kernels.probe import ADD, ADMIT, QUERY
from fastinstruct_kernels.rouge import f_measure, longest_length, shortest_length

_SLACK = 1.0 - 1e-12
# A text is compared in full with others until its tokens have been passed so often, and with at least so many.
_COMPARED_TOKENS, _LEAST_COMPARED = 1 << 15, 32
# How near a text can be, in so many steps from the threshold to 1, where not all that can be near are compared.
_STEPS = 64


class Texts(NamedTuple):
    """Texts to settle, and room for what becomes of them."""

    tokens: NDArray[np.int32]  # int32[tokens]: one text after another; 0 is a token that no pool text has
    hashes: NDArray[np.uint32]  # uint32[tokens]: the tokens' 32-bit hashes
    starts: NDArray[np.int64]  # int64[n + 1]
    admitted: NDArray[np.bool_]  # bool[n]
    nearest: NDArray[np.int64]  # int64[n]: the most similar text compared above the threshold, -1 for none
    scores: NDArray[np.float64]  # float64[n]: its F, NaN for none


class Scratch(NamedTuple):
    """What one call of `settle` needs besides the pool."""

    signature: NDArray[np.uint32]  # uint32[num_perm]
    places: NDArray[np.int64]  # int64[bands]
    bitmap: NDArray[np.uint64]  # uint64[BITMAP_ROOM]: the text's, see `fill_bitmap`
    found: NDArray[np.int32]  # int32[3, bands * MOST_KEPT]: texts, upper bounds of the LCS with them, see `_step_of`
    step_counts: NDArray[np.int64]  # int64[_STEPS + 1]
    pattern: Pattern


def new_scratch(banding: Banding, longest: int, vocabulary: int, stop: NDArray[np.int64]) -> Scratch:
    """Scratch for texts of up to `longest` tokens, which lie in `[0, vocabulary)`; `stop: int64[1]` is the flag."""
    return Scratch(
        signature=np.empty(len(banding.permutations.offsets), dtype=np.uint32),
        places=np.empty(banding.bands, dtype=np.int64),
        bitmap=np.empty(BITMAP_ROOM, dtype=np.uint64),
        found=np.empty((3, banding.bands * MOST_KEPT), dtype=np.int32),
        step_counts=np.empty(_STEPS + 1, dtype=np.int64),
        pattern=new_pattern(longest, vocabulary, stop),
    )


@kernel
def settle(
    pool: Buckets, texts: Texts, scratch: Scratch, banding: Banding, first: int, mode: int, threshold: float
) -> int:
    """Settle the texts from `first` on, one after another.

    Returns:
        The first text not settled: the pool has no room for one more (see `buckets.has_room`), or it was stopped.
    """
    equals, bands, slots = pool.equals, pool.table.shape[0], pool.table.shape[1]
    for index in range(first, texts.starts.size - 1):
        has_no_room = mode != QUERY and not has_room(pool.counters, bands, slots, equals.size, pool.arena.size)
        if has_no_room or read_anew(pool.stop, 0) != 0:
            return index
        begin, end = texts.starts[index], texts.starts[index + 1]
        tokens = texts.tokens[begin:end]
        code = hash_tokens(tokens)
        equal = find_equal(equals, tokens, code, pool.tokens, pool.starts) if tokens.size > 0 else NONE
        nearest, score = -1, np.nan
        if mode != ADD and equal != NONE and threshold < 1.0:
            nearest, score = equal, 1.0
        else:
            is_signed = tokens.size > 0 and (mode != ADD or equal == NONE)
            if is_signed:
                sign(texts.hashes[begin:end], banding.permutations, scratch.signature)
                find_places(scratch.signature, banding.rows, pool.table, scratch.places)
            widest = fill_bitmap(tokens, scratch.pattern.slots, scratch.bitmap)
            if is_signed and mode != ADD:
                nearest, score = _nearest_compared(pool, scratch, tokens, widest, threshold)
                if read_anew(pool.stop, 0) != 0:
                    return index
        if mode == ADD or (mode == ADMIT and nearest == -1):
            text = pool.counters[NUM_TEXTS]
            if equal == NONE and tokens.size > 0:
                note_equal(equals, code, text)
                pool.counters[NUM_DISTINCT] += 1
                put(pool.counters, pool.table, pool.filled, pool.arena, scratch.places, text)
            note_bitmap(pool.counters, pool.heads, pool.bitmaps, scratch.bitmap, text, tokens.size)
            used = pool.counters[NUM_TOKENS]
            for offset in range(tokens.size):
                pool.tokens[used + offset] = tokens[offset]
            pool.starts[text + 1] = used + tokens.size
            pool.counters[NUM_TOKENS] += tokens.size
            pool.counters[NUM_TEXTS] += 1
        texts.admitted[index] = nearest == -1
        texts.nearest[index] = nearest
        texts.scores[index] = score
    return int(texts.starts.size - 1)


@kernel
def _nearest_compared(
    pool: Buckets, scratch: Scratch, tokens: NDArray[np.int32], widest: int, threshold: float
) -> tuple[int, float]:
    """The text with the highest F above the threshold of those compared, the first of equals; (-1, NaN) without."""
    length, found, counters = tokens.size, scratch.found, pool.counters
    number, is_cut_short = _read_buckets(pool.table, pool.arena, pool.heads, scratch.places, found)
    counters[NUM_READ] += number
    counters[NUM_PROBES] += 1
    number = _refuse(
        pool.heads,
        pool.bitmaps,
        pool.probed,
        counters[NUM_PROBES],
        scratch.bitmap,
        widest,
        found,
        number,
        length,
        threshold,
    )
    if number > most_compared(length):
        number = _keep_likeliest(found, scratch.step_counts, number, most_compared(length))
        is_cut_short = True
    counters[NUM_CUT_SHORT] += is_cut_short
    nearest, best, level = -1, np.nan, threshold
    if number == 0:
        return nearest, best
    fill_pattern(scratch.pattern, tokens, 0, length)
    for place in range(number):
        text = found[0, place]
        begin, end = pool.starts[text], pool.starts[text + 1]
        # F of a length, without its divisions: loose by far more than their rounding.
        needed = int(0.5 * level * (length + end - begin) * _SLACK)
        if found[1, place] < needed:
            continue
        if read_anew(pool.stop, 0) != 0:
            break
        counters[NUM_COMPARED] += 1
        score = f_measure(pattern_lcs(scratch.pattern, length, pool.tokens, begin, end, needed), length, end - begin)
        if score > threshold and (nearest == -1 or score > best or (score == best and text < nearest)):
            nearest, best, level = text, score, score
    clear_pattern(scratch.pattern, tokens, 0, length)
    return nearest, best


@inlined_kernel
def most_compared(length: int) -> int:
    """With how many pool texts a text of that length is compared in full, at most."""
    return max(_COMPARED_TOKENS // length, _LEAST_COMPARED)


@kernel
def _read_buckets(
    table: NDArray[np.int32],
    arena: NDArray[np.int32],
    heads: NDArray[np.uint64],
    places: NDArray[np.int64],
    found: NDArray[np.int32],
) -> tuple[int, bool]:
    """Collect what the buckets keep; returns how many, and whether one of them is cut short."""
    number, is_cut_short = 0, False
    for band in range(places.size):
        prefetch(arena, max(-table[band, places[band]], 0))
    for band in range(places.size):
        content = table[band, places[band]]
        if content > 0:
            found[0, number] = content - 1
            prefetch(heads, content - 1)
            number += 1
        elif content < 0:
            joined = arena[-content + JOINED]
            is_cut_short |= joined > MOST_KEPT
            for member in range(min(joined, MOST_KEPT)):
                found[0, number] = arena[-content + TEXTS + member]
                prefetch(heads, found[0, number])
                number += 1
    return number, is_cut_short


@kernel
def _refuse(
    heads: NDArray[np.uint64],
    bitmaps: NDArray[np.uint64],
    probed: NDArray[np.int64],
    stamp: int,
    bitmap: NDArray[np.uint64],
    widest: int,
    found: NDArray[np.int32],
    number: int,
    length: int,
    threshold: float,
) -> int:
    """Keep, once each, the texts whose length and bitmap leave room for F above the threshold; returns how many.

    First all lengths, then all bitmaps: so what is missing in the cache comes at the same time.
    """
    shortest, longest, kept = shortest_length(length, threshold), longest_length(length, threshold), 0
    for place in range(number):
        text = found[0, place]
        if shortest <= length_of(heads[text]) <= longest and probed[text] != stamp:
            probed[text] = stamp
            found[0, kept] = text
            prefetch(bitmaps, bitmap_of(heads[text]))
            kept += 1
    number, kept = kept, 0
    for place in range(number):
        text = found[0, place]
        other_length = length_of(heads[text])
        common = most_common(bitmap, widest, length, bitmaps, bitmap_of(heads[text]), other_length)
        if 2.0 * common >= threshold * (length + other_length) * _SLACK:
            found[0, kept] = text
            found[1, kept] = common
            found[2, kept] = _step_of(common, length, other_length, threshold)
            kept += 1
    return kept


@kernel
def _keep_likeliest(found: NDArray[np.int32], counts: NDArray[np.int64], number: int, allowed: int) -> int:
    """Keep as many texts as are allowed, those that can have the highest F, of one step the first; returns how many."""
    for step in range(counts.size):
        counts[step] = 0
    for place in range(number):
        counts[found[2, place]] += 1
    step, left = counts.size - 1, allowed
    while counts[step] < left:
        left -= counts[step]
        step -= 1
    kept = 0
    for place in range(number):
        if found[2, place] > step or (found[2, place] == step and left > 0):
            left -= found[2, place] == step
            found[0, kept] = found[0, place]
            found[1, kept] = found[1, place]
            kept += 1
    return kept


@inlined_kernel
def _step_of(common: int, length: int, other_length: int, threshold: float) -> int:
    """How near a text with so many tokens in common would be, in steps from the threshold to 1."""
    if threshold >= 1.0:
        return 0
    return max(int((2.0 * common / (length + other_length) - threshold) / (1.0 - threshold) * _STEPS), 0)
