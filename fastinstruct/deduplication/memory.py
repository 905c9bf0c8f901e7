"""Whether an index of some files will fit into memory, estimated before the work begins.

Knows nothing of how an index is built; `similarity.memory` knows its size. The estimate takes every row for kept, so it
is an upper one where much is rejected; it is wrong where a file's first rows are unlike its others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from fastinstruct.files.rows import Source, rows_of
from fastinstruct.reading import regular_file
from fastinstruct.replaceable import is_file, is_folder, is_there
from fastinstruct.similarity import LSHIndex, RougeIndex, tokenize
from fastinstruct.similarity.memory import Sizes, exact_bytes, lsh_bytes, refuse_too_large, sizes_of

__all__ = ["check_fits", "estimated_bytes"]

_SAMPLE_ROWS = 500
# JSON Lines of prose shrink to about a third.
_COMPRESSION = 3.0
_COMPRESSED = (b"\x1f\x8b", b"\x28\xb5")


def check_fits(
    sources: Iterable[Source],
    index: RougeIndex | LSHIndex,
    available: int | None,
    saved: Path | None = None,
    on_blank: Callable[[int], None] = lambda count: None,
) -> None:
    """Refuse files that would not fit into `available` bytes (None: unknown).

    `index` is an empty one with the settings of that to be made; `saved` the file of one to be added to, if any;
    `on_blank` is told of blank lines, as by `rows_of`.

    Raises:
        InputError: the estimate and what is free; or what is wrong with the first rows of a file.
    """
    size = _total(sources, index, on_blank)
    needed = _needed(size, index) + (saved.stat().st_size if saved is not None and is_file(saved) else 0)
    advice = "split the input, or give --force to try"
    refuse_too_large(f"about {size.texts:,.0f} texts", needed, available, advice)


def estimated_bytes(sources: Iterable[Source], index: RougeIndex | LSHIndex) -> float:
    """The memory that files need in an index with the settings of this one.

    Raises:
        InputError: what is wrong with the first rows of a file.
    """
    return _needed(_total(sources, index, lambda count: None), index)


def _needed(size: Sizes, index: RougeIndex | LSHIndex) -> float:
    if isinstance(index, LSHIndex):
        return lsh_bytes(size.texts, size.tokens, index.bands)
    return exact_bytes(size)


def _total(sources: Iterable[Source], index: RougeIndex | LSHIndex, on_blank: Callable[[int], None]) -> Sizes:
    return sum((_estimated(source, index, on_blank) for source in sources), Sizes())


def _estimated(source: Source, index: RougeIndex | LSHIndex, on_blank: Callable[[int], None]) -> Sizes:
    """What a file holds, by its first rows; nothing for what can be read only once."""
    path = source.path
    if is_there(path) and not is_file(path):
        if is_folder(path):
            list(rows_of(source))  # which says what is wrong
        return Sizes()
    rows = list(islice(rows_of(source, on_blank), _SAMPLE_ROWS))
    sizes = sizes_of([tokenize(row.text, index.tokenizer) for row in rows], index.threshold)
    if len(rows) < _SAMPLE_ROWS:
        return sizes
    with regular_file(path) as file:
        ratio = _COMPRESSION if file.read(2) in _COMPRESSED else 1.0
    return sizes.times(ratio * path.stat().st_size / sum(len(row.line) + 1 for row in rows))
