"""A checksum at the speed of memory.

Knows nothing of what the numbers mean. Finds damage (flipped bits, moved or missing parts); no protection against
somebody who wants to deceive.
"""

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import kernel


@kernel
def checksum(words: NDArray[np.uint64]) -> np.uint64:
    """A checksum of `words: uint64[n]` that depends on their order."""
    total = np.uint64(words.size)
    for position in range(np.uint64(words.size)):
        # The place goes in first, then every bit reaches the upper half and that comes down again.
        mixed = (words[position] ^ (position * np.uint64(0x9E3779B97F4A7C15))) * np.uint64(0xD6E8FEB86659FD93)
        total += mixed ^ (mixed >> np.uint64(32))
    return total
