"""Locality-sensitive hashing of MinHash signatures: which pool texts to compare in full, and the verdicts on them.

Knows nothing of text, of how bands and rows are chosen or of how arrays grow: a kernel that lacks room says how far it
came and is called again. Guarantees that every rejection is a pair compared in full: what is approximate is only which
pairs are compared. A pair is compared when all rows of some band agree, and at times by chance.

A signature is cut into bands of rows; the rows of a band, hashed, name a slot of that band's table. A slot holds
nothing (0), one text (its position + 1), or the place of a bucket in the arena (negative): its size, its room, its
texts, one after another, so that the many texts of a common bucket are read in one go. Slots know no keys: two buckets
that meet in one slot only cost a look at a bitmap. When the pool has outgrown its tables they are filled anew.

Source: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets" (3rd edition), section 3.4.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, making_kernel, read_anew
from fastinstruct_kernels.growth import grown
from fastinstruct_kernels.lcs import clear_pattern, fill_pattern, is_stopped, pattern_lcs, pattern_over, popcount
from fastinstruct_kernels.minhash import Permutations, sign
from fastinstruct_kernels.probe import ADD, ADMIT
from fastinstruct_kernels.rouge import f_measure

# Positions in Buckets.counters.
NUM_TEXTS, NUM_TOKENS, ARENA_USED, NUM_PROBES = 0, 1, 2, 3
MAX_ARENA = 2**31 - 1
"""The largest arena that a slot can point into."""

# A bucket in the arena: its size, its room, then its texts.
_SIZE, _ROOM, _TEXTS = 0, 1, 2
_FIRST_ROOM = 4
_SLACK = 1.0 - 1e-12
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio


class Buckets(NamedTuple):
    """All texts admitted so far, and a table of buckets for each band of their signatures."""

    counters: NDArray[np.int64]  # int64[4]: texts, tokens and arena in use; texts judged so far
    tokens: NDArray[np.int32]  # int32[tokens]: the texts' tokens, one text after another
    starts: NDArray[np.int64]  # int64[texts + 1]: text i is tokens[starts[i]:starts[i + 1]]
    bitmaps: NDArray[np.uint64]  # uint64[texts]
    probed: NDArray[np.int64]  # int64[texts]: scratch, the last judgement that compared this text in full
    pattern_slots: NDArray[np.int32]  # int32[vocabulary]: scratch of the pattern, zeros between calls
    stop: NDArray[np.int64]  # int64[1]: not 0 once whoever waits wants no verdict any more
    table: NDArray[np.int32]  # int32[bands, a power of two]: see above
    arena: NDArray[np.int32]  # int32[arena]: place 0 is never used


class Texts(NamedTuple):
    """Texts to settle, and room for what becomes of them."""

    tokens: NDArray[np.int32]  # int32[tokens]: one text after another; 0 is a token that no pool text has
    hashes: NDArray[np.uint32]  # uint32[tokens]: the tokens' 32-bit hashes
    starts: NDArray[np.int64]  # int64[n + 1]
    admitted: NDArray[np.bool_]  # bool[n]
    nearest: NDArray[np.int64]  # int64[n]: the most similar text compared above the threshold, -1 for none
    scores: NDArray[np.float64]  # float64[n]: its F, NaN for none


class Banding(NamedTuple):
    """How signatures are made and cut; `permutations` may have more places than the bands use."""

    permutations: Permutations
    bands: int
    rows: int


def new_buckets(bands: int, stop: NDArray[np.int64]) -> Buckets:
    """An empty pool with a little room, and the flag that ends what is done with it."""
    return Buckets(
        counters=np.array([0, 0, 1, 0], dtype=np.int64),
        tokens=np.empty(1 << 10, dtype=np.int32),
        starts=np.zeros(1 << 6, dtype=np.int64),
        bitmaps=np.zeros(1 << 6, dtype=np.uint64),
        probed=np.zeros(1 << 6, dtype=np.int64),
        pattern_slots=np.zeros(1 << 10, dtype=np.int32),
        stop=stop,
        table=np.zeros((bands, 1 << 6), dtype=np.int32),
        arena=np.zeros(1 << 10, dtype=np.int32),
    )


def with_room(pool: Buckets, *, texts: int, tokens: int, vocabulary: int) -> Buckets:
    """The pool with room for that many more texts and tokens, and for token numbers below `vocabulary`."""
    num_texts = int(pool.counters[NUM_TEXTS]) + texts + 1
    num_tokens = int(pool.counters[NUM_TOKENS]) + tokens
    if num_texts > len(pool.starts):
        bitmaps, probed = grown(pool.bitmaps, num_texts), grown(pool.probed, num_texts)
        # The starts grow last, in case memory runs out between.
        pool = pool._replace(bitmaps=bitmaps, probed=probed, starts=grown(pool.starts, num_texts))
    if num_tokens > len(pool.tokens):
        pool = pool._replace(tokens=grown(pool.tokens, num_tokens))
    if vocabulary > len(pool.pattern_slots):
        pool = pool._replace(pattern_slots=grown(pool.pattern_slots, vocabulary))
    return pool


def with_larger_arena(pool: Buckets, room: int) -> Buckets:
    """The pool with that much room for buckets, at most `MAX_ARENA`."""
    return pool._replace(arena=grown(pool.arena, room))


def with_larger_table(pool: Buckets) -> Buckets:
    """The pool with empty tables, twice as large; the old pool's stay as they were."""
    counters = pool.counters.copy()
    counters[ARENA_USED] = 1
    bands, slots = pool.table.shape
    return pool._replace(
        counters=counters, table=np.zeros((bands, 2 * slots), np.int32), arena=np.zeros_like(pool.arena)
    )


