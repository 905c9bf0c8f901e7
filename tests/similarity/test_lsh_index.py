"""LSHIndex rejects only what RougeIndex's rule rejects, finds nearly all of it, and says how much."""

import math
import random
from collections.abc import Callable
from typing import cast

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import naive
from fastinstruct.errors import InputError
from fastinstruct.similarity import LSHIndex, Recall, RougeIndex, Verdict, Verdicts
from fastinstruct.similarity.lsh import bands_and_rows, least_jaccard
from fastinstruct.similarity.recall import edited, recall_of
from fastinstruct.testing import oracles

claim = settings(deadline=None, max_examples=150, derandomize=True, database=None)
texts_of_few_words = st.lists(st.lists(st.sampled_from("abcdefgh"), max_size=12).map(" ".join), max_size=25)
VERBS = ["write", "name", "list", "explain", "describe", "give", "find", "make", "tell", "suggest"]
STEMS = ["fruit", "poem", "city", "river", "planet", "word", "story", "recipe", "song", "tool"]
NOUNS = [stem + ending for stem in STEMS for ending in ["", "s", "y", "er", "ing", "ful", "ness", "let"]]


def comparable(verdicts: Verdicts) -> list[tuple[bool, int | None, str]]:
    return [(verdict.admitted, verdict.nearest, verdict.score.hex()) for verdict in verdicts]


def instructions(count: int, seed: int, edits: float) -> list[str]:
    """Texts like Alpaca's instructions, of which the share `edits` are earlier ones with a word or two changed."""
    draw = random.Random(seed)
    texts: list[list[str]] = []
    for _ in range(count):
        if texts and draw.random() < edits:
            words = list(draw.choice(texts))
            for _ in range(draw.randint(1, 2)):
                words[draw.randrange(len(words))] = draw.choice(NOUNS)
        else:
            words = [draw.choice(VERBS), *draw.choices(NOUNS, k=draw.randint(5, 14))]
        texts.append(words)
    return [" ".join(words) for words in texts]


@given(texts_of_few_words, st.sampled_from([0.5, 0.6, 0.7, 0.85, 1.0]), st.integers(0, 1000))
@claim
def test_every_rejection_is_one_of_a_full_comparison_with_the_pool(
    texts: list[str], threshold: float, seed: int
) -> None:
    verdicts = LSHIndex(threshold, seed=seed, target_recall=0.9).admit(texts)
    pool: list[list[str]] = []
    for text, verdict in zip(texts, verdicts, strict=True):
        words = text.split()
        if verdict.admitted:
            pool.append(words)
            continue
        assert verdict.nearest is not None
        assert verdict.score == oracles.rouge_l(words, pool[verdict.nearest])
        assert verdict.score > threshold


