"""The arrays that hold a pool for LSH: its texts, and for each band of their signatures a table of buckets.

Knows nothing of scores, or of how bands and rows are chosen. A kernel that lacks room says how far it came and is
called again.

A signature is cut into bands of rows; the rows of a band, hashed, name a slot of that band's table. A slot holds
nothing (0), one text (its position + 1), or the place of a bucket in the arena (negative): how many joined it, its
room, its texts, one after another, so that the many texts of a common bucket are read in one go. Slots know no keys:
two buckets that meet in one slot only cost a look at a bitmap. When half of a table's slots are taken, all are filled
anew, twice as large; texts of few buckets (a million of one word) leave them small.

A bucket keeps at most `MOST_KEPT` texts, of more a uniform sample: each that joined is in it with the same probability,
each band's sample drawn by itself. So two texts that meet in s buckets of n texts still find each other with 1 -
(1 - MOST_KEPT / n)^s, whoever came first; and a bucket says of itself that it is cut short. With the newest, all bands
would keep the same texts of one header, or of one word repeated.

Sources: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets" (3rd edition), section 3.4; Vitter, "Random sampling
with a reservoir" (1985), algorithm R.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel, prefetch, read_anew
from fastinstruct_kernels.bitmaps import bitmap_words, fill_bitmap
from fastinstruct_kernels.equals import NONE, find_equal, hash_tokens, move_equals, note_equal
from fastinstruct_kernels.growth import grown
from fastinstruct_kernels.minhash import Permutations, sign

# Positions in Buckets.counters.
NUM_TEXTS, NUM_TOKENS, ARENA_USED, NUM_PROBES, NUM_BITMAP_WORDS, NUM_DISTINCT, MOST_FILLED = range(7)
# Of the work done: pairs compared in full, members of buckets read, texts judged with less than all.
NUM_COMPARED, NUM_READ, NUM_CUT_SHORT = range(7, 10)
NUM_COUNTERS = 10
MAX_ARENA = 2**31 - 1
"""The largest arena that a slot can point into."""
MOST_KEPT = 256
"""Texts that a bucket keeps: _FIRST_ROOM times a power of two.

With 64, 256, 1024: the recall is 0.67, 0.95, 1.0 for edited copies of 300 words of 200 (20,000 texts; 0.2, 0.5, 1.8 ms
a text), 0.996, 0.9997, 1.0 beside one header (50,000 texts), and 0.9997 with any, or without a bound, for answers.
"""

# A bucket in the arena: how many joined it, its room, then its texts.
JOINED, ROOM, TEXTS = 0, 1, 2
_FIRST_ROOM = 4
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio
_HALF = np.uint64(32)
_LOW = np.uint64(0xFFFFFFFF)


class Buckets(NamedTuple):
    """All texts admitted so far, and a table of buckets for each band of their signatures."""

    counters: NDArray[np.int64]  # int64[NUM_COUNTERS]
    tokens: NDArray[np.int32]  # int32[tokens]: the texts' tokens, one text after another
    starts: NDArray[np.int64]  # int64[texts + 1]: text i is tokens[starts[i]:starts[i + 1]]
    heads: NDArray[np.uint64]  # uint64[texts]: length << 32 | start of the bitmap
    bitmaps: NDArray[np.uint64]  # uint64[words]: one text's bitmap after another's
    equals: NDArray[np.uint64]  # uint64[a power of two]: the first of equal texts, see `equals`
    probed: NDArray[np.int64]  # int64[texts]: scratch, the last judgement that looked at this text
    stop: NDArray[np.int64]  # int64[1]: not 0 once whoever waits wants no verdict any more
    table: NDArray[np.int32]  # int32[bands, a power of two]: see above
    filled: NDArray[np.int64]  # int64[bands]: slots taken
    arena: NDArray[np.int32]  # int32[arena]: place 0 is never used


class Banding(NamedTuple):
    """How signatures are made and cut; `permutations` may have more places than the bands use."""

    permutations: Permutations
    bands: int
    rows: int


def new_buckets(bands: int, stop: NDArray[np.int64]) -> Buckets:
    """An empty pool with a little room, and the flag that ends what is done with it."""
    counters = np.zeros(NUM_COUNTERS, dtype=np.int64)
    counters[ARENA_USED] = 1
    return Buckets(
        counters=counters,
        tokens=np.empty(1 << 10, dtype=np.int32),
        starts=np.zeros(1 << 6, dtype=np.int64),
        heads=np.zeros(1 << 6, dtype=np.uint64),
        bitmaps=np.zeros(1 << 8, dtype=np.uint64),
        equals=np.zeros(1 << 7, dtype=np.uint64),
        probed=np.zeros(1 << 6, dtype=np.int64),
        stop=stop,
        # Untouched memory is free, and small tables would be filled anew, with each text signed again, ten times.
        table=np.zeros((bands, 1 << 11), dtype=np.int32),
        filled=np.zeros(bands, dtype=np.int64),
        arena=np.zeros(1 << 10, dtype=np.int32),
    )


def with_room(pool: Buckets, *, texts: int, tokens: int) -> Buckets:
    """The pool with room for that many more texts and tokens."""
    num_texts = int(pool.counters[NUM_TEXTS]) + texts + 1
    num_tokens = int(pool.counters[NUM_TOKENS]) + tokens
    # A bitmap has a word, or one for every sixteen tokens at most.
    num_words = int(pool.counters[NUM_BITMAP_WORDS]) + texts + tokens // 16
    if num_texts > len(pool.starts):
        heads, probed = grown(pool.heads, num_texts), grown(pool.probed, num_texts)
        # The starts grow last, in case memory runs out between.
        pool = pool._replace(heads=heads, probed=probed, starts=grown(pool.starts, num_texts))
    if num_words > len(pool.bitmaps):
        pool = pool._replace(bitmaps=grown(pool.bitmaps, num_words))
    if num_tokens > len(pool.tokens):
        pool = pool._replace(tokens=grown(pool.tokens, num_tokens))
    return pool


def with_larger_arena(pool: Buckets, room: int) -> Buckets:
    """The pool with that much room for buckets, at most `MAX_ARENA`."""
    return pool._replace(arena=grown(pool.arena, room))


def with_larger_table(pool: Buckets) -> Buckets:
    """The pool with empty tables, twice as large; the old pool's stay as they were."""
    counters = pool.counters.copy()
    counters[ARENA_USED], counters[MOST_FILLED] = 1, 0
    bands, slots = pool.table.shape
    return pool._replace(
        counters=counters,
        table=np.zeros((bands, 2 * slots), np.int32),
        filled=np.zeros_like(pool.filled),
        arena=np.zeros_like(pool.arena),
    )


