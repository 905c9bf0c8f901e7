"""How much memory an index takes, estimated before it is made, and how much is free.

Knows nothing of files. The sizes are measured: by benchmarks/similarity/memory.py, as the largest resident memory of a
process that keeps Alpaca's instructions (10 tokens each) or outputs (45), or Chinese (22, a character each), less that
of one that keeps a single row; at thresholds 0.5, 0.7 and 0.9. Where nearly all is kept and 15 MiB or more are needed,
the estimate is 0.9 to 1.5 times that. It goes with tokens, not with characters: a Chinese character is one. Some 5 MiB
for the rows in hand are left out.
"""

from __future__ import annotations

import math
from contextlib import suppress
from pathlib import Path

from fastinstruct.errors import InputError

__all__ = ["available_bytes", "exact_bytes", "lsh_bytes", "refuse_too_large"]

# exact: a text, and a token of one. The threshold makes hardly a difference.
_EXACT_TEXT, _EXACT_TOKEN = 60.0, 25.0
# lsh: a slot of a band's table, with the buckets behind it and the smaller table that it is filled from; and a token.
# A table has a power of two of slots, of which at most half are taken: by log(2) texts a slot, as some meet by chance.
_LSH_SLOT, _LSH_TOKEN = 9.0, 7.5
_LEAST_SLOTS, _TEXTS_A_SLOT = 2048, math.log(2.0)
_SHARE = 0.9  # of the free memory that an index may take


def exact_bytes(num_texts: float, num_tokens: float) -> float:
    """Return the memory of a `RougeIndex` of so many texts, which have so many tokens together."""
    return _EXACT_TEXT * num_texts + _EXACT_TOKEN * num_tokens


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
