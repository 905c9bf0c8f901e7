"""RougeIndex decides as a comparison of every text with every text decides, and says the same as rouge_score."""

import itertools
import logging
import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.event import install_recorder
from rouge_score.rouge_scorer import RougeScorer

import fastinstruct.similarity
from fastinstruct.errors import InputError
from fastinstruct.similarity import RougeIndex, Verdict, Verdicts, tokenize, warm_up
from fastinstruct.testing import oracles
from fastinstruct_kernels.pool import SPLIT_SIZE
from related_texts import (
    comparable,
    judgements,
    naive_admissions,
    rebuilding_index,
    related_texts,
    texts_of_few_words,
    thresholds,
)

claim = settings(deadline=None, max_examples=250, derandomize=True, database=None)


@given(texts_of_few_words, thresholds)
@claim
def test_admissions_are_those_of_a_full_comparison(texts: list[str], threshold: float) -> None:
    assert judgements(rebuilding_index(threshold).admit(texts)) == naive_admissions(texts, threshold)


@pytest.mark.parametrize("threshold", [0.4, 0.55, 0.7, 0.85])
def test_admissions_of_related_texts_are_those_of_a_full_comparison(threshold: float) -> None:
    texts = related_texts(300, longest=14, seed=int(100 * threshold))
    expected = naive_admissions(texts, threshold)
    assert 30 < sum(not admitted for admitted, _, _ in expected) < 270
    assert judgements(RougeIndex(threshold).admit(texts)) == expected
    assert judgements(rebuilding_index(threshold).admit(texts)) == expected


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_admissions_of_long_texts_are_those_of_a_full_comparison(threshold: float) -> None:
    texts = related_texts(60, longest=300, seed=7)
    assert max(len(text.split()) for text in texts) > 256
    expected = naive_admissions(texts, threshold)
    assert any(not admitted for admitted, _, _ in expected)
    assert judgements(rebuilding_index(threshold).admit(texts)) == expected


def test_the_verdicts_of_a_batch_are_those_of_its_texts_one_by_one() -> None:
    texts = related_texts(2_000, longest=14, seed=3)
    together, apart, chunked = RougeIndex(), rebuilding_index(), RougeIndex()
    expected = judgements(together.admit(texts))
    assert [judgements(apart.admit([text]))[0] for text in texts] == expected
    chunks = [judgements(chunked.admit(texts[begin : begin + 37])) for begin in range(0, 2_000, 37)]
    assert [verdict for chunk in chunks for verdict in chunk] == expected
    assert len(together) == len(apart) == len(chunked) == sum(admitted for admitted, _, _ in expected)


@pytest.mark.parametrize("threshold", [0.0, 0.45, 0.7, 0.95, 1.0])
def test_verdicts_do_not_depend_on_threads_or_splits(threshold: float) -> None:
    texts = related_texts(3_000, longest=14, seed=5) + related_texts(200, longest=130, seed=6)
    expected = judgements(RougeIndex(threshold).admit(texts))
    for threads in (1, 2, 3):
        index = rebuilding_index(threshold, threads=threads)
        assert judgements(index.admit(texts[:17])) + judgements(index.admit(texts[17:])) == expected
        assert (index._exact.pool.split > 0).any() or threshold == 0.0
        assert index.query(texts).nearest.tolist() == rebuilding_copy(index).query(texts).nearest.tolist()


def rebuilding_copy(index: RougeIndex) -> RougeIndex:
    """The same texts in one list a token."""
    copy = RougeIndex(index.threshold)
    words = ["", *index._lexicon.tokens()]
    pool = index._exact.pool
    starts = pool.starts[: len(index) + 1].tolist()
    tokens = pool.tokens[: starts[-1]].tolist()
    copy.add([" ".join(map(words.__getitem__, tokens[a:b])) for a, b in itertools.pairwise(starts)])
    return copy


def test_lists_split_between_rebuilds_miss_nothing() -> None:
    texts = related_texts(2_000, longest=14, seed=9)
    index = RougeIndex(0.6)
    index._exact.pool.counters[SPLIT_SIZE] = 5
    assert judgements(index.admit(texts)) == naive_admissions(texts[:400], 0.6) + judgements(
        RougeIndex(0.6).admit(texts)[400:]
    )


