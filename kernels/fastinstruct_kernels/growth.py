"""How arrays grow.

Knows nothing of what they hold. Growing costs time in proportion to what is added, not to what is there: the operating
system moves large arrays by renaming their pages.
"""

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Scalar = TypeVar("Scalar", bound=np.generic)


def grown(array: NDArray[Scalar], at_least: int) -> NDArray[Scalar]:
    """The array with at least that many rows, what is new being zero; the array itself if it has them.

    The old array must not be used any more, nor may views of it be alive: its memory may have moved.
    """
    if at_least <= len(array):
        return array
    shape = (max(len(array) + len(array) // 8, at_least), *array.shape[1:])
    if array.flags.owndata and array.flags.writeable:
        array.resize(shape, refcheck=False)  # realloc, which remaps; a new array and a copy doubles the peak
        return array
    copy = np.zeros(shape, dtype=array.dtype)
    copy[: len(array)] = array
    return copy
