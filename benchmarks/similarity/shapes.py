"""The exact index on texts of every shape, each beside a plain scan of the pool and `LSHIndex`, in one run.

An index may be fast on one kind of text and fall off a cliff on another: long texts, small vocabularies, permutations,
one header over all. So each shape is a stream with a pool of its own; its first texts are admitted in batches, and the
last are asked about in several ways, in turns:

    batch    `RougeIndex.query` of all of them
    single   one call a text
    scan     no index: each compared by bit-parallel LCS, four at a time, with every pool text whose length leaves room
             for F above the threshold; from token numbers, without the work of making them
    lsh      `LSHIndex.query` of all of them

Ratios are of CPU time within a round, and the median is given. A table for people, one JSON document as the last line.

    python -m benchmarks.similarity.shapes
    python -m benchmarks.similarity.shapes --only permutations outputs --scale 0.1 --rounds 1     # to try it
    python -m benchmarks.similarity.shapes --compare before.json after.json                       # what got slower
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import benchmarks.similarity.markov as markov
from benchmarks.measuring import Ratio, rotated
from benchmarks.similarity.peers_long import PROMPTS, texts_of
from fastinstruct.similarity import LSHIndex, RougeIndex, warm_up
from fastinstruct_kernels.lcs import LANES, new_pattern
from fastinstruct_kernels.scan import new_lanes, score_texts

THRESHOLD = 0.7
ASKED = 300
BATCH = 1_000
SLOWER = 1.15  # what `--compare` names
Row = dict[str, Any]
Texts = Iterator[str]


# ------------------------------------------------------------------------------------------------------------ shapes


def instructions(count: int, _: random.Random) -> Texts:
    yield from markov.corpus()[:count]


def outputs(count: int, rng: random.Random) -> Texts:
    if markov.ALPACA.exists():
        yield from texts_of(markov.ALPACA, "output")[:count]
    else:
        yield from mixed(count, rng)


def prompts(count: int, rng: random.Random) -> Texts:
    if PROMPTS.exists():
        yield from texts_of(PROMPTS, "text")[:count]
    else:
        yield from mixed(count, rng)


def uniform(count: int, rng: random.Random) -> Texts:
    """300 words over a vocabulary of 200: no word is rare, and any two texts share nearly all of them."""
    for _ in range(count):
        yield " ".join(f"w{rng.randrange(200)}" for _ in range(300))


def zipf(count: int, rng: random.Random) -> Texts:
    """140 words, the n-th of 200 met in proportion to 1 / n: within what a run lets an instruction have."""
    weights = [1 / rank for rank in range(1, 201)]
    for _ in range(count):
        yield " ".join(f"w{word}" for word in rng.choices(range(200), weights, k=140))


def shuffled(count: int, rng: random.Random) -> Texts:
    """14 of 16 words in any order: words say nothing, places all."""
    words = [f"w{number}" for number in range(16)]
    for _ in range(count):
        yield " ".join(rng.sample(words, 14))


def permutations(count: int, rng: random.Random) -> Texts:
    """The same 12 words in any order."""
    words = [f"w{number}" for number in range(12)]
    for _ in range(count):
        yield " ".join(rng.sample(words, 12))


def one_word(count: int, rng: random.Random) -> Texts:
    """One word, again and again: any two texts of about one length are near."""
    for _ in range(count):
        yield " ".join(["word"] * rng.randrange(1, 400) + [f"w{rng.randrange(50)}" for _ in range(rng.randrange(6))])


def rare_words(count: int, rng: random.Random) -> Texts:
    """Three words of a set that all texts draw theirs from, and nine that every tenth text has."""
    for _ in range(count):
        rare = [f"r{rng.randrange(8)}" for _ in range(3)]
        common = [f"c{rng.randrange(60)}" for _ in range(9)]
        yield " ".join(rng.sample(rare + common, 12))


def mixed(count: int, rng: random.Random) -> Texts:
    """1 to 400 words of a vocabulary of 20,000 where the n-th is met in proportion to 1 / n."""
    for _ in range(count):
        length = int(400.0 ** rng.random())
        yield " ".join(f"w{int(20_000.0 ** rng.random())}" for _ in range(length))


def boilerplate(count: int, rng: random.Random) -> Texts:
    """A header of 100 words over all, and 60 to 90 words of one's own."""
    header = " ".join(f"h{number}" for number in range(100))
    for _ in range(count):
        yield f"{header} " + " ".join(f"w{int(20_000.0 ** rng.random())}" for _ in range(rng.randrange(60, 91)))


