"""The 52,002 instructions of Stanford Alpaca, which were filtered by ROUGE-L 0.7: real texts, real near-misses."""

import gzip
import json
import random
from collections import Counter
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray
from rouge_score.rouge_scorer import RougeScorer

from fastinstruct.similarity import RougeIndex
from places import REPOSITORY

REPO = REPOSITORY
ALPACA = REPO.parent / "shared" / "data" / "alpaca_52k.jsonl.gz"

pytestmark = pytest.mark.skipif(not ALPACA.exists(), reason="needs the Alpaca instructions, which are not ours to ship")

# Every 10th text is compared with all the others.
STEP = 10


class Scan(NamedTuple):
    """What a full scan of the pool found for one text."""

    best: float
    nearest: int
    near: list[int]  # positions with F from 0.58 to 0.8
    near_scores: list[float]


@pytest.fixture(scope="module")
def instructions() -> list[str]:
    with gzip.open(ALPACA, "rt", encoding="utf-8") as lines:
        return [json.loads(line)["instruction"] for line in lines]


@pytest.fixture(scope="module")
def held_out(instructions: list[str]) -> list[str]:
    return instructions[::STEP]


@pytest.fixture(scope="module")
def pool(instructions: list[str]) -> list[str]:
    return [text for position, text in enumerate(instructions) if position % STEP]


@pytest.fixture(scope="module")
def scans(held_out: list[str], pool: list[str]) -> list[Scan]:
    """For each held-out text, the result of comparing it with the whole pool."""
    index = RougeIndex(tokenizer="rouge")
    index.add(pool)
    return [scan(index.scores(text)) for text in held_out]


def scan(scores: NDArray[np.float64]) -> Scan:
    near = np.flatnonzero((scores >= 0.58) & (scores <= 0.8))
    return Scan(float(scores.max()), int(scores.argmax()), near.tolist(), scores[near].tolist())


@pytest.fixture(scope="module")
def reference() -> RougeScorer:
    return RougeScorer(["rougeL"])


def test_rouge_admits_all_of_alpaca_in_file_order(instructions: list[str]) -> None:
    index = RougeIndex(tokenizer="rouge")
    verdicts = index.admit(instructions)
    assert len(verdicts) == len(index) == 52_002
    assert verdicts.admitted.all()
    assert (verdicts.nearest == -1).all()
    assert np.isnan(verdicts.scores).all()


def test_all_of_alpaca_is_rejected_as_its_own_duplicate(instructions: list[str]) -> None:
    index = RougeIndex(tokenizer="rouge")
    index.add(instructions)
    verdicts = index.query(instructions)
    admitted = [text for text, verdict in zip(instructions, verdicts, strict=True) if verdict.admitted]
    assert [text for text in admitted if index.scores(text).any()] == []  # what is admitted has no token
    assert (verdicts.nearest[~verdicts.admitted] == np.flatnonzero(~verdicts.admitted)).all()
    assert (verdicts.scores[~verdicts.admitted] == 1.0).all()


def test_every_score_near_the_threshold_has_the_bits_of_rouge_score(
    held_out: list[str], pool: list[str], scans: list[Scan], reference: RougeScorer
) -> None:
    compared: Counter[bool] = Counter()
    for text, found in zip(held_out, scans, strict=True):
        expected = [reference.score(pool[position], text)["rougeL"].fmeasure for position in found.near]
        assert found.near_scores == expected
        compared.update(score == 0.7 for score in expected)
    assert compared.total() > 20_000
    assert compared[True] > 200  # exactly at the threshold, and kept


@pytest.mark.parametrize("threshold", [0.4, 0.55, 0.6, 0.7])
def test_the_index_misses_nothing_that_a_full_scan_finds(
    threshold: float, held_out: list[str], pool: list[str], scans: list[Scan]
) -> None:
    index = RougeIndex(threshold, tokenizer="rouge")
    index.add(pool)
    for verdict, found in zip(index.query(held_out), scans, strict=True):
        assert verdict.admitted == (found.best <= threshold)
        if not verdict.admitted:
            assert (verdict.nearest, verdict.score) == (found.nearest, found.best)


def test_edited_instructions_get_the_verdict_of_rouge_score(instructions: list[str], reference: RougeScorer) -> None:
    """Copies with a fifth to a half of their words replaced crowd around the threshold from both sides."""
    draw = random.Random(20)
    words = [word for text in instructions[:2_000] for word in text.split()]
    index = RougeIndex(tokenizer="rouge")
    index.add(instructions)
    outcomes: Counter[bool] = Counter()
    for _ in range(10_000):
        position = draw.randrange(len(instructions))
        rate = draw.uniform(0.2, 0.5)
        copy = " ".join(draw.choice(words) if draw.random() < rate else word for word in instructions[position].split())
        (verdict,) = index.query([copy])
        score = reference.score(instructions[position], copy)["rougeL"].fmeasure
        outcomes[verdict.admitted] += 1
        if verdict.nearest is None:
            assert score <= 0.7
        elif verdict.nearest == position:
            assert verdict.score == score
        else:
            assert verdict.score >= score
            assert verdict.score == reference.score(instructions[verdict.nearest], copy)["rougeL"].fmeasure
    assert min(outcomes[True], outcomes[False]) > 3_000