@making_kernel
def settle(pool: Buckets, texts: Texts, banding: Banding, first: int, mode: int, threshold: float) -> int:
    """Settle the texts from `first` on, one after another.

    Returns:
        The first text not settled: the tables are half full, the arena has no room for this one's buckets, or it was
        stopped.
    """
    signature = np.empty(banding.permutations.offsets.size, dtype=np.uint32)
    places = np.empty(banding.bands, dtype=np.int64)
    for index in range(first, texts.starts.size - 1):
        tokens = texts.tokens[texts.starts[index] : texts.starts[index + 1]]
        hashes = texts.hashes[texts.starts[index] : texts.starts[index + 1]]
        sign(hashes, banding.permutations, signature)
        find_places(signature, banding.rows, pool.table.shape[1], places)
        bitmap = _bitmap_of(tokens)
        nearest, score = -1, np.nan
        if mode != ADD and tokens.size > 0:
            nearest, score = _nearest_compared(pool, tokens, places, bitmap, threshold)
            if read_anew(pool.stop, 0) != 0:
                return index
        joins = mode == ADD or (mode == ADMIT and nearest == -1)
        if joins and not _join(pool, tokens, places, bitmap):
            return index
        texts.admitted[index] = nearest == -1
        texts.nearest[index] = nearest
        texts.scores[index] = score
    return int(texts.starts.size - 1)


@kernel
def _bitmap_of(tokens: NDArray[np.int32]) -> np.uint64:
    """One of 64 bits for each token (multiplicative hashing), all or-ed together."""
    bitmap = np.uint64(0)
    for token in tokens:
        bitmap |= np.uint64(1) << ((np.uint64(token) * _SPREAD) >> np.uint64(58))
    return bitmap


@inlined_kernel
def _lcs_bound(bitmap: np.uint64, length: int, other_bitmap: np.uint64, other_length: int) -> int:
    """An upper bound of the LCS: each bit that only one side has is at least one token of it without a partner."""
    bound = length - int(popcount(bitmap & ~other_bitmap))
    other_bound = other_length - int(popcount(other_bitmap & ~bitmap))
    return min(bound, other_bound)


@kernel
def find_places(signature: NDArray[np.uint32], rows: int, num_slots: int, places: NDArray[np.int64]) -> None:
    """The slot of each band of `signature: uint32[num_perm]` in its table: int64[bands]."""
    for band in range(places.size):
        key = np.uint64(band)
        for row in range(band * rows, (band + 1) * rows):
            key = (key ^ np.uint64(signature[row])) * _SPREAD
            key ^= key >> np.uint64(32)
        places[band] = key & np.uint64(num_slots - 1)