def test_words_that_become_common_later_are_found() -> None:
    """New words rank as the rarest until the next rebuild, however common they have become."""
    texts = [f"old{n % 7} old{n % 11} old{n}" for n in range(40)]
    texts += [f"new{n % 3} new{n % 5} new{n % 50} x{n // 50}" for n in range(400)]
    assert judgements(RougeIndex().admit(texts)) == naive_admissions(texts, 0.7)
    assert judgements(rebuilding_index().admit(texts)) == naive_admissions(texts, 0.7)


def test_a_text_is_judged_against_earlier_texts_of_its_own_batch() -> None:
    verdicts = RougeIndex().admit(["name three red fruits", "name three red fruits"])
    assert list(verdicts) == [
        Verdict(admitted=True, nearest=None, score=math.nan),
        Verdict(admitted=False, nearest=0, score=1.0),
    ]


def test_seven_common_words_reject_eight_and_twelve_but_not_ten_and_ten() -> None:
    index = RougeIndex(0.7, "rouge")
    index.add(["a b c d e f g 8", "1 2 3 4 5 6 7 h i j"])
    verdicts = index.query(["a b c d e f g p q r s t", "1 2 3 4 5 6 7 x y z"])
    assert list(verdicts) == [
        Verdict(admitted=False, nearest=0, score=0.7000000000000001),
        Verdict(admitted=True, nearest=None, score=math.nan),
    ]


def test_the_nearest_of_equals_is_the_first() -> None:
    index = RougeIndex()
    index.add(["z", "a b c d x", "a b c d y", "a b c d w"])
    (verdict,) = index.query(["a b c d q"])
    assert verdict == Verdict(admitted=False, nearest=1, score=0.8000000000000002)


def test_threshold_one_rejects_nothing() -> None:
    assert RougeIndex(1.0).admit(["a b", "a b", "a b"]).admitted.tolist() == [True, True, True]


def test_threshold_zero_rejects_any_common_token() -> None:
    verdicts = RougeIndex(0.0).admit(["a b c", "x " * 400 + "c", "x y", "z"])
    assert verdicts.admitted.tolist() == [True, False, True, True]
    assert verdicts.nearest.tolist() == [-1, 0, -1, -1]


def test_a_text_without_tokens_is_always_admitted_and_never_a_neighbour() -> None:
    index = RougeIndex(0.0)
    assert index.admit(["", "...", "\udfff", "", "a"]).admitted.all()
    assert len(index) == 5
    assert index.scores("").tolist() == [0.0] * 5
    assert index.scores("a").tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_adding_joins_without_judging() -> None:
    index = RougeIndex()
    index.add(["a b c", "a b c"])
    assert len(index) == 2
    assert index.query(["a b c"])[0] == Verdict(admitted=False, nearest=0, score=1.0)


@given(texts_of_few_words, texts_of_few_words, thresholds)
@claim
def test_a_query_judges_against_the_pool_and_changes_nothing(
    seeds: list[str], texts: list[str], threshold: float
) -> None:
    index, pool = rebuilding_index(threshold), oracles.Pool(threshold)
    index.add(seeds)
    pool.texts.extend(seed.split() for seed in seeds)
    vocabulary = index._lexicon.tokens()
    questions = [*texts, "words that the pool has never seen words"]
    expected = [comparable(pool.judge(text.split())) for text in questions]
    assert judgements(index.query(questions)) == expected
    assert judgements(index.query(questions)) == expected
    assert len(index) == len(seeds)
    assert index._lexicon.tokens() == vocabulary


@given(texts_of_few_words, st.lists(st.sampled_from("abcdefgh"), max_size=12), st.integers(0, 30))
@claim
def test_most_similar_ranks_the_whole_pool(seeds: list[str], text: list[str], k: int) -> None:
    index, pool = RougeIndex(), oracles.Pool(0.7)
    index.add(seeds)
    pool.texts.extend(seed.split() for seed in seeds)
    assert index.scores(" ".join(text)).tolist() == pool.scores(text)
    assert index.most_similar(" ".join(text), k) == pool.most_similar(text, k)


