"""Rooms of postings: each has a kind, what is left of one is used, and none is lost or in use twice."""

import random
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.similarity import RougeIndex
from fastinstruct_kernels.pool import NUM_LISTS, NUM_POSTINGS, SPLIT_SIZE, Pool
from fastinstruct_kernels.rooms import largest_room, next_room, room_for, room_kind, room_of
from related_texts import judgements, related_texts


def rooms() -> list[int]:
    """All rooms, the smallest first."""
    found = [next_room(0)]
    while found[-1] < 1 << 30:
        found.append(next_room(found[-1]))
    return found


def test_rooms_grow_by_a_quarter_at_most_and_each_has_a_kind() -> None:
    found = rooms()
    assert found[:20] == [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 40, 48, 56, 64]
    assert [room_kind(room) for room in found] == list(range(len(found)))
    assert [room_of(kind) for kind in range(len(found))] == found
    assert all(4 * larger <= 5 * room for room, larger in pairwise(found) if room >= 4)


@given(st.integers(1, 1 << 20))
def test_a_list_moves_only_when_its_room_is_full(size: int) -> None:
    assert (next_room(size) > 0) == (size in set(rooms()))


def idle(pool: Pool) -> list[tuple[int, int]]:
    """Start and size of each idle room."""
    found = []
    for kind, first in enumerate(pool.free.tolist()):
        place = first
        while place >= 0:
            found.append((place, room_of(kind)))
            place = int(pool.posting_bits[place].astype(np.int64))
    return found


def rooms_taken(pool: Pool) -> int:
    """See that every posting up to those in use is in one list's room or in one idle room; how many are in lists'."""
    in_lists = [
        (start, next(room for room in rooms() if room >= size))
        for start, size in pool.lists[: pool.counters[NUM_LISTS]].tolist()
        if size > 0
    ]
    end = 0
    for start, size in sorted(in_lists + idle(pool)):
        assert start == end
        end = start + size
    assert end == pool.counters[NUM_POSTINGS]
    return sum(size for _, size in in_lists)


@given(st.integers(0, 99), st.sampled_from([2, 5, 2048]))
def test_every_posting_is_in_one_list_or_in_one_idle_room(seed: int, split_size: int) -> None:
    draw = random.Random(seed)
    index = RougeIndex(0.5)
    index._exact.pool.counters[SPLIT_SIZE] = split_size
    index._exact.rebuild_at = draw.choice([50, 1000])
    for text in related_texts(300, longest=12, seed=seed):
        index.admit([text])
    assert rooms_taken(index._exact.pool) > 0


@given(st.lists(st.integers(0, 3000), min_size=1))
def test_the_room_for_a_size_is_the_smallest_that_holds_it(sizes: list[int]) -> None:
    found = [room_for(size) for size in sizes]
    assert found == [next(room for room in rooms() if room >= size) if size else 0 for size in sizes]
    assert [largest_room(size) for size in sizes if size] == [
        next(room for room in reversed(rooms()) if room <= size) for size in sizes if size
    ]


def test_lists_that_grow_in_step_leave_little_idle_and_find_what_they_found() -> None:
    """None of the rooms that one leaves is large enough for another: without a remedy, 2.9 times what is in use."""
    draw = random.Random(3)
    texts = [" ".join(f"w{draw.randrange(40)}" for _ in range(9)) for _ in range(30_000)]
    index, reference = RougeIndex(0.8), RougeIndex(0.8)
    most = 0.0
    for first in range(0, len(texts), 500):
        index.add(texts[first : first + 500])
        pool = index._exact.pool
        taken = rooms_taken(pool)
        if taken > 40_000:  # there is always room for a few lists to be split, used or not
            most = max(most, pool.counters[NUM_POSTINGS] / taken)
    assert 1.0 < most < 1.4
    reference.add(texts)
    assert judgements(index.query(texts[::50])) == judgements(reference.query(texts[::50]))


@pytest.mark.parametrize("seed", range(8))
def test_a_split_takes_no_more_room_than_there_is(seed: int) -> None:
    """What lies behind the postings is the memory of others."""
    draw = random.Random(seed)
    index = RougeIndex(0.3)
    index._exact.rebuild_at = 10**9
    index._exact.pool.counters[SPLIT_SIZE] = draw.choice([64, 500, 2048])
    for number in range(40):
        texts = [
            " ".join(["common", *(f"w{draw.randrange(10**6)}" for _ in range(draw.randrange(32)))]) for _ in range(500)
        ]
        index.add(texts)
        pool = index._exact.pool
        assert pool.counters[NUM_POSTINGS] <= len(pool.posting_texts), number
    assert (pool.split > 0).any()
    rooms_taken(pool)
