"""Texts on which lists of rare words are of no use: verdicts as ever, and no pair of texts compared twice."""

import math
import random
from collections.abc import Callable

import pytest

from fastinstruct.similarity import RougeIndex
from related_texts import comparable, judgements

Draw = Callable[[random.Random], list[str]]


def permutation(rng: random.Random) -> list[str]:
    return rng.sample([f"w{number}" for number in range(12)], 12)


def one_word(rng: random.Random) -> list[str]:
    return ["word"] * rng.randrange(1, 90) + [f"w{rng.randrange(9)}" for _ in range(rng.randrange(4))]


def few_words(rng: random.Random) -> list[str]:
    return [f"w{rng.randrange(40)}" for _ in range(rng.choice([31, 32, 33, 63, 64, 65, 66, 129, 150]))]


def header(rng: random.Random) -> list[str]:
    return [f"h{number}" for number in range(40)] + [f"w{rng.randrange(2_000)}" for _ in range(rng.randrange(15, 35))]


SHAPES: list[Draw] = [permutation, one_word, few_words, header]


def judged_by_scores(texts: list[str], threshold: float) -> list[tuple[bool, int | None, str]]:
    """One after another, each by its scores with the whole pool: a way that knows no lists."""
    pool = RougeIndex()
    found = []
    for text in texts:
        scores = pool.scores(text)
        nearest = int(scores.argmax()) if len(scores) else 0
        if len(scores) and scores[nearest] > threshold:
            found.append(comparable((False, nearest, float(scores[nearest]))))
        else:
            found.append(comparable((True, None, math.nan)))
            pool.add([text])
    return found


@pytest.mark.parametrize("threshold", [0.3, 0.7, 0.9])
@pytest.mark.parametrize("draw", SHAPES)
def test_verdicts_are_those_of_comparing_with_every_text(draw: Draw, threshold: float) -> None:
    rng = random.Random(5)
    texts = [" ".join(draw(rng)) for _ in range(400)]
    expected = judged_by_scores(texts, threshold)
    for batch, threads in ((400, 1), (97, 2), (1, 1)):
        index = RougeIndex(threshold, threads=threads)
        found = [each for at in range(0, 400, batch) for each in judgements(index.admit(texts[at : at + batch]))]
        assert found == expected


@pytest.mark.parametrize("draw", SHAPES)
def test_no_pair_is_compared_twice_whatever_the_batch(draw: Draw) -> None:
    rng = random.Random(6)
    index = RougeIndex()
    index.add([" ".join(draw(rng)) for _ in range(700)])
    asked = [" ".join(draw(rng)) for _ in range(300)]
    for batch in (300, 1):
        before = index.statistics()
        for at in range(0, 300, batch):
            verdicts = index.query(asked[at : at + batch])
            assert len(verdicts) == batch
        assert index.statistics().num_compared - before.num_compared <= 300 * 700


def test_what_lists_promise_too_much_is_scanned_and_said() -> None:
    rng = random.Random(7)
    index = RougeIndex()
    index.add([" ".join(permutation(rng)) for _ in range(700)])
    assert index.statistics().num_scans == 0
    index.query([" ".join(permutation(rng)) for _ in range(20)])
    assert (index.statistics().num_judged_alone, index.statistics().num_scans) == (20, 20)
    assert index.statistics().num_compared == 20 * 700
    index.query(["nothing that anybody has said"])
    assert index.statistics().num_judged_alone == 20
