"""Both indexes offer the same, and LSHIndex ranks, averages and refuses as RougeIndex does."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, RougeIndex
from fastinstruct.testing import oracles
from related_texts import judgements, related_texts, texts_of_few_words

claim = settings(deadline=None, max_examples=100, derandomize=True, database=None)


def offered(index: type) -> dict[str, list[str]]:
    """What an index offers, with the arguments of each."""
    members = {name: member for name, member in inspect.getmembers(index) if not name.startswith("_")}
    return {
        name: [] if isinstance(member, property) else list(inspect.signature(member).parameters)
        for name, member in members.items()
    }


def test_an_lsh_index_offers_what_a_rouge_index_offers() -> None:
    exact, lsh = offered(RougeIndex), offered(LSHIndex)
    assert {"admit", "average_similarity_each", "most_similar_each", "save", "scores", "threshold"} <= set(exact)
    exact["load"].remove("threads")  # an LSHIndex has none
    del exact["statistics"]  # it counts other work
    assert "statistics" in lsh
    assert {name: lsh.get(name) for name in exact} == exact


@given(texts_of_few_words, texts_of_few_words, st.integers(0, 30))
@claim
def test_scores_rankings_and_averages_are_the_naive_pools(seeds: list[str], texts: list[str], k: int) -> None:
    index, pool = LSHIndex(), oracles.Pool(0.7)
    index.add(seeds)
    pool.texts.extend(seed.split() for seed in seeds)
    expected = [pool.scores(text.split()) for text in texts]
    assert [index.scores(text).tolist() for text in texts] == expected
    assert index.most_similar_each(texts, k) == [pool.most_similar(text.split(), k) for text in texts]
    averages = [float(np.mean(scores)) if scores else 0.0 for scores in expected]
    assert index.average_similarity_each(texts).tolist() == averages
    assert [index.average_similarity(text) for text in texts] == averages


def test_long_texts_and_new_words_are_ranked_as_by_a_rouge_index() -> None:
    texts = related_texts(500, longest=20, seed=2) + related_texts(40, longest=150, seed=3) + ["", "unmet words"]
    exact, lsh = RougeIndex(), LSHIndex()
    for index in (exact, lsh):
        index.add(texts[:520])
    questions = texts[490:]
    for k in (0, 1, 65, 5_000):
        assert lsh.most_similar_each(questions, k) == exact.most_similar_each(questions, k)
    assert lsh.average_similarity_each(questions).tolist() == exact.average_similarity_each(questions).tolist()


def test_many_texts_at_once_are_judged_as_a_few_at_a_time() -> None:
    texts = related_texts(9_000, longest=14, seed=8)
    together, apart = LSHIndex(), LSHIndex()
    verdicts = together.admit(texts)
    assert len(verdicts) == 9_000
    parts = [judgements(apart.admit(texts[first : first + 1_300])) for first in range(0, 9_000, 1_300)]
    assert judgements(verdicts) == [verdict for part in parts for verdict in part]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.query(["fine", 3]), "every text must be a str; got int"),
        (lambda index: index.scores(None), "every text must be a str; got NoneType"),
        (lambda index: index.most_similar("text", 1.5), "k must be an int of at least 0; got 1.5"),
        (lambda index: index.average_similarity_each("one text"), "texts must be a sequence of str; got one str"),
        (lambda index: index.signatures("one text"), "texts must be a sequence of str; got one str"),
    ],
)
def test_what_is_no_text_is_refused_and_changes_nothing(call: Callable[[Any], object], message: str) -> None:
    index = LSHIndex()
    index.add(["fine"])
    with pytest.raises(InputError) as error:
        call(index)
    assert str(error.value) == message
    assert len(index) == 1


def test_a_refused_batch_admits_none_of_its_texts() -> None:
    index = LSHIndex()
    with pytest.raises(InputError):
        index.admit(["a b c", 7])  # type: ignore[list-item]  # what is refused at run time
    assert len(index) == 0
    assert index.admit(["a b c"])[0].admitted