@pytest.mark.parametrize("threads", [1, 2])
def test_batched_scores_are_those_of_each_text(threads: int) -> None:
    texts = related_texts(2_500, longest=20, seed=2) + related_texts(40, longest=150, seed=3) + ["", "unmet words"]
    index = RougeIndex(threads=threads)
    index.add(texts[:2_520])
    questions = texts[2_490:]
    pool = oracles.Pool(0.7)
    pool.texts.extend(text.split() for text in texts[:2_520])
    expected = [pool.scores(text.split()) for text in questions[-12:]]
    assert [index.scores(text).tolist() for text in questions[-12:]] == expected
    averages = index.average_similarity_each(questions)
    assert averages.tolist() == [float(np.mean(index.scores(text))) for text in questions]
    assert averages.tolist() == [index.average_similarity(text) for text in questions]
    for k in (1, 3, 64, 65, 5_000):
        assert index.most_similar_each(questions[-12:], k) == [
            pool.most_similar(text.split(), k) for text in questions[-12:]
        ]


def test_most_similar_puts_equals_in_pool_order_and_counts_zeros() -> None:
    index = RougeIndex()
    index.add(["x", "a b", "y", "b a", "a"])
    assert index.most_similar("a", 4) == [(4, 1.0), (1, 2 / 3), (3, 2 / 3), (0, 0.0)]
    assert index.most_similar("a", 99) == [(4, 1.0), (1, 2 / 3), (3, 2 / 3), (0, 0.0), (2, 0.0)]
    assert index.most_similar("a", 0) == []


@pytest.mark.parametrize("count", [1, 7, 130, 1_000])
def test_the_average_has_the_bits_of_numpys_mean_over_rouge_scores(count: int) -> None:
    reference = RougeScorer(["rougeL"])
    texts = related_texts(count + 3, longest=20, seed=count)
    index = RougeIndex(tokenizer="rouge")
    index.add(texts[:count])
    for text in texts[count:]:
        scores = [reference.score(other, text)["rougeL"].fmeasure for other in texts[:count]]
        assert index.scores(text).tolist() == scores
        assert index.average_similarity(text) == float(np.mean(scores))


def test_an_empty_pool_has_no_neighbours() -> None:
    index = RougeIndex()
    assert len(index) == 0
    assert index.average_similarity("a") == 0.0
    assert index.most_similar("a", 3) == []
    assert index.scores("a").tolist() == []
    assert index.query(["a"])[0].admitted
    assert list(index.admit([])) == []


def test_scores_are_symmetric() -> None:
    texts = related_texts(60, longest=90, seed=11)
    index = RougeIndex()
    index.add(texts)
    matrix = np.array([index.scores(text) for text in texts])
    assert (matrix == matrix.T).all()
    assert (matrix.diagonal() == 1.0).all()


def test_other_scripts_have_duplicates_under_unicode_and_none_under_rouge() -> None:
    texts = ["写一首关于春天的诗", "写一首关于春天的歌", "Напиши стихи о весне", "Напиши СТИХИ о весне!"]
    assert RougeIndex().admit(texts).admitted.tolist() == [True, False, True, False]
    assert RougeIndex(tokenizer="rouge").admit(texts).admitted.tolist() == [True, True, True, True]


def test_rouge_warns_once_per_index_of_letters_that_it_cannot_see(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="fastinstruct"):
        index = RougeIndex(tokenizer="rouge")
        index.admit(["plain words", "?!", ""])
        assert caplog.messages == []
        index.admit(["写一首诗"])
        index.query(["Напиши стихи"])
    (message,) = caplog.messages
    assert message == (
        "tokenizer 'rouge' finds no token in a text of other letters than a to z: such texts score 0 and are never "
        "rejected; tokenizer 'unicode' covers every script"
    )


def test_a_huge_hostile_text_costs_memory_in_proportion_to_its_length() -> None:
    words = [f"w{number}" for number in range(100_000)]
    index = RougeIndex()
    verdicts = index.admit([" ".join(words), " ".join(words[20_000:]), "a " * 300_000, " ".join(reversed(words))])
    assert verdicts.admitted.tolist() == [True, False, True, True]
    assert verdicts.scores[1] == oracles.f_measure(80_000, 80_000, 100_000)


