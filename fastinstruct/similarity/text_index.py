"""What every index of texts answers, whichever way it finds what is near.

Knows nothing of how candidates are found: an index settles a few texts at a time and scores texts with its whole pool;
all that is said in terms of these two is here. Guarantees that texts are checked before any of them is used.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from fastinstruct.similarity.arguments import checked_count, checked_texts
from fastinstruct.similarity.one_at_a_time import ALONE, OneAtATime, one_at_a_time
from fastinstruct.similarity.snapshot import NewSnapshot
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.lcs import LANES
from fastinstruct_kernels.probe import ADD, ADMIT, QUERY
from fastinstruct_kernels.scan import highest

__all__ = ["TextIndex"]

# So many texts are tokenized at a time: what they need besides the pool stays in the processor's cache.
_TEXTS_AT_A_TIME = 4096
# So many scores are held at a time where texts are scored in batches (32 MiB).
_SCORES_AT_A_TIME = 1 << 22
# Up to this k the most similar are found by insertion.
_SMALL_K = 64


class TextIndex(OneAtATime, ABC):
    """A pool of texts, judged by ROUGE-L F-measure; one thread at a time may use it.

    Every method but `len` raises `ConcurrentUse` while another call runs: kernels that change one pool at once would
    corrupt memory. Give each thread an index of its own, or let all call it under one `threading.Lock`.
    """

    @property
    @abstractmethod
    def threshold(self) -> float:
        """The F above which a text is rejected."""

    @property
    @abstractmethod
    def tokenizer(self) -> str:
        """The tokenizer's exact name."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def saved_beside(self, path: str | PathLike[str]) -> NewSnapshot:
        """Write the index under a hidden name beside a file; its `put` replaces the file, its `discard` removes it.

        Raises:
            InputError: it can't be written, or `path` names what is no regular file.
        """

    def save(self, path: str | PathLike[str]) -> None:
        """Write the index to a file, replacing what is there at one stroke: a regular file, or nothing.

        Raises:
            InputError: the file can't be written, or what is there is no regular file; it still is there.
        """
        self.saved_beside(path).put()

    @abstractmethod
    def _settle_part(self, texts: Sequence[str], mode: int) -> Verdicts:
        """Settle texts in order: ADMIT, QUERY or ADD them."""

    @abstractmethod
    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """F of the texts with every pool text: float64[n, len(self)]."""

    def admit(self, texts: Sequence[str]) -> Verdicts:
        """Judge the texts one after another; each admitted one is in the pool for the next.

        Raises:
            InputError: `texts` is a single str, or holds something that is no str; nothing has been admitted then.
        """
        return self._settle(texts, ADMIT)

    def query(self, texts: Sequence[str]) -> Verdicts:
        """Judge each text against the pool as it is, and change nothing.

        Raises:
            InputError: as for `admit`.
        """
        return self._settle(texts, QUERY)

    def add(self, texts: Sequence[str]) -> None:
        """Put the texts into the pool without judging them, near-duplicates and all.

        Raises:
            InputError: as for `admit`.
        """
        self._settle(texts, ADD)

    @one_at_a_time
    def scores(self, text: str) -> NDArray[np.float64]:
        """F of the text with every pool text, exactly, in pool order: float64[len(self)].

        Raises:
            InputError: `text` is no str.
        """
        scores: NDArray[np.float64] = self._scores(checked_texts([text]))[0]
        return scores.copy()

    def most_similar(self, text: str, k: int) -> list[tuple[int, float]]:
        """The `k` pool texts with the highest F, highest first and equals by position: (position, F).

        All texts if there are fewer; those with F = 0 count as any other.

        Raises:
            InputError: `text` is no str, or `k` is negative or no int.
        """
        (ranking,) = self.most_similar_each([text], k)
        return ranking

    @one_at_a_time
    def most_similar_each(self, texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
        """`most_similar` of each text; many at once take a third of the time each.

        Raises:
            InputError: as for `admit`, or `k` is negative or no int.
        """
        k = min(checked_count("k", k, 0), len(self))
        return [_ranking(scores, k) for scores in self._each_scores(texts)]

    def average_similarity(self, text: str) -> float:
        """The mean of `scores(text)`, in NumPy's order of summation; 0.0 while the pool is empty.

        Raises:
            InputError: `text` is no str.
        """
        return float(self.average_similarity_each([text])[0])

    @one_at_a_time
    def average_similarity_each(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """`average_similarity` of each text, float64[n]; many at once take a third of the time each.

        Raises:
            InputError: as for `admit`.
        """
        averages = [np.mean(scores) if len(scores) else 0.0 for scores in self._each_scores(texts)]
        return np.array(averages, dtype=np.float64)

    def _settle(self, texts: Sequence[str], mode: int) -> Verdicts:
        # What `one_at_a_time` does, without the call around it: this is the way of every text.
        callers = self._callers
        try:
            callers.append(None)
            if len(callers) != ALONE:
                raise self._refusal()
            texts = checked_texts(texts)
            if len(texts) <= _TEXTS_AT_A_TIME:
                return self._settle_part(texts, mode)
            firsts = range(0, len(texts), _TEXTS_AT_A_TIME)
            parts = [self._settle_part(texts[first : first + _TEXTS_AT_A_TIME], mode) for first in firsts]
            return Verdicts.joined(parts)
        finally:
            callers.pop()

    def _each_scores(self, texts: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        texts = checked_texts(texts)
        at_a_time = max(LANES, _SCORES_AT_A_TIME // max(len(self), 1) // LANES * LANES)
        for first in range(0, len(texts), at_a_time):
            yield from self._scores(texts[first : first + at_a_time])


def _ranking(scores: NDArray[np.float64], k: int) -> list[tuple[int, float]]:
    if k == 0:
        return []
    if k <= _SMALL_K:
        positions = np.empty(k, dtype=np.int64)
        highest(scores, positions)
    else:
        # A partial sort leaves it open which of equals it keeps, so it only says how high one must be.
        at_least = np.partition(scores, len(scores) - k)[len(scores) - k]
        positions = np.flatnonzero(scores >= at_least)
        positions = positions[np.argsort(-scores[positions], kind="stable")][:k]
    return list(zip(positions.tolist(), scores[positions].tolist(), strict=True))
