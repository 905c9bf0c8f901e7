"""The exact index over token numbers: its arrays, their growth, and the threads that probe them.

Knows nothing of str. Guarantees that verdicts do not depend on the number of threads, on how texts are cut into
batches, or on when the lists are made anew.

A batch is judged in parallel against the pool as it is, part by part; then it is settled in order, in one thread.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels.pool import (
    BLOCK,
    NUM_LISTS,
    NUM_POSTINGS,
    NUM_TEXTS,
    NUM_TOKENS,
    Pool,
    forget_lists,
    new_pool,
    new_ranks,
    with_more_postings,
    with_room,
)
from fastinstruct_kernels.postings import refill
from fastinstruct_kernels.probe import QUERY, Batch, Scratch, new_scratch, probe, settle
from fastinstruct_kernels.scan import new_lanes, score_texts

# Token ranks are guesses until the pool has this many texts; then they are taken anew whenever it has doubled. Without
# any rebuild, a probe of a pool of 190,000 texts takes 20% longer, and the more the later texts differ from the first.
_FIRST_REBUILD = 1024
# Texts settled at a time: each is compared with half of the others, at 0.15 ns, and a thread needs some work to start.
_AT_A_TIME = 256
_AT_A_TIME_THREADED = 1024
# Smaller parts aren't worth a thread.
_SMALLEST_PART = 16


class ExactPool:
    """Texts as token numbers, and who of new ones is too near to one of them."""

    def __init__(self, threshold: float, threads: int = 1) -> None:
        self.threshold = threshold
        self.pool = new_pool(threshold)
        self.rebuild_at = _FIRST_REBUILD
        self._threads = ThreadPoolExecutor(threads, "fastinstruct-probe") if threads > 1 else None
        self._num_threads = threads
        self._scratch: list[Scratch] = []

    def __len__(self) -> int:
        return int(self.pool.counters[NUM_TEXTS])

    def judge(
        self, tokens: NDArray[np.int32], starts: NDArray[np.int64], vocabulary: int, mode: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
        """Judge texts in order: admitted bool[n], nearest int64[n], scores float64[n]; see probe.Batch."""
        count = len(starts) - 1
        admitted, nearest, scores = np.empty(count, np.bool_), np.empty(count, np.int64), np.empty(count, np.float64)
        at_a_time = _AT_A_TIME if self._threads is None else _AT_A_TIME_THREADED
        self._make_scratch(vocabulary, int(np.diff(starts).max(initial=0)))
        for first in range(0, count, at_a_time):
            part = slice(first, min(first + at_a_time, count))
            begin, end = int(starts[part.start]), int(starts[part.stop])
            size = part.stop - part.start
            batch = Batch(
                tokens=tokens[begin:end],
                starts=starts[part.start : part.stop + 1] - begin,
                keys=np.empty(end - begin, dtype=np.int64),
                bits=np.empty(size, dtype=np.uint64),
                fresh=np.zeros(size + BLOCK, dtype=np.uint64),
                admitted=admitted[part],
                nearest=nearest[part],
                scores=scores[part],
            )
            self._judge_batch(batch, vocabulary, mode)
        return admitted, nearest, scores

    def _judge_batch(self, batch: Batch, vocabulary: int, mode: int) -> None:
        joining = mode != QUERY
        count = len(batch.admitted)
        self.pool = with_room(
            self.pool, texts=count * joining, tokens=len(batch.tokens) * joining, vocabulary=vocabulary
        )
        if len(self) >= self.rebuild_at:
            self.rebuild(vocabulary)
        parts = self._parts(count)
        probe_part = partial(_probe_part, self.pool, batch, mode, self.threshold)
        self._share_out(probe_part, parts)
        if not joining:
            return
        known, settled = len(self), 0
        while (settled := settle(self.pool, batch, self._scratch[0], settled, known, mode, self.threshold)) < count:
            self.pool = with_more_postings(self.pool)

    def _parts(self, count: int) -> list[tuple[int, int]]:
        number = max(1, min(self._num_threads, count // _SMALLEST_PART))
        bounds = [count * part // number for part in range(number + 1)]
        return list(pairwise(bounds))

    def rebuild(self, vocabulary: int) -> None:
        """Rank the tokens by how rare they are in the pool, and make the lists anew."""
        ranks = new_ranks(self.pool, vocabulary)
        longest = int(np.diff(self.pool.starts[: len(self) + 1]).max(initial=0))
        keys = np.empty(longest, dtype=np.int64)
        self.rebuild_at = 0  # Half-filled lists would miss duplicates silently: if memory runs out, begin again.
        self.pool = forget_lists(self.pool, ranks)
        filled = 0
        while (filled := refill(self.pool, filled, self.threshold, keys)) < len(self):
            self.pool = with_more_postings(self.pool)
        self.rebuild_at = 2 * len(self)

    def scores(self, tokens: NDArray[np.int32], starts: NDArray[np.int64], vocabulary: int) -> NDArray[np.float64]:
        """F of the texts with every pool text: float64[n, len(self)]."""
        scores = np.empty((len(starts) - 1, len(self)), dtype=np.float64)
        self.pool = with_room(self.pool, texts=0, tokens=0, vocabulary=vocabulary)
        self._make_scratch(vocabulary, int(np.diff(starts).max(initial=0)))
        number = self._num_threads if len(self) >= 1 << 10 else 1
        bounds = [len(self) * part // number for part in range(number + 1)]

        def score_part(scratch: Scratch, part: tuple[int, int]) -> None:
            lanes = new_lanes(len(scratch.pattern.slots))
            score_texts(self.pool, tokens, starts, lanes, scratch.pattern, *part, scores)

        self._share_out(score_part, list(pairwise(bounds)))
        return scores

    def _share_out(self, work: Callable[[Scratch, tuple[int, int]], None], parts: list[tuple[int, int]]) -> None:
        """Do the parts in a thread each; all threads have finished when this returns or raises."""
        if self._threads is None or len(parts) == 1:
            for part in parts:
                work(self._scratch[0], part)
            return
        futures = [self._threads.submit(work, *each) for each in zip(self._scratch, parts, strict=False)]
        try:
            for future in futures:
                future.result()
        finally:  # After Ctrl-C too: threads left behind would read arrays that move.
            wait(futures)

    def arrays(self) -> dict[str, NDArray[np.generic]]:
        """All that makes up the pool, without what it has room for."""
        pool, counters = self.pool, self.pool.counters
        return {
            "counters": counters,
            "tokens": pool.tokens[: counters[NUM_TOKENS]],
            "starts": pool.starts[: len(self) + 1],
            "ranks": pool.ranks,
            "whole": pool.whole,
            "split": pool.split,
            "lists": pool.lists[: counters[NUM_LISTS]],
            "posting_texts": pool.posting_texts[: counters[NUM_POSTINGS]],
            "posting_bits": pool.posting_bits[: counters[NUM_POSTINGS] + BLOCK],
            "free": pool.free,
        }

    def restore(self, arrays: dict[str, NDArray[Any]], rebuild_at: int) -> None:
        """Become the pool that `arrays` are of; its threshold must be this one's."""
        self.pool = self.pool._replace(**arrays)
        self.rebuild_at = rebuild_at

    def _make_scratch(self, vocabulary: int, longest: int) -> None:
        """Scratch for each thread, with room for every token of the pool and the batch, and for the longest text."""
        if self._scratch:
            pattern = self._scratch[0].pattern
            if vocabulary <= len(pattern.slots) and longest < len(pattern.masks):
                return
            vocabulary = max(vocabulary + vocabulary // 2, len(pattern.slots))
            longest = max(longest, len(pattern.masks) - 1)
        self._scratch = [new_scratch(max(longest, 256), vocabulary) for _ in range(self._num_threads)]


def _probe_part(pool: Pool, batch: Batch, mode: int, threshold: float, scratch: Scratch, part: tuple[int, int]) -> None:
    probe(pool, batch, scratch, *part, mode, threshold)
