"""LSHIndex where buckets grow without end: bounded work, right rejections, equal texts found, and an honest recall.

Work is asserted by what the index counts, never by time.
"""

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastinstruct.testing.oracles as oracles
from fastinstruct.similarity import LSHIndex, LSHStatistics, RougeIndex
from fastinstruct.similarity.recall import recall_of
from fastinstruct.similarity.snapshot import read_snapshot, write_snapshot
from fastinstruct_kernels.buckets import MOST_KEPT
from related_texts import judgements, related_texts

Draw = Callable[[random.Random], list[str]]
# What every one of them may take: of members read, and of its tokens passed in full comparisons.
MOST_READ, MOST_TOKENS, LEAST_PAIRS = 41 * 256, 1 << 15, 32
HEADER = [f"h{number}" for number in range(100)]


def permutation(rng: random.Random) -> list[str]:
    return rng.sample([f"w{number}" for number in range(12)], 12)


def repeated(rng: random.Random) -> list[str]:
    return ["word"] * rng.randrange(1, 900) + ["other"] * rng.randrange(900)


def header(rng: random.Random) -> list[str]:
    return HEADER + [f"w{int(2_000.0 ** rng.random())}" for _ in range(60)]


def few_words(rng: random.Random) -> list[str]:
    return [f"w{rng.randrange(30)}" for _ in range(rng.choice([31, 33, 64, 65, 129]))]


SHAPES: list[tuple[Draw, int]] = [(permutation, 3_000), (repeated, 1_000), (header, 1_500), (few_words, 1_500)]


def texts_of(draw: Draw, count: int, seed: int = 1) -> list[str]:
    rng = random.Random(seed)
    return [" ".join(draw(rng)) for _ in range(count)]


def filled(draw: Draw, count: int) -> LSHIndex:
    index = LSHIndex()
    index.add(texts_of(draw, count))
    return index


