"""A table of texts by all of their tokens: who is equal to a text, found always and at once.

Knows nothing of scores. Guarantees that what it finds is equal, token by token; a hash only says where to look.

Buckets are cut short where they grow too large, and equal texts meet in just these: all of their bands agree. But an
equal text is the one near-duplicate that needs no similarity to be found, so it has a table of its own. Only the first
of equals is in the table, and in buckets: whatever is near one is as near the other, and of equals the first is named.
So a million copies of a text cost no more there than one.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel

NONE = -1
_TEXT_BITS = np.uint64(32)
_TEXT = np.uint64(0xFFFFFFFF)
_SPREAD = np.uint64(0x9E3779B97F4A7C15)  # 2**64 divided by the golden ratio
_PLACE = np.uint64(0xD6E8FEB86659FD93)


@kernel
def hash_tokens(tokens: NDArray[np.int32]) -> np.uint64:
    """A hash of a text's tokens and their order."""
    code = np.uint64(tokens.size)
    # A sum, so that LLVM makes vectors of it: a chain would wait for itself at each token, 0.3 us for 168.
    for place in range(np.uint64(tokens.size)):
        mixed = (np.uint64(tokens[place]) + np.uint64(1)) * _SPREAD ^ (place * _PLACE)
        mixed = (mixed ^ (mixed >> _TEXT_BITS)) * _SPREAD
        code += mixed ^ (mixed >> np.uint64(29))
    return code


@kernel
def find_equal(
    table: NDArray[np.uint64],
    tokens: NDArray[np.int32],
    code: np.uint64,
    pool_tokens: NDArray[np.int32],
    starts: NDArray[np.int64],
) -> int:
    """The first pool text that is equal to one with this hash, `NONE` without.

    Args:
        table: uint64[a power of two]: upper half of the hash, then position + 1; 0 is free; at most half full.
        tokens: the text's.
        code: its `hash_tokens`.
        pool_tokens: int32[tokens], one text after another.
        starts: int64[texts + 1].
    """
    mask = np.uint64(table.size - 1)
    slot = (code >> _TEXT_BITS) & mask
    while table[slot] != np.uint64(0):
        entry = table[slot]
        if (entry ^ code) >> _TEXT_BITS == np.uint64(0):
            text = int(np.int64(entry & _TEXT)) - 1
            if _same(tokens, pool_tokens, starts[text], starts[text + 1]):
                return text
        slot = (slot + np.uint64(1)) & mask
    return NONE


@inlined_kernel
def _same(tokens: NDArray[np.int32], pool_tokens: NDArray[np.int32], begin: int, end: int) -> bool:
    if end - begin != tokens.size:
        return False
    for offset in range(tokens.size):  # noqa: SIM110 - Numba has no generator expressions
        if tokens[offset] != pool_tokens[begin + offset]:
            return False
    return True


@kernel
def note_equal(table: NDArray[np.uint64], code: np.uint64, text: int) -> None:
    """Enter a text that is equal to none before it; there must be a free slot."""
    mask = np.uint64(table.size - 1)
    slot = (code >> _TEXT_BITS) & mask
    while table[slot] != np.uint64(0):
        slot = (slot + np.uint64(1)) & mask
    table[slot] = (code & ~_TEXT) | np.uint64(text + 1)


@kernel
def move_equals(table: NDArray[np.uint64], larger: NDArray[np.uint64]) -> None:
    """Enter all of a table's texts into a larger, empty one."""
    for entry in table:
        if entry != np.uint64(0):
            note_equal(larger, entry, int(np.int64(entry & _TEXT)) - 1)
