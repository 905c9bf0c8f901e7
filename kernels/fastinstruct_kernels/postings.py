"""Which pool texts could match: per token, lists of the texts that have it among their rarest.

Knows nothing of verdicts. Two texts whose F exceeds the threshold share a token of their prefixes, in whatever total
order the ranks are (see rouge.prefix_length). More than that: let p and q be the places of the first shared token in
the two texts sorted by rarity (of a repeated token, the first). All L common tokens stand from there on, so
`L <= m - p` and `L <= n - q`. So a posting is kept for each place of a text's prefix, and a list that has grown long
is split by length and place: a probe reads just the groups that can reach the L their lengths need, a tenth of the
postings in a pool of 300,000.

A posting carries a signature; see `signatures`.

Source: positional filter: Xiao et al., "Efficient similarity joins for near duplicate detection" (2008), section 3.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_part, kernel, kernel_part
from fastinstruct_kernels.bags import LONGEST_SHORT
from fastinstruct_kernels.pool import (
    LONGEST_GROUPED,
    NUM_LISTS,
    NUM_POSTINGS,
    NUM_TEXTS,
    SIZE,
    SPLIT_SIZE,
    START,
    Pool,
    note_text,
)
from fastinstruct_kernels.rooms import largest_room, next_room, room_for, room_kind, room_of
from fastinstruct_kernels.rouge import prefix_length
from fastinstruct_kernels.signatures import key_token, sign


@inlined_part
def append_postings(
    pool: Pool,
    text: int,
    keys: NDArray[np.int64],
    signatures: NDArray[np.uint64],
    first: int,
    length: int,
    threshold: float,
) -> bool:
    """Append a text to a list of each token of its prefix; False, with no posting added, when there is no room."""
    prefix = prefix_length(length, threshold)
    missing = 0
    for place in range(prefix):
        token = key_token(keys[first + place])
        whole = pool.whole[token]
        is_long = pool.lists[whole, SIZE] >= pool.counters[SPLIT_SIZE] and pool.split[token] == 0
        if (whole == 0 or is_long) and not _make_ready(pool, token):
            return False
        number = _list_of(pool, token, length, place)
        missing += next_room(int(pool.lists[number, SIZE]))
    if pool.counters[NUM_POSTINGS] + missing > pool.posting_texts.size:
        return False
    for place in range(prefix):
        if place == 0 or keys[first + place] != keys[first + place - 1]:
            _append(
                pool, _list_of(pool, key_token(keys[first + place]), length, place), text, signatures[first + place]
            )
    return True


@inlined_part
def _list_of(pool: Pool, token: int, length: int, place: int) -> int:
    """Where a token's posting goes."""
    if pool.split[token] > 0 and length <= LONGEST_GROUPED:
        return int(pool.split[token] + pool.group_starts[length] + place)
    return int(pool.whole[token])


@inlined_part
def _append(pool: Pool, number: int, text: int, bits: np.uint64) -> None:
    size = pool.lists[number, SIZE]
    room = next_room(size)
    if room > 0:
        _move(pool, number, room)
    posting = pool.lists[number, START] + size
    pool.posting_texts[posting] = text
    pool.posting_bits[posting] = bits
    pool.lists[number, SIZE] = size + 1


@inlined_part
def _move(pool: Pool, number: int, room: int) -> None:
    """Move a full list to larger room, and leave its own idle."""
    old, size = pool.lists[number, START], pool.lists[number, SIZE]
    new = _taken(pool, room)
    for posting in range(size):  # As slices, these lines take Numba 1.5 s to compile.
        pool.posting_texts[new + posting] = pool.posting_texts[old + posting]
        pool.posting_bits[new + posting] = pool.posting_bits[old + posting]
    if size > 0:
        _leave(pool, old, size)
    pool.lists[number, START] = new


@kernel_part
def _taken(pool: Pool, room: int) -> int:
    """Room that is idle, the smallest that is large enough, or at the end of the postings."""
    for kind in range(room_kind(room), pool.free.size):
        new = pool.free[kind]
        if new >= 0:
            pool.free[kind] = np.int64(pool.posting_bits[new])
            _leave_rest(pool, new + room, room_of(kind) - room)
            return int(new)
    new = pool.counters[NUM_POSTINGS]
    pool.counters[NUM_POSTINGS] = new + room
    return int(new)


