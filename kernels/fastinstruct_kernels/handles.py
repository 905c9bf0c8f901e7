"""Many arrays behind one: where each of them lies.

Numba takes some 0.3 us to look at each array of a named tuple that a kernel is given, and an index has sixty. So they
are handed over as one array of addresses and lengths, and the kernel makes its arrays of these for next to nothing.
Whoever makes a handle has to hold the arrays while it is used, and to make another when one of them has moved.
"""

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import (
    bool_at,
    float64_at,
    inlined_part,
    int32_at,
    int32_square_at,
    int64_at,
    int64_fours_at,
    int64_pairs_at,
    uint8_at,
    uint64_at,
    uint64_pairs_at,
)
from fastinstruct_kernels.judgement import Batch, Scratch
from fastinstruct_kernels.lcs import Pattern
from fastinstruct_kernels.pool import Pool
from fastinstruct_kernels.words import Words

Handle = NDArray[np.int64]
"""int64[2 * arrays]: address and length of each."""


def handle_of(arrays: tuple[Any, ...]) -> Handle:
    """The handle of all arrays in it, in order, those inside its last one included."""
    leaves = [leaf for each in arrays for leaf in (each if isinstance(each, tuple) else (each,))]
    return np.array([number for leaf in leaves for number in (_address(leaf), len(leaf))], dtype=np.int64)


def _address(array: NDArray[Any]) -> int:
    return cast(int, array.__array_interface__["data"][0])


@inlined_part
def pool_at(handle: Handle) -> Pool:
    """The pool of a handle."""
    return Pool(
        int64_at(handle[0], handle[1]),
        int32_at(handle[2], handle[3]),
        int64_at(handle[4], handle[5]),
        int32_at(handle[6], handle[7]),
        int32_at(handle[8], handle[9]),
        int32_at(handle[10], handle[11]),
        int64_pairs_at(handle[12], handle[13]),
        int32_at(handle[14], handle[15]),
        int32_at(handle[16], handle[17]),
        uint64_at(handle[18], handle[19]),
        int64_at(handle[20], handle[21]),
        int64_at(handle[22], handle[23]),
        uint64_pairs_at(handle[24], handle[25]),
        int64_pairs_at(handle[26], handle[27]),
        uint64_at(handle[28], handle[29]),
        int32_square_at(handle[30], handle[31]),
    )


@inlined_part
def batch_at(handle: Handle) -> Batch:
    """The batch of a handle."""
    return Batch(
        int32_at(handle[0], handle[1]),
        int64_at(handle[2], handle[3]),
        int64_at(handle[4], handle[5]),
        uint64_at(handle[6], handle[7]),
        uint64_at(handle[8], handle[9]),
        bool_at(handle[10], handle[11]),
        int64_at(handle[12], handle[13]),
        float64_at(handle[14], handle[15]),
    )


@inlined_part
def words_at(handle: Handle) -> Words:
    """The words of a handle."""
    return Words(
        int64_at(handle[0], handle[1]),
        uint64_at(handle[2], handle[3]),
        int64_at(handle[4], handle[5]),
        uint8_at(handle[6], handle[7]),
    )


@inlined_part
def scratch_at(handle: Handle) -> Scratch:
    """The scratch of a handle."""
    return Scratch(
        int64_at(handle[0], handle[1]),
        int32_at(handle[2], handle[3]),
        int32_at(handle[4], handle[5]),
        int32_at(handle[6], handle[7]),
        int32_at(handle[8], handle[9]),
        int64_fours_at(handle[10], handle[11]),
        int64_pairs_at(handle[12], handle[13]),
        int32_at(handle[14], handle[15]),
        int32_at(handle[16], handle[17]),
        int32_at(handle[18], handle[19]),
        int32_at(handle[20], handle[21]),
        int64_at(handle[22], handle[23]),
        uint64_at(handle[24], handle[25]),
        int32_at(handle[26], handle[27]),
        int32_at(handle[28], handle[29]),
        uint64_at(handle[30], handle[31]),
        Pattern(
            int32_at(handle[32], handle[33]),
            int32_at(handle[34], handle[35]),
            int32_at(handle[36], handle[37]),
            int32_at(handle[38], handle[39]),
            uint64_at(handle[40], handle[41]),
            uint64_at(handle[42], handle[43]),
            int64_at(handle[44], handle[45]),
        ),
    )
