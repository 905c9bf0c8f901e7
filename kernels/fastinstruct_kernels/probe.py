"""The judgement of texts: probe a batch against the pool as it is, then settle it in order.

Knows nothing of text, threads or how arrays grow: a kernel that lacks room says how far it came and is called again.
Guarantees exactness: every pool text that no bound excludes is compared in full, so the verdict, the nearest text and
its score depend neither on the order of the lists nor on how the texts are cut into batches and threads.

`probe` changes nothing but the batch's own rows and the caller's scratch, so several threads may probe parts of a
batch. `settle` compares the batch's texts with what the batch itself has added before them, by signature, one after
another: less work than another look at the lists, up to a thousand texts or so.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel
from fastinstruct_kernels.lcs import Pattern, clear_pattern, fill_pattern, new_pattern, pattern_lcs, popcount
from fastinstruct_kernels.pool import BLOCK, LONGEST_GROUPED, NUM_TEXTS, NUM_TOKENS, SIZE, START, TABLE_LENGTH, Pool
from fastinstruct_kernels.postings import LENGTH_BITS, append_postings, key_token, sign
from fastinstruct_kernels.rouge import f_measure, min_rejecting_lcs, prefix_length

# What becomes of the texts of a batch: judged and, if admitted, joined; judged only; joined unjudged.
ADMIT, QUERY, ADD = 0, 1, 2

# Positions in Scratch.counters.
NUM_PROBES, NUM_HITS, TOUCHED = 0, 1, 2
_NUM_SEEN = 1 << 10
_MOST_HITS = 256
# The threshold as a fraction of this, so that bounds are compared in whole numbers.
_UNIT_BITS = np.uint64(20)
_ONE = np.uint64(1)
_FAR = np.uint64(1 << 40)


class Scratch(NamedTuple):
    """What one thread needs while it judges."""

    counters: NDArray[np.int64]  # int64[3]: texts probed; hits in use; nothing
    hits: NDArray[np.int32]  # int32[256]: pool texts to be compared
    begins: NDArray[np.int64]  # int64[256]: where their tokens begin
    seen: NDArray[np.int64]  # int64[1024]: probe << 32 | pool text, for the last of those compared; never exact
    pattern: Pattern


def new_scratch(longest: int, vocabulary: int) -> Scratch:
    """Scratch for texts of up to `longest` tokens, which lie in `[0, vocabulary)`."""
    return Scratch(
        counters=np.zeros(3, dtype=np.int64),
        hits=np.zeros(_MOST_HITS, dtype=np.int32),
        begins=np.zeros(_MOST_HITS, dtype=np.int64),
        seen=np.zeros(_NUM_SEEN, dtype=np.int64),
        pattern=new_pattern(longest, vocabulary),
    )


class Batch(NamedTuple):
    """Texts to judge, and room for what becomes of them."""

    tokens: NDArray[np.int32]  # int32[tokens]: one text after another
    starts: NDArray[np.int64]  # int64[n + 1]
    keys: NDArray[np.int64]  # int64[tokens]: the same tokens by rarity, see postings.sign
    bits: NDArray[np.uint64]  # uint64[n]: signatures
    fresh: NDArray[np.uint64]  # uint64[n + BLOCK]: signatures of those that joined the pool, in order
    admitted: NDArray[np.bool_]  # bool[n]
    nearest: NDArray[np.int64]  # int64[n]: the most similar text above the threshold, -1 for none
    scores: NDArray[np.float64]  # float64[n]: its F, NaN for none


class _Text(NamedTuple):
    """The text that is being judged."""

    row: int
    begin: int
    length: int
    bits: np.uint64
    rate: np.uint64
    threshold: float


@kernel
def probe(pool: Pool, batch: Batch, scratch: Scratch, first: int, last: int, mode: int, threshold: float) -> None:
    """Judge the texts from `first` to before `last` against the pool; only make ready for `settle` what won't be."""
    for index in range(first, last):
        begin, end = batch.starts[index], batch.starts[index + 1]
        batch.bits[index] = sign(batch.tokens, begin, end, pool.ranks, batch.keys, begin)
        batch.nearest[index] = -1
        batch.scores[index] = np.nan
        batch.admitted[index] = True
        if mode != ADD:
            text = _text(batch, index, threshold)
            _scan_prefix(pool, batch, scratch, text)
            _compare_hits(pool, batch, scratch, text)


@inlined_kernel
def _scan_prefix(pool: Pool, batch: Batch, scratch: Scratch, text: _Text) -> None:
    scratch.counters[NUM_PROBES] += 1
    for place in range(prefix_length(text.length, text.threshold)):
        key = batch.keys[text.begin + place]
        if place > 0 and key == batch.keys[text.begin + place - 1]:
            continue
        token = key_token(key)
        _scan_list(pool, batch, scratch, text, pool.whole[token])
        if pool.split[token] > 0:
            _scan_groups(pool, batch, scratch, text, pool.split[token], place)