@given(texts_of_few_words, st.sampled_from([0.5, 0.7]), st.integers(0, 1000))
@claim
def test_every_pair_that_agrees_in_a_band_is_compared(texts: list[str], threshold: float, seed: int) -> None:
    index = LSHIndex(threshold, seed=seed, target_recall=0.5, num_perm=12)
    index.add(texts[::2])
    signed = index.signatures(texts).tolist()
    for place in range(1, len(texts), 2):
        near = [
            (oracles.rouge_l(texts[place].split(), texts[other].split()), -other // 2)
            for other in range(0, len(texts), 2)
            if naive.agree_in_a_band(signed[place], signed[other], index.bands, index.rows_per_band)
        ]
        (verdict,) = index.query([texts[place]])
        best, position = max(near, default=(0.0, 0))
        if best > threshold:
            # Texts may also meet by chance, so a nearer one may be found, or an equal one before it.
            assert verdict.nearest is not None
            assert (verdict.score, -verdict.nearest) >= (best, position)


def test_instructions_with_edits_get_the_verdicts_of_the_exact_index() -> None:
    texts = instructions(4_000, seed=1, edits=0.5)
    expected = comparable(RougeIndex().admit(texts))
    assert 800 < sum(not admitted for admitted, _, _ in expected) < 3_200
    found = comparable(LSHIndex().admit(texts))
    assert sum(mine == exact for mine, exact in zip(found, expected, strict=True)) >= 0.999 * len(texts)


def test_a_batch_is_judged_as_its_texts_one_by_one() -> None:
    texts = instructions(600, seed=2, edits=0.4)
    together, apart = LSHIndex(), LSHIndex()
    expected = comparable(together.admit(texts))
    assert [comparable(apart.admit([text]))[0] for text in texts] == expected
    assert len(together) == len(apart) == sum(admitted for admitted, _, _ in expected)


def test_equal_texts_are_always_found_however_large_the_pool() -> None:
    texts = instructions(3_000, seed=3, edits=0.0)
    index = LSHIndex()
    index.add(texts)
    verdicts = index.query(texts)
    assert not verdicts.admitted.any()
    assert verdicts.scores.tolist() == [1.0] * 3_000
    assert [texts[nearest] for nearest in verdicts.nearest] == texts


def test_a_bucket_of_a_thousand_equal_texts_grows_and_is_found() -> None:
    index = LSHIndex()
    index.add(["one and the same text"] * 1_000)
    assert index.query(["one and the same text!"])[0] == Verdict(admitted=False, nearest=0, score=1.0)


def test_a_query_changes_nothing() -> None:
    index = LSHIndex()
    index.add(["name three red fruits"])
    assert index.query(["name three red cars", "words never met"]).admitted.tolist() == [False, True]
    assert len(index) == 1
    assert index.admit(["words never met"])[0].admitted


def test_a_text_without_tokens_is_always_admitted_and_never_a_neighbour() -> None:
    index = LSHIndex()
    assert index.admit(["", "...", "\udfff", "", "a"]).admitted.all()
    assert len(index) == 5
    assert index.scores("a").tolist() == [0.0, 0.0, 0.0, 0.0, 1.0]


def test_scores_and_most_similar_look_at_the_whole_pool() -> None:
    index = LSHIndex()
    index.add(["x", "a b", "y", "b a", "a"])
    assert index.most_similar("a", 4) == [(4, 1.0), (1, 2 / 3), (3, 2 / 3), (0, 0.0)]
    assert index.most_similar("a", 0) == []


def test_long_texts_are_found() -> None:
    draw = random.Random(4)
    texts = [[f"w{draw.randrange(2_000)}" for _ in range(300)] for _ in range(100)]
    near = [[word if draw.random() < 0.8 else "other" for word in text] for text in texts]
    index = LSHIndex()
    index.add([" ".join(text) for text in texts])
    assert index.query([" ".join(text) for text in near]).nearest.tolist() == list(range(100))


@pytest.mark.parametrize(("threshold", "jaccard"), [(0.0, 0.0), (0.7, 0.7 / 1.3), (1.0, 1.0)])
def test_the_least_jaccard_follows_from_the_threshold(threshold: float, jaccard: float) -> None:
    assert least_jaccard(threshold) == jaccard


def test_texts_of_distinct_tokens_above_the_threshold_exceed_the_least_jaccard() -> None:
    for m in range(1, 40):
        for n in range(1, 40):
            for lcs in range(1, min(m, n) + 1):
                if oracles.f_measure(lcs, m, n) > 0.7:
                    assert lcs / (m + n - lcs) > least_jaccard(0.7) - 1e-12


@pytest.mark.parametrize(
    ("threshold", "target", "num_perm", "expected"),
    [
        (0.7, 0.999, 128, (41, 3)),
        (0.7, 0.99, 128, (28, 3)),
        (0.7, 0.999, 64, (21, 2)),
        (0.9, 0.999, 128, (20, 6)),
        (1.0, 0.999, 128, (1, 128)),
    ],
)
def test_bands_take_the_most_rows_that_reach_the_target(
    threshold: float, target: float, num_perm: int, expected: tuple[int, int]
) -> None:
    bands, rows = bands_and_rows(threshold, target, num_perm)
    assert (bands, rows) == expected
    assert 1 - (1 - least_jaccard(threshold) ** rows) ** bands >= target
    index = LSHIndex(threshold, target_recall=target, num_perm=num_perm)
    assert (index.bands, index.rows_per_band) == expected


def test_the_recall_measured_on_edits_reaches_the_target() -> None:
    index = LSHIndex()
    index.add(instructions(5_000, seed=5, edits=0.0))
    recall = index.measured_recall(2_000, np.random.default_rng(1))
    assert recall.num_pairs == 2_000
    assert recall.value >= 0.999
    assert recall.low > 0.99
    assert len(index) == 5_000


def test_too_few_bands_show_in_the_measured_recall() -> None:
    index = LSHIndex(target_recall=0.3, num_perm=8)
    index.add(instructions(500, seed=6, edits=0.0))
    recall = index.measured_recall(500)
    assert recall.value < 0.95
    assert recall.low < recall.value < recall.high < 0.98
    assert recall == index.measured_recall(500)


def test_the_recall_of_given_texts_counts_what_the_exact_index_rejects() -> None:
    texts = instructions(2_000, seed=7, edits=0.3)
    exact, index = RougeIndex(), LSHIndex(target_recall=0.9)
    exact.add(texts[:1_000])
    index.add(texts[:1_000])
    rejected = ~exact.query(texts[1_000:]).admitted
    found = ~index.query(texts[1_000:]).admitted
    recall = index.measured_recall(1_000, texts=texts[1_000:])
    assert recall == recall_of(int((rejected & found).sum()), int(rejected.sum()))
    assert 50 < index.measured_recall(500, texts=texts[1_000:]).num_pairs < recall.num_pairs


def test_edits_lie_above_the_threshold_and_below_one() -> None:
    rng = np.random.default_rng(3)
    text, words = np.arange(1, 13, dtype=np.int32), np.arange(1, 500, dtype=np.int32)
    texts = [edited(text, words, 0.7, rng, np.zeros(1, dtype=np.int64)) for _ in range(300)]
    scores = [oracles.rouge_l(text.tolist(), changed.tolist()) for changed in texts if changed is not None]
    assert len(scores) > 290
    assert 0.7 < min(scores) < 0.75
    assert max(scores) < 1.0


def test_without_a_pair_nothing_is_known_of_the_recall() -> None:
    for index in (LSHIndex(), LSHIndex()):
        recall = index.measured_recall()
        assert math.isnan(recall.value)
        assert (recall.low, recall.high, recall.num_pairs) == (0.0, 1.0, 0)
        index.add(["", "word"])


@pytest.mark.parametrize(
    ("found", "pairs", "expected"),
    [
        (1_000, 1_000, Recall(value=1.0, low=0.996173, high=1.0, num_pairs=1_000)),
        (90, 100, Recall(value=0.9, low=0.825634, high=0.944771, num_pairs=100)),
        (0, 10, Recall(value=0.0, low=0.0, high=0.277533, num_pairs=10)),
    ],
)
def test_the_interval_is_wilsons(found: int, pairs: int, expected: Recall) -> None:
    recall = recall_of(found, pairs)
    assert (recall.value, recall.num_pairs) == (expected.value, expected.num_pairs)
    assert (recall.low, recall.high) == pytest.approx((expected.low, expected.high), abs=1e-6)


def test_a_recall_reads_well() -> None:
    assert str(recall_of(1_000, 1_000)) == "1.0000 (95% confidence 0.9962 to 1.0000, 1,000 pairs)"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: LSHIndex(1.2), "threshold must be a number from 0 to 1; got 1.2"),
        (
            lambda: LSHIndex(tokenizer="bert"),
            "tokenizer must be one of rouge, unicode, unicode-1, unicode-2; got 'bert'",
        ),
        (lambda: LSHIndex(target_recall=1.0), "target_recall must be a number above 0 and below 1; got 1.0"),
        (lambda: LSHIndex(num_perm=0), "num_perm must be an int from 1 to 4096; got 0"),
        (lambda: LSHIndex(seed=-1), "seed must be an int from 0 to 4294967295; got -1"),
        (
            lambda: LSHIndex(0.0),
            (
                "num_perm=128 is too few for recall 0.999 at threshold 0.0: raise num_perm or the threshold, lower "
                "target_recall, or use the exact index"
            ),
        ),
        (lambda: LSHIndex().admit("one text"), "texts must be a sequence of str; got one str"),
        (lambda: LSHIndex().add(["fine", cast(str, 3)]), "every text must be a str; got int"),
        (lambda: LSHIndex().most_similar("text", -1), "k must be an int of at least 0; got -1"),
        (lambda: LSHIndex().measured_recall(0), "sample_size must be an int of at least 1; got 0"),
    ],
)
def test_a_bad_argument_is_named_with_its_bound(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError) as error:
        call()
    assert str(error.value) == message


def test_a_full_index_says_so_and_keeps_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastinstruct.similarity.lsh_pool.MAX_ARENA", 30_000)
    index = LSHIndex()
    message = r"^the index is full with \d+ texts; make one with fewer num_perm, or a RougeIndex$"
    with pytest.raises(InputError, match=message):
        index.add([f"the text of number {number}" for number in range(10_000)])
    assert 0 < len(index) < 10_000
    assert index.query(["the text of number 0"])[0] == Verdict(admitted=False, nearest=0, score=1.0)


def test_an_index_shows_its_settings() -> None:
    index = LSHIndex(0.7, "rouge")
    assert (index.threshold, index.tokenizer) == (0.7, "rouge")
    assert repr(index) == "<LSHIndex: 0 texts, threshold 0.7, tokenizer rouge, 41 bands of 3 rows>"