@pytest.mark.parametrize(("draw", "count"), SHAPES)
def test_every_rejection_is_a_full_comparison_and_its_work_is_bounded(draw: Draw, count: int) -> None:
    pool, asked = texts_of(draw, count), texts_of(draw, 60, seed=2)
    index = filled(draw, count)
    for text in asked:
        before = index.statistics()
        (verdict,) = index.query([text])
        after = index.statistics()
        assert after.num_read - before.num_read <= MOST_READ
        assert after.num_compared - before.num_compared <= max(MOST_TOKENS // len(text.split()), LEAST_PAIRS)
        if not verdict.admitted:
            assert verdict.nearest is not None
            assert verdict.score == oracles.rouge_l(text.split(), pool[verdict.nearest].split()) > 0.7
    assert index.statistics().num_cut_short > 0


@pytest.mark.parametrize(("draw", "count"), SHAPES)
def test_verdicts_do_not_depend_on_batches_where_buckets_are_cut_short(draw: Draw, count: int) -> None:
    texts = texts_of(draw, count)[:1_200]
    indexes = [filled(draw, count) for _ in range(3)]
    found = []
    for index, batch in zip(indexes, (1_200, 97, 1), strict=True):
        found.append(
            [each for at in range(0, 1_200, batch) for each in judgements(index.admit(texts[at : at + batch]))]
        )
    assert found[0] == found[1] == found[2]
    assert indexes[0].statistics() == indexes[1].statistics() == indexes[2].statistics()


@pytest.mark.parametrize(("draw", "count"), SHAPES)
def test_equal_texts_are_found_in_buckets_of_any_size_and_the_first_is_named(draw: Draw, count: int) -> None:
    texts = texts_of(draw, count)
    verdicts = filled(draw, count).query(texts)
    assert verdicts.scores.tolist() == [1.0] * count
    assert verdicts.nearest.tolist() == [texts.index(text) for text in texts]


def test_an_equal_text_is_found_without_a_look_at_a_bucket() -> None:
    index = filled(permutation, 1_000)
    index.query(texts_of(permutation, 1_000))
    assert index.statistics() == LSHStatistics(num_compared=0, num_read=0, num_cut_short=0)


def test_copies_of_a_text_take_no_room_in_buckets() -> None:
    index = LSHIndex()
    index.add(["one and the same text"] * 20_000)
    assert len(index) == 20_000
    verdict = index.query(["one and the same old text"])[0]
    assert (verdict.nearest, verdict.score) == (0, 10 / 11)
    counted = index.statistics()
    assert (counted.num_compared, counted.num_cut_short) == (1, 0)
    assert counted.num_read <= index.bands


def test_at_threshold_one_copies_are_admitted() -> None:
    index = LSHIndex(1.0)
    assert index.admit(["a b c"] * 3).admitted.all()
    assert index.query(["a b c"]).admitted.all()


def test_texts_that_share_all_words_fill_small_tables_only() -> None:
    index = filled(permutation, 5_000)
    assert index._pool.arrays.table.shape[1] == 1 << 11
    assert len(index._pool.arrays.arena) < 100_000


def test_the_recall_measured_says_what_cutting_short_loses() -> None:
    index, exact = filled(permutation, 5_000), RougeIndex()
    exact.add(texts_of(permutation, 5_000))
    asked = list(dict.fromkeys(texts_of(permutation, 500, seed=3)))
    rejected, found = ~exact.query(asked).admitted, ~index.query(asked).admitted
    recall = index.measured_recall(len(asked), texts=asked)
    assert recall == recall_of(int((rejected & found).sum()), int(rejected.sum()))
    assert recall.value < 0.95
    assert index.measured_recall(300).high < 0.95


def test_real_near_duplicates_are_found_beside_a_header_that_all_share() -> None:
    index = filled(header, 4_000)
    recall = index.measured_recall(500, np.random.default_rng(2))
    assert recall.value >= 0.98
    texts = [text.split() for text in texts_of(header, 200)]
    near = [" ".join([*text[:-8], *(f"new{number}" for number in range(8))]) for text in texts]
    assert index.query(near).nearest.tolist() == list(range(200))


def test_measuring_the_recall_is_not_counted() -> None:
    index = filled(permutation, 1_000)
    index.measured_recall(50)
    assert index.statistics() == LSHStatistics(num_compared=0, num_read=0, num_cut_short=0)
    assert index.query(["w0 w1 w2"]).admitted.all()
    assert index.statistics().num_read > 0


def test_a_bucket_keeps_a_sample_of_all_that_joined_and_each_band_its_own() -> None:
    arrays = filled(permutation, 4_000)._pool.arrays
    buckets = [-content for row in arrays.table.tolist() for content in row if content]
    assert len(buckets) == 41
    kept = [arrays.arena[bucket + 2 : bucket + 2 + MOST_KEPT].tolist() for bucket in buckets]
    assert {len(set(members)) for members in kept} == {MOST_KEPT}
    assert all(1_700 < np.mean(members) < 2_300 for members in kept)
    assert len(set().union(*kept)) > 3_500


def test_a_bucket_that_is_not_too_large_keeps_all() -> None:
    texts = list(dict.fromkeys(texts_of(permutation, 255)))
    index = LSHIndex()
    index.add(texts)
    asked = texts_of(permutation, 100, seed=9)
    exact = RougeIndex()
    exact.add(texts)
    assert judgements(index.query(asked)) == judgements(exact.query(asked))
    assert index.statistics().num_cut_short == 0


def as_written_before(path: Path) -> None:
    """Make an index file one from before buckets were bounded: other arrays, and of buckets what must not be used."""
    settings, arrays = read_snapshot(path, "lsh")
    for name in ("heads", "equals", "filled"):
        del arrays[f"pool.{name}"]
    num_texts = int(arrays["pool.counters"][0])
    arrays["pool.counters"] = arrays["pool.counters"][:4].copy()
    arrays["pool.bitmaps"] = np.zeros(num_texts, dtype=np.uint64)
    arrays["pool.table"] = np.full((settings["bands"], 64), 2**31 - 1, dtype=np.int32)
    write_snapshot(path, settings, arrays, "lsh")


@given(st.integers(0, 10_000), st.sampled_from([0.5, 0.7, 0.9]))
@settings(deadline=None, max_examples=20, derandomize=True, database=None)
def test_an_index_file_from_before_goes_on_as_the_saved_index(
    tmp_path_factory: pytest.TempPathFactory, seed: int, threshold: float
) -> None:
    path = tmp_path_factory.mktemp("before") / "pool.index"
    texts = related_texts(300, longest=50, seed=seed)
    index = LSHIndex(threshold)
    index.add([*texts[:100], *texts[:30], ""])
    index.save(path)
    as_written_before(path)
    loaded = LSHIndex.load(path)
    assert judgements(loaded.admit(texts)) == judgements(index.admit(texts))
    loaded.save(path)
    assert judgements(LSHIndex.load(path).query(texts)) == judgements(index.query(texts))


def test_a_large_index_file_from_before_is_filled_anew(tmp_path: Path) -> None:
    texts = related_texts(6_000, longest=14, seed=4)
    index = LSHIndex()
    index.admit(texts)
    index.save(tmp_path / "pool.index")
    as_written_before(tmp_path / "pool.index")
    loaded = LSHIndex.load(tmp_path / "pool.index")
    assert judgements(loaded.query(texts)) == judgements(index.query(texts))
    assert loaded.measured_recall(200) == index.measured_recall(200)
