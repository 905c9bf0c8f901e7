"""MinHash signatures with the bits of datasketch 2.x (its scheme `affine32`).

Knows nothing of text: an element of a set comes as its 32-bit hash, the first four bytes of its SHA-1, low byte first.
The hash is mixed once; permutation k takes a mixed hash h to `multipliers[k] * h + offsets[k]`, modulo 2**32, and the
signature holds the least value of each permutation. Two sets agree in one place with a probability near their Jaccard
similarity. Guarantees the values that `datasketch.MinHash(num_perm, seed)` has after the same elements; an empty set
has `EMPTY` everywhere.

Source: Broder, "On the resemblance and containment of documents" (1997); the scheme's definition in datasketch 2.0.0,
minhash.py; the mixing is the 32-bit finalizer of MurmurHash3 (Appleby, public domain).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from fastinstruct_kernels._jit import inlined_kernel, kernel

EMPTY = 0xFFFFFFFF
"""What a signature of no elements holds in every place."""

MAX_SEED = 2**32 - 1
"""The largest seed that NumPy's legacy generator takes."""


class Permutations(NamedTuple):
    """The permutations of a signature; `multipliers` are odd, so that none maps two hashes to one value."""

    multipliers: NDArray[np.uint32]  # uint32[num_perm]
    offsets: NDArray[np.uint32]  # uint32[num_perm]


def permutations_from(num_perm: int, seed: int) -> Permutations:
    """The permutations that datasketch 2.x draws from `seed`, 0 to `MAX_SEED`."""
    # The legacy generator, as its stream is part of the scheme and frozen by NumPy.
    draw = np.random.RandomState(seed)
    halves = draw.randint(0, 1 << 31, num_perm, dtype=np.uint32)
    offsets = draw.randint(0, 1 << 32, num_perm, dtype=np.uint32)
    return Permutations(halves * np.uint32(2) + np.uint32(1), offsets)


@inlined_kernel
def mixed(value: np.uint32) -> np.uint32:
    """MurmurHash3's 32-bit finalizer: a bijection in which every bit depends on every other."""
    value = np.uint32(value ^ (value >> np.uint32(16)))
    value = np.uint32(value * np.uint32(0x85EBCA6B))
    value = np.uint32(value ^ (value >> np.uint32(13)))
    value = np.uint32(value * np.uint32(0xC2B2AE35))
    return np.uint32(value ^ (value >> np.uint32(16)))


@kernel
def sign(hashes: NDArray[np.uint32], permutations: Permutations, signature: NDArray[np.uint32]) -> None:
    """Write the signature of a set of hashes, `uint32[m]`, into `signature: uint32[num_perm]`; repeats don't matter."""
    for place in range(signature.size):
        signature[place] = EMPTY
    for value in hashes:
        # The inner loop runs over permutations, not hashes: so LLVM turns it into vectors of eight.
        element = mixed(value)
        for place in range(signature.size):
            permuted = np.uint32(permutations.multipliers[place] * element + permutations.offsets[place])
            signature[place] = min(signature[place], permuted)


@kernel
def sign_all(
    hashes: NDArray[np.uint32],
    starts: NDArray[np.int64],
    permutations: Permutations,
    signatures: NDArray[np.uint32],
) -> None:
    """Sign text i, `hashes[starts[i]:starts[i + 1]]`, into `signatures[i]` of `uint32[n, num_perm]`."""
    for text in range(signatures.shape[0]):
        sign(hashes[starts[text] : starts[text + 1]], permutations, signatures[text])
