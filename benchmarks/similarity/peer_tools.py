"""The other tools that answer, or are used to answer, "is there something like this text in the pool already?".

Each is used as its own documentation says, one thread, from `str` to verdict. Those that take tokens get ours (lower
case, runs of a-z and 0-9), made by the fastest tokenizer in Python that we know. A text that isn't rejected joins the
tool's own pool; so a wrong verdict may lead to others.

Tools that stream decide every text; `Scan`s compare a text with the whole pool and are too slow for that. Scorers take
texts only, so that each pair is tokenized anew; RapidFuzz takes tokens, which are made once for each text.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinstruct.similarity import LSHIndex, RougeIndex, tokenize

THRESHOLD = 0.7
# Two texts of ROUGE-L above 0.7 can have token sets as different as this; see the settings called tuned.
LOWEST_JACCARD = 0.54
BATCH = 1000
NUM_PERM = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool with its settings: `decide` says of each text, in order, whether it is rejected."""

    name: str
    settings: str
    decide: Callable[[Sequence[str]], list[bool]]
    repeats: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """A tool that compares one text with each of many: `rejects(pool, text)`."""

    name: str
    settings: str
    rejects: Callable[[list[str], str], bool]
    samples: int


def batches(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    return (texts[first : first + BATCH] for first in range(0, len(texts), BATCH))


def rouge_tokens(text: str) -> list[str]:
    return tokenize(text, "rouge")


def fastinstruct_batched(texts: Sequence[str]) -> list[bool]:
    index = RougeIndex(THRESHOLD, tokenizer="rouge")
    return [not admitted for batch in batches(texts) for admitted in index.admit(batch).admitted.tolist()]


def fastinstruct_single(texts: Sequence[str]) -> list[bool]:
    index = RougeIndex(THRESHOLD, tokenizer="rouge")
    return [not index.admit([text]).admitted[0] for text in texts]


def fastinstruct_lsh(texts: Sequence[str]) -> list[bool]:
    index = LSHIndex(THRESHOLD, tokenizer="rouge")
    return [not admitted for batch in batches(texts) for admitted in index.admit(batch).admitted.tolist()]


def rensa_deduplicator(threshold: float, bands: int | None) -> Callable[[Sequence[str]], list[bool]]:
    """Rensa's streaming deduplicator: LSH candidates, checked by the similarity of their sketches."""

    def decide(texts: Sequence[str]) -> list[bool]:
        import rensa

        pool = rensa.RMinHashDeduplicator(threshold=threshold, num_perm=NUM_PERM, use_lsh=True, num_bands=bands)
        rejected: list[bool] = []
        for batch in batches(texts):
            entries = [(str(number), rouge_tokens(text)) for number, text in enumerate(batch, len(rejected))]
            rejected += [not kept for kept in pool.add_pairs(entries)]
        return rejected

    return decide


def rensa_single(texts: Sequence[str]) -> list[bool]:
    """The same, a call a text."""
    import rensa

    pool = rensa.RMinHashDeduplicator(threshold=THRESHOLD, num_perm=NUM_PERM, use_lsh=True)
    rejected = []
    for number, text in enumerate(texts):
        sketch = rensa.RMinHash(num_perm=NUM_PERM, seed=42)
        sketch.update(rouge_tokens(text))
        rejected.append(not pool.add(str(number), sketch))
    return rejected


def rensa_lsh(threshold: float, bands: int) -> Callable[[Sequence[str]], list[bool]]:
    """Rensa's LSH index by itself: whatever shares a band is a near-duplicate."""

    def decide(texts: Sequence[str]) -> list[bool]:
        import rensa

        index = rensa.RMinHashLSH(threshold=threshold, num_perm=NUM_PERM, num_bands=bands)
        rejected = []
        for number, text in enumerate(texts):
            sketch = rensa.RMinHash(num_perm=NUM_PERM, seed=42)
            sketch.update(rouge_tokens(text))
            rejected.append(bool(index.query(sketch)))
            if not rejected[-1]:
                index.insert(number, sketch)
        return rejected

    return decide


def rensa_rho(texts: Sequence[str]) -> list[bool]:
    """Rensa's fastest way, all texts at once: what shares a band with any other is then decided by its deduplicator."""
    import rensa

    tokens = [rouge_tokens(text) for text in texts]
    matrix = rensa.RMinHash.digest_matrix_from_token_sets_rho(tokens, num_perm=NUM_PERM, seed=42)
    flags = rensa.RMinHashLSH(THRESHOLD, NUM_PERM, 8).query_duplicate_flags_matrix_one_shot(matrix)
    flagged = np.flatnonzero(flags).tolist()
    pool = rensa.RMinHashDeduplicator(threshold=THRESHOLD, num_perm=NUM_PERM, use_lsh=True)
    rejected = [False] * len(texts)
    kept = pool.add_pairs([(str(number), tokens[number]) for number in flagged])
    for number, is_kept in zip(flagged, kept, strict=True):
        rejected[number] = not is_kept
    return rejected


def datasketch_lsh(threshold: float, params: tuple[int, int] | None) -> Callable[[Sequence[str]], list[bool]]:
    """The index of datasketch: whatever shares a band is a near-duplicate."""

    def decide(texts: Sequence[str]) -> list[bool]:
        from datasketch import MinHash, MinHashLSH

        index = MinHashLSH(threshold=threshold, num_perm=NUM_PERM, params=params)
        rejected = []
        for number, text in enumerate(texts):
            sketch = MinHash(num_perm=NUM_PERM)
            sketch.update_batch([token.encode() for token in rouge_tokens(text)])
            rejected.append(bool(index.query(sketch)))
            if not rejected[-1]:
                index.insert(number, sketch)
        return rejected

    return decide


def _peer(name: str, settings: str, decide: Callable[[Sequence[str]], list[bool]], repeats: int) -> Peer:
    return Peer(name=name, settings=settings, decide=decide, repeats=repeats)


def streaming_peers(repeats: int) -> list[Peer]:
    """Every tool that decides all texts, ours first."""
    return [
        _peer("FastInstruct", "batches of 1,000", fastinstruct_batched, repeats),
        _peer("FastInstruct", "one text a call", fastinstruct_single, 1),
        *_rensa(repeats),
        *_datasketch(),
    ]


def long_text_peers(repeats: int) -> list[Peer]:
    """The same for long texts, where an approximate index of ours has its place."""
    return [
        _peer("FastInstruct RougeIndex", "batches of 1,000", fastinstruct_batched, repeats),
        _peer("FastInstruct LSHIndex", "batches of 1,000", fastinstruct_lsh, repeats),
        *_rensa(repeats),
        *_datasketch(),
    ]


def _rensa(repeats: int) -> list[Peer]:
    low = LOWEST_JACCARD
    return [
        _peer("Rensa deduplicator", "threshold 0.7", rensa_deduplicator(THRESHOLD, None), repeats),
        _peer("Rensa deduplicator", "0.7, one text a call", rensa_single, repeats),
        _peer("Rensa deduplicator", "tuned: 0.54", rensa_deduplicator(low, None), repeats),
        # 64 bands find the same ones, at 15 times the time for 5,000 texts, and more for more.
        _peer("Rensa RMinHashLSH", "threshold 0.7, 16 bands", rensa_lsh(THRESHOLD, 16), repeats),
        _peer("Rensa RMinHashLSH", "tuned: 0.54, 32 bands", rensa_lsh(low, 32), repeats),
        _peer("Rensa rho", "0.7, 8 bands, all at once", rensa_rho, repeats),
    ]


def _datasketch() -> list[Peer]:
    low = LOWEST_JACCARD
    return [
        _peer("datasketch MinHashLSH", "threshold 0.7", datasketch_lsh(THRESHOLD, None), 1),
        _peer("datasketch MinHashLSH", "tuned: 0.54", datasketch_lsh(low, None), 1),
        _peer("datasketch MinHashLSH", "tuned: 0.54, 42 bands of 3", datasketch_lsh(low, (42, 3)), 1),
    ]


def scans() -> list[Scan]:
    """Every tool that is asked about a sample only."""
    in_rust = scorer("rouge_score_rs")

    def in_rust_rejects(pool: list[str], text: str) -> bool:
        return float(in_rust.score_multi(pool, text)["rougeL"].fmeasure) > THRESHOLD

    return [
        Scan(name="rouge_score", settings="score", rejects=scanning("rouge_score.rouge_scorer"), samples=12),
        Scan(name="rouge-score-rs", settings="score_multi", rejects=in_rust_rejects, samples=60),
        Scan(name="rapidrouge", settings="score", rejects=scanning("rapidrouge"), samples=12),
    ]


def long_text_scans() -> list[Scan]:
    """The same for long texts, each pair of which takes rouge_score milliseconds."""
    return [Scan(name="rouge_score", settings="score", rejects=scanning("rouge_score.rouge_scorer"), samples=8)]


def scanning(module: str) -> Callable[[list[str], str], bool]:
    """Score the text with each of the pool, in Python."""
    score = scorer(module).score

    def rejects(pool: list[str], text: str) -> bool:
        return max(float(score(other, text)["rougeL"].fmeasure) for other in pool) > THRESHOLD

    return rejects


def scorer(module: str) -> Any:  # noqa: ANN401  each module has a class of its own
    """The RougeScorer of a module that looks like rouge_score."""
    return import_module(module).RougeScorer(["rougeL"], use_stemmer=False)


class FuzzPool:
    """RapidFuzz over texts whose tokens have become characters, its fastest form: 4 times as fast as lists of str."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def prepared(self, texts: Sequence[str]) -> list[str]:
        """The texts, a character a token; tokens are numbered past the surrogates."""
        number = self._numbers.setdefault
        known = self._numbers
        return ["".join([chr(_code(number(token, len(known)))) for token in rouge_tokens(text)]) for text in texts]

    @staticmethod
    def rejected(pool: list[str], batch: list[str]) -> list[bool]:
        """Verdicts on a batch, in order."""
        from rapidfuzz.distance import Indel
        from rapidfuzz.process import cdist

        scores: NDArray[np.float64] = cdist(
            batch, pool + batch, scorer=Indel.normalized_similarity, dtype=np.float64, score_cutoff=THRESHOLD
        )
        near: NDArray[np.bool_] = scores > THRESHOLD
        # Two texts without tokens are equal to RapidFuzz; to ROUGE they have nothing in common.
        near[[not text for text in batch]] = False
        rejected: NDArray[np.bool_] = np.any(near[:, : len(pool)], axis=1)
        for place in range(len(batch)):
            earlier = near[place, len(pool) : len(pool) + place]
            rejected[place] |= bool((earlier & ~rejected[:place]).any())
        return [bool(each) for each in rejected]


def _code(number: int) -> int:
    return number + 1 if number < 0xD7FF else number + 0x801
