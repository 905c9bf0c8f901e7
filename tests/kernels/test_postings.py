"""Rooms of postings: each has a kind, what is left of one is used, and none is lost or in use twice."""

import random
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from fastinstruct.similarity import RougeIndex
from fastinstruct_kernels.pool import NUM_LISTS, NUM_POSTINGS, SIZE, SPLIT_SIZE, START, Pool
from fastinstruct_kernels.postings import next_room, room_kind, room_of
from related_texts import related_texts


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


@given(st.integers(0, 99), st.sampled_from([2, 5, 2048]))
def test_every_posting_is_in_one_list_or_in_one_idle_room(seed: int, split_size: int) -> None:
    draw = random.Random(seed)
    index = RougeIndex(0.5)
    index._exact.pool.counters[SPLIT_SIZE] = split_size
    index._exact.rebuild_at = draw.choice([50, 1000])
    for text in related_texts(300, longest=12, seed=seed):
        index.admit([text])
    pool = index._exact.pool
    sizes = np.array(rooms())
    taken = idle(pool)
    for start, size in pool.lists[: pool.counters[NUM_LISTS]].tolist():
        if size > 0:
            taken.append((start, int(sizes[np.searchsorted(sizes, size)])))
    taken.sort()
    end = 0
    for start, size in taken:
        assert start == end
        end = start + size
    assert end == pool.counters[NUM_POSTINGS]
    assert (SIZE, START) == (1, 0)
