"""The other tools that answer, or are used to answer, "is there something like this text in the pool already?".

Each is used as its own documentation says, in one thread, from `str` to verdict. Those that take tokens get ours.
Scorers take texts only, so that each pair is tokenized anew; RapidFuzz takes tokens, which are made once for each text.
A tool is imported when it is first asked: none has to be installed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastinstruct.benchmarking.arms import Arm, Contest, Decide, Matrix, Question, Rejects, Scan
from fastinstruct.errors import InputError

__all__ = ["NUM_PERM", "PEERS", "Peer", "chosen"]

NUM_PERM = 128
# Bands of Rensa's index. 64 find the same pairs as 32, at 15 times the time for 5,000 texts, and more for more.
_BANDS = (1, 2, 4, 8, 16, 32)


# ------------------------------------------------------------------------------------------------------------- streams


def _rensa(question: Question) -> Contest:
    """Rensa at its threshold and tuned for recall.

    Two texts of ROUGE-L above the threshold can have token sets as different as `lowest_jaccard`.
    """
    threshold, low = question.threshold, question.lowest_jaccard
    bands, more = _bands(threshold), _bands(low)
    deduplicator = "Rensa deduplicator"
    arms = [
        Arm(name=deduplicator, settings=f"threshold {threshold:g}", start=_rensa_deduplicator(question, threshold)),
        Arm(name=deduplicator, settings=f"{threshold:g}, one text a call", start=_rensa_singly(question)),
        Arm(name=deduplicator, settings=f"tuned: {low:g}", start=_rensa_deduplicator(question, low)),
        Arm(
            name="Rensa RMinHashLSH",
            settings=f"threshold {threshold:g}, {bands} bands",
            start=_rensa_lsh(question, threshold, bands),
        ),
        Arm(
            name="Rensa RMinHashLSH",
            settings=f"tuned: {low:g}, {more} bands",
            start=_rensa_lsh(question, low, more),
        ),
        Arm(
            name="Rensa rho",
            settings=f"{threshold:g}, 8 bands, all at once",
            start=_rensa_rho(question),
            is_whole=True,
        ),
    ]
    return Contest(arms=tuple(arms))


def _bands(threshold: float) -> int:
    """With how many bands two texts are as likely as not to share one at about the threshold."""
    return min(_BANDS, key=lambda bands: abs((1 / bands) ** (bands / NUM_PERM) - threshold))


def _rensa_deduplicator(question: Question, threshold: float) -> Callable[[], Decide]:
    """Rensa's streaming deduplicator: LSH candidates, checked by the similarity of their sketches."""

    def start() -> Decide:
        import rensa

        pool = rensa.RMinHashDeduplicator(threshold=threshold, num_perm=NUM_PERM, use_lsh=True)
        count = 0

        def decide(texts: Sequence[str]) -> list[bool]:
            nonlocal count
            entries = [(str(number), question.tokens(text)) for number, text in enumerate(texts, count)]
            count += len(texts)
            return [not kept for kept in pool.add_pairs(entries)]

        return decide

    return start


def _rensa_singly(question: Question) -> Callable[[], Decide]:
    """The same, a call a text."""

    def start() -> Decide:
        import rensa

        pool = rensa.RMinHashDeduplicator(threshold=question.threshold, num_perm=NUM_PERM, use_lsh=True)
        count = 0

        def decide(texts: Sequence[str]) -> list[bool]:
            nonlocal count
            rejected = []
            for text in texts:
                sketch = rensa.RMinHash(num_perm=NUM_PERM, seed=42)
                sketch.update(question.tokens(text))
                rejected.append(not pool.add(str(count), sketch))
                count += 1
            return rejected

        return decide

    return start


def _rensa_lsh(question: Question, threshold: float, bands: int) -> Callable[[], Decide]:
    """Rensa's LSH index by itself: whatever shares a band is a near-duplicate."""

    def start() -> Decide:
        import rensa

        def sketched(text: str) -> Any:  # noqa: ANN401  a sketch of Rensa's
            sketch = rensa.RMinHash(num_perm=NUM_PERM, seed=42)
            sketch.update(question.tokens(text))
            return sketch

        return _inserting(rensa.RMinHashLSH(threshold=threshold, num_perm=NUM_PERM, num_bands=bands), sketched)

    return start


