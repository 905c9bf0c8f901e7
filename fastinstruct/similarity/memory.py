"""How much memory an index takes, estimated before it is made, and how much is free.

Knows nothing of files. What a text, a token, a posting and a word take in the arrays of a `RougeIndex` is counted off;
how many postings and words there will be follows from a sample of the texts. So the estimate is 0.94 to 1.09 times the
resident memory where 4 MiB or more are needed, for Alpaca's instructions and outputs and for Chinese, at thresholds
0.5, 0.7 and 0.9. What is held in passing (rows in hand, a batch's arrays: some 5 to 20 MiB, whatever the pool) is left
out. It goes with tokens, not with characters: a Chinese character is one.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from fastinstruct.errors import InputError
from fastinstruct_kernels.bags import LONGEST_SHORT
from fastinstruct_kernels.rouge import prefix_length

__all__ = ["Sizes", "available_bytes", "exact_bytes", "lsh_bytes", "refuse_too_large", "sizes_of"]

# Of a `RougeIndex`, without what it has room for, which takes no memory yet.
_FIXED = 2.0e6  # scratch and tables
_TEXT = 9.0  # where it begins, and a mark
_TOKEN = 4.1
_LONG_TOKEN = 0.35  # of the bitmap of a text of more than 32
_POSTING = 13.5  # 12 bytes, an eighth of them in rooms that aren't full or idle
_WORD = 75.0  # its bytes, their place in a hash table, rank, list, and where a text in hand has it
# Distinct words go with this power of the texts beyond a sample of 500: 0.54, 0.47, 0.44, 0.28 in Alpaca's instructions
# and outputs, T0's prompts and Chinese.
_HEAPS = 0.47
# lsh: a slot of a band's table, with the buckets behind it and the smaller table that it is filled from; and a token.
# A table has a power of two of slots, of which at most half are taken: by log(2) texts a slot, as some meet by chance.
_LSH_SLOT, _LSH_TOKEN = 9.0, 7.5
_LEAST_SLOTS, _TEXTS_A_SLOT = 2048, math.log(2.0)
_SHARE = 0.9  # of the free memory that an index may take


class Sizes(NamedTuple):
    """How much there is in some texts, as far as it counts for an index."""

    texts: float = 0.0
    tokens: float = 0.0
    long_tokens: float = 0.0  # in texts of more than 32
    postings: float = 0.0  # tokens by which a `RougeIndex` finds a text
    words: float = 0.0  # distinct tokens

    def __add__(self, other: object) -> Sizes:
        if not isinstance(other, Sizes):
            return NotImplemented
        return Sizes(*(one + another for one, another in zip(self, other, strict=True)))

    def times(self, factor: float) -> Sizes:
        """Return what so many times as many texts like these have."""
        more = Sizes(*(number * factor for number in self))
        return more._replace(words=self.words * max(factor, 1.0) ** _HEAPS)


def sizes_of(texts: Sequence[Sequence[str]], threshold: float) -> Sizes:
    """Return the sizes of texts that are given as tokens, for an index of that threshold."""
    counts = Counter(chain.from_iterable(texts))
    lengths = [len(tokens) for tokens in texts]
    postings = 0
    for tokens in texts:
        by_rarity = sorted(tokens, key=lambda token: (counts[token], token))
        postings += len(set(by_rarity[: prefix_length(len(tokens), threshold)]))
    long_tokens = sum(length for length in lengths if length > LONGEST_SHORT)
    return Sizes(len(texts), sum(lengths), long_tokens, postings, len(counts))


def exact_bytes(sizes: Sizes) -> float:
    """Return the memory of a `RougeIndex` of texts with these sizes."""
    return (
        _FIXED
        + _TEXT * sizes.texts
        + _TOKEN * sizes.tokens
        + _LONG_TOKEN * sizes.long_tokens
        + _POSTING * sizes.postings
        + _WORD * sizes.words
    )


def lsh_bytes(num_texts: float, num_tokens: float, bands: int) -> float:
    """Return the memory of an `LSHIndex` of so many texts, which have so many tokens together."""
    slots = 1 << math.ceil(math.log2(max(_LEAST_SLOTS, num_texts / _TEXTS_A_SLOT)))
    return _LSH_SLOT * bands * slots + _LSH_TOKEN * num_tokens


def refuse_too_large(texts: str, needed: float, available: int | None, advice: str) -> None:
    """Refuse an index that would not fit into `available` bytes (None: unknown).

    Raises:
        InputError: how many bytes the `texts` would need, what is free, and the advice.
    """
    if available is not None and needed > _SHARE * available:
        free = f"{_readable(needed)} of memory, and {_readable(available)} are free"
        raise InputError(f"{texts} would need {free}; {advice}")


def available_bytes() -> int | None:
    """How much memory is free, within the limit of a container; None where the system doesn't say."""
    found: list[int] = []
    with suppress(OSError, ValueError, IndexError):
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        found += [1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    with suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        limit = int((group / "memory.max").read_text(encoding="ascii"))  # "max" is no limit, and no int
        facts = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        # What is cached of files counts as used, and is given back when asked for.
        used = int((group / "memory.current").read_text(encoding="ascii")) - int(facts.get("inactive_file", 0))
        found.append(limit - used)
    return max(0, min(found)) if found else None


def _readable(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