def test_verdicts_are_a_sequence_over_arrays() -> None:
    verdicts = RougeIndex().admit(["a b c", "a b c", "d", "a b c x"])
    assert verdicts.admitted.dtype == np.bool_
    assert verdicts.nearest.dtype == np.int64
    assert verdicts.scores.dtype == np.float64
    assert verdicts.admitted.tolist() == [True, False, True, False]
    assert verdicts.nearest.tolist() == [-1, 0, -1, 0]
    assert [score.hex() for score in verdicts.scores.tolist()] == ["nan", (1.0).hex(), "nan", (6 / 7).hex()]
    assert len(verdicts) == 4
    assert verdicts[-1] == Verdict(admitted=False, nearest=0, score=6 / 7)
    assert isinstance(verdicts[1:], Verdicts)
    assert list(verdicts[1:]) == list(verdicts)[1:]
    assert repr(verdicts) == "<Verdicts: 2 of 4 admitted>"
    with pytest.raises(IndexError):
        verdicts[4]


def test_an_index_shows_its_settings() -> None:
    index = RougeIndex(0.5, tokenizer="rouge")
    assert (index.threshold, index.tokenizer) == (0.5, "rouge")
    assert repr(index) == "<RougeIndex: 0 texts, threshold 0.5, tokenizer rouge>"
    assert (RougeIndex().threshold, RougeIndex().tokenizer) == (0.7, "unicode-2")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, None])
def test_a_number_of_threads_below_one_is_refused(threads: int) -> None:
    with pytest.raises(InputError, match=r"^threads must be an int of at least 1; got "):
        RougeIndex(threads=threads)


@pytest.mark.parametrize("threshold", [-0.1, 1.1, math.nan, math.inf, "0.7", None, True])
def test_a_threshold_outside_zero_to_one_is_refused(threshold: float) -> None:
    with pytest.raises(InputError, match=r"^threshold must be a number from 0 to 1; got "):
        RougeIndex(threshold)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda index: index.admit("one text"), "texts must be a sequence of str; got one str"),
        (lambda index: index.query(["fine", 3]), "every text must be a str; got int"),
        (lambda index: index.add([b"bytes"]), "every text must be a str; got bytes"),
        (lambda index: index.scores(None), "every text must be a str; got NoneType"),
        (lambda index: index.most_similar("text", -1), "k must be an int of at least 0; got -1"),
        (lambda index: index.most_similar("text", 1.5), "k must be an int of at least 0; got 1.5"),
        (
            lambda index: RougeIndex(tokenizer="bert"),
            "tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bert'",
        ),
    ],
)
def test_what_is_no_text_is_refused_and_changes_nothing(call: Callable[[RougeIndex], object], message: str) -> None:
    index = RougeIndex()
    index.add(["fine"])
    with pytest.raises(InputError) as error:
        call(index)
    assert str(error.value) == message
    assert len(index) == 1


def test_a_refused_batch_admits_none_of_its_texts() -> None:
    index = RougeIndex()
    with pytest.raises(InputError):
        index.admit(["a b c", 7])  # type: ignore[list-item]  # what is refused at run time
    assert len(index) == 0
    assert index.admit(["a b c"])[0].admitted


def test_after_warming_up_nothing_is_left_to_compile() -> None:
    warm_up()
    with install_recorder("numba:compile") as compilations:
        index = rebuilding_index(0.6, "rouge")
        index.add(["a b c"] * 5)
        index.admit(related_texts(100, longest=90, seed=1))
        index.query(["a", ""])
        index.most_similar("a b", 2)
        index.average_similarity("a b")
    assert compilations.buffer == []


def test_public_names_are_sorted() -> None:
    assert fastinstruct.similarity.__all__ == sorted(fastinstruct.similarity.__all__)
    assert tokenize("a b") == ["a", "b"]


def test_more_texts_may_be_near_than_are_noted_at_a_time() -> None:
    index = RougeIndex(0.3, "rouge")
    pool = [f"common w{number} x{number}" for number in range(20_000)]
    index.add(pool)
    verdicts = index.query(["common w15000 y", "y common x3", "common z", "other words"])
    assert [verdict.nearest for verdict in verdicts] == [15_000, 3, 0, None]
    assert [verdict.score for verdict in verdicts][:2] == pytest.approx([2 / 3, 2 / 3])