def _rensa_rho(question: Question) -> Callable[[], Decide]:
    """Rensa's fastest way, all texts at once: what shares a band with any other is then decided by its deduplicator."""

    def start() -> Decide:
        import rensa

        def decide(texts: Sequence[str]) -> list[bool]:
            tokens = [question.tokens(text) for text in texts]
            matrix = rensa.RMinHash.digest_matrix_from_token_sets_rho(tokens, num_perm=NUM_PERM, seed=42)
            lsh = rensa.RMinHashLSH(question.threshold, NUM_PERM, 8)
            flagged = np.flatnonzero(lsh.query_duplicate_flags_matrix_one_shot(matrix)).tolist()
            pool = rensa.RMinHashDeduplicator(threshold=question.threshold, num_perm=NUM_PERM, use_lsh=True)
            rejected = [False] * len(texts)
            kept = pool.add_pairs([(str(number), tokens[number]) for number in flagged])
            for number, is_kept in zip(flagged, kept, strict=True):
                rejected[number] = not is_kept
            return rejected

        return decide

    return start


def _datasketch(question: Question) -> Contest:
    """The index of datasketch at its threshold, and tuned for recall in two ways."""
    threshold, low, name = question.threshold, question.lowest_jaccard, "datasketch MinHashLSH"
    few = (NUM_PERM // 3, 3)
    arms = [
        Arm(name=name, settings=f"threshold {threshold:g}", start=_datasketch_lsh(question, threshold), is_slow=True),
        Arm(name=name, settings=f"tuned: {low:g}", start=_datasketch_lsh(question, low), is_slow=True),
        Arm(
            name=name,
            settings=f"tuned: {low:g}, {few[0]} bands of {few[1]}",
            start=_datasketch_lsh(question, low, few),
            is_slow=True,
        ),
    ]
    return Contest(arms=tuple(arms))


def _datasketch_lsh(
    question: Question, threshold: float, params: tuple[int, int] | None = None
) -> Callable[[], Decide]:
    """Whatever shares a band is a near-duplicate."""

    def start() -> Decide:
        from datasketch import MinHash, MinHashLSH

        def sketched(text: str) -> MinHash:
            sketch = MinHash(num_perm=NUM_PERM)
            sketch.update_batch([token.encode() for token in question.tokens(text)])
            return sketch

        return _inserting(MinHashLSH(threshold=threshold, num_perm=NUM_PERM, params=params), sketched)

    return start


def _inserting(index: Any, sketched: Callable[[str], Any]) -> Decide:  # noqa: ANN401  Rensa's or datasketch's
    """Query an index of sketches about each text, and insert those it does not know."""
    count = 0

    def decide(texts: Sequence[str]) -> list[bool]:
        nonlocal count
        rejected = []
        for text in texts:
            sketch = sketched(text)
            rejected.append(bool(index.query(sketch)))
            if not rejected[-1]:
                index.insert(count, sketch)
            count += 1
        return rejected

    return decide


# --------------------------------------------------------------------------------------------------------------- scans


def _scoring(module: str, threshold: float) -> Callable[[], Rejects]:
    """Score the text with each of the pool, in Python."""

    def make() -> Rejects:
        score = _scorer(module).score
        return lambda pool, text: max(float(score(other, text)["rougeL"].fmeasure) for other in pool) > threshold

    return make


def _scoring_at_once(module: str, threshold: float) -> Callable[[], Rejects]:
    """Score the text with all of the pool in one call, which gives the highest score."""

    def make() -> Rejects:
        score = _scorer(module).score_multi
        return lambda pool, text: float(score(pool, text)["rougeL"].fmeasure) > threshold

    return make


def _scorer(module: str) -> Any:  # noqa: ANN401  each module has a class of its own
    """The RougeScorer of a module that looks like rouge_score."""
    return import_module(module).RougeScorer(["rougeL"], use_stemmer=False)


class _FuzzPool:
    """RapidFuzz over texts whose tokens have become characters, its fastest form: 4 times as fast as lists of str."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._numbers: dict[str, int] = {}

    def prepared(self, texts: Sequence[str]) -> list[str]:
        """The texts, a character a token; tokens are numbered past the surrogates."""
        number = self._numbers.setdefault
        known = self._numbers
        tokens = self._question.tokens
        return ["".join([chr(_code(number(token, len(known)))) for token in tokens(text)]) for text in texts]

    def rejected(self, pool: list[str], batch: list[str]) -> list[bool]:
        """Verdicts on a batch, in order."""
        from rapidfuzz.distance import Indel
        from rapidfuzz.process import cdist

        threshold = self._question.threshold
        scores: NDArray[np.float64] = cdist(
            batch, pool + batch, scorer=Indel.normalized_similarity, dtype=np.float64, score_cutoff=threshold
        )
        near: NDArray[np.bool_] = scores > threshold
        # Two texts without tokens are equal to RapidFuzz; to ROUGE they have nothing in common.
        near[[not text for text in batch]] = False
        rejected: NDArray[np.bool_] = np.any(near[:, : len(pool)], axis=1)
        for place in range(len(batch)):
            earlier = near[place, len(pool) : len(pool) + place]
            rejected[place] |= bool((earlier & ~rejected[:place]).any())
        return [bool(each) for each in rejected]


def _code(number: int) -> int:
    return number + 1 if number < 0xD7FF else number + 0x801


# -------------------------------------------------------------------------------------------------------- who there is


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A tool that may be installed: `name` is PyPI's, `module` what is imported, `contest` what it takes part with.

    `tokenizer`: the only one by which it can compare; None: any.
    """

    name: str
    module: str
    contest: Callable[[Question], Contest]
    tokenizer: str | None = None

    @property
    def is_installed(self) -> bool:
        return find_spec(self.module) is not None


def _scan(name: str, settings: str, make: Callable[[str, float], Callable[[], Rejects]], samples: int) -> Peer:
    module = name.replace("-", "_")
    inner = f"{module}.rouge_scorer" if module == "rouge_score" else module

    def contest(question: Question) -> Contest:
        shown = module if module == "rouge_score" else name
        scan = Scan(name=shown, settings=settings, make=make(inner, question.threshold), samples=samples)
        return Contest(scans=(scan,))

    return Peer(name=name, module=module, contest=contest, tokenizer="rouge")


def _rapidfuzz(question: Question) -> Contest:
    pool = _FuzzPool(question)
    matrix = Matrix(
        name="RapidFuzz cdist", settings="tokens as characters", prepare=pool.prepared, rejected=pool.rejected
    )
    return Contest(matrices=(matrix,))


PEERS = {
    peer.name: peer
    for peer in (
        Peer(name="rensa", module="rensa", contest=_rensa),
        Peer(name="datasketch", module="datasketch", contest=_datasketch),
        _scan("rouge-score", "score", _scoring, 12),
        _scan("rouge-score-rs", "score_multi", _scoring_at_once, 60),
        _scan("rapidrouge", "score", _scoring, 12),
        Peer(name="rapidfuzz", module="rapidfuzz", contest=_rapidfuzz),
    )
}
"""By the name that a person types."""


def chosen(names: Sequence[str] | None, question: Question) -> tuple[list[Peer], dict[str, str]]:
    """The peers to ask, and why others are not asked: name -> reason. None: all that can be asked.

    Raises:
        InputError: one that is named is unknown, not installed, or compares by another tokenizer; `none` is no peer,
            and stands alone.
    """
    if names is not None and list(names) != ["none"]:
        peers = [_known(name) for name in dict.fromkeys(names)]
        for peer in peers:
            if reason := _hindrance(peer, question):
                raise InputError(f"--peer {peer.name}: {reason}")
        return peers, {}
    if names is not None:
        return [], {}
    left_out = {name: reason for name, peer in PEERS.items() if (reason := _hindrance(peer, question))}
    return [peer for name, peer in PEERS.items() if name not in left_out], left_out


def _known(name: str) -> Peer:
    if name not in PEERS:
        raise InputError(f"--peer {name}: there is no such peer; name one of {', '.join(PEERS)}, or none alone")
    return PEERS[name]


def _hindrance(peer: Peer, question: Question) -> str | None:
    if not peer.is_installed:
        return f"is not installed; pip install {peer.name}"
    if peer.tokenizer not in (None, question.tokenizer):
        return f"compares by the words that tokenizer {peer.tokenizer} finds; give --tokenizer {peer.tokenizer}"
    return None
