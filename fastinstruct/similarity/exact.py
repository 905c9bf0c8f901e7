"""The exact index over token numbers: its arrays, their growth, and the threads that probe them.

Knows nothing of str. Guarantees that verdicts do not depend on the number of threads, on how texts are cut into
batches, or on when the lists are made anew.

A batch is judged in parallel against the pool as it is, part by part; then it is settled in order, in one thread.
"""

from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct.similarity.interruptible import Interruption, Workers, is_quick
from fastinstruct_kernels.handles import Handle, handle_of
from fastinstruct_kernels.judgement import NUM_ALONE, NUM_PAIRS, NUM_SCANNED, Batch, Scratch, new_scratch
from fastinstruct_kernels.pool import (
    NUM_BAG_WORDS,
    NUM_LISTS,
    NUM_LONG,
    NUM_POSTINGS,
    NUM_TEXTS,
    NUM_TOKENS,
    Pool,
    forget_lists,
    new_pool,
    new_ranks,
    with_bag_room,
    with_more_postings,
    with_room,
)
from fastinstruct_kernels.postings import note_texts, refill
from fastinstruct_kernels.probe import ADD, QUERY, probe, settle
from fastinstruct_kernels.scan import new_lanes, score_texts
from fastinstruct_kernels.signatures import BLOCK

# Token ranks are guesses until the pool has this many texts; then they are taken anew whenever it has doubled. Without
# any rebuild, a probe of a pool of 190,000 texts takes 20% longer, and the more the later texts differ from the first.
_FIRST_REBUILD = 1024
# Texts settled at a time. Each is compared with half of the others, at 0.4 ns; but the more there are, the more of them
# share what was read from memory, and that pays the more, the larger the pool.
_LEAST_AT_A_TIME, _MOST_AT_A_TIME = 256, 4096
# Tokens and texts between two moments at which a signal is heard, while the lists are made anew: some 0.2 s.
_REFILLED_TOKENS, _REFILLED_TEXTS = 1 << 21, 1 << 18
# What a text costs that joins unjudged, in steps of `is_quick`: 64 times that is a token's.
_STEPS_OF_ADDING = 1 << 11
# Smaller parts aren't worth a thread.
_SMALLEST_PART = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexStatistics:
    """How an index came to its verdicts since it was made or loaded.

    Attributes:
        num_compared: pairs of texts compared in full, each pair once for a text that is judged.
        num_judged_alone: texts for which more than a few were found in the lists, or would be, so that they were judged
            apart from their batch; `num_scans` of them by a scan of the pool, as the lists promised more work.
        num_scans: see there.
    """

    num_compared: int
    num_judged_alone: int
    num_scans: int


class _Thread(NamedTuple):
    """What one thread needs while it judges."""

    arrays: Scratch
    handle: Handle


class _Part(NamedTuple):
    """Some texts that are judged together."""

    arrays: Batch
    handle: Handle


