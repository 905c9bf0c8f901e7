"""A pool of texts that knows its near-duplicates.

Knows nothing of where texts come from. Guarantees exact decisions: a text is rejected if, and only if, the ROUGE-L
F-measure between it and some pool text exceeds the threshold; with tokenizer `rouge`, both are bit for bit those of
rouge_score 0.1.2.

An index belongs to one thread at a time. Its kernels release the interpreter lock, so other threads run on meanwhile.
Of its own threads, the verdicts know nothing.
"""

from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.arguments import checked_texts, checked_threshold
from fastinstruct.similarity.exact import ExactPool
from fastinstruct.similarity.lexicon import Lexicon
from fastinstruct.similarity.snapshot import read_snapshot, write_snapshot
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.checksum import checksum
from fastinstruct_kernels.probe import ADD, ADMIT, QUERY
from fastinstruct_kernels.scan import LANES, highest
from fastinstruct_kernels.words import Words

# So many texts are tokenized at a time: what they need besides the pool stays in the processor's cache.
_TEXTS_AT_A_TIME = 4096
# So many scores are held at a time where texts are scored in batches (32 MiB).
_SCORES_AT_A_TIME = 1 << 22
# Up to this k the most similar are found by insertion.
_SMALL_K = 64
_REBUILT = 1024


class RougeIndex:
    """A pool of texts, judged by ROUGE-L F-measure.

    Args:
        threshold: a text is rejected if its F with any pool text is strictly above this; 0 to 1. At 1 nothing is
            rejected, at 0 whatever has a token in common with the pool.
        tokenizer: `unicode` (every script) or `rouge` (a-z and 0-9, as the reference); see `tokenize`.
        threads: how many may judge and score at once; verdicts and scores are the same with any number.

    A text without tokens scores 0 with everything: it is always admitted and never a neighbour. Texts may have any
    length. The words of every text given to `admit` or `add` are remembered, those of rejected texts too.

    Raises:
        InputError: the threshold is not a number from 0 to 1, or there is no such tokenizer.
    """

    def __init__(self, threshold: float = 0.7, tokenizer: str = "unicode", *, threads: int = 1) -> None:
        self._lexicon = Lexicon(tokenizer)
        self._exact = ExactPool(checked_threshold(threshold), _checked_threads(threads))

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""
        return self._exact.threshold

    @property
    def tokenizer(self) -> str:
        """The tokenizer's name."""
        return self._lexicon.tokenizer

    def __len__(self) -> int:
        return len(self._exact)

    def __repr__(self) -> str:
        return f"<RougeIndex: {len(self)} texts, threshold {self.threshold}, tokenizer {self.tokenizer}>"

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

    def scores(self, text: str) -> NDArray[np.float64]:
        """F of the text with every pool text, in pool order: float64[len(self)].

        Raises:
            InputError: `text` is no str.
        """
        scores: NDArray[np.float64] = self._scores([text])[0]
        return scores.copy()

    def most_similar(self, text: str, k: int) -> list[tuple[int, float]]:
        """The `k` pool texts with the highest F, highest first and equals by position: (position, F).

        All texts if there are fewer; those with F = 0 count as any other.

        Raises:
            InputError: `text` is no str, or `k` is negative or no int.
        """
        (ranking,) = self.most_similar_each([text], k)
        return ranking

    def most_similar_each(self, texts: Sequence[str], k: int) -> list[list[tuple[int, float]]]:
        """`most_similar` of each text; many at once take a third of the time each.

        Raises:
            InputError: as for `admit`, or `k` is negative or no int.
        """
        k = min(_checked_count(k), len(self))
        return [_ranking(scores, k) for scores in self._each_scores(texts)]

    def average_similarity(self, text: str) -> float:
        """The mean of `scores(text)`, in NumPy's order of summation; 0.0 while the pool is empty.

        Raises:
            InputError: `text` is no str.
        """
        return float(self.average_similarity_each([text])[0])

    def average_similarity_each(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """`average_similarity` of each text, float64[n]; many at once take a third of the time each.

        Raises:
            InputError: as for `admit`.
        """
        averages = [np.mean(scores) if len(scores) else 0.0 for scores in self._each_scores(texts)]
        return np.array(averages, dtype=np.float64)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the index to a file, replacing what is there at one stroke.

        Raises:
            InputError: the file can't be written; what was there still is.
        """
        settings = {
            "tokenizer": self.tokenizer,
            "threshold": self.threshold.hex(),
            "rebuild_at": self._exact.rebuild_at,
        }
        arrays = {f"words.{name}": array for name, array in self._lexicon.arrays().items()}
        arrays |= {f"pool.{name}": array for name, array in self._exact.arrays().items()}
        write_snapshot(Path(path), settings, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str], *, threads: int = 1) -> "RougeIndex":
        """The index that `save` wrote, mapped into memory; the file stays as it is, whatever is admitted.

        Raises:
            InputError: there is no such file, or it is no index, of another version, or damaged.
        """
        settings, arrays = read_snapshot(Path(path))
        index = cls(float.fromhex(settings["threshold"]), settings["tokenizer"], threads=threads)
        parts = {
            part: {name[len(part) :]: array for name, array in arrays.items() if name.startswith(part)}
            for part in ("words.", "pool.")
        }
        index._lexicon.words = Words(**parts["words."])
        index._exact.restore(parts["pool."], settings["rebuild_at"])
        return index

    def _each_scores(self, texts: Sequence[str]) -> Iterator[NDArray[np.float64]]:
        texts = checked_texts(texts)
        at_a_time = max(LANES, _SCORES_AT_A_TIME // max(len(self), 1) // LANES * LANES)
        for first in range(0, len(texts), at_a_time):
            yield from self._scores(texts[first : first + at_a_time])

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        tokens, starts = self._lexicon.number(checked_texts(texts), adding=False)
        return self._exact.scores(tokens, starts, len(self._lexicon) + 1)

    def _settle(self, texts: Sequence[str], mode: int) -> Verdicts:
        texts = checked_texts(texts)
        parts = [
            self._settle_part(texts[first : first + _TEXTS_AT_A_TIME], mode)
            for first in range(0, len(texts), _TEXTS_AT_A_TIME)
        ]
        if len(parts) == 1:
            return Verdicts(*parts[0])
        return Verdicts(
            np.concatenate([np.empty(0, np.bool_), *(part[0] for part in parts)]),
            np.concatenate([np.empty(0, np.int64), *(part[1] for part in parts)]),
            np.concatenate([np.empty(0, np.float64), *(part[2] for part in parts)]),
        )

    def _settle_part(
        self, texts: Sequence[str], mode: int
    ) -> tuple[NDArray[np.bool_], NDArray[np.int64], NDArray[np.float64]]:
        tokens, starts = self._lexicon.number(texts, adding=mode != QUERY)
        return self._exact.judge(tokens, starts, len(self._lexicon) + 1, mode)


def warm_up() -> None:
    """Compile every kernel, or load them from Numba's cache, so that no text has to wait for it."""
    index = RougeIndex()
    index.add(["compile every kernel"] * (_REBUILT + 1))
    index.admit(["now"])
    index.most_similar("now", 1)
    checksum(np.zeros(1, dtype=np.uint64))


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


def _checked_threads(threads: object) -> int:
    if isinstance(threads, int) and not isinstance(threads, bool) and threads >= 1:
        return threads
    raise InputError(f"threads must be an int of at least 1; got {threads!r}")


def _checked_count(k: object) -> int:
    if not isinstance(k, int | np.integer) or k < 0:
        raise InputError(f"k must be an int of at least 0; got {k!r}")
    return int(k)
