"""Whether an index of some files will fit into memory, estimated before the work begins.

Knows nothing of how an index is built but its measured size. The estimate takes every row for kept, so it is an upper
one; it is wrong where a file's first rows are unlike its others.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from fastinstruct.deduplication.decisions import Method
from fastinstruct.errors import InputError
from fastinstruct.files.rows import Source, rows_of

__all__ = ["available_bytes", "check_fits"]

_SAMPLE_ROWS = 500
# Measured as resident memory, on Alpaca's 52,002 instructions (60 characters each) and outputs (270): bytes a text and
# bytes a character of it.
_BYTES: dict[Method, tuple[int, float]] = {"exact": (100, 7.0), "lsh": (900, 3.0)}
# JSON Lines of prose shrink to about a third.
_COMPRESSION = 3.0
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5")
_SHARE = 0.9  # of the free memory that an index may take


class _Size(NamedTuple):
    texts: float
    characters: float


def check_fits(sources: Iterable[Source], method: Method, available: int | None) -> None:
    """Refuse files whose index would not fit into `available` bytes (None: unknown).

    Raises:
        InputError: the estimate and what is free; or what is wrong with the first rows of a file.
    """
    sizes = [_estimated(source) for source in sources]
    each, per_character = _BYTES[method]
    texts = sum(size.texts for size in sizes)
    needed = each * texts + per_character * sum(size.characters for size in sizes)
    if available is not None and needed > _SHARE * available:
        raise InputError(
            f"about {texts:,.0f} texts would need {_readable(needed)} of memory, and {_readable(available)} are free; "
            "split the input, or give --force to try"
        )


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


def _estimated(source: Source) -> _Size:
    """A file's size in texts and characters, by its first rows; nothing for what can be read only once."""
    path = source.path
    if path.exists() and not path.is_file():
        if path.is_dir():
            list(rows_of(source))  # which says what is wrong
        return _Size(0, 0)
    rows = list(islice(rows_of(source), _SAMPLE_ROWS))
    characters = sum(len(row.text) for row in rows)
    if len(rows) < _SAMPLE_ROWS:
        return _Size(len(rows), characters)
    with path.open("rb") as file:
        ratio = _COMPRESSION if file.read(2) in _COMPRESSED else 1.0
    times = ratio * path.stat().st_size / sum(len(row.line) + 1 for row in rows)
    return _Size(times * len(rows), times * characters)


def _readable(size: float) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"
