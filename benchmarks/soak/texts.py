"""Random streams that are hard on a near-duplicate index: plans, token lists, and texts with just these tokens.

Knows nothing of similarity. Token lists are made first and written out as texts afterwards, so that whoever decides by
the numbers needs no tokenizer. Everything follows from the generator that is passed in.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

MOST_WORDS = 50_000
LONGEST = 300

# Lengths of a stream's texts, and how many texts it has at most; comparing long ones takes longer.
_LENGTHS = {
    "0 to 3": (range(4), 4_000),
    "0 to 12": (range(13), 4_000),
    "5 to 20": (range(5, 21), 4_000),
    "30 to 70": (range(30, 71), 1_500),
    "62 to 66": (range(62, 67), 1_500),
    "bounds": ((0, 1, 2, 31, 32, 33, 63, 64, 65, 127, 128, 129, 200, 254, 255, 256, 300), 600),
    "0 to 300": (range(LONGEST + 1), 600),
}
_VOCABULARIES = (1, 2, 3, 5, 10, 30, 100, 1_000, 10_000, MOST_WORDS)
_SEPARATORS = {
    "rouge": (" ", "  ", ", ", "-", "\n", "_", " é ", "中", "\u200b", "\ud800"),
    "unicode": (" ", "  ", ", ", "-", "\n", "_", " — ", "。", "\u3000"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How one stream is made, and how the index that meets it is set."""

    threshold: float
    tokenizer: str
    threads: int
    vocabulary: int
    lengths: str
    skewed: bool  # some tokens are far more common than others
    copies: float  # share of texts made from earlier ones
    header: int  # tokens that every fresh text begins with
    permuted: bool  # every fresh text has the same tokens
    count: int
    largest_batch: int
    split_size: int


def drawn_plan(random: np.random.Generator) -> Plan:
    lengths = str(random.choice(list(_LENGTHS)))
    most = _LENGTHS[lengths][1] * (6 if random.random() < 0.02 else 1)
    return Plan(
        threshold=_threshold(random),
        tokenizer=str(random.choice(list(_SEPARATORS))),
        threads=int(random.integers(1, 3)),
        vocabulary=int(random.choice(_VOCABULARIES)),
        lengths=lengths,
        skewed=bool(random.random() < 0.6),
        copies=float(random.choice([0.0, 0.2, 0.5, 0.9])),
        header=int(random.choice([0, 0, 0, 0, 5, 20, 100])),
        permuted=bool(random.random() < 0.1),
        count=int(most ** random.uniform(0.5, 1)),
        largest_batch=int(random.choice([1, 20, 200, 2_000])),
        split_size=int(random.choice([4, 32, 1_024])),
    )


def _threshold(random: np.random.Generator) -> float:
    """The usual one, any, one that some pairs hit exactly, or an extreme one."""
    kind = random.random()
    if kind < 0.35:
        return 0.7
    if kind < 0.6:
        return float(random.random())
    if kind < 0.85:
        left, right = (int(length) for length in random.integers(1, 40, 2))
        common = int(random.integers(1, min(left, right) + 1))
        precision, recall = common / left, common / right
        return min(1.0, 2 * precision * recall / (precision + recall))
    return float(random.choice([0.0, 1e-300, 0.01, 0.5, 0.54, 0.9, 0.999999, 1.0]))


def token_lists(random: np.random.Generator, plan: Plan) -> list[list[int]]:
    """The stream's texts as token numbers below `plan.vocabulary`."""
    lists: list[list[int]] = []
    lengths = _LENGTHS[plan.lengths][0]
    for _ in range(plan.count):
        if lists and random.random() < plan.copies:
            earlier = lists[int(random.integers(len(lists)))]
            lists.append(_varied(random, plan, earlier)[:LONGEST])
        else:
            lists.append(_fresh(random, plan, lengths[int(random.integers(len(lengths)))]))
    return lists


def _fresh(random: np.random.Generator, plan: Plan, length: int) -> list[int]:
    tokens: list[int]
    if plan.permuted:
        tokens = random.permutation(min(length, plan.vocabulary)).tolist()
    else:
        tokens = _drawn(random, plan, length)
    return ([number % plan.vocabulary for number in range(plan.header)] + tokens)[:LONGEST]


def _drawn(random: np.random.Generator, plan: Plan, length: int) -> list[int]:
    draws = random.random(length)
    tokens = plan.vocabulary**draws - 1 if plan.skewed else plan.vocabulary * draws
    numbers: list[int] = tokens.astype(np.int64).tolist()
    if random.random() < 0.1:  # a run of one token
        numbers[: length // 2] = numbers[:1] * (length // 2)
    return numbers


def _varied(random: np.random.Generator, plan: Plan, tokens: list[int]) -> list[int]:
    """A copy, permutation, subsequence, repetition or edit of a text."""
    kind, half = int(random.integers(9)), len(tokens) // 2
    if kind == 0:
        return list(tokens)
    if kind == 1:
        return [tokens[place] for place in random.permutation(len(tokens))]
    if kind == 2:
        return [token for token, draw in zip(tokens, random.random(len(tokens)), strict=True) if draw < 0.8]
    if kind == 3:
        return tokens + tokens
    if kind == 4:
        return tokens[::-1]
    if kind == 5:
        return tokens[half:] + tokens[:half]
    if kind == 6:
        return tokens + _drawn(random, plan, half)
    edited = list(tokens)
    for place in random.integers(0, len(tokens) + 1, 1 + int(random.integers(half + 1))).tolist():
        edited[place : place + int(random.integers(2))] = _drawn(random, plan, int(random.integers(2)))
    return edited


@cache
def words(tokenizer: str) -> list[str]:
    """The word of each number: a token by itself, in lower case, and no two alike."""
    made = [np.base_repr(number, 36).lower() for number in range(MOST_WORDS)]
    made[::17] = [word.zfill(20) for word in made[::17]]
    if tokenizer == "unicode":
        made[1::5] = [chr(0x4E00 + number) for number in range(len(made[1::5]))]
        made[2::5] = [f"{word}é" for word in made[2::5]]
        made[3::5] = [f"ж{word}" for word in made[3::5]]
    assert len(set(made)) == MOST_WORDS
    return made


def written(random: np.random.Generator, plan: Plan, tokens: list[int]) -> str:
    """A text with these tokens, in some case and with some separator."""
    known = words(plan.tokenizer)
    separators = _SEPARATORS[plan.tokenizer]
    text = separators[int(random.integers(len(separators)))].join([known[token] for token in tokens])
    kind = random.random()
    if kind < 0.2:
        return f" {text.upper()}."
    if kind < 0.25:
        return text.replace("k", "\u212a")  # the Kelvin sign lowers to k
    return text