@inlined_kernel
def _text(batch: Batch, index: int, threshold: float) -> _Text:
    begin, end = batch.starts[index], batch.starts[index + 1]
    # One less than the real threshold's, so that no rounding in the reference can reject below it.
    rate = np.uint64(max(int(threshold * (1 << 20)) - 1, 0))
    return _Text(index, begin, end - begin, batch.bits[index] & ~LENGTH_BITS, rate, threshold)


@inlined_kernel
def _any_near(signatures: NDArray[np.uint64], first: int | np.uint64, size: int | np.uint64, text: _Text) -> np.uint64:
    """Not 0 if one of `size` signatures leaves room for F above the threshold.

    A bit that only one side has is at least one token of it without a partner; F > t needs 2 L > t (m + n). Texts of
    64 tokens and more count as 64 on the right side and as endless on the left.

    With a constant size of 32 LLVM makes four AVX-512 vectors of this: 0.15 ns a signature. With 8 or 16 it doesn't
    (3 ns), and with a size unknown to it lists shorter than 32 go through the scalar rest of the loop.
    """
    length = np.uint64(text.length)
    found = np.uint64(0)
    for offset in range(size):
        signature = signatures[first + offset]
        other_length = (signature & LENGTH_BITS) + _ONE
        bitmap = signature & ~LENGTH_BITS
        bound = length - popcount(text.bits & ~bitmap)
        other_bound = other_length - popcount(bitmap & ~text.bits) if other_length <= LENGTH_BITS else _FAR
        smaller = min(bound, other_bound)
        found |= np.uint64((smaller << (_UNIT_BITS + _ONE)) > text.rate * (length + other_length))
    return found


@inlined_kernel
def _any_closer(
    signatures: NDArray[np.uint64],
    first: int | np.uint64,
    size: int | np.uint64,
    bits: np.uint64,
    spare: int,
    other_spare: int,
) -> np.uint64:
    """Not 0 if one of `size` signatures misses at most `spare` of the bits and has at most `other_spare` others."""
    most, most_others = np.uint64(spare), np.uint64(other_spare)
    found = np.uint64(0)
    for offset in range(size):
        bitmap = signatures[first + offset] & ~LENGTH_BITS
        found |= np.uint64((popcount(bits & ~bitmap) <= most) & (popcount(bitmap & ~bits) <= most_others))
    return found


@inlined_kernel
def _scan_list(pool: Pool, batch: Batch, scratch: Scratch, text: _Text, number: int) -> None:
    """Find those of a list that could be near the text."""
    start = np.uint64(pool.lists[number, START])
    end = start + np.uint64(pool.lists[number, SIZE])
    for block in range(start, end, np.uint64(BLOCK)):
        if _any_near(pool.posting_bits, block, np.uint64(BLOCK), text):
            for posting in range(block, min(block + np.uint64(BLOCK), end)):
                if _any_near(pool.posting_bits, posting, _ONE, text):
                    _hit(pool, batch, scratch, text, pool.posting_texts[posting])


@inlined_kernel
def _scan_groups(pool: Pool, batch: Batch, scratch: Scratch, text: _Text, split: int, place: int) -> None:
    """The same in a split list, where lengths and places leave enough tokens in common."""
    for length in range(1, LONGEST_GROUPED + 1):
        needed = _needed_lcs(pool, text.length, length, text.threshold)
        if needed > text.length - place:
            break  # What a pair needs never falls with the length.
        first = split + pool.group_starts[length]
        for number in range(first, first + length - needed + 1):
            if pool.lists[number, SIZE] > 0:
                _scan_group(pool, batch, scratch, text, number, text.length - needed, length - needed)


@inlined_kernel
def _scan_group(
    pool: Pool, batch: Batch, scratch: Scratch, text: _Text, number: int, spare: int, other_spare: int
) -> None:
    start = np.uint64(pool.lists[number, START])
    end = start + np.uint64(pool.lists[number, SIZE])
    for block in range(start, end, np.uint64(BLOCK)):
        if _any_closer(pool.posting_bits, block, np.uint64(BLOCK), text.bits, spare, other_spare):
            for posting in range(block, min(block + np.uint64(BLOCK), end)):
                if _any_closer(pool.posting_bits, posting, _ONE, text.bits, spare, other_spare):
                    _hit(pool, batch, scratch, text, pool.posting_texts[posting])