@inlined_part
def _leave_rest(pool: Pool, start: int, size: int) -> None:
    """Leave idle what is left of a room, as the largest rooms that it makes."""
    while size > 0:
        room = largest_room(size)
        _leave(pool, start, room)
        start += room
        size -= room


@inlined_part
def _leave(pool: Pool, start: int, room: int) -> None:
    kind = room_kind(room)
    pool.posting_bits[start] = np.uint64(pool.free[kind])
    pool.free[kind] = start


@kernel_part
def _make_ready(pool: Pool, token: int) -> bool:
    """Give a token its first list, or split the one that has grown long; False when there is no room for it."""
    if pool.whole[token] == 0:
        if pool.counters[NUM_LISTS] == pool.lists.shape[0]:
            return False
        pool.whole[token] = pool.counters[NUM_LISTS]
        pool.counters[NUM_LISTS] += 1
        return True
    num_groups = pool.group_starts[LONGEST_GROUPED + 1]
    # Room is never more than a quarter larger than what it is for, and none may be idle.
    room = pool.counters[NUM_POSTINGS] + 2 * pool.lists[pool.whole[token], SIZE]
    if room > pool.posting_texts.size or pool.counters[NUM_LISTS] + num_groups > pool.lists.shape[0]:
        return False
    pool.split[token] = pool.counters[NUM_LISTS]
    pool.counters[NUM_LISTS] += num_groups
    _split(pool, token)
    return True


@kernel_part
def _split(pool: Pool, token: int) -> None:
    """Share a list out among those by length and place, each with just the room it needs."""
    whole = pool.whole[token]
    start, size = pool.lists[whole, START], pool.lists[whole, SIZE]
    pool.lists[whole, SIZE] = 0
    for posting in range(start, start + size):
        pool.lists[_list_of_text(pool, token, pool.posting_texts[posting]), SIZE] += 1
    _give_room(pool, whole, whole + 1)
    first = pool.split[token]
    _give_room(pool, first, first + pool.group_starts[LONGEST_GROUPED + 1])
    for posting in range(start, start + size):
        text = pool.posting_texts[posting]
        number = _list_of_text(pool, token, text)
        place = pool.lists[number, START] + pool.lists[number, SIZE]
        pool.posting_texts[place] = text
        pool.posting_bits[place] = pool.posting_bits[posting]
        pool.lists[number, SIZE] += 1
    _leave(pool, start, room_for(size))


@inlined_part
def _give_room(pool: Pool, first: int, last: int) -> None:
    """Give lists that are still to be filled, and now say how many are to come, their room."""
    for number in range(first, last):
        if pool.lists[number, SIZE] > 0:
            pool.lists[number, START] = _taken(pool, room_for(pool.lists[number, SIZE]))
            pool.lists[number, SIZE] = 0


@inlined_part
def _list_of_text(pool: Pool, token: int, text: int) -> int:
    """Where a pool text's posting for a token goes."""
    begin, end = pool.starts[text], pool.starts[text + 1]
    place = 0
    for position in range(begin, end):
        place += pool.ranks[pool.tokens[position]] > pool.ranks[token]
    return _list_of(pool, token, end - begin, place)


@kernel
def refill(
    pool: Pool, first: int, last: int, threshold: float, keys: NDArray[np.int64], signatures: NDArray[np.uint64]
) -> int:
    """Append the postings of the pool's texts from `first` to before `last`; returns the first without room, or `last`.

    `keys: int64[longest text]` and `signatures: uint64[longest text]` are scratch.
    """
    for text in range(first, last):
        begin, end = pool.starts[text], pool.starts[text + 1]
        sign(pool.tokens, begin, end, pool.ranks, keys, signatures, 0)
        if not append_postings(pool, text, keys, signatures, 0, end - begin, threshold):
            return text
    return last


@kernel
def note_texts(pool: Pool, keys: NDArray[np.int64], signatures: NDArray[np.uint64]) -> None:
    """Note each text of a pool of an older layout; `keys` and `signatures` are scratch as for `refill`."""
    for text in range(pool.counters[NUM_TEXTS]):
        begin, end = pool.starts[text], pool.starts[text + 1]
        if end - begin > LONGEST_SHORT:
            sign(pool.tokens, begin, end, pool.ranks, keys, signatures, 0)
        note_text(pool, text, keys, 0, end - begin)