def with_more_equals(pool: Buckets) -> Buckets:
    """The pool with a table of equals twice as large."""
    larger = np.zeros(2 * len(pool.equals), np.uint64)
    move_equals(pool.equals, larger)
    return pool._replace(equals=larger)


@inlined_kernel
def arena_for_a_text(bands: int) -> int:
    """How much of the arena one more text may take: in each band, a bucket that moves and is as large as can be."""
    return bands * (TEXTS + MOST_KEPT)


@inlined_kernel
def has_room(counters: NDArray[np.int64], bands: int, slots: int, equals: int, arena: int) -> bool:
    """Whether one more text can join a pool with so many bands, and tables and an arena of these sizes."""
    return bool(
        2 * counters[MOST_FILLED] < slots
        and 2 * counters[NUM_DISTINCT] < equals
        and counters[ARENA_USED] + arena_for_a_text(bands) <= arena
    )


@kernel
def find_places(signature: NDArray[np.uint32], rows: int, table: NDArray[np.int32], places: NDArray[np.int64]) -> None:
    """The slot of each band of `signature: uint32[num_perm]` in its table: int64[bands].

    The memory is asked for all of them: one after another, each would be waited for.
    """
    slots = table.shape[1]
    for band in range(places.size):
        key = np.uint64(band)
        for row in range(band * rows, (band + 1) * rows):
            key = (key ^ np.uint64(signature[row])) * _SPREAD
            key ^= key >> _HALF
        places[band] = key & np.uint64(slots - 1)
        prefetch(table, band * slots + places[band])


@kernel
def put(
    counters: NDArray[np.int64],
    table: NDArray[np.int32],
    filled: NDArray[np.int64],
    arena: NDArray[np.int32],
    places: NDArray[np.int64],
    text: int,
) -> None:
    """Enter a text into the slot of each band; the arena must have room for it."""
    for band in range(places.size):
        prefetch(arena, max(-table[band, places[band]], 0))
    for band in range(places.size):
        content = table[band, places[band]]
        if content == 0:
            table[band, places[band]] = text + 1
            filled[band] += 1
            counters[MOST_FILLED] = max(counters[MOST_FILLED], filled[band])
            continue
        if content > 0 or arena[-content + JOINED] == arena[-content + ROOM] < MOST_KEPT:
            content = _moved(counters, arena, content)
            table[band, places[band]] = content
        bucket = -content
        joined = arena[bucket + JOINED]
        arena[bucket + JOINED] = joined + 1
        place = joined if joined < arena[bucket + ROOM] else _drawn(text, band, joined + 1)
        if place < arena[bucket + ROOM]:
            arena[bucket + TEXTS + place] = text


