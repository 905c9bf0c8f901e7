"""Bytes to words to numbers, without an object for either.

Knows nothing of Unicode beyond this: a word is a maximal run of ASCII letters and digits (upper case counts as lower)
and of bytes from 0x80 up, so every other script has to come in words already, apart by spaces. Guarantees that equal
words, and only equal words, have the same number: 1, 2, 3 ... in the order in which they are first met; a hash only
says where to compare bytes.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_part, kernel
from fastinstruct_kernels.growth import grown

# Positions in Words.counters.
NUM_WORDS, NUM_BYTES = 0, 1
# The number of every word that is not known where none may be added.
UNKNOWN = 0

_NO_ROOM = -1
_NUMBER_BITS = np.uint64(32)
_NUMBER = np.uint64(0xFFFFFFFF)
# FNV-1a, then folded: its low bits alone are weak.
_BASIS = np.uint64(0xCBF29CE484222325)
_PRIME = np.uint64(0x100000001B3)
# The byte in a word for each byte of a text; 0 is between words.
_IN_WORD = np.array(
    [ord(chr(code).lower()) if code < 128 and chr(code).isalnum() else code * (code > 127) for code in range(256)],
    dtype=np.uint8,
)


class Words(NamedTuple):
    """The words met so far: word w is bytes[ends[w - 1]:ends[w]]."""

    counters: NDArray[np.int64]  # int64[2]: words and bytes in use
    table: NDArray[np.uint64]  # uint64[2 ** n]: upper half of the hash, then number; 0 is free; at most half full
    ends: NDArray[np.int64]  # int64[words + 1]
    bytes: NDArray[np.uint8]


def new_words() -> Words:
    """No words, and room for a few."""
    return Words(
        counters=np.zeros(2, dtype=np.int64),
        table=np.zeros(1 << 10, dtype=np.uint64),
        ends=np.zeros(1 << 9, dtype=np.int64),
        bytes=np.empty(1 << 12, dtype=np.uint8),
    )


def with_more_words(words: Words, longest: int) -> Words:
    """The words with room for as many again, one of them of `longest` bytes."""
    num_words, num_bytes = int(words.counters[NUM_WORDS]), int(words.counters[NUM_BYTES])
    words = words._replace(bytes=grown(words.bytes, num_bytes + longest + 1))
    if 2 * (num_words + 2) > len(words.table):
        words = words._replace(table=np.zeros(2 * len(words.table), dtype=np.uint64))
        fill_table(words)
    if num_words + 2 > len(words.ends):
        words = words._replace(ends=grown(words.ends, 2 * len(words.ends)))
    return words


@kernel
def number_words(
    words: Words,
    text: NDArray[np.uint8],
    ends: NDArray[np.int64],
    first: int,
    adding: bool,
    numbers: NDArray[np.int32],
    starts: NDArray[np.int64],
) -> int:
    """The words of texts `first` on, as numbers.

    Args:
        words: known so far; new ones are added if `adding`, else they are UNKNOWN.
        text: uint8[bytes], one text after another.
        ends: int64[n], where each of them ends.
        first: the first text not done; `starts[first]` must be set.
        adding: whether words may be added.
        numbers: int32[at least (bytes + n) / 2 + 1], filled.
        starts: int64[n + 1], filled: text i is numbers[starts[i]:starts[i + 1]].

    Returns:
        The first text not done since `words` lack room, or n.
    """
    for index in range(first, ends.size):
        begin = ends[index - 1] if index > 0 else 0
        base = words.counters[NUM_BYTES]
        if words.bytes.size - base < ends[index] - begin:
            return index
        used, cursor, code = starts[index], base, _BASIS
        for position in range(np.uint64(begin), np.uint64(ends[index]) + np.uint64(1)):
            byte = _IN_WORD[text[position]] if position < np.uint64(ends[index]) else np.uint8(0)
            if byte != 0:
                words.bytes[np.uint64(cursor)] = byte
                cursor += 1
                code = (code ^ np.uint64(byte)) * _PRIME
            elif cursor > base:
                number = _number_of(words, base, cursor, code, adding)
                if number == _NO_ROOM:
                    return index
                numbers[np.uint64(used)] = number
                used += 1
                base = words.counters[NUM_BYTES]
                cursor, code = base, _BASIS
        starts[index + 1] = used
    return int(ends.size)


@inlined_part
def _number_of(words: Words, begin: int, end: int, code: np.uint64, adding: bool) -> int:
    """The number of the word bytes[begin:end], which lies behind those in use and is added if it is new."""
    code ^= code >> np.uint64(29)
    mask = np.uint64(words.table.size - 1)
    slot = code & mask
    while words.table[slot] != np.uint64(0):
        entry = words.table[slot]
        if (entry ^ code) >> _NUMBER_BITS == np.uint64(0) and _same(words, entry & _NUMBER, begin, end):
            return int(entry & _NUMBER)
        slot = (slot + np.uint64(1)) & mask
    if not adding:
        return UNKNOWN
    number = words.counters[NUM_WORDS] + 1
    if 2 * (number + 1) > words.table.size or number >= words.ends.size:
        return _NO_ROOM
    words.table[slot] = (code & ~_NUMBER) | np.uint64(number)
    words.ends[number] = end
    words.counters[NUM_WORDS] = number
    words.counters[NUM_BYTES] = end
    return int(number)


@inlined_part
def _same(words: Words, number: np.uint64, begin: int, end: int) -> bool:
    known = words.ends[number - np.uint64(1)]
    if words.ends[number] - known != end - begin:
        return False
    for offset in range(np.uint64(end - begin)):
        if words.bytes[np.uint64(known) + offset] != words.bytes[np.uint64(begin) + offset]:
            return False
    return True


@kernel
def fill_table(words: Words) -> None:
    """Enter every word into the empty table."""
    mask = np.uint64(words.table.size - 1)
    for number in range(1, words.counters[NUM_WORDS] + 1):
        code = _BASIS
        for position in range(words.ends[number - 1], words.ends[number]):
            code = (code ^ np.uint64(words.bytes[position])) * _PRIME
        code ^= code >> np.uint64(29)
        slot = code & mask
        while words.table[slot] != np.uint64(0):
            slot = (slot + np.uint64(1)) & mask
        words.table[slot] = (code & ~_NUMBER) | np.uint64(number)
