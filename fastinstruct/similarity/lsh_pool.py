"""The pool of an `LSHIndex` over token numbers: its arrays, their growth, and what it counts of its work.

Knows nothing of str, or of how bands and rows are chosen. Guarantees that verdicts depend on the order of the texts
alone, not on how they are cut into batches or when arrays grow.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.signatures import NumberedTokens
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.buckets import (
    ARENA_USED,
    MAX_ARENA,
    MOST_FILLED,
    NUM_BITMAP_WORDS,
    NUM_COMPARED,
    NUM_COUNTERS,
    NUM_CUT_SHORT,
    NUM_DISTINCT,
    NUM_PROBES,
    NUM_TEXTS,
    NUM_TOKENS,
    Banding,
    Buckets,
    arena_for_a_text,
    new_buckets,
    note_texts,
    refill,
    with_larger_arena,
    with_larger_table,
    with_more_equals,
    with_room,
)
from fastinstruct_kernels.lsh import Scratch, Texts, new_scratch, settle
from fastinstruct_kernels.probe import QUERY

__all__ = ["BucketPool", "LSHStatistics"]

_ARENA_STEP = 1 << 12  # at least so much more room for buckets at a time
_COUNTS = slice(NUM_COMPARED, NUM_CUT_SHORT + 1)  # positions in Buckets.counters
_ROOM = 1 << 10  # tokens of a text, and words, that scratch begins with


@dataclass(frozen=True, slots=True, kw_only=True)
class LSHStatistics:
    """How an `LSHIndex` came to its verdicts since it was made or loaded.

    Attributes:
        num_compared: pairs of texts compared in full.
        num_read: members of buckets that were looked at, a text once for each bucket.
        num_cut_short: texts judged with less than all that shared a bucket with them: one of their buckets had grown
            too large to keep all that joined it, or more could be near than may be compared in full.
    """

    num_compared: int
    num_read: int
    num_cut_short: int


class BucketPool:
    """Texts as token numbers, in buckets of similar ones; `stop: int64[1]` ends what is done with them."""

    def __init__(self, banding: Banding, threshold: float, stop: NDArray[np.int64]) -> None:
        self.banding = banding
        self.threshold = threshold
        self.arrays = new_buckets(banding.bands, stop)
        self._stop = stop
        self._scratch = new_scratch(banding, _ROOM, _ROOM, stop)

    def __len__(self) -> int:
        return int(self.arrays.counters[NUM_TEXTS])

    @property
    def num_tokens(self) -> int:
        """The tokens of all texts together."""
        return int(self.arrays.counters[NUM_TOKENS])

    def statistics(self) -> LSHStatistics:
        """What was done since this object is there."""
        compared, read, cut_short = self.arrays.counters[_COUNTS].tolist()
        return LSHStatistics(num_compared=compared, num_read=read, num_cut_short=cut_short)

    @contextmanager
    def uncounted(self) -> Iterator[None]:
        """Leave the statistics as they are, whatever is settled meanwhile."""
        counts = self.arrays.counters[_COUNTS].copy()
        try:
            yield
        finally:
            self.arrays.counters[_COUNTS] = counts

    def make_room(self, texts: int, tokens: int) -> None:
        """Have room for that many more texts and tokens."""
        self.arrays = with_room(self.arrays, texts=texts, tokens=tokens)

    def scratch_for(self, starts: NDArray[np.int64], vocabulary: int) -> Scratch:
        """Scratch for texts that begin there, `int64[n + 1]`, whose tokens lie in `[0, vocabulary)`."""
        longest = int(np.diff(starts).max(initial=0))
        pattern = self._scratch.pattern
        if longest + 1 > len(pattern.masks) or vocabulary > len(pattern.slots):
            longest, vocabulary = (
                max(longest, len(pattern.masks)),
                max(vocabulary + vocabulary // 2, len(pattern.slots)),
            )
            self._scratch = new_scratch(self.banding, longest, vocabulary, self._stop)
        return self._scratch

    def settle(self, batch: NumberedTokens, verdicts: Verdicts, mode: int, hashes: NDArray[np.uint32]) -> None:
        """Settle the texts in order, for which there is room; stops where the flag is raised.

        `hashes: uint32[vocabulary]` has each token's.
        """
        texts = Texts(*batch, verdicts.admitted, verdicts.nearest, verdicts.scores)
        scratch = self.scratch_for(batch.starts, len(hashes))
        settled, count = 0, len(texts.admitted)
        while settled < count and self._stop[0] == 0:
            if mode != QUERY:
                self._make_room_for_one(hashes)
            settled = settle(self.arrays, texts, scratch, self.banding, settled, mode, self.threshold)

    def _make_room_for_one(self, hashes: NDArray[np.uint32]) -> None:
        """See that one more text can join: its slots, its place among the equals, and its buckets."""
        if 2 * self.arrays.counters[NUM_DISTINCT] >= len(self.arrays.equals):
            self.arrays = with_more_equals(self.arrays)
        if 2 * self.arrays.counters[MOST_FILLED] >= self.arrays.table.shape[1]:
            self._refill(with_larger_table(self.arrays), hashes)
        self.arrays = _with_room_for_one(self.arrays)

    def _refill(self, pool: Buckets, hashes: NDArray[np.uint32]) -> None:
        """Fill empty tables: signing a text again takes less than keeping its signature."""
        longest = int(np.diff(pool.starts[: len(self) + 1]).max(initial=0))
        scratch = np.empty(longest, np.uint32), self._scratch.signature, self._scratch.places
        pool, filled = _with_room_for_one(pool), 0
        while (filled := refill(pool, self.banding, hashes, filled, *scratch)) < len(self):
            if self._stop[0] != 0:
                return
            pool = _with_room_for_one(pool)
        self.arrays = pool  # only now: half-filled tables, after running out of memory, would miss duplicates

    def saved_arrays(self) -> dict[str, NDArray[Any]]:
        """All that makes up the pool, without what it has room for and what is scratch."""
        pool, counters = self.arrays, self.arrays.counters
        return {
            "counters": counters,
            "tokens": pool.tokens[: counters[NUM_TOKENS]],
            "starts": pool.starts[: len(self) + 1],
            "heads": pool.heads[: len(self)],
            "bitmaps": pool.bitmaps[: counters[NUM_BITMAP_WORDS]],
            "equals": pool.equals,
            "table": pool.table,
            "filled": pool.filled,
            "arena": pool.arena[: counters[ARENA_USED]],
        }

    def restore(self, arrays: dict[str, NDArray[Any]], hashes: NDArray[np.uint32]) -> None:
        """Become the pool that `arrays` are of, whose tokens have these hashes."""
        given = arrays if "equals" in arrays else _texts_of_older(arrays)
        self.arrays = self.arrays._replace(**given, probed=np.zeros(len(given["starts"]), dtype=np.int64))
        # None of these texts has been looked at yet.
        self.arrays.counters[NUM_PROBES] = self.arrays.counters[_COUNTS] = 0
        if given is not arrays:
            self._note_all_anew(hashes)

    def _note_all_anew(self, hashes: NDArray[np.uint32]) -> None:
        """Make all that follows from the texts' tokens."""
        noted, counts = 0, np.zeros(len(hashes), dtype=np.int32)
        while (noted := note_texts(self.arrays, noted, counts, self._scratch.bitmap)) < len(self):
            self.arrays = with_more_equals(self.arrays)
        # At once the size that differing buckets need; where many texts share them, it is larger than it would be.
        bands, slots = self.arrays.table.shape
        while slots < self.arrays.counters[NUM_DISTINCT]:
            slots *= 2
        self._refill(self.arrays._replace(table=np.zeros((bands, slots), np.int32)), hashes)
        while 2 * self.arrays.counters[MOST_FILLED] >= self.arrays.table.shape[1]:
            self._refill(with_larger_table(self.arrays), hashes)


