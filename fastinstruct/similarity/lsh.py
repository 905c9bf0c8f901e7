"""A pool of texts that finds most near-duplicates without looking at most of the pool.

Knows nothing of where texts come from. Guarantees that every rejection is right: candidates come from MinHash LSH, and
each is compared by exact ROUGE-L. What it misses, it misses with a known probability, and it can measure its own
recall. `RougeIndex` misses nothing and is the faster one for instructions; this one is for long texts, for signatures
that travel between machines, and for comparing with other tools.

The mathematics. Two texts of m and n tokens with F > t have L > t(m+n)/2 tokens in common. If no token is repeated,
their token sets have at least L common elements of at most m+n-L, so

    Jaccard >= L / (m+n-L) > (t/2) / (1 - t/2) = t / (2-t)          0.538 at t = 0.7

(repeated tokens can take it lower or higher: "so so so so so so a b c" and "so so so so so so x y z" share one token of
seven, so what is promised is promised for texts that seldom repeat a word). Two signatures agree in one place with
probability J, in all r rows of a band with J^r, and in at least one of b bands with

    1 - (1 - J^r)^b

More rows mean fewer candidates that are no duplicates, and more bands for the same recall. So the most rows are taken
with which the target recall, at the lowest J, still fits into `num_perm` places: 41 bands of 3 rows at the defaults.
A pair that shares more is found more surely: at J = 0.7, all but one of 30 million.

An index belongs to one thread at a time. Its kernels release the interpreter lock, so other threads run on meanwhile.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.arguments import checked_count, checked_number, checked_texts, checked_threshold
from fastinstruct.similarity.recall import Recall, edited, recall_of
from fastinstruct.similarity.signatures import HashedVocabulary, NumberedTokens, to_datasketch
from fastinstruct.similarity.tokenizers import WatchedTokenizer
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.lsh import (
    ADD,
    ADMIT,
    MAX_ARENA,
    NUM_TEXTS,
    NUM_TOKENS,
    QUERY,
    Banding,
    Buckets,
    Texts,
    new_buckets,
    refill,
    score_all,
    settle,
    with_larger_arena,
    with_larger_table,
    with_room,
)
from fastinstruct_kernels.minhash import MAX_SEED, permutations_from, sign_all

if TYPE_CHECKING:
    from datasketch import MinHash

__all__ = ["LSHIndex", "bands_and_rows", "least_jaccard"]

_MAX_PERM = 4096
_HOPELESS = 1e-18  # two bands that agree this seldom never do, and smaller numbers overflow in what follows


def least_jaccard(threshold: float) -> float:
    """The Jaccard similarity that two texts without repeated tokens exceed when their F exceeds the threshold."""
    return threshold / (2.0 - threshold)


def bands_and_rows(threshold: float, target_recall: float, num_perm: int) -> tuple[int, int]:
    """How to cut a signature: the most rows with which the target recall fits, and as few bands as reach it.

    Raises:
        InputError: even single rows don't reach it; the message says how many permutations would.
    """
    jaccard = least_jaccard(threshold)
    for rows in range(num_perm, 0, -1):
        agreement = jaccard**rows
        if agreement < _HOPELESS:
            continue
        bands = 1 if agreement >= 1.0 else math.ceil(math.log(1.0 - target_recall) / math.log1p(-agreement))
        if bands * rows <= num_perm:
            return bands, rows
    raise InputError(
        f"num_perm={num_perm} is too few for recall {target_recall} at threshold {threshold}: raise num_perm or the "
        "threshold, lower target_recall, or use the exact index"
    )


class LSHIndex:
    """A pool of texts, judged by ROUGE-L F-measure against those that MinHash LSH finds similar.

    Args:
        threshold: a text is rejected if its F with a pool text that was found is strictly above this; 0 to 1. Low
            ones need many permutations.
        tokenizer: `unicode` (every script) or `rouge` (a-z and 0-9, as the reference); see `tokenize`.
        target_recall: the probability with which a pair just above the threshold is to be found, below 1.
        num_perm: places of a signature; the bands use as many of them as fit.
        seed: of the permutations; datasketch's default is 1, too.

    The verdicts depend on the order of the texts and on `seed`, never on batches. A text without tokens is always
    admitted and never a neighbour.

    Raises:
        InputError: an argument is out of range, or `num_perm` is too few for the target; the message names it.
    """

    def __init__(
        self,
        threshold: float = 0.7,
        tokenizer: str = "unicode",
        target_recall: float = 0.999,
        num_perm: int = 128,
        seed: int = 1,
    ) -> None:
        self._threshold = checked_threshold(threshold)
        self._tokenizer = tokenizer
        self._tokenize = WatchedTokenizer(tokenizer)
        self._seed = checked_count("seed", seed, 0, MAX_SEED)
        num_perm = checked_count("num_perm", num_perm, 1, _MAX_PERM)
        bands, rows = bands_and_rows(self._threshold, _checked_recall(target_recall), num_perm)
        self._banding = Banding(permutations_from(num_perm, self._seed), bands, rows)
        self._vocabulary = HashedVocabulary()
        self._pool = new_buckets(bands)

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""
        return self._threshold

    @property
    def tokenizer(self) -> str:
        """The tokenizer's name."""
        return self._tokenizer

    @property
    def bands(self) -> int:
        """The number of bands that a signature is cut into."""
        return self._banding.bands

    @property
    def rows_per_band(self) -> int:
        """The places of a signature that have to agree for two texts to be compared."""
        return self._banding.rows

    def __len__(self) -> int:
        return int(self._pool.counters[NUM_TEXTS])

    def __repr__(self) -> str:
        return (
            f"<LSHIndex: {len(self)} texts, threshold {self._threshold}, tokenizer {self._tokenizer}, "
            f"{self.bands} bands of {self.rows_per_band} rows>"
        )

    def admit(self, texts: Sequence[str]) -> Verdicts:
        """Judge the texts one after another; each admitted one is in the pool for the next.

        Raises:
            InputError: `texts` is a single str, or holds something that is no str; nothing has been admitted then.
        """
        return self._settle(self._numbered(texts, learn=True), ADMIT)

    def query(self, texts: Sequence[str]) -> Verdicts:
        """Judge each text against the pool as it is, and change nothing.

        Raises:
            InputError: as for `admit`.
        """
        return self._settle(self._numbered(texts, learn=False), QUERY)

    def add(self, texts: Sequence[str]) -> None:
        """Put the texts into the pool without judging them, near-duplicates and all.

        Raises:
            InputError: as for `admit`.
        """
        self._settle(self._numbered(texts, learn=True), ADD)

    def scores(self, text: str) -> NDArray[np.float64]:
        """F of the text with every pool text, exactly, in pool order: float64[len(self)].

        Raises:
            InputError: `text` is no str.
        """
        return self._scores(self._numbered([text], learn=False).numbers)

    def most_similar(self, text: str, k: int) -> list[tuple[int, float]]:
        """The `k` pool texts with the highest F, exactly, highest first and equals by position: (position, F).

        Raises:
            InputError: `text` is no str, or `k` is negative or no int.
        """
        scores = self.scores(text)
        positions = np.argsort(-scores, kind="stable")[: checked_count("k", k, 0)]
        return [(int(position), float(scores[position])) for position in positions]

    def signatures(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """The MinHash signatures of the texts' token sets, those of datasketch 2.x: uint32[n, num_perm].

        Raises:
            InputError: as for `admit`.
        """
        numbered = self._numbered(texts, learn=False)
        signatures = np.empty((len(texts), len(self._banding.permutations.offsets)), dtype=np.uint32)
        sign_all(numbered.hashes, numbered.starts, self._banding.permutations, signatures)
        return signatures

    def to_datasketch(self, texts: Sequence[str]) -> "list[MinHash]":
        """The texts as datasketch MinHash objects, to use with its indexes or to send elsewhere.

        Raises:
            InputError: as for `admit`, or datasketch 2.0 or newer is not installed.
        """
        return to_datasketch(self.signatures(texts), self._seed)

    def measured_recall(
        self,
        sample_size: int = 1000,
        rng: np.random.Generator | None = None,
        texts: Sequence[str] | None = None,
    ) -> Recall:
        """The share of texts that the exact index would reject over this pool, and this one rejects too.

        With `texts` that are not in the pool, a sample of them is compared with the whole pool. Without, the sample is
        made of pool texts with some words replaced, dropped or inserted, all with F above the threshold and below 1.
        The pool does not change. `rng`: by default one that is always the same.

        Raises:
            InputError: `sample_size` is not positive; as for `admit`.
        """
        rng = np.random.default_rng(0) if rng is None else rng
        checked_count("sample_size", sample_size, 1)
        if texts is None:
            sample = self._edited_sample(sample_size, rng)
        else:
            sample = self._rejectable_sample(checked_texts(texts), sample_size, rng)
        return recall_of(int(np.count_nonzero(~self._settle(sample, QUERY).admitted)), len(sample.starts) - 1)

    def _edited_sample(self, sample_size: int, rng: np.random.Generator) -> NumberedTokens:
        """Near-duplicates of pool texts drawn at random; fewer where the pool's texts are too short to be edited."""
        words = self._pool.tokens[: self._pool.counters[NUM_TOKENS]]
        texts: list[NDArray[np.int32]] = []
        for _ in range(4 * sample_size if len(words) else 0):
            position = int(rng.integers(len(self)))
            original = self._pool.tokens[self._pool.starts[position] : self._pool.starts[position + 1]]
            text = edited(original, words, self._threshold, rng) if len(original) else None
            if text is not None:
                texts.append(text)
            if len(texts) == sample_size:
                break
        return self._vocabulary.joined(texts)

    def _rejectable_sample(self, texts: Sequence[str], sample_size: int, rng: np.random.Generator) -> NumberedTokens:
        """Those of a sample of the texts that a comparison with the whole pool rejects."""
        chosen = rng.permutation(len(texts))[:sample_size]
        near = [texts[place] for place in chosen if self.scores(texts[place]).max(initial=0.0) > self._threshold]
        return self._numbered(near, learn=False)

    def _scores(self, numbers: NDArray[np.int32]) -> NDArray[np.float64]:
        scores = np.empty(len(self), dtype=np.float64)
        score_all(self._pool, numbers, scores)
        return scores

    def _settle(self, batch: NumberedTokens, mode: int) -> Verdicts:
        count = len(batch.starts) - 1
        grows = 0 if mode == QUERY else 1
        self._pool = with_room(
            self._pool,
            texts=grows * count,
            tokens=grows * len(batch.numbers),
            vocabulary=len(self._vocabulary) + 1,
        )
        verdicts = Verdicts(np.empty(count, np.bool_), np.empty(count, np.int64), np.empty(count, np.float64))
        texts = Texts(*batch, verdicts.admitted, verdicts.nearest, verdicts.scores)
        settled = 0
        while (settled := settle(self._pool, texts, self._banding, settled, mode, self._threshold)) < count:
            if 2 * len(self) >= self._pool.table.shape[1]:
                self._refill()
            else:
                self._pool = _with_larger_arena(self._pool)
        return verdicts

    def _refill(self) -> None:
        """Twice as large tables, filled anew: signing a text again takes less than keeping its signature."""
        pool = with_larger_table(self._pool)
        filled = 0
        while (filled := refill(pool, self._banding, filled)) < len(self):
            pool = _with_larger_arena(pool)
        self._pool = pool  # only now: half-filled tables, after running out of memory, would miss duplicates

    def _numbered(self, texts: Sequence[str], *, learn: bool) -> NumberedTokens:
        return self._vocabulary.numbered([self._tokenize(text) for text in checked_texts(texts)], learn=learn)


def _with_larger_arena(pool: Buckets) -> Buckets:
    if 2 * len(pool.arena) > MAX_ARENA:
        num_texts = int(pool.counters[NUM_TEXTS])
        raise InputError(f"the index is full with {num_texts:,} texts; make one with fewer num_perm, or a RougeIndex")
    return with_larger_arena(pool)


def _checked_recall(target_recall: object) -> float:
    number = checked_number(target_recall)
    if number is None or not 0 < number < 1:
        raise InputError(f"target_recall must be a number above 0 and below 1; got {target_recall!r}")
    return number
