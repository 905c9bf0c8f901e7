"""Whether an index of some files will fit into memory, estimated before the work begins.

Knows nothing of how an index is built but its measured size. The estimate takes every row for kept, so it is an upper
one where much is rejected; it is wrong where a file's first rows are unlike its others.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fastinstruct.errors import InputError
from fastinstruct.files.rows import Source, rows_of
from fastinstruct.similarity import LSHIndex, RougeIndex, tokenize

__all__ = ["available_bytes", "check_fits", "estimated_bytes"]

_SAMPLE_ROWS = 500
# Measured by benchmarks/memory.py, as the largest resident memory of a process that keeps Alpaca's instructions (10
# tokens each) or outputs (45), or Chinese (22, a character each), less that of one that keeps a single row; at
# thresholds 0.5, 0.7 and 0.9. Where nearly all is kept and 15 MiB or more are needed, the estimate is 0.9 to 1.5 times
# that. It goes with tokens, not with characters: a Chinese character is one. Some 5 MiB for the rows in hand are left
# out.
#
# exact: a text, and a token of one. The threshold makes hardly a difference.
_EXACT_TEXT, _EXACT_TOKEN = 60.0, 25.0
# lsh: a slot of a band's table, with the buckets behind it and the smaller table that it is filled from; and a token.
# A table has 2 to 4 slots a text, always a power of two.
_LSH_SLOT, _LSH_TOKEN = 10.5, 11.0
_LEAST_SLOTS = 64
# JSON Lines of prose shrink to about a third.
_COMPRESSION = 3.0
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5")
_SHARE = 0.9  # of the free memory that an index may take


class _Size(NamedTuple):
    texts: float
    tokens: float


def check_fits(
    sources: Iterable[Source], index: RougeIndex | LSHIndex, available: int | None, saved: Path | None = None
) -> None:
    """Refuse files that would not fit into `available` bytes (None: unknown).

    `index` is an empty one with the settings of that to be made; `saved` the file of one to be added to, if any.

    Raises:
        InputError: the estimate and what is free; or what is wrong with the first rows of a file.
    """
    size = _total(sources, index.tokenizer)
    needed = _needed(size, index) + (saved.stat().st_size if saved is not None and saved.is_file() else 0)
    if available is not None and needed > _SHARE * available:
        raise InputError(
            f"about {size.texts:,.0f} texts would need {_readable(needed)} of memory, and {_readable(available)} are "
            "free; split the input, or give --force to try"
        )


def estimated_bytes(sources: Iterable[Source], index: RougeIndex | LSHIndex) -> float:
    """The memory that files need in an index with the settings of this one.

    Raises:
        InputError: what is wrong with the first rows of a file.
    """
    return _needed(_total(sources, index.tokenizer), index)


def _needed(size: _Size, index: RougeIndex | LSHIndex) -> float:
    if isinstance(index, LSHIndex):
        slots = 1 << math.ceil(math.log2(max(_LEAST_SLOTS, 2 * size.texts)))
        return _LSH_SLOT * index.bands * slots + _LSH_TOKEN * size.tokens
    return _EXACT_TEXT * size.texts + _EXACT_TOKEN * size.tokens


def _total(sources: Iterable[Source], tokenizer: str) -> _Size:
    sizes = [_estimated(source, tokenizer) for source in sources]
    return _Size(sum(size.texts for size in sizes), sum(size.tokens for size in sizes))


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


def _estimated(source: Source, tokenizer: str) -> _Size:
    """A file's size in texts and tokens, by its first rows; nothing for what can be read only once."""
    path = source.path
    if path.exists() and not path.is_file():
        if path.is_dir():
            list(rows_of(source))  # which says what is wrong
        return _Size(0, 0)
    rows = list(islice(rows_of(source), _SAMPLE_ROWS))
    tokens = sum(len(tokenize(row.text, tokenizer)) for row in rows)
    if len(rows) < _SAMPLE_ROWS:
        return _Size(len(rows), tokens)
    with path.open("rb") as file:
        ratio = _COMPRESSION if file.read(2) in _COMPRESSED else 1.0
    times = ratio * path.stat().st_size / sum(len(row.line) + 1 for row in rows)
    return _Size(times * len(rows), times * tokens)


def _readable(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