def _texts_of_older(arrays: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """The texts of a pool from before buckets were bounded: one that had neither a table of equals nor wide bitmaps."""
    num_texts, num_tokens = int(arrays["counters"][NUM_TEXTS]), int(arrays["counters"][NUM_TOKENS])
    counters = np.zeros(NUM_COUNTERS, dtype=np.int64)
    counters[NUM_TEXTS], counters[NUM_TOKENS], counters[ARENA_USED] = num_texts, num_tokens, 1
    return {
        "counters": counters,
        "tokens": arrays["tokens"],
        "starts": arrays["starts"],
        "heads": np.zeros(num_texts, dtype=np.uint64),
        "bitmaps": np.zeros(num_texts + num_tokens // 16, dtype=np.uint64),
    }


def _with_room_for_one(pool: Buckets) -> Buckets:
    missing = int(pool.counters[ARENA_USED]) + arena_for_a_text(len(pool.filled)) - len(pool.arena)
    if missing <= 0:
        return pool
    room = len(pool.arena) + max(missing, len(pool.arena) // 8, _ARENA_STEP)
    if room > MAX_ARENA:
        num_texts = int(pool.counters[NUM_TEXTS])
        raise InputError(f"the index is full with {num_texts:,} texts; make one with fewer num_perm, or a RougeIndex")
    return with_larger_arena(pool, room)