@inlined_kernel
def _hit(pool: Pool, batch: Batch, scratch: Scratch, text: _Text, other: int) -> None:
    """Note a pool text for comparison, most often once."""
    mark = (scratch.counters[NUM_PROBES] << 32) | np.int64(other)
    if scratch.seen[other & (_NUM_SEEN - 1)] == mark:
        return
    scratch.seen[other & (_NUM_SEEN - 1)] = mark
    if scratch.counters[NUM_HITS] == _MOST_HITS:
        _compare_hits(pool, batch, scratch, text)
    scratch.hits[scratch.counters[NUM_HITS]] = other
    scratch.counters[NUM_HITS] += 1


@inlined_kernel
def _needed_lcs(pool: Pool, length: int, other_length: int, threshold: float) -> int:
    if length <= TABLE_LENGTH and other_length <= TABLE_LENGTH:
        return int(pool.min_lcs[length, other_length])
    return min_rejecting_lcs(length, other_length, threshold)


@kernel
def _compare_hits(pool: Pool, batch: Batch, scratch: Scratch, text: _Text) -> None:
    """Compare the text in full with those noted; the nearest so far, the first of equals, becomes its verdict."""
    if scratch.counters[NUM_HITS] == 0:
        return
    _fetch_hits(pool, scratch)
    pattern, stop = scratch.pattern, text.begin + text.length
    fill_pattern(pattern, batch.tokens, text.begin, stop)
    for hit in range(scratch.counters[NUM_HITS]):
        other = scratch.hits[hit]
        begin, end = scratch.begins[hit], pool.starts[other + 1]
        needed = _needed_lcs(pool, text.length, end - begin, text.threshold)
        if needed > min(text.length, end - begin):
            continue
        lcs = pattern_lcs(pattern, text.length, pool.tokens, begin, end)
        if lcs >= needed:
            _remember(batch, text.row, other, f_measure(lcs, text.length, end - begin))
    clear_pattern(pattern, batch.tokens, text.begin, stop)
    scratch.counters[NUM_HITS] = 0


@inlined_kernel
def _fetch_hits(pool: Pool, scratch: Scratch) -> None:
    """Read the first token of each hit: these misses of the cache overlap, those between comparisons would not."""
    touched = 0
    for hit in range(scratch.counters[NUM_HITS]):
        scratch.begins[hit] = pool.starts[scratch.hits[hit]]
    for hit in range(scratch.counters[NUM_HITS]):
        touched ^= pool.tokens[scratch.begins[hit]]
    scratch.counters[TOUCHED] = touched


@inlined_kernel
def _remember(batch: Batch, index: int, other: int, score: float) -> None:
    nearest, best = batch.nearest[index], batch.scores[index]
    if nearest == -1 or score > best or (score == best and other < nearest):
        batch.nearest[index] = other
        batch.scores[index] = score
        batch.admitted[index] = False


@kernel
def settle(pool: Pool, batch: Batch, scratch: Scratch, first: int, known: int, mode: int, threshold: float) -> int:
    """Settle the probed texts from `first` on in order, `known` being how many the pool had for `probe`.

    Returns:
        The first text not settled, since the postings have no room for it; or their number.
    """
    for index in range(first, batch.starts.size - 1):
        text = _text(batch, index, threshold)
        if mode == ADMIT and text.length > 0:
            _scan_fresh(pool, batch, scratch, text, known)
            if scratch.counters[NUM_HITS] > 0:
                _compare_hits(pool, batch, scratch, text)
        if batch.admitted[index] or mode == ADD:
            if not _join(pool, batch, text):
                return index
            batch.fresh[pool.counters[NUM_TEXTS] - known - 1] = batch.bits[index]
    return int(batch.starts.size - 1)


@inlined_kernel
def _scan_fresh(pool: Pool, batch: Batch, scratch: Scratch, text: _Text, known: int) -> None:
    scratch.counters[NUM_PROBES] += 1
    end = np.uint64(pool.counters[NUM_TEXTS] - known)
    for block in range(np.uint64(0), end, np.uint64(BLOCK)):
        if _any_near(batch.fresh, block, np.uint64(BLOCK), text):
            for position in range(block, min(block + np.uint64(BLOCK), end)):
                if _any_near(batch.fresh, position, _ONE, text):
                    _hit(pool, batch, scratch, text, known + int(np.int64(position)))


@inlined_kernel
def _join(pool: Pool, batch: Batch, text: _Text) -> bool:
    """Append the text to the pool; False, with the pool as it was, when its postings have no room."""
    position = pool.counters[NUM_TEXTS]
    bits = batch.bits[text.row]
    if not append_postings(pool, position, batch.keys, text.begin, text.length, bits, text.threshold):
        return False
    used = pool.counters[NUM_TOKENS]
    for offset in range(text.length):
        pool.tokens[used + offset] = batch.tokens[text.begin + offset]
    pool.starts[position + 1] = used + text.length
    pool.counters[NUM_TOKENS] = used + text.length
    pool.counters[NUM_TEXTS] = position + 1
    return True
