"""Random streams decided by the index and by brute force, until the time is up or they differ.

Every verdict is compared: admitted or not, the nearest text, the bits of its score. The brute force shares nothing
with the index: it gets token numbers that the texts were written from (no tokenizer), RapidFuzz counts the longest
common subsequences of every pair (in C++), and NumPy turns them into F in the order of rouge_score's operations.

Streams vary in threshold, tokenizer, threads, vocabulary, lengths, batch sizes and list sizes (see soak_texts.py); in
between, texts are queried or added unjudged, the index is saved and loaded, its tokens are ranked anew, and its
scores are compared. A table for people, one JSON document as the last line; 1 as exit code after a difference.

    python -m benchmarks.soak.decisions --minutes 60
    python -m benchmarks.soak.decisions --seed 0 --first 1234 --streams 1     # one stream again
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rapidfuzz.distance import LCSseq
from rapidfuzz.process import cdist

from benchmarks.soak.texts import Plan, drawn_plan, token_lists, written
from fastinstruct.similarity import RougeIndex, Verdicts, warm_up
from fastinstruct_kernels.pool import SPLIT_SIZE

# Scores held at a time.
_SCORES = 1 << 20


class Difference(Exception):
    """The index and the brute force disagree; the text says where."""


class BruteForce:
    """The same pool as the index's, compared with in full; a text is a str of one character a token."""

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self.pool: list[str] = []
        self.compared = 0

    def scores(self, texts: list[str], others: list[str]) -> NDArray[np.float64]:
        """F of each with each: float64[len(texts), len(others)]."""
        self.compared += len(texts) * len(others)
        common: NDArray[np.int32] = cdist(texts, others, scorer=LCSseq.similarity, dtype=np.int32)
        lengths = np.array([len(text) for text in texts])[:, None]
        with np.errstate(invalid="ignore", divide="ignore"):
            precision, recall = common / lengths, common / np.array([len(other) for other in others])
            found: NDArray[np.float64] = 2.0 * precision * recall / (precision + recall)
        found[common == 0] = 0.0
        return found

    def judge(self, texts: list[str], *, joining: bool) -> Verdicts:
        """Verdicts on the texts, in order; if `joining`, the admitted ones are in the pool for the next."""
        admitted, nearest, scores = list[bool](), list[int](), list[float]()
        while len(admitted) < len(texts):
            first = len(admitted)
            part = texts[first : first + max(1, _SCORES // (len(self.pool) + 1_000))][:1_000]
            known, joined = len(self.pool), list[int]()
            matrix = self.scores(part, self.pool + part if joining else self.pool)
            for place, row in enumerate(matrix):
                candidates = np.concatenate([row[:known], row[known:][joined]])
                best = int(candidates.argmax()) if len(candidates) else -1
                rejected = best >= 0 and candidates[best] > self.threshold
                admitted.append(not rejected)
                nearest.append(best if rejected else -1)
                scores.append(candidates[best] if rejected else np.nan)
                if joining and not rejected:
                    joined.append(place)
            self.pool += [part[place] for place in joined]
        return Verdicts(np.array(admitted, np.bool_), np.array(nearest, np.int64), np.array(scores, np.float64))


class Soak:
    """Runs streams and counts what was done."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.seed = seed
        self.counts: Counter[str] = Counter()
        self._snapshot = folder / "soak.index"

    def run_stream(self, number: int) -> None:
        """One stream, which follows from seed and number alone.

        Raises:
            Difference: the index and the brute force disagree.
        """
        random = np.random.default_rng([self.seed, number])
        plan = drawn_plan(random)
        try:
            self._compare(random, plan)
        except Exception as error:
            again = f"python -m benchmarks.soak.decisions --seed {self.seed} --first {number} --streams 1"
            raise Difference(f"{type(error).__name__}: {error}\n{plan}\nTo see it again: {again}") from error
        self.counts["streams"] += 1

    def _compare(self, random: np.random.Generator, plan: Plan) -> None:
        tokens = token_lists(random, plan)
        index = RougeIndex(plan.threshold, plan.tokenizer, threads=plan.threads)
        index._exact.pool.counters[SPLIT_SIZE] = plan.split_size  # noqa: SLF001  short lists are split too
        brute, place = BruteForce(plan.threshold), 0
        while place < len(tokens):
            size = int(plan.largest_batch ** random.random() * random.uniform(0.5, 1)) + 1
            batch = tokens[place : place + size]
            self._settle(random, plan, index, brute, batch)
            place += size
            index = self._disturbed(random, plan, index)
        self.counts["pairs compared"] += brute.compared
        self.counts["lists split"] += int((index._exact.pool.split > 0).sum())  # noqa: SLF001  no public count

    def _settle(
        self, random: np.random.Generator, plan: Plan, index: RougeIndex, brute: BruteForce, batch: list[list[int]]
    ) -> None:
        texts = [written(random, plan, tokens) for tokens in batch]
        characters = ["".join(map(_character, tokens)) for tokens in batch]
        kind = random.random()
        if kind < 0.05:
            index.add(texts)
            brute.pool += characters
            self.counts["added unjudged"] += len(texts)
        elif kind < 0.1:
            self._check(texts, index.query(texts), brute.judge(characters, joining=False))
            self._check_scores(texts[0], characters[0], index, brute)
        else:
            self._check(texts, index.admit(texts), brute.judge(characters, joining=True))
        if len(index) != len(brute.pool):
            raise Difference(f"the index holds {len(index)} texts, not {len(brute.pool)}")

    def _check(self, texts: list[str], got: Verdicts, expected: Verdicts) -> None:
        self.counts["decisions"] += len(texts)
        self.counts["rejected"] += int((~expected.admitted).sum())
        same = (got.admitted == expected.admitted) & (got.nearest == expected.nearest)
        same &= (got.scores == expected.scores) | (np.isnan(got.scores) & np.isnan(expected.scores))
        if not same.all():
            place = int(np.argmin(same))
            raise Difference(f"text {place} of a batch, {texts[place]!r}: {got[place]}, not {expected[place]}")

    def _check_scores(self, text: str, characters: str, index: RougeIndex, brute: BruteForce) -> None:
        expected = brute.scores([characters], brute.pool)[0]
        if not np.array_equal(index.scores(text), expected):
            raise Difference(f"the scores of {text!r} differ")
        order = np.argsort(-expected, kind="stable")[:5].tolist()
        if index.most_similar(text, 5) != [(place, float(expected[place])) for place in order]:
            raise Difference(f"the most similar of {text!r} differ")
        self.counts["scores compared"] += len(expected)

    def _disturbed(self, random: np.random.Generator, plan: Plan, index: RougeIndex) -> RougeIndex:
        """The index, perhaps saved and loaded, and perhaps about to rank its tokens anew."""
        kind = random.random() * 20 / min(plan.largest_batch, 20)  # as often for a text in small batches as in large
        if kind < 0.03:
            index.save(self._snapshot)
            index = RougeIndex.load(self._snapshot, threads=plan.threads)
            self.counts["saved and loaded"] += 1
        elif kind < 0.08:
            index._exact.rebuild_at = 0  # noqa: SLF001  it would wait until the pool has doubled
            self.counts["ranked anew"] += 1
        return index


def _character(token: int) -> str:
    return chr(token + 1)  # 50,000 tokens end before the surrogates


def show(counts: Counter[str], minutes: float) -> None:
    parts = ", ".join(f"{what} {count:,}" for what, count in counts.items())
    print(f"{minutes:8.1f} min: {parts}", flush=True)


def soak(soak: Soak, first: int, streams: int | None, minutes: float) -> tuple[str | None, float]:
    """Streams until the time is up or so many are done: the first difference, if any, and the minutes it took."""
    begin = told = time.monotonic()
    number = first
    while time.monotonic() - begin < 60 * minutes and (streams is None or number < first + streams):
        try:
            soak.run_stream(number)
        except Difference as difference:
            return str(difference), (time.monotonic() - begin) / 60
        number += 1
        if time.monotonic() - told > 60:
            told = time.monotonic()
            show(soak.counts, (told - begin) / 60)
    return None, (time.monotonic() - begin) / 60


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first stream")
    parser.add_argument("--streams", type=int, help="stop after so many")
    arguments = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as folder:
        run = Soak(arguments.seed, Path(folder))
        difference, minutes = soak(run, arguments.first, arguments.streams, arguments.minutes)
    for what, count in run.counts.items():
        print(f"{what:<20}{count:>18,}")
    print(f"{'differences':<20}{0 if difference is None else 1:>18}")
    if difference is not None:
        print(difference)
    counts = {what.replace(" ", "_"): count for what, count in run.counts.items()}
    found = {"seed": arguments.seed, "first": arguments.first, "minutes": minutes, **counts, "difference": difference}
    print(json.dumps({"benchmark": "soak", "machine": platform.machine(), **found}))
    sys.exit(difference is not None)


if __name__ == "__main__":
    main()
