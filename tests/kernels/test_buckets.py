"""Equal texts are found by all of their tokens, and bitmaps never promise less than two texts have in common."""

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fastinstruct_kernels.bitmaps import BITMAP_ROOM, bitmap_words, fill_bitmap, most_common
from fastinstruct_kernels.equals import NONE, find_equal, hash_tokens, move_equals, note_equal

claim = settings(deadline=None, max_examples=200, derandomize=True, database=None)
VOCABULARY = 60
some_tokens = st.lists(st.integers(0, VOCABULARY - 1), max_size=150)
few_texts = st.lists(st.lists(st.integers(1, 3), min_size=1, max_size=5), max_size=30)


def as_array(tokens: list[int]) -> NDArray[np.int32]:
    return np.array(tokens, dtype=np.int32)


def bitmap_of(tokens: list[int]) -> tuple[NDArray[np.uint64], int]:
    counts, bitmap = np.zeros(VOCABULARY, dtype=np.int32), np.zeros(BITMAP_ROOM, dtype=np.uint64)
    widest = fill_bitmap(as_array(tokens), counts, bitmap)
    assert not counts.any()
    return bitmap, widest


@given(some_tokens, some_tokens)
@claim
def test_a_bitmap_promises_what_two_texts_have_in_common_or_more(left: list[int], right: list[int]) -> None:
    (own, widest), (other, _) = bitmap_of(left), bitmap_of(right)
    words = bitmap_words(len(right))
    most = most_common(own, widest, len(left), other[words : 2 * words].copy(), 0, len(right))
    assert (Counter(left) & Counter(right)).total() <= most <= min(len(left), len(right))


def test_a_bitmap_tells_long_texts_of_other_words_apart() -> None:
    (own, widest), (other, _) = bitmap_of(list(range(30)) * 5), bitmap_of(list(range(30, 60)) * 5)
    assert most_common(own, widest, 150, other[8:16].copy(), 0, 150) < 60


@given(few_texts, few_texts, st.booleans())
@claim
def test_the_first_equal_text_is_found_whatever_the_hash(
    pool: list[list[int]], asked: list[list[int]], collide: bool
) -> None:
    def code_of(text: list[int]) -> np.uint64:
        return np.uint64(5 << 60) if collide else np.uint64(hash_tokens(as_array(text)))

    tokens = as_array([token for text in pool for token in text])
    starts = np.cumsum([0, *map(len, pool)], dtype=np.int64)
    table = np.zeros(64, dtype=np.uint64)
    for position, text in enumerate(pool):
        if find_equal(table, as_array(text), code_of(text), tokens, starts) == NONE:
            note_equal(table, code_of(text), position)
    larger = np.zeros(128, dtype=np.uint64)
    move_equals(table, larger)
    for text in pool + asked:
        expected = pool.index(text) if text in pool else NONE
        for each in (table, larger):
            assert find_equal(each, as_array(text), code_of(text), tokens, starts) == expected


def test_the_order_of_tokens_is_in_their_hash() -> None:
    texts = [[1, 2, 3], [3, 2, 1], [2, 1, 3], [1, 2], [1, 2, 3, 3], [0, 1, 2, 3]]
    assert len({int(hash_tokens(as_array(text))) for text in texts}) == len(texts)