@making_kernel
def _nearest_compared(
    pool: Buckets, tokens: NDArray[np.int32], places: NDArray[np.int64], bitmap: np.uint64, threshold: float
) -> tuple[int, float]:
    """The text with the highest F above the threshold in any of the buckets, the first of equals; (-1, NaN) without."""
    nearest, best = -1, np.nan
    pool.counters[NUM_PROBES] += 1
    pattern = pattern_over(pool.pattern_slots, tokens.size, pool.stop)
    fill_pattern(pattern, tokens, 0, tokens.size)
    for band in range(places.size):
        content = pool.table[band, places[band]]
        size = pool.arena[-content + _SIZE] if content < 0 else min(content, 1)
        for member in range(size):
            if is_stopped(pattern):
                break
            text = pool.arena[-content + _TEXTS + member] if content < 0 else content - 1
            begin, end = pool.starts[text], pool.starts[text + 1]
            length = end - begin
            most = _lcs_bound(bitmap, tokens.size, pool.bitmaps[text], length)
            # F of the most that can be common, without its divisions: loose by far more than their rounding.
            if 2.0 * most < threshold * (tokens.size + length) * _SLACK:
                continue
            if pool.probed[text] == pool.counters[NUM_PROBES]:
                continue
            pool.probed[text] = pool.counters[NUM_PROBES]
            score = f_measure(pattern_lcs(pattern, tokens.size, pool.tokens, begin, end), tokens.size, length)
            if score > threshold and (nearest == -1 or score > best or (score == best and text < nearest)):
                nearest, best = text, score
    clear_pattern(pattern, tokens, 0, tokens.size)
    return nearest, best


@kernel
def _join(
    pool: Buckets,
    tokens: NDArray[np.int32],
    places: NDArray[np.int64],
    bitmap: np.uint64,
) -> bool:
    """Append a text to the pool; False, with nothing changed, when the tables or the arena are too small."""
    text = pool.counters[NUM_TEXTS]
    if 2 * text >= pool.table.shape[1]:
        return False
    if tokens.size > 0 and not put(pool, text, places):
        return False
    begin = pool.counters[NUM_TOKENS]
    for index in range(tokens.size):
        pool.tokens[begin + index] = tokens[index]
    pool.starts[text + 1] = begin + tokens.size
    pool.bitmaps[text] = bitmap
    pool.counters[NUM_TEXTS] += 1
    pool.counters[NUM_TOKENS] += tokens.size
    return True


@kernel
def put(pool: Buckets, text: int, places: NDArray[np.int64]) -> bool:
    """Enter a text into the slot of each band; False, with nothing changed, when the arena has no room."""
    missing = 0
    for band in range(places.size):
        missing += _room_missing(pool, pool.table[band, places[band]])
    if pool.counters[ARENA_USED] + missing > pool.arena.size:
        return False
    for band in range(places.size):
        content = pool.table[band, places[band]]
        if content == 0:
            pool.table[band, places[band]] = text + 1
            continue
        if _room_missing(pool, content) > 0:
            content = _moved(pool, content)
            pool.table[band, places[band]] = content
        bucket = -content
        pool.arena[bucket + _TEXTS + pool.arena[bucket + _SIZE]] = text
        pool.arena[bucket + _SIZE] += 1
    return True


@inlined_kernel
def _room_missing(pool: Buckets, content: int) -> int:
    """How much of the arena one more text in this slot takes."""
    if content == 0:
        return 0
    if content > 0:
        return _TEXTS + _FIRST_ROOM
    room = pool.arena[-content + _ROOM]
    return 0 if pool.arena[-content + _SIZE] < room else _TEXTS + 2 * room


@kernel
def _moved(pool: Buckets, content: int) -> int:
    """Give a slot's texts a bucket with room at the arena's end; an old one lies idle until the tables are refilled."""
    bucket = pool.counters[ARENA_USED]
    taken = _room_missing(pool, content)
    pool.counters[ARENA_USED] += taken
    pool.arena[bucket + _ROOM] = taken - _TEXTS
    if content > 0:
        pool.arena[bucket + _SIZE] = 1
        pool.arena[bucket + _TEXTS] = content - 1
        return int(-bucket)
    size = pool.arena[-content + _SIZE]
    pool.arena[bucket + _SIZE] = size
    for member in range(size):
        pool.arena[bucket + _TEXTS + member] = pool.arena[-content + _TEXTS + member]
    return int(-bucket)


@making_kernel
def refill(pool: Buckets, banding: Banding, hashes: NDArray[np.uint32], first: int) -> int:
    """Enter the pool's texts from `first` on into the tables; `hashes: uint32[vocabulary]` has each token's.

    Returns:
        The first text without room, or where it was stopped; or the number of texts.
    """
    signature = np.empty(banding.permutations.offsets.size, dtype=np.uint32)
    places = np.empty(banding.bands, dtype=np.int64)
    for text in range(first, pool.counters[NUM_TEXTS]):
        tokens = pool.tokens[pool.starts[text] : pool.starts[text + 1]]
        sign(hashes[tokens], banding.permutations, signature)
        find_places(signature, banding.rows, pool.table.shape[1], places)
        if read_anew(pool.stop, 0) != 0:
            return int(text)
        if tokens.size > 0 and not put(pool, text, places):
            return int(text)
    return int(pool.counters[NUM_TEXTS])
