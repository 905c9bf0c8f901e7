"""A pool of texts that knows its near-duplicates.

Knows nothing of where texts come from. Guarantees exact decisions: a text is rejected if, and only if, the ROUGE-L
F-measure between it and some pool text exceeds the threshold; with tokenizer `rouge`, both are bit for bit those of
rouge_score 0.1.2.

An index belongs to one thread at a time. Its kernels release the interpreter lock, so other threads run on meanwhile.
"""

import logging
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.tokenizers import Vocabulary, tokenizer_named
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.pool import NUM_TEXTS, UNKNOWN, new_pool, with_more_postings, with_new_ranks, with_room
from fastinstruct_kernels.postings import refill
from fastinstruct_kernels.probe import ADD, ADMIT, QUERY, Batch, score_all, settle
from fastinstruct_kernels.rouge import min_rejecting_table

_LOG = logging.getLogger("fastinstruct")

# Pairs of lengths up to this have their smallest rejecting LCS in a table (256 KiB); it is computed for longer ones.
_TABLE_LENGTH = 255
# Token ranks are guesses until the pool has this many texts; then they are taken anew whenever it has doubled. Without
# any rebuild, a probe of a pool of 190,000 texts takes 20% longer, and the more the later texts differ from the first.
_FIRST_REBUILD = 1024


class RougeIndex:
    """A pool of texts, judged by ROUGE-L F-measure.

    Args:
        threshold: a text is rejected if its F with any pool text is strictly above this; 0 to 1. At 1 nothing is
            rejected, at 0 whatever has a token in common with the pool.
        tokenizer: `unicode` (every script) or `rouge` (a-z and 0-9, as the reference); see `tokenize`.

    A text without tokens scores 0 with everything: it is always admitted and never a neighbour. Texts may have any
    length. The words of every text given to `admit` or `add` are remembered, those of rejected texts too.

    Raises:
        InputError: the threshold is not a number from 0 to 1, or there is no such tokenizer.
    """

    def __init__(self, threshold: float = 0.7, tokenizer: str = "unicode") -> None:
        self._threshold = _checked_threshold(threshold)
        self._tokenizer = tokenizer
        self._tokenize = tokenizer_named(tokenizer)
        self._warns = tokenizer == "rouge"
        self._vocabulary = Vocabulary()
        self._pool = new_pool(min_rejecting_table(_TABLE_LENGTH, self._threshold))
        self._rebuild_at = _FIRST_REBUILD

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""
        return self._threshold

    @property
    def tokenizer(self) -> str:
        """The tokenizer's name."""
        return self._tokenizer

    def __len__(self) -> int:
        return int(self._pool.counters[NUM_TEXTS])

    def __repr__(self) -> str:
        return f"<RougeIndex: {len(self)} texts, threshold {self._threshold}, tokenizer {self._tokenizer}>"

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
        batch = self._batch([text], QUERY)
        scores = np.empty(len(self), dtype=np.float64)
        score_all(self._pool, batch.tokens, scores)
        return scores

    def most_similar(self, text: str, k: int) -> list[tuple[int, float]]:
        """The `k` pool texts with the highest F, highest first and equals by position: (position, F).

        All texts if there are fewer; those with F = 0 count as any other.

        Raises:
            InputError: `text` is no str, or `k` is negative or no int.
        """
        scores = self.scores(text)
        k = min(_checked_count(k), len(scores))
        if k == 0:
            return []
        # A partial sort leaves it open which of equals it keeps, so it only says how high one must be.
        at_least = np.partition(scores, len(scores) - k)[len(scores) - k]
        positions = np.flatnonzero(scores >= at_least)
        positions = positions[np.argsort(-scores[positions], kind="stable")][:k]
        return [(int(position), float(scores[position])) for position in positions]

    def average_similarity(self, text: str) -> float:
        """The mean of `scores(text)`, in NumPy's order of summation; 0.0 while the pool is empty.

        Raises:
            InputError: `text` is no str.
        """
        scores = self.scores(text)
        return float(np.mean(scores)) if len(scores) else 0.0

    def _settle(self, texts: Sequence[str], mode: int) -> Verdicts:
        batch = self._batch(texts, mode)
        settled = 0
        while True:
            settled = settle(self._pool, batch, settled, mode, self._threshold, self._rebuild_at)
            if settled == len(batch.admitted):
                return Verdicts(batch.admitted, batch.nearest, batch.scores)
            if len(self) >= self._rebuild_at:
                self._rebuild()
            else:
                self._pool = with_more_postings(self._pool)

    def _rebuild(self) -> None:
        """Rank the tokens by how rare they are in the pool, and make the lists anew."""
        pool = with_new_ranks(self._pool, len(self._vocabulary) + 1)
        filled = 0
        while (filled := refill(pool, filled, self._threshold)) < len(self):
            pool = with_more_postings(pool)
        self._pool = pool  # Only now: half-filled lists, after running out of memory, would miss duplicates silently.
        self._rebuild_at = 2 * len(self)

    def _batch(self, texts: Sequence[str], mode: int) -> Batch:
        """The texts as token numbers, and room for them in the pool; a query leaves no trace in the vocabulary."""
        checked = _checked_texts(texts)
        numbers: list[int] = []
        starts = [0]
        number = self._known_number if mode == QUERY else self._vocabulary.__getitem__
        for text in checked:
            numbers.extend(map(number, self._tokens(text)))
            starts.append(len(numbers))
        self._pool = with_room(
            self._pool,
            texts=0 if mode == QUERY else len(checked),
            tokens=0 if mode == QUERY else len(numbers),
            vocabulary=len(self._vocabulary) + 1,
        )
        return Batch(
            tokens=np.array(numbers, dtype=np.int32),
            starts=np.array(starts, dtype=np.int64),
            admitted=np.empty(len(checked), dtype=np.bool_),
            nearest=np.empty(len(checked), dtype=np.int64),
            scores=np.empty(len(checked), dtype=np.float64),
        )

    def _known_number(self, token: str) -> int:
        return self._vocabulary.get(token, UNKNOWN)

    def _tokens(self, text: str) -> list[str]:
        tokens = self._tokenize(text)
        if self._warns and not tokens and any(map(str.isalpha, text)):
            self._warns = False
            _LOG.warning(
                "tokenizer 'rouge' finds no token in a text of other letters than a to z: such texts score 0 and are "
                "never rejected; tokenizer 'unicode' covers every script"
            )
        return tokens


def warm_up() -> None:
    """Compile every kernel, or load them from Numba's cache, so that no text has to wait for it."""
    index = RougeIndex()
    index.add(["compile every kernel"] * (_FIRST_REBUILD + 1))
    index.scores("now")


def _checked_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise InputError("texts must be a sequence of str; got one str")
    checked = list(texts)
    for text in checked:
        if not isinstance(text, str):
            raise InputError(f"every text must be a str; got {type(text).__name__}")
    return checked


def _checked_count(k: object) -> int:
    if not isinstance(k, int | np.integer) or k < 0:
        raise InputError(f"k must be an int of at least 0; got {k!r}")
    return int(k)


def _checked_threshold(threshold: object) -> float:
    if isinstance(threshold, int | float | np.floating) and not isinstance(threshold, bool) and 0 <= threshold <= 1:
        return float(threshold)
    raise InputError(f"threshold must be a number from 0 to 1; got {threshold!r}")
