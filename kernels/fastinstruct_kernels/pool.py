"""The arrays that hold a pool of texts and the lists over it; how they begin and how they grow.

Knows nothing of scores. Contents beyond the counters are undefined, except that `lists`, `whole` and `split` begin as
zeros and `ranks` as each token's own number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, inlined_part, kernel, kernel_part, making_kernel
from fastinstruct_kernels.bags import LONGEST_SHORT, bag_words, fill_bag
from fastinstruct_kernels.growth import grown
from fastinstruct_kernels.lcs import popcount
from fastinstruct_kernels.rooms import NUM_KINDS, room_for
from fastinstruct_kernels.rouge import min_rejecting_table, prefix_length
from fastinstruct_kernels.signatures import BLOCK
from fastinstruct_kernels.words import UNKNOWN

# Positions in Pool.counters.
NUM_TEXTS, NUM_TOKENS, NUM_POSTINGS, NUM_LISTS, SPLIT_SIZE, NUM_LONG, NUM_BAG_WORDS = 0, 1, 2, 3, 4, 5, 6
# Columns of Pool.long_marks and Pool.longs.
MARKS, BEFORE = 0, 1
TEXT, BAG = 0, 1
# Columns of Pool.lists.
START, SIZE = 0, 1

# Pairs of lengths up to this have their smallest rejecting LCS in a table (256 KiB); it is computed for longer ones.
TABLE_LENGTH = 255
# Texts of up to this many tokens are grouped in split lists; longer ones stay together.
LONGEST_GROUPED = 32
# A length and all longer ones are counted together.
_LONGEST_COUNTED = 1023
# A list of this many postings is split. A group costs 20 ns or so to visit and a posting 0.3 ns; each split token costs
# 4 KiB. At pools of 535,000 and 1.8 million, 1,024 takes as long, 512 and 256 take 5% to 30% longer.
_SPLIT_SIZE = 2048
# Where more than one in so many postings is idle, lists are moved together before there is more room.
_MOST_IDLE = 8


class Pool(NamedTuple):
    """All texts admitted so far and, per token, the lists of texts that have it among their rarest.

    A token's postings are in list `whole[token]` until there are many. Then those of texts up to `LONGEST_GROUPED` move
    to lists of their own, apart by the text's length n and by the token's place p in its order of rarity: list
    split[token] + group_starts[n] + p.
    """

    counters: NDArray[np.int64]  # int64[7]: texts, tokens, postings, lists in use; at which size a list is split; bags
    tokens: NDArray[np.int32]  # int32[tokens]: the texts' tokens, one text after another
    starts: NDArray[np.int64]  # int64[texts + 1]: text i is tokens[starts[i]:starts[i + 1]]
    ranks: NDArray[np.int32]  # int32[vocabulary]: a total order of the tokens, the rarest highest
    whole: NDArray[np.int32]  # int32[vocabulary]: number of the token's list, 0 for none yet
    split: NDArray[np.int32]  # int32[vocabulary]: number of its first list by length and place, 0 for none
    lists: NDArray[np.int64]  # int64[lists, 2]: first posting, number of postings
    group_starts: NDArray[np.int32]  # int32[LONGEST_GROUPED + 2]: first list of a length
    posting_texts: NDArray[np.int32]  # int32[postings]: pool position
    posting_bits: NDArray[np.uint64]  # uint64[postings + BLOCK]: signature of that text at its place
    free: NDArray[np.int64]  # int64[128]: per kind of room the first idle one, -1 for none; each tells the next
    lengths: NDArray[np.int64]  # int64[1024]: number of texts of each length; 1023 stands for all longer ones, too
    long_marks: NDArray[np.uint64]  # uint64[texts / 64 + 1, 2]: a one for each long text; number of those before
    longs: NDArray[np.int64]  # int64[long texts, 2]: pool position, first word of its bitmap
    bags: NDArray[np.uint64]  # uint64[words]: bitmaps of the long texts' tokens, see bags
    min_lcs: NDArray[np.int32]  # int32[longest + 1, longest + 1]: rouge.min_rejecting_table at the pool's threshold


def new_pool(threshold: float) -> Pool:
    """An empty pool with a little room."""
    pool = Pool(
        counters=np.array([0, 0, 0, 1, _SPLIT_SIZE, 0, 0], dtype=np.int64),
        tokens=np.empty(1 << 12, dtype=np.int32),
        starts=np.zeros(1 << 8, dtype=np.int64),
        ranks=np.arange(1 << 10, dtype=np.int32),
        whole=np.zeros(1 << 10, dtype=np.int32),
        split=np.zeros(1 << 10, dtype=np.int32),
        lists=np.zeros((1 << 10, 2), dtype=np.int64),
        group_starts=_group_starts(threshold),
        posting_texts=np.zeros(1 << 12, dtype=np.int32),
        posting_bits=np.zeros((1 << 12) + BLOCK, dtype=np.uint64),
        free=np.full(NUM_KINDS, -1, dtype=np.int64),
        lengths=np.zeros(_LONGEST_COUNTED + 1, dtype=np.int64),
        long_marks=np.zeros((1 << 4, 2), dtype=np.uint64),
        longs=np.zeros((1 << 4, 2), dtype=np.int64),
        bags=np.zeros(1 << 6, dtype=np.uint64),
        min_lcs=min_rejecting_table(TABLE_LENGTH, threshold),
    )
    pool.ranks[UNKNOWN] = np.iinfo(np.int32).max
    return pool


@making_kernel
def _group_starts(threshold: float) -> NDArray[np.int32]:
    """A length has as many groups as its prefix has places."""
    starts = np.zeros(LONGEST_GROUPED + 2, dtype=np.int32)
    for length in range(LONGEST_GROUPED + 1):
        starts[length + 1] = starts[length] + prefix_length(length, threshold)
    return starts


def with_room(pool: Pool, *, texts: int, tokens: int, vocabulary: int) -> Pool:
    """The pool with room for that many more texts and tokens, and for token numbers below `vocabulary`."""
    num_texts, num_tokens = int(pool.counters[NUM_TEXTS]), int(pool.counters[NUM_TOKENS])
    if num_texts + texts + 1 > len(pool.starts):
        pool = pool._replace(starts=grown(pool.starts, num_texts + texts + 1))
    if num_tokens + tokens > len(pool.tokens):
        pool = pool._replace(tokens=grown(pool.tokens, num_tokens + tokens))
    if (num_texts + texts) // 64 + 1 > len(pool.long_marks):
        pool = pool._replace(long_marks=grown(pool.long_marks, (num_texts + texts) // 64 + 1))
    if (num_long := int(pool.counters[NUM_LONG]) + min(texts, tokens // LONGEST_SHORT)) > len(pool.longs):
        pool = pool._replace(longs=grown(pool.longs, num_long))
    if (num_words := int(pool.counters[NUM_BAG_WORDS]) + tokens // 16) > len(pool.bags):
        pool = pool._replace(bags=grown(pool.bags, num_words))
    if vocabulary > len(pool.split):  # which grows last, in case memory runs out between
        known = len(pool.ranks)
        ranks = grown(pool.ranks, vocabulary)
        ranks[known:] = np.arange(known, len(ranks))
        pool = pool._replace(ranks=ranks, whole=grown(pool.whole, len(ranks)), split=grown(pool.split, len(ranks)))
    return pool


@inlined_part
def has_room(pool: Pool, texts: int, tokens: int, vocabulary: int) -> bool:
    """Whether `with_room` would leave the pool as it is."""
    num_texts = pool.counters[NUM_TEXTS] + texts
    return bool(
        num_texts < pool.starts.size
        and pool.counters[NUM_TOKENS] + tokens <= pool.tokens.size
        and num_texts // 64 < pool.long_marks.shape[0]
        and pool.counters[NUM_LONG] + min(texts, tokens // LONGEST_SHORT) <= pool.longs.shape[0]
        and pool.counters[NUM_BAG_WORDS] + tokens // 16 <= pool.bags.size
        and vocabulary <= pool.split.size
    )


def with_more_postings(pool: Pool) -> Pool:
    """The pool with room for another split and a few more lists, if these run short, else for more postings."""
    num_lists = int(pool.counters[NUM_LISTS] + pool.group_starts[-1])
    if num_lists > len(pool.lists):
        return pool._replace(lists=grown(pool.lists, num_lists + len(pool.whole) // 4))
    lists = pool.lists[: pool.counters[NUM_LISTS]]
    used = _num_in_rooms(lists)
    if pool.counters[NUM_POSTINGS] - used > used // _MOST_IDLE:
        order = np.argsort(lists[:, START], kind="stable")
        pool.counters[NUM_POSTINGS] = _close_up(lists, order, pool.posting_texts, pool.posting_bits)
        pool.free[:] = -1
        return pool
    room = len(pool.posting_texts) + len(pool.posting_texts) // 8 + 4 * int(pool.counters[SPLIT_SIZE])
    return pool._replace(
        posting_texts=grown(pool.posting_texts, room),
        posting_bits=grown(pool.posting_bits, room + BLOCK),
    )


@kernel
def _num_in_rooms(lists: NDArray[np.int64]) -> int:
    """How many postings the rooms of all lists hold, full or not."""
    number = 0
    for place in range(lists.shape[0]):
        number += room_for(lists[place, SIZE])
    return number


@kernel
def _close_up(
    lists: NDArray[np.int64],
    order: NDArray[np.int64],
    posting_texts: NDArray[np.int32],
    posting_bits: NDArray[np.uint64],
) -> int:
    """Move all lists together, so that no room is idle.

    Args:
        lists: of the pool.
        order: int64[lists]: their numbers, by where they begin.
        posting_texts: of the pool.
        posting_bits: of the pool.

    Returns:
        How many postings the rooms hold.
    """
    used = 0
    for number in order:
        start, size = lists[number, START], lists[number, SIZE]
        for posting in range(size):
            posting_texts[used + posting] = posting_texts[start + posting]
            posting_bits[used + posting] = posting_bits[start + posting]
        lists[number, START] = used
        used += room_for(size)
    return used


def new_ranks(pool: Pool, vocabulary: int) -> NDArray[np.int32]:
    """Ranks of the tokens by how seldom the pool's texts have them: int32[len(pool.ranks)].

    Tokens that are met later are numbered from `vocabulary` on and keep their number as rank: above all of these, as
    befits new ones.
    """
    frequencies = np.bincount(pool.tokens[: pool.counters[NUM_TOKENS]], minlength=vocabulary)
    ranks = pool.ranks.copy()
    ranks[1 + np.argsort(-frequencies[1:], kind="stable")] = np.arange(1, vocabulary, dtype=np.int32)
    return ranks


def forget_lists(pool: Pool, ranks: NDArray[np.int32]) -> Pool:
    """The pool with these ranks and without postings."""
    pool.lists[:] = 0
    pool.whole[:] = 0
    pool.split[:] = 0
    pool.free[:] = -1
    pool.counters[NUM_POSTINGS] = 0
    pool.counters[NUM_LISTS] = 1
    return pool._replace(ranks=ranks)


def with_bag_room(pool: Pool) -> Pool:
    """The pool with room for the counts and the bitmaps of its texts, none of which is noted."""
    num_texts, num_tokens = int(pool.counters[NUM_TEXTS]), int(pool.counters[NUM_TOKENS])
    return pool._replace(
        counters=np.concatenate([pool.counters[:NUM_LONG], np.zeros(2, dtype=np.int64)]),
        lengths=np.zeros(_LONGEST_COUNTED + 1, dtype=np.int64),
        long_marks=np.zeros((num_texts // 64 + 1, 2), dtype=np.uint64),
        longs=np.zeros((num_tokens // LONGEST_SHORT + 1, 2), dtype=np.int64),
        bags=np.zeros(num_tokens // 16 + 1, dtype=np.uint64),
    )


@inlined_part
def note_text(pool: Pool, text: int, keys: NDArray[np.int64], begin: int, end: int) -> None:
    """Count a text, the first that is not noted, and keep the bitmap of a long one, whose keys are sorted."""
    length = end - begin
    pool.lengths[min(length, _LONGEST_COUNTED)] += 1
    word, place = text // 64, np.uint64(text % 64)
    if place == np.uint64(0):
        pool.long_marks[word, MARKS] = np.uint64(0)
        pool.long_marks[word, BEFORE] = np.uint64(pool.counters[NUM_LONG])
    words = bag_words(length)
    if words > 0:
        number, first = pool.counters[NUM_LONG], pool.counters[NUM_BAG_WORDS]
        fill_bag(keys, begin, end, pool.bags, first, words)
        pool.long_marks[word, MARKS] |= np.uint64(1) << place
        pool.longs[number, TEXT] = text
        pool.longs[number, BAG] = first
        pool.counters[NUM_LONG] = number + 1
        pool.counters[NUM_BAG_WORDS] = first + words


@inlined_kernel
def bag_of(long_marks: NDArray[np.uint64], longs: NDArray[np.int64], text: int) -> int:
    """Where the bitmap of a text begins; -1 of a short one."""
    word, bit = text // 64, np.uint64(1) << np.uint64(text % 64)
    marks = long_marks[word, MARKS]
    if marks & bit == np.uint64(0):
        return -1
    number = long_marks[word, BEFORE] + popcount(marks & (bit - np.uint64(1)))
    return int(longs[np.int64(number), BAG])


@kernel_part
def num_of_lengths(pool: Pool, shortest: int, longest: int) -> int:
    """How many texts have at least and at most so many tokens; a few too many where they have a thousand."""
    count = 0
    for length in range(min(shortest, _LONGEST_COUNTED), min(longest, _LONGEST_COUNTED) + 1):
        count += pool.lengths[length]
    return int(count)
