"""The LCS kernel counts what the textbook table counts; the ROUGE-L kernels give the reference's doubles."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from rouge_score import scoring

from fastinstruct.testing import oracles
from fastinstruct_kernels.lcs import lcs_length, popcount
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs, min_rejecting_table, prefix_length
from fastinstruct_kernels.signatures import BLOCK, closer_ones, key_token, lowest_one, near_ones, ones_below, sign

LENGTHS = (0, 1, 2, 63, 64, 65, 130, 300)
THRESHOLDS = (0.0, 1e-9, 0.1, 0.5, 2 / 3, 0.7, 0.9, 0.999, 1.0)

claim = settings(deadline=None, max_examples=300, derandomize=True, database=None)


def ids(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, dtype=np.int32)


def kernel_lcs(left: list[int], right: list[int]) -> int:
    return lcs_length(ids(left), ids(right), 1 + max([0, *left, *right]), np.zeros(1, dtype=np.int64))


@given(st.lists(st.integers(1, 3), max_size=20), st.lists(st.integers(1, 3), max_size=20))
@claim
def test_lcs_of_short_texts_over_three_words(left: list[int], right: list[int]) -> None:
    assert kernel_lcs(left, right) == kernel_lcs(right, left) == oracles.lcs_length(left, right)


@pytest.mark.parametrize("vocabulary", [1, 2, 7, 400])
@pytest.mark.parametrize(("m", "n"), list(itertools.combinations_with_replacement(LENGTHS, 2)))
def test_lcs_at_the_edges_of_words(m: int, n: int, vocabulary: int) -> None:
    random = np.random.default_rng([m, n, vocabulary])
    left = random.integers(1, vocabulary + 1, m).tolist()
    right = random.integers(1, vocabulary + 1, n).tolist()
    expected = oracles.lcs_length(left, right)
    assert kernel_lcs(left, right) == expected
    assert kernel_lcs(right, left) == expected


@pytest.mark.parametrize("length", LENGTHS)
def test_lcs_of_a_text_with_its_own_pieces(length: int) -> None:
    random = np.random.default_rng(length)
    text = random.integers(1, 40, length)
    kept = np.sort(random.permutation(length)[: length * 3 // 4])
    shuffled = random.permutation(text).tolist()
    assert kernel_lcs(text.tolist(), text.tolist()) == length
    assert kernel_lcs(text.tolist(), text[kept].tolist()) == len(kept)
    assert kernel_lcs(text.tolist(), shuffled) == oracles.lcs_length(text.tolist(), shuffled)


def test_lcs_of_very_long_texts() -> None:
    text = list(range(1, 20_001))
    assert kernel_lcs(text, text) == 20_000
    assert kernel_lcs(text, text[::-1]) == 1
    assert kernel_lcs(text, text[10_000:] + text[:10_000]) == 10_000
    assert kernel_lcs([7] * 5_000, [7] * 3_000) == 3_000


@given(st.integers(0, 2**64 - 1))
@claim
def test_popcount_counts_ones(bits: int) -> None:
    assert popcount(np.uint64(bits)) == bits.bit_count()


def test_f_measure_has_the_bits_of_rouge_score() -> None:
    for m, n in itertools.product(range(1, 61), repeat=2):
        scores = [f_measure(lcs, m, n) for lcs in range(min(m, n) + 1)]
        assert scores == [scoring.fmeasure(lcs / n, lcs / m) for lcs in range(min(m, n) + 1)]
        assert scores == sorted(set(scores))  # strictly rising, which min_rejecting_lcs relies on


def test_f_measure_around_seven_tenths() -> None:
    assert f_measure(7, 8, 12) == f_measure(7, 12, 8) == 0.7000000000000001
    assert f_measure(7, 10, 10) == 0.7
    assert f_measure(0, 0, 5) == 0.0


def test_seven_of_eight_and_twelve_reject_and_seven_of_ten_and_ten_do_not() -> None:
    assert min_rejecting_lcs(8, 12, 0.7) == 7
    assert min_rejecting_lcs(10, 10, 0.7) == 8


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_the_smallest_rejecting_lcs_is_the_first_that_rejects(threshold: float) -> None:
    table = min_rejecting_table(50, threshold)
    for m, n in itertools.product(range(51), repeat=2):
        assert table[m, n] == min_rejecting_lcs(m, n, threshold) == oracles.min_rejecting_lcs(m, n, threshold)


def test_nothing_rejects_at_threshold_one_and_everything_common_at_zero() -> None:
    assert min_rejecting_lcs(64, 64, 1.0) == 65
    assert min_rejecting_lcs(1, 500, 0.0) == 1


@pytest.mark.parametrize("threshold", THRESHOLDS)
def test_a_prefix_leaves_out_fewer_tokens_than_any_match_needs(threshold: float) -> None:
    for m in range(1, 121):
        needed = [oracles.min_rejecting_lcs(m, n, threshold) for n in range(1, 2 * m + 1)]
        possible = [lcs for n, lcs in enumerate(needed, 1) if lcs <= min(m, n)]
        for least in {min(possible)} if possible else set():
            assert prefix_length(m, threshold) >= m - least + 1


def test_a_prefix_of_ten_tokens_at_seven_tenths_has_five() -> None:
    assert prefix_length(10, 0.7) == 5
    assert prefix_length(0, 0.7) == 0


def signatures_and_order(
    tokens: list[int], ranks: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.uint64], list[int]]:
    """The text's signature at each place, in room for a block; its tokens by rarity."""
    keys, signatures = np.empty(len(tokens), dtype=np.int64), np.zeros(len(tokens) + BLOCK, dtype=np.uint64)
    order = np.arange(1_000, dtype=np.int32) if ranks is None else ranks
    sign(ids(tokens), 0, len(tokens), order, keys, signatures, 0)
    return signatures, [int(key_token(key)) for key in keys]


