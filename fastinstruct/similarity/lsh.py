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

All that holds while buckets are small. Where texts have much in common they grow with the pool, and the work for a text
would, too; so it is bounded (see `fastinstruct_kernels.lsh`), and the recall that is measured is that with the bounds.

An index belongs to one thread at a time. Its kernels release the interpreter lock, so other threads run on meanwhile.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from fastinstruct.errors import InputError
from fastinstruct.similarity.arguments import checked_count, checked_number, checked_texts, checked_threshold
from fastinstruct.similarity.interruptible import Interruption, Workers, is_quick
from fastinstruct.similarity.lsh_pool import BucketPool, LSHStatistics
from fastinstruct.similarity.one_at_a_time import one_at_a_time
from fastinstruct.similarity.recall import Recall, edited, recall_of
from fastinstruct.similarity.signatures import HashedLexicon, NumberedTokens, to_datasketch
from fastinstruct.similarity.snapshot import NewSnapshot, part_of, read_snapshot, tokenizer_in
from fastinstruct.similarity.text_index import TextIndex
from fastinstruct.similarity.verdicts import Verdicts
from fastinstruct_kernels.buckets import Banding
from fastinstruct_kernels.minhash import MAX_SEED, permutations_from, sign_all
from fastinstruct_kernels.probe import QUERY
from fastinstruct_kernels.scan import new_lanes, score_texts

if TYPE_CHECKING:
    from datasketch import MinHash

__all__ = ["LSHIndex", "bands_and_rows", "least_jaccard"]

_METHOD = "lsh"
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


