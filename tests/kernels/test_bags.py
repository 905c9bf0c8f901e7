"""Bitmaps of token bags: they never refuse two texts that have as many tokens in common as are needed."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastinstruct_kernels.bags import BAG_ROOM, bag_words, fill_bag, fill_folded, may_share

claim = settings(deadline=None, max_examples=300, derandomize=True, database=None)
tokens = st.one_of(
    st.lists(st.integers(1, 5), min_size=33, max_size=150),
    st.lists(st.integers(1, 2**31 - 1), min_size=33, max_size=150),
)


def keys_of(text: list[int]) -> NDArray[np.int64]:
    return np.array(sorted(text, reverse=True), dtype=np.int64)


def bag_of(text: list[int]) -> NDArray[np.uint64]:
    bag = np.zeros(bag_words(len(text)), dtype=np.uint64)
    fill_bag(keys_of(text), 0, len(text), bag, 0, len(bag))
    return bag


def test_a_bitmap_has_at_most_a_sixteenth_of_the_tokens_as_words_and_none_of_a_short_text() -> None:
    words = [bag_words(length) for length in range(5_000)]
    assert set(words[:33]) == {0}
    assert {words[33], words[64], words[65], words[128], words[129], words[4_999]} == {2, 4, 8, 64}
    assert all(16 * count <= length for length, count in enumerate(words))


@given(tokens, tokens)
@claim
def test_what_two_texts_have_in_common_is_never_refused(left: list[int], right: list[int]) -> None:
    common = (Counter(left) & Counter(right)).total()
    folded = np.zeros(BAG_ROOM, dtype=np.uint64)
    widest = fill_folded(keys_of(left), 0, len(left), folded)
    if bag_words(len(right)) <= widest:
        assert may_share(folded, len(left), bag_of(right), 0, len(right), common)
        assert not may_share(folded, len(left), bag_of(right), 0, len(right), min(len(left), len(right)) + 1)


@given(tokens)
@claim
def test_a_folded_bitmap_is_that_of_its_size(text: list[int]) -> None:
    folded = np.zeros(BAG_ROOM, dtype=np.uint64)
    widest = fill_folded(keys_of(text), 0, len(text), folded)
    words = 2
    while words <= widest:
        bag = np.zeros(words, dtype=np.uint64)
        fill_bag(keys_of(text), 0, len(text), bag, 0, words)
        assert folded[words : 2 * words].tolist() == bag.tolist()
        words *= 2


def test_each_occurrence_of_a_token_has_a_bit_of_its_own() -> None:
    bits = sum(int(word).bit_count() for word in bag_of([7] * 100))
    assert 60 < bits <= 100