class Shape(NamedTuple):
    """How texts are made, and how many."""

    texts: Callable[[int, random.Random], Texts]
    size: int


SHAPES = {
    "instructions": Shape(instructions, 52_002),
    "outputs": Shape(outputs, 20_000),
    "prompts": Shape(prompts, 2_000),
    "uniform": Shape(uniform, 2_000),
    "zipf": Shape(zipf, 3_000),
    "shuffled": Shape(shuffled, 22_000),
    "permutations": Shape(permutations, 10_000),
    "one word": Shape(one_word, 20_000),
    "rare words": Shape(rare_words, 50_000),
    "mixed": Shape(mixed, 20_000),
    "boilerplate": Shape(boilerplate, 2_500),
}


# ---------------------------------------------------------------------------------------------------------- the scan


class PlainScan:
    """The pool without an index, sorted by length so that the texts of compatible lengths lie together."""

    def __init__(self, index: RougeIndex, asked: list[str]) -> None:
        pool = index._exact.pool  # noqa: SLF001 - the same texts, as numbers
        starts = pool.starts[: len(index) + 1]
        lengths = np.diff(starts)
        order = np.argsort(lengths, kind="stable")
        tokens = np.concatenate([pool.tokens[starts[text] : starts[text + 1]] for text in order] or [pool.tokens])
        self._pool = pool._replace(starts=np.concatenate([[0], np.cumsum(lengths[order])]), tokens=tokens)
        self._lengths = lengths[order]
        vocabulary = len(index._lexicon) + 1  # noqa: SLF001
        numbers, bounds = index._lexicon.number(asked, adding=False)  # noqa: SLF001
        by_length = np.argsort(np.diff(bounds), kind="stable")
        self._groups = [
            self._group(numbers, bounds, by_length[first : first + LANES]) for first in range(0, len(asked), LANES)
        ]
        self._lanes = new_lanes(vocabulary)
        self._pattern = new_pattern(int(np.diff(bounds).max()), vocabulary, np.zeros(1, np.int64))
        self._scores = np.empty((LANES, len(lengths)))

    def _group(
        self, numbers: NDArray[np.int32], bounds: NDArray[np.int64], texts: NDArray[np.int64]
    ) -> tuple[NDArray[np.int32], NDArray[np.int64], int, int]:
        lengths = np.diff(bounds)[texts]
        tokens = np.concatenate([numbers[bounds[text] : bounds[text + 1]] for text in texts])
        rate = THRESHOLD / (2 - THRESHOLD)
        first = int(np.searchsorted(self._lengths, lengths.min() * rate))
        last = int(np.searchsorted(self._lengths, lengths.max() / rate, side="right"))
        return tokens, np.concatenate([[0], np.cumsum(lengths)]), first, last

    def num_rejected(self) -> int:
        found = 0
        for tokens, starts, first, last in self._groups:
            scores = self._scores[: len(starts) - 1]
            score_texts(self._pool, tokens, starts, self._lanes, self._pattern, first, last, scores)
            found += int((scores[:, first:last] > THRESHOLD).any(axis=1).sum())
        return found


# ------------------------------------------------------------------------------------------------------- measurement


def timed(work: Callable[[], int]) -> tuple[float, int]:
    """CPU time in seconds, and what `work` gave."""
    gc.collect()
    begin = time.process_time()
    found = work()
    return time.process_time() - begin, found


