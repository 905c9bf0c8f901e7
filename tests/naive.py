"""Signatures, bands and percentiles said as plainly as possible: twins that tests compare kernels and sums with.

Knows nothing of the kernels or of NumPy and imports neither. ROUGE-L, its pool and the tokenizers have theirs in
`fastinstruct.testing`, where whoever tests a filter has them, too.
"""

import hashlib
import math
from collections.abc import Sequence


def mixed(value: int) -> int:
    """The 32-bit finalizer of MurmurHash3."""
    value ^= value >> 16
    value = value * 0x85EBCA6B % 2**32
    value ^= value >> 13
    value = value * 0xC2B2AE35 % 2**32
    return value ^ value >> 16


def signature(tokens: Sequence[str], multipliers: Sequence[int], offsets: Sequence[int]) -> list[int]:
    """The MinHash signature of a token set, one permutation after another."""
    digests = [hashlib.sha1(token.encode()).digest() for token in tokens]
    elements = [mixed(int.from_bytes(digest[:4], "little")) for digest in digests]
    return [
        min(((multiplier * element + offset) % 2**32 for element in elements), default=2**32 - 1)
        for multiplier, offset in zip(multipliers, offsets, strict=True)
    ]


def agree_in_a_band(left: Sequence[int], right: Sequence[int], bands: int, rows: int) -> bool:
    """Whether two signatures have all rows of some band in common."""
    return any(left[band * rows : (band + 1) * rows] == right[band * rows : (band + 1) * rows] for band in range(bands))


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that at least this share of the values does not exceed."""
    return sorted(values)[math.ceil(share * len(values)) - 1]