class LSHIndex(TextIndex):
    """A pool of texts, judged by ROUGE-L F-measure against those that MinHash LSH finds similar.

    Args:
        threshold: a text is rejected if its F with a pool text that was found is strictly above this; 0 to 1. Low
            ones need many permutations.
        tokenizer: `unicode` (every script, its newest version), `unicode-1`, `unicode-2`, or `rouge` (a-z and 0-9, as
            the reference); see `tokenize`. An index keeps the version it was made with.
        target_recall: the probability with which a pair just above the threshold is to be found, below 1.
        num_perm: places of a signature; the bands use as many of them as fit.
        seed: of the permutations; datasketch's default is 1, too.
        interruption: ends a call from another thread, or before it begins; see `Interruption`.

    The work for a text is bounded: an equal text is found at once, and always. Else 256 texts of each bucket are looked
    at, a sample of larger ones, and of those that can be near the likeliest are compared in full: 32,768 divided by the
    tokens of the text, at least 32. `statistics` counts how often that left something out, `measured_recall` what is
    found with it.

    The verdicts depend on the order of the texts and on `seed`, never on batches. A text without tokens is always
    admitted and never a neighbour.

    One thread at a time may use an index: a call while another runs raises `ConcurrentUse`, also where the other was
    running when the process was forked. An index at rest may be used on in a forked process.

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
        *,
        interruption: Interruption | None = None,
    ) -> None:
        super().__init__()
        self._workers = Workers(1, interruption)
        self._stop = self._workers.interruption.flag
        self._threshold = checked_threshold(threshold)
        self._lexicon = HashedLexicon(tokenizer)
        self._seed = checked_count("seed", seed, 0, MAX_SEED)
        self._target_recall = _checked_recall(target_recall)
        num_perm = checked_count("num_perm", num_perm, 1, _MAX_PERM)
        bands, rows = bands_and_rows(self._threshold, self._target_recall, num_perm)
        banding = Banding(permutations_from(num_perm, self._seed), bands, rows)
        self._pool = BucketPool(banding, self._threshold, self._stop)

    @property
    def threshold(self) -> float:
        """The F above which a text is rejected."""
        return self._threshold

    @property
    def tokenizer(self) -> str:
        """The tokenizer's exact name."""
        return self._lexicon.lexicon.tokenizer

    @property
    def bands(self) -> int:
        """The number of bands that a signature is cut into."""
        return self._pool.banding.bands

    @property
    def rows_per_band(self) -> int:
        """The places of a signature that have to agree for two texts to be compared."""
        return self._pool.banding.rows

    def __len__(self) -> int:
        return len(self._pool)

    def __repr__(self) -> str:
        return (
            f"<LSHIndex: {len(self)} texts, threshold {self.threshold}, tokenizer {self.tokenizer}, "
            f"{self.bands} bands of {self.rows_per_band} rows>"
        )

    @one_at_a_time
    def signatures(self, texts: Sequence[str]) -> NDArray[np.uint32]:
        """The MinHash signatures of the texts' token sets, those of datasketch 2.x: uint32[n, num_perm].

        Raises:
            InputError: as for `admit`.
        """
        texts = checked_texts(texts)
        numbered = self._lexicon.numbered(texts, learn=False)
        signatures = np.empty((len(texts), len(self._pool.banding.permutations.offsets)), dtype=np.uint32)
        sign_all(numbered.hashes, numbered.starts, self._pool.banding.permutations, signatures)
        return signatures

    def to_datasketch(self, texts: Sequence[str]) -> "list[MinHash]":
        """The texts as datasketch MinHash objects, to use with its indexes or to send elsewhere.

        Raises:
            InputError: as for `admit`, or datasketch 2.0 or newer is not installed.
        """
        return to_datasketch(self.signatures(texts), self._seed)

    @one_at_a_time
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
        with self._pool.uncounted():
            verdicts = self._settle_numbered(sample, QUERY)
        return recall_of(int(np.count_nonzero(~verdicts.admitted)), len(sample.starts) - 1)

    @one_at_a_time
    def statistics(self) -> LSHStatistics:
        """How the verdicts were come to since the index was made or loaded."""
        return self._pool.statistics()

    @one_at_a_time
    def saved_beside(self, path: str | PathLike[str]) -> NewSnapshot:
        settings = {
            "threshold": self.threshold.hex(),
            "tokenizer": self.tokenizer,
            "target_recall": self._target_recall.hex(),
            "num_perm": len(self._pool.banding.permutations.offsets),
            "seed": self._seed,
            "bands": self.bands,
            "rows": self.rows_per_band,
        }
        arrays = {f"words.{name}": array for name, array in self._lexicon.arrays().items()}
        arrays |= {f"pool.{name}": array for name, array in self._pool.saved_arrays().items()}
        return NewSnapshot(Path(path), settings, arrays, _METHOD)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "LSHIndex":
        """The index that `save` wrote, mapped into memory; the file stays as it is, whatever is admitted.

        Raises:
            InputError: there is no such file, or it is no index of this kind, of another version, or damaged.
        """
        settings, arrays = read_snapshot(Path(path), _METHOD)
        # Not worked out anew: the last bit of a logarithm differs from machine to machine.
        cut = {name: settings.pop(name) for name in ("bands", "rows")}
        settings |= {name: float.fromhex(settings[name]) for name in ("threshold", "target_recall")}
        settings["tokenizer"] = tokenizer_in(settings, Path(path))
        index = cls(**settings)
        banding = index._pool.banding._replace(**cut)
        index._pool = BucketPool(banding, index.threshold, index._stop)
        index._lexicon.restore(part_of(arrays, "words."))
        index._pool.restore(part_of(arrays, "pool."), index._lexicon.hashes)
        return index

    def _edited_sample(self, sample_size: int, rng: np.random.Generator) -> NumberedTokens:
        """Near-duplicates of pool texts drawn at random; fewer where the pool's texts are too short to be edited."""
        pool = self._pool.arrays
        words = pool.tokens[: self._pool.num_tokens]
        texts: list[NDArray[np.int32]] = []
        for _ in range(4 * sample_size if len(words) else 0):
            position = int(rng.integers(len(self)))
            original = pool.tokens[pool.starts[position] : pool.starts[position + 1]]
            text = self._edited(original, words, rng) if len(original) else None
            if text is not None:
                texts.append(text)
            if len(texts) == sample_size:
                break
        return self._lexicon.joined(texts)

    def _edited(
        self, text: NDArray[np.int32], words: NDArray[np.int32], rng: np.random.Generator
    ) -> NDArray[np.int32] | None:
        found: list[NDArray[np.int32] | None] = []

        def edit() -> None:
            found.append(edited(text, words, self._threshold, rng, self._stop))

        # It is compared with itself as often as it is edited: as many times as it has words, at most.
        quick = is_quick(len(text), len(text) * len(text), len(text))
        about = f"comparing texts of {len(text):,} words with what becomes of them by edits, to measure the recall"
        self._workers.do([edit], lambda: about, is_quick=quick)
        return found[0]

    def _rejectable_sample(self, texts: Sequence[str], sample_size: int, rng: np.random.Generator) -> NumberedTokens:
        """Those of a sample of the texts that a comparison with the whole pool rejects."""
        chosen = rng.permutation(len(texts))[:sample_size]
        near = [texts[place] for place in chosen if self._scores([texts[place]])[0].max(initial=0.0) > self._threshold]
        return self._lexicon.numbered(near, learn=False)

    def _scores(self, texts: Sequence[str]) -> NDArray[np.float64]:
        tokens, _, starts = self._lexicon.numbered(texts, learn=False)
        scores = np.empty((len(texts), len(self)), dtype=np.float64)
        pattern = self._pool.scratch_for(starts, len(self._lexicon) + 1).pattern
        lanes = new_lanes(len(pattern.slots))
        work = partial(score_texts, self._pool.arrays, tokens, starts, lanes, pattern, 0, len(self), scores)
        self._do(work, starts)
        return scores

    def _do(self, work: Callable[[], object], starts: NDArray[np.int64]) -> None:
        """Let kernels compare texts with the pool and with each other, in a thread where that may take long."""
        num_tokens = self._pool.num_tokens
        quick = is_quick(len(starts) - 1, int(starts[-1]), num_tokens + int(starts[-1]))
        longest = int(np.diff(starts).max(initial=0))
        about = f"comparing texts of up to {longest:,} words with {len(self):,} of {num_tokens:,} words together"
        self._workers.do([work], lambda: about, is_quick=quick)

    def _settle_part(self, texts: Sequence[str], mode: int) -> Verdicts:
        return self._settle_numbered(self._lexicon.numbered(texts, learn=mode != QUERY), mode)

    def _settle_numbered(self, batch: NumberedTokens, mode: int) -> Verdicts:
        count = len(batch.starts) - 1
        grows = 0 if mode == QUERY else 1
        self._pool.make_room(grows * count, grows * len(batch.numbers))
        verdicts = Verdicts(np.empty(count, np.bool_), np.empty(count, np.int64), np.empty(count, np.float64))
        hashes = self._lexicon.hashes
        self._do(partial(self._pool.settle, batch, verdicts, mode, hashes), batch.starts)
        return verdicts


def _checked_recall(target_recall: object) -> float:
    number = checked_number(target_recall)
    if number is None or not 0 < number < 1:
        raise InputError(f"target_recall must be a number above 0 and below 1; got {target_recall!r}")
    return number
