"""Any number of short texts that look like instructions: an order-2 Markov chain over real ones.

Knows nothing of similarity. Guarantees the same texts for the same seed and corpus, on every machine and NumPy: only
the raw 64-bit stream of PCG64 is used, which NumPy keeps stable. Words keep their case and punctuation, so that a
tokenizer has its usual work.

The corpus is `../shared/data/alpaca_52k.jsonl.gz` beside the repository if it is there (text lengths then average
12 tokens), else sentences made of a small vocabulary.
"""

import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ALPACA = Path(__file__).resolve().parents[3] / "shared" / "data" / "alpaca_52k.jsonl.gz"
# Share of the texts that are an earlier text with one or two of its words replaced; the chain makes others by itself.
NEAR_DUPLICATES = 0.1

_BLOCK = 1 << 13
_LONGEST = 40
# Shorter texts of the corpus are left out, so that the chain's average 12 tokens.
_SHORTEST = 9
_END = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """What may follow two words: the followers of state s are `followers[starts[s]:starts[s + 1]]`."""

    words: list[str]
    starts: NDArray[np.int64]  # int64[states + 1]
    followers: NDArray[np.int32]  # int32[transitions]: word numbers, 0 for the end
    targets: NDArray[np.int32]  # int32[transitions]: the state after it, 0 where the text ends
    openings: NDArray[np.int32]  # int32[corpus texts, 3]: their first two words and the state after them


def corpus() -> list[str]:
    """Real instructions where they are at hand, else made-up ones."""
    if ALPACA.exists():
        with gzip.open(ALPACA, "rt", encoding="utf-8") as lines:
            return [json.loads(line)["instruction"] for line in lines]
    return list(_made_up_sentences(20_000))


def _made_up_sentences(count: int) -> Iterator[str]:
    """Sentences over 4,000 pronounceable words, the n-th of them met in proportion to 1 / n."""
    random = np.random.PCG64(0)
    syllables = [first + second for first in "bdfgklmnprst" for second in "aeiou"]
    words = [syllables[n % 60] + syllables[n * 7 // 60 % 60] + ("n" if n > 3_600 else "") for n in range(4_000)]
    for _ in range(count):
        draws = random.random_raw(8 + int(random.random_raw() % np.uint64(9))) / 2.0**64
        yield " ".join(words[number] for number in (4_000.0**draws - 1).astype(int)) + "."


def build_chain(texts: list[str]) -> Chain:
    """The order-2 chain over the texts' words; texts that are very short or long are left out."""
    numbers: dict[str, int] = {"": _END}
    states: dict[tuple[int, int], int] = {(0, 0): 0}
    transitions: list[tuple[int, int, int]] = []
    openings: list[tuple[int, int, int]] = []
    for text in texts:
        walk = [numbers.setdefault(word, len(numbers)) for word in text.split()]
        if not _SHORTEST <= len(walk) <= _LONGEST:
            continue
        visited = [states.setdefault(pair, len(states)) for pair in pairwise(walk)]
        openings.append((walk[0], walk[1], visited[0]))
        transitions.extend(zip(visited, [*walk[2:], _END], [*visited[1:], 0], strict=True))
    table = np.array(transitions, dtype=np.int32)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Chain(
        words=list(numbers),
        starts=np.searchsorted(table[:, 0], np.arange(len(states) + 1)),
        followers=table[:, 1].copy(),
        targets=table[:, 2].copy(),
        openings=np.array(openings, dtype=np.int32),
    )


def blocks(chain: Chain, count: int, seed: int = 0) -> Iterator[list[str]]:
    """`count` texts, some thousands at a time."""
    for first in range(0, count, _BLOCK):
        random = np.random.PCG64([seed, first])
        lengths, walks = _walks(chain, random)
        _copy_some(chain, random, lengths, walks)
        words = chain.words.__getitem__
        rows = zip(walks.tolist(), lengths.tolist(), strict=True)
        texts = [" ".join(map(words, row[:length])) for row, length in rows]
        yield texts[: count - first]


def _walks(chain: Chain, random: np.random.PCG64) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Walks of one block: lengths int64[block], word numbers int32[block, longest]."""
    walks = np.zeros((_BLOCK, _LONGEST), dtype=np.int32)
    opening = chain.openings[random.random_raw(_BLOCK) % np.uint64(len(chain.openings))]
    walks[:, :2] = opening[:, :2]
    states = opening[:, 2]
    lengths = np.full(_BLOCK, 2)
    for step in range(2, _LONGEST):
        taken = _step(chain, random, states)
        taken = np.where(states > 0, taken, -1)
        walks[:, step] = np.where(taken >= 0, chain.followers[taken], _END)
        states = np.where(taken >= 0, chain.targets[taken], 0)
        lengths += walks[:, step] != _END
    return lengths, walks


def _step(chain: Chain, random: np.random.PCG64, states: NDArray[np.int32]) -> NDArray[np.int64]:
    """One transition for each state, each as often as in the corpus."""
    first = chain.starts[states]
    number = np.maximum(chain.starts[states + 1] - first, 1).astype(np.uint64)
    steps: NDArray[np.int64] = (random.random_raw(_BLOCK) % number).astype(np.int64)
    taken: NDArray[np.int64] = first + steps
    return taken


def _copy_some(chain: Chain, random: np.random.PCG64, lengths: NDArray[np.int64], walks: NDArray[np.int32]) -> None:
    """Make some texts of the block copies of one before them, with one or two words replaced."""
    copies = np.flatnonzero(random.random_raw(_BLOCK) / 2.0**64 < NEAR_DUPLICATES)
    copies = copies[copies > 0]
    for copy, draw in zip(copies.tolist(), random.random_raw(len(copies)).tolist(), strict=True):
        original = draw % copy
        walks[copy], lengths[copy] = walks[original], lengths[original]
        for edit in range(1 + draw % 2):
            place = (draw >> (20 + 8 * edit)) % int(lengths[original])
            walks[copy, place] = 1 + (draw >> (9 + 13 * edit)) % (len(chain.words) - 1)