def test_keys_order_the_tokens_of_a_text_by_rarity() -> None:
    ranks = ids([9, 1, 8, 3, 6])
    assert signatures_and_order([1, 2, 2, 3, 3, 4, 1, 1], ranks)[1] == [2, 2, 4, 3, 3, 1, 1, 1]


@given(st.lists(st.integers(1, 900), max_size=300))
@claim
def test_keys_of_any_text_are_sorted(tokens: list[int]) -> None:
    assert signatures_and_order(tokens)[1] == sorted(tokens, reverse=True)


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=80),
    st.lists(st.integers(1, 500), min_size=1, max_size=80),
    st.sampled_from(THRESHOLDS),
)
@claim
def test_no_bound_excludes_a_text_above_the_threshold(left: list[int], right: list[int], threshold: float) -> None:
    mixed = [*left[::2], *right[::2]]
    for a, b in ((left, right), (left, mixed), (mixed, right), (left, left), (left, left[:-1] or left)):
        needed, lcs = oracles.min_rejecting_lcs(len(a), len(b), threshold), oracles.lcs_length(a, b)
        if lcs < needed:
            continue
        own, order = signatures_and_order(a)
        others, other_order = signatures_and_order(b)
        shared = next(token for token in order if token in other_order)
        place, other_place = order.index(shared), other_order.index(shared)
        first = np.uint64(other_place)
        spare, other_spare = len(a) - place - needed, len(b) - other_place - needed
        assert spare >= 0
        assert other_spare >= 0
        assert near_ones(others, first, own[place], len(a), place, threshold) & np.uint64(1)
        assert closer_ones(others, first, own[place], spare, other_spare) & np.uint64(1)


@given(
    st.lists(st.integers(1, 500), min_size=30, max_size=60), st.lists(st.integers(501, 900), min_size=8, max_size=60)
)
@claim
def test_a_signature_excludes_texts_without_common_words(left: list[int], right: list[int]) -> None:
    own, others = signatures_and_order(left[:8])[0], signatures_and_order(right[:8])[0]
    spread = int(others[0] & ~own[0] & ~np.uint64(2047)).bit_count()
    found = closer_ones(others, np.uint64(0), own[0], 8, spread - 1) & np.uint64(1)
    assert not found or spread == 0


@given(st.integers(1, 2**64 - 1), st.integers(0, 70))
@claim
def test_ones_of_a_word(bits: int, count: int) -> None:
    assert lowest_one(np.uint64(bits)) == (bits & -bits).bit_length() - 1
    assert ones_below(np.uint64(count)) == 2 ** min(count, 64) - 1