class ExactPool:
    """Texts as token numbers, and who of new ones is too near to one of them.

    `interruption` ends a call from another thread; a signal's handler that raises ends it, too. The pool is whole then,
    with some of the call's texts in it.
    """

    def __init__(self, threshold: float, threads: int = 1, interruption: Interruption | None = None) -> None:
        self.threshold = threshold
        self._pool = new_pool(threshold)
        self.handle = handle_of(self._pool)
        self.rebuild_at = _FIRST_REBUILD
        self._num_threads = threads
        self._workers = Workers(threads, interruption)
        self._stop = self._workers.interruption.flag
        self._rooms = {"longest": 1024, "vocabulary": 1024, "num_tokens": 1024, "num_texts": 256, "pool_texts": 1024}
        self._scratch = [self._new_scratch() for _ in range(threads)]
        self._counted = np.zeros_like(self._scratch[0].arrays.counters)  # by scratch that has been replaced

    def __len__(self) -> int:
        return int(self._pool.counters[NUM_TEXTS])

    @property
    def pool(self) -> Pool:
        """The pool's arrays; whoever grows them puts the new pool in place of the old, since they may have moved."""
        return self._pool

    @pool.setter
    def pool(self, pool: Pool) -> None:
        if pool is not self._pool:
            self._pool, self.handle = pool, handle_of(pool)

    @property
    def scratch_handle(self) -> Handle:
        """Of the scratch of the thread that calls."""
        return self._scratch[0].handle

    def _new_scratch(self) -> _Thread:
        arrays = new_scratch(**self._rooms, stop=self._stop)
        return _Thread(arrays, handle_of(arrays))

    def judge(
        self, tokens: NDArray[np.int32], starts: NDArray[np.int64], vocabulary: int, mode: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
        """Judge texts in order: admitted bool[n], nearest int64[n], scores float64[n]; see probe.Batch."""
        count, at_a_time = len(starts) - 1, self._at_a_time()
        admitted, nearest, scores = np.empty(count, np.bool_), np.empty(count, np.int64), np.empty(count, np.float64)
        self._make_scratch(vocabulary, starts)
        for first in range(0, count, at_a_time):
            part = slice(first, min(first + at_a_time, count))
            begin, end = int(starts[part.start]), int(starts[part.stop])
            batch = Batch(
                tokens=tokens[begin:end],
                starts=starts[part.start : part.stop + 1] - begin,
                keys=np.empty(end - begin, np.int64),
                signatures=np.empty(end - begin, np.uint64),
                fresh=np.zeros(part.stop - part.start + BLOCK, np.uint64),
                admitted=admitted[part],
                nearest=nearest[part],
                scores=scores[part],
            )
            self._judge_batch(_Part(batch, handle_of(batch)), vocabulary, mode)
        return admitted, nearest, scores

    def _at_a_time(self) -> int:
        return min(max(len(self) // 64, _LEAST_AT_A_TIME), _MOST_AT_A_TIME)

    def _judge_batch(self, batch: _Part, vocabulary: int, mode: int) -> None:
        joining, count, num_tokens = mode != QUERY, len(batch.arrays.admitted), len(batch.arrays.tokens)
        self.pool = with_room(self.pool, texts=count * joining, tokens=num_tokens * joining, vocabulary=vocabulary)
        if len(self) >= self.rebuild_at:
            self.rebuild(vocabulary)
        parts = self._parts(count)
        compared = self._num_tokens() + num_tokens * joining if mode != ADD else _STEPS_OF_ADDING
        quick = is_quick(count, num_tokens, compared)
        if quick and len(parts) == 1:  # as nearly always, and without a detour
            self._judge_in_one(batch, mode)
            self._workers.interruption.check()
            return
        about = partial(self._about, batch.arrays.starts, "comparing" if mode != ADD else "indexing")
        if len(parts) == 1:
            self._workers.do([partial(self._judge_in_one, batch, mode)], about, is_quick=quick)
            return
        probes = [partial(self._probe, batch, mode, *each) for each in zip(self._scratch, parts, strict=False)]
        self._workers.do(probes, about, is_quick=quick)
        self._workers.do([partial(self._settle, batch, mode)], about, is_quick=quick)

    def _judge_in_one(self, batch: _Part, mode: int) -> None:
        self._probe(batch, mode, self._scratch[0], (0, len(batch.arrays.admitted)))
        self._settle(batch, mode)

    def _probe(self, batch: _Part, mode: int, thread: _Thread, part: tuple[int, int]) -> None:
        probe(self.handle, batch.handle, thread.handle, *part, mode, self.threshold)

    def _settle(self, batch: _Part, mode: int) -> None:
        """Let the texts of a probed batch join, unless they were queried; stops where the flag is raised."""
        known, settled, count = len(self), 0, 0 if mode == QUERY else len(batch.arrays.admitted)
        if self._stop[0] != 0:
            return  # what was not probed must not join
        while settled < count:
            settled = settle(self.handle, batch.handle, self.scratch_handle, settled, known, mode, self.threshold)
            if settled < count:
                if self._stop[0] != 0:
                    return
                self.pool = with_more_postings(self.pool)

    def statistics(self) -> IndexStatistics:
        """What was done since this object is there."""
        counts = self._counted + self._counts()
        return IndexStatistics(
            num_compared=int(counts[NUM_PAIRS]),
            num_judged_alone=int(counts[NUM_ALONE]),
            num_scans=int(counts[NUM_SCANNED]),
        )

    def _counts(self) -> NDArray[np.int64]:
        counts: NDArray[np.int64] = np.sum([thread.arrays.counters for thread in self._scratch], axis=0)
        return counts

    def _num_tokens(self) -> int:
        return int(self.pool.counters[NUM_TOKENS])

    def _about(self, starts: NDArray[np.int64], what: str = "comparing") -> str:
        longest = int(np.diff(starts).max(initial=0))
        compared = f" with each other and {len(self):,} of {self._num_tokens():,} words together"
        return f"{what} texts of up to {longest:,} words{compared if what == 'comparing' else ''}"

    def _parts(self, count: int) -> list[tuple[int, int]]:
        number = max(1, min(self._num_threads, count // _SMALLEST_PART))
        bounds = [count * part // number for part in range(number + 1)]
        return list(pairwise(bounds))

    def rebuild(self, vocabulary: int) -> None:
        """Rank the tokens by how rare they are in the pool, and make the lists anew."""
        ranks = new_ranks(self.pool, vocabulary)
        keys, signatures = self._scratch_for_signing()
        self.rebuild_at = 0  # Half-filled lists would miss duplicates silently: if memory runs out, begin again.
        self.pool = forget_lists(self.pool, ranks)
        filled = 0
        while filled < len(self):
            last = self._few_from(filled)
            filled = refill(self.pool, filled, last, self.threshold, keys, signatures)
            if filled < last:
                self.pool = with_more_postings(self.pool)
        self.rebuild_at = 2 * len(self)

    def _scratch_for_signing(self) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
        longest = int(np.diff(self.pool.starts[: len(self) + 1]).max(initial=0))
        return np.empty(longest, dtype=np.int64), np.empty(longest, dtype=np.uint64)

    def _few_from(self, first: int) -> int:
        """Where the texts end, from `first` on, that a kernel is done with in a fraction of a second."""
        starts = self.pool.starts[: len(self) + 1]
        few = int(np.searchsorted(starts, starts[first] + _REFILLED_TOKENS, side="right")) - 1
        return min(max(few, first + 1), first + _REFILLED_TEXTS, len(self))

    def scores(self, tokens: NDArray[np.int32], starts: NDArray[np.int64], vocabulary: int) -> NDArray[np.float64]:
        """F of the texts with every pool text: float64[n, len(self)]."""
        scores = np.empty((len(starts) - 1, len(self)), dtype=np.float64)
        self.pool = with_room(self.pool, texts=0, tokens=0, vocabulary=vocabulary)
        self._make_scratch(vocabulary, starts)
        number = self._num_threads if len(self) >= 1 << 10 else 1
        bounds = [len(self) * part // number for part in range(number + 1)]

        def score_part(thread: _Thread, part: tuple[int, int]) -> None:
            pattern = thread.arrays.pattern
            lanes = new_lanes(len(pattern.slots))
            score_texts(self.pool, tokens, starts, lanes, pattern, *part, scores)

        parts = [partial(score_part, *each) for each in zip(self._scratch, pairwise(bounds), strict=False)]
        quick = is_quick(len(starts) - 1, len(tokens), self._num_tokens())
        self._workers.do(parts, partial(self._about, starts), is_quick=quick)
        return scores

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
            "lengths": pool.lengths,
            "long_marks": pool.long_marks[: len(self) // 64 + 1],
            "longs": pool.longs[: counters[NUM_LONG]],
            "bags": pool.bags[: counters[NUM_BAG_WORDS]],
        }

    def restore(self, arrays: dict[str, NDArray[Any]], rebuild_at: int) -> None:
        """Become the pool that `arrays` are of; its threshold must be this one's."""
        kinds_of_room = self.pool.free
        self.pool = self.pool._replace(**arrays)
        if len(arrays["free"]) < len(kinds_of_room):  # before version 4: what is in use fits, what is idle has no name
            self.pool = self.pool._replace(free=kinds_of_room)
        if "bags" not in arrays:  # version 2 had none
            self.pool = with_bag_room(self.pool)
            note_texts(self.pool, *self._scratch_for_signing())
        self.rebuild_at = rebuild_at

    def _make_scratch(self, vocabulary: int, starts: NDArray[np.int64]) -> None:
        """Scratch for each thread, with room for every token of the pool and for every batch of the texts."""
        num_texts, num_tokens = min(len(starts) - 1, _MOST_AT_A_TIME), int(starts[-1])
        rooms = self._rooms
        if (
            num_tokens <= rooms["longest"]
            and vocabulary <= rooms["vocabulary"]
            and num_texts <= rooms["num_texts"]
            and len(self) + len(starts) <= rooms["pool_texts"]
        ):
            return  # no text is longer than all of them: the most frequent case, of a few texts, without a look at each
        asked = {
            "longest": int(np.diff(starts).max(initial=0)),
            "vocabulary": vocabulary,
            "num_tokens": num_tokens,
            "num_texts": num_texts,
            "pool_texts": len(self) + len(starts),
        }
        if any(asked[name] > room for name, room in rooms.items()):
            for growing in ("vocabulary", "pool_texts"):
                asked[growing] += asked[growing] // 2
            self._rooms = {name: max(asked[name], room) for name, room in rooms.items()}
            self._counted += self._counts()
            self._scratch = [self._new_scratch() for _ in range(self._num_threads)]