@inlined_kernel
def _drawn(text: int, band: int, below: int) -> int:
    """A number from 0 to before `below`, always the same one for the same text and band."""
    mixed = ((np.uint64(text) << np.uint64(16)) ^ np.uint64(band)) * _SPREAD
    mixed = (mixed ^ (mixed >> _HALF)) * _SPREAD
    return int(np.int64(((mixed >> _HALF) * np.uint64(below)) >> _HALF))


@kernel
def _moved(counters: NDArray[np.int64], arena: NDArray[np.int32], content: int) -> int:
    """Give a slot's texts a bucket with room at the arena's end; an old one lies idle until the tables are refilled."""
    bucket = counters[ARENA_USED]
    size = 1 if content > 0 else arena[-content + JOINED]
    room = _FIRST_ROOM if content > 0 else 2 * arena[-content + ROOM]
    counters[ARENA_USED] += TEXTS + room
    arena[bucket + JOINED], arena[bucket + ROOM] = size, room
    if content > 0:
        arena[bucket + TEXTS] = content - 1
        return int(-bucket)
    for member in range(size):
        arena[bucket + TEXTS + member] = arena[-content + TEXTS + member]
    return int(-bucket)


@kernel
def note_bitmap(
    counters: NDArray[np.int64],
    heads: NDArray[np.uint64],
    bitmaps: NDArray[np.uint64],
    bitmap: NDArray[np.uint64],
    text: int,
    length: int,
) -> None:
    """Note a text's length and bitmap, made by `fill_bitmap`."""
    used, words = counters[NUM_BITMAP_WORDS], bitmap_words(length)
    heads[text] = (np.uint64(length) << _HALF) | np.uint64(used)
    for word in range(words):
        bitmaps[used + word] = bitmap[words + word]
    counters[NUM_BITMAP_WORDS] += words


@inlined_kernel
def length_of(head: np.uint64) -> int:
    """The length in a text's head."""
    return int(np.int64(head >> _HALF))


@inlined_kernel
def bitmap_of(head: np.uint64) -> int:
    """Where a text's bitmap begins."""
    return int(np.int64(head & _LOW))


@kernel
def note_texts(pool: Buckets, first: int, counts: NDArray[np.int32], bitmap: NDArray[np.uint64]) -> int:
    """Note the pool's texts from `first` on, of which only the tokens are known; `fill_bitmap` says what the rest is.

    Returns:
        The first text for which the table of equals lacks room; or the number of texts.
    """
    for text in range(first, pool.counters[NUM_TEXTS]):
        if 2 * pool.counters[NUM_DISTINCT] >= pool.equals.size:
            return int(text)
        tokens = pool.tokens[pool.starts[text] : pool.starts[text + 1]]
        fill_bitmap(tokens, counts, bitmap)
        note_bitmap(pool.counters, pool.heads, pool.bitmaps, bitmap, text, tokens.size)
        code = hash_tokens(tokens)
        if tokens.size > 0 and find_equal(pool.equals, tokens, code, pool.tokens, pool.starts) == NONE:
            note_equal(pool.equals, code, text)
            pool.counters[NUM_DISTINCT] += 1
    return int(pool.counters[NUM_TEXTS])


@kernel
def refill(
    pool: Buckets,
    banding: Banding,
    hashes: NDArray[np.uint32],
    first: int,
    text_hashes: NDArray[np.uint32],
    signature: NDArray[np.uint32],
    places: NDArray[np.int64],
) -> int:
    """Enter the pool's texts from `first` on into the tables.

    Args:
        pool: with tables that hold the texts before.
        banding: the pool's.
        hashes: uint32[vocabulary], each token's.
        first: the first text not entered.
        text_hashes: uint32[tokens of the longest text]: scratch.
        signature: uint32[num_perm]: scratch.
        places: int64[bands]: scratch.

    Returns:
        The first text without room, or where it was stopped; or the number of texts.
    """
    for text in range(first, pool.counters[NUM_TEXTS]):
        tokens = pool.tokens[pool.starts[text] : pool.starts[text + 1]]
        is_full = pool.counters[ARENA_USED] + arena_for_a_text(places.size) > pool.arena.size
        if is_full or read_anew(pool.stop, 0) != 0:
            return int(text)
        if tokens.size == 0 or find_equal(pool.equals, tokens, hash_tokens(tokens), pool.tokens, pool.starts) != text:
            continue
        for place in range(tokens.size):
            text_hashes[place] = hashes[tokens[place]]
        sign(text_hashes[: tokens.size], banding.permutations, signature)
        find_places(signature, banding.rows, pool.table, places)
        put(pool.counters, pool.table, pool.filled, pool.arena, places, text)
    return int(pool.counters[NUM_TEXTS])
