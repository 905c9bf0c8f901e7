"""The arrays that hold a pool of texts and the lists over it; how they begin and how they grow.

Knows nothing of scores. Plain NumPy: nothing here is compiled. Arrays grow by doubling, so that joining a text copies
nothing; contents beyond the counters are undefined, except that `slots` and `lists` begin as zeros and `ranks` as
each token's own number.
"""

from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

# Positions in Pool.counters.
NUM_TEXTS, NUM_TOKENS, NUM_POSTINGS, NUM_PROBES = 0, 1, 2, 3
# Columns of Pool.lists.
START, SIZE, ROOM = 0, 1, 2
# A token that no text of the pool can hold: what a query's new words become.
UNKNOWN = 0

Scalar = TypeVar("Scalar", bound=np.generic)


class Pool(NamedTuple):
    """All texts admitted so far and, per token, the list of texts that have it among their rarest."""

    counters: NDArray[np.int64]  # int64[4]: texts, tokens and postings in use; texts judged so far
    tokens: NDArray[np.int32]  # int32[tokens]: the texts' tokens, one text after another
    starts: NDArray[np.int64]  # int64[texts + 1]: text i is tokens[starts[i]:starts[i + 1]]
    probed: NDArray[np.int64]  # int64[texts + 1]: scratch, the last judgement that compared this text in full
    ranks: NDArray[np.int32]  # int32[vocabulary]: a total order of the tokens, the rarest highest
    slots: NDArray[np.int32]  # int32[vocabulary]: scratch of the pattern, zeros between calls
    lists: NDArray[np.int64]  # int64[vocabulary, 3]: first posting, number of postings, room for postings
    posting_texts: NDArray[np.int32]  # int32[postings]: pool position
    posting_lengths: NDArray[np.int32]  # int32[postings]: that text's number of tokens
    posting_bitmaps: NDArray[np.uint64]  # uint64[postings]: that text's bitmap
    min_lcs: NDArray[np.int32]  # int32[longest + 1, longest + 1]: rouge.min_rejecting_table at the pool's threshold


def new_pool(min_lcs: NDArray[np.int32]) -> Pool:
    """An empty pool with a little room."""
    pool = Pool(
        counters=np.zeros(4, dtype=np.int64),
        tokens=np.empty(1 << 12, dtype=np.int32),
        starts=np.zeros(1 << 8, dtype=np.int64),
        probed=np.zeros(1 << 8, dtype=np.int64),
        ranks=np.arange(1 << 10, dtype=np.int32),
        slots=np.zeros(1 << 10, dtype=np.int32),
        lists=np.zeros((1 << 10, 3), dtype=np.int64),
        posting_texts=np.empty(1 << 12, dtype=np.int32),
        posting_lengths=np.empty(1 << 12, dtype=np.int32),
        posting_bitmaps=np.empty(1 << 12, dtype=np.uint64),
        min_lcs=min_lcs,
    )
    pool.ranks[UNKNOWN] = np.iinfo(np.int32).max
    return pool


def with_room(pool: Pool, *, texts: int, tokens: int, vocabulary: int) -> Pool:
    """The pool with room for that many more texts and tokens, and for token numbers below `vocabulary`."""
    num_texts, num_tokens = int(pool.counters[NUM_TEXTS]), int(pool.counters[NUM_TOKENS])
    if num_texts + texts + 1 > len(pool.starts):
        size = num_texts + texts + 1
        pool = pool._replace(starts=_grown(pool.starts, size), probed=_grown(pool.probed, size))
    if num_tokens + tokens > len(pool.tokens):
        pool = pool._replace(tokens=_grown(pool.tokens, num_tokens + tokens))
    if vocabulary > len(pool.ranks):
        ranks = _grown(pool.ranks, vocabulary)
        ranks[len(pool.ranks) :] = np.arange(len(pool.ranks), len(ranks))
        pool = pool._replace(ranks=ranks, slots=np.zeros(len(ranks), np.int32), lists=_grown(pool.lists, vocabulary))
    return pool


def with_more_postings(pool: Pool) -> Pool:
    """The pool with twice the room for postings."""
    size = 2 * len(pool.posting_texts)
    return pool._replace(
        posting_texts=_grown(pool.posting_texts, size),
        posting_lengths=_grown(pool.posting_lengths, size),
        posting_bitmaps=_grown(pool.posting_bitmaps, size),
    )


def with_new_ranks(pool: Pool, vocabulary: int) -> Pool:
    """The pool with empty lists, and with the tokens below `vocabulary` ranked by how seldom its texts have them.

    Tokens that are met later are numbered from `vocabulary` on and keep their number as rank: above all of these, as
    befits new ones. What the old pool's lists are made of stays as it was.
    """
    frequencies = np.bincount(pool.tokens[: pool.counters[NUM_TOKENS]], minlength=vocabulary)
    ranks = pool.ranks.copy()
    ranks[1 + np.argsort(-frequencies[1:], kind="stable")] = np.arange(1, vocabulary, dtype=np.int32)
    counters = pool.counters.copy()
    counters[NUM_POSTINGS] = 0
    return pool._replace(
        counters=counters,
        ranks=ranks,
        lists=np.zeros_like(pool.lists),
        posting_texts=np.empty_like(pool.posting_texts),
        posting_lengths=np.empty_like(pool.posting_lengths),
        posting_bitmaps=np.empty_like(pool.posting_bitmaps),
    )


def _grown(array: NDArray[Scalar], at_least: int) -> NDArray[Scalar]:
    """A copy at least twice as long; what is new is zero."""
    grown = np.zeros((max(2 * len(array), at_least), *array.shape[1:]), dtype=array.dtype)
    grown[: len(array)] = array
    return grown
