"""How arrays grow.

Knows nothing of what they hold. Growing costs time in proportion to what is added, not to what is there, and memory
only where it is written to: a large array is the beginning of a much larger range of addresses, and growing takes the
next of them.

Tried and dropped: `realloc` for all (as for small arrays still). It moves pages, too; but glibc keeps arrays of up to
32 MiB in its heap, where each leaves a hole whenever it moves on: 85 of 263 bytes a text, in a pool of 535,000. Huge
pages for ranges of 8 MiB and more: 3% faster at best, and 8% more memory.
"""

import mmap
import sys
from contextlib import suppress
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)

# An array of so many bytes gets a range, of so many times its size: so it is copied when that is full, at a size where
# the copy is small beside what follows.
_LARGE = 1 << 20
_RANGE = 64
_HAS_RANGES = sys.platform == "linux"
_MAP_NORESERVE = 0x4000  # on Linux; `mmap` names it from Python 3.13 on. Or each range would count as memory in use.


def grown(array: NDArray[Scalar], at_least: int) -> NDArray[Scalar]:
    """The array with at least that many rows, what is new being zero; the array itself if it has them.

    The old array must not be used any more, nor may views of it be alive: its memory may have moved.
    """
    if at_least <= len(array):
        return array
    rows = max(len(array) + len(array) // 8, at_least)
    whole: Any = array.base
    if isinstance(getattr(whole, "base", None), mmap.mmap) and rows <= len(whole):
        longer: NDArray[Scalar] = whole[:rows]
        return longer
    size = rows * array.strides[0]
    if size >= _LARGE and (range_of := _range(array, size)) is not None:
        range_of[: len(array)] = array
        return range_of[:rows]
    if array.flags.owndata and array.flags.writeable:
        array.resize((rows, *array.shape[1:]), refcheck=False)
        return array
    copy = np.zeros((rows, *array.shape[1:]), dtype=array.dtype)
    copy[: len(array)] = array
    return copy


def _range(like: NDArray[Scalar], size: int) -> NDArray[Scalar] | None:
    """Zeros of that type and many times that size, none of which takes memory yet; None where that can't be had."""
    if not _HAS_RANGES:
        return None
    rows = _RANGE * size // like.strides[0]
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _MAP_NORESERVE
    with suppress(OSError, ValueError, OverflowError):  # no such range is free, or a limit is set
        memory: Any = mmap.mmap(-1, rows * like.strides[0], flags=flags)
        return np.ndarray((rows, *like.shape[1:]), dtype=like.dtype, buffer=memory)
    return None