def measure(name: str, scale: float, rounds: int) -> Row:
    shape = SHAPES[name]
    texts = list(shape.texts(max(int(shape.size * scale), 200), random.Random(1)))
    num_asked = min(ASKED, len(texts) // 4)
    first, asked = texts[:-num_asked], texts[-num_asked:]
    index, lsh = RougeIndex(THRESHOLD), LSHIndex(THRESHOLD)
    admitting_s, num_admitted = timed(lambda: admitted(index, first))
    lsh_admitting_s, _ = timed(lambda: admitted(lsh, first))
    scan = PlainScan(index, asked)
    arms: dict[str, Callable[[], int]] = {
        "batch": lambda: int((~index.query(asked).admitted).sum()),
        "single": lambda: sum(not index.query([text]).admitted[0] for text in asked),
        "scan": scan.num_rejected,
        "lsh": lambda: int((~lsh.query(asked).admitted).sum()),
    }
    times: dict[str, list[float]] = {arm: [] for arm in arms}
    rejected: dict[str, int] = {}
    for number in range(-1, rounds):  # the first one is not counted: pages, caches
        for arm in rotated(list(arms), number):
            seconds, rejected[arm] = timed(arms[arm])
            if number >= 0:
                times[arm].append(seconds)
    if not rejected["batch"] == rejected["single"] == rejected["scan"]:
        raise SystemExit(f"{name}: rejected by {rejected}")
    each = 1e6 / num_asked
    return {
        "shape": name,
        "texts": len(texts),
        "pool": num_admitted,
        "words": float(np.mean([len(text.split()) for text in texts])),
        "rejected": rejected,
        "admitting_us": 1e6 * admitting_s / len(first),
        "lsh_admitting_us": 1e6 * lsh_admitting_s / len(first),
        "us": {arm: each * float(np.median(seconds)) for arm, seconds in times.items()},
        "ratios": {
            "batch / scan": Ratio.of(times["batch"], times["scan"]),
            "batch / lsh": Ratio.of(times["batch"], times["lsh"]),
            "batch / single": Ratio.of(times["batch"], times["single"]),
            "single / scan": Ratio.of(times["single"], times["scan"]),
        },
    }


def admitted(index: RougeIndex | LSHIndex, texts: list[str]) -> int:
    for first in range(0, len(texts), BATCH):
        index.admit(texts[first : first + BATCH])
    return len(index)


def show(row: Row) -> None:
    us, ratios = row["us"], row["ratios"]
    print(
        f"{row['shape']:<14}{row['pool']:>8,}{row['words']:>7.0f}{row['admitting_us']:>11,.1f}{us['batch']:>11,.1f}"
        f"{us['single']:>11,.1f}{us['scan']:>11,.1f}{us['lsh']:>11,.1f}"
        + "".join(f"{ratio.median:>9.2f}" for ratio in ratios.values()),
        flush=True,
    )


def compare(before: Path, after: Path) -> int:
    """Print what got slower or faster between two results; how much got slower."""
    rows = [
        {row["shape"]: row for row in json.loads(path.read_text().splitlines()[-1])["rows"]} for path in (before, after)
    ]
    num_slower = 0
    for name in [name for name in rows[0] if name in rows[1]]:
        for arm in ("batch", "single", "lsh"):
            # Against the scan of the same run: the machines of two runs differ.
            old, new = (found[name]["us"][arm] / found[name]["us"]["scan"] for found in rows)
            if new > SLOWER * old or old > SLOWER * new:
                num_slower += new > SLOWER * old
                print(f"{'SLOWER' if new > old else 'faster'} {name}, {arm}: {new / old:.2f} x the time")
    return num_slower


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--only", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    parser.add_argument("--scale", type=float, default=1.0, help="of each shape's number of texts")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--compare", nargs=2, type=Path, metavar=("BEFORE", "AFTER"))
    arguments = parser.parse_args()
    if arguments.compare:
        raise SystemExit(1 if compare(*arguments.compare) else 0)
    begin = time.perf_counter()
    warm_up()
    compiling = time.perf_counter() - begin
    print(f"compiling or loading the kernels: {compiling:.2f} s; load at the start: {os.getloadavg()[0]:.1f}")
    columns = ("admit us", "batch us", "single us", "scan us", "lsh us")
    print(
        f"{'shape':<14}{'pool':>8}{'words':>7}"
        + "".join(f"{column:>11}" for column in columns)
        + "  batch: / scan, / lsh, / single; single / scan"
    )
    rows = []
    for name in arguments.only:
        rows.append(measure(name, arguments.scale, arguments.rounds))
        show(rows[-1])
    document = {"benchmark": "shapes", "compile_s": compiling, "machine": platform.machine(), "rows": rows}
    print(json.dumps(document, default=lambda ratio: {name: getattr(ratio, name) for name in ratio.__slots__}))


if __name__ == "__main__":
    main()
