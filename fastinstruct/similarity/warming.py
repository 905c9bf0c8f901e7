"""Compiling the kernels before a text has to wait for it, and saying so where one waits.

Knows nothing of what kernels compute. Numba keeps the machine code on disk, for this version of FastInstruct, Python
and Numba, and for this kind of processor.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from fastinstruct.escaping import package_logger
from fastinstruct.similarity.index import RougeIndex
from fastinstruct.similarity.interruptible import Interruption
from fastinstruct.similarity.lsh import LSHIndex
from fastinstruct.similarity.text_index import TextIndex
from fastinstruct_kernels.checksum import checksum
from fastinstruct_kernels.compilation import code_folder, listening, tell_when_long

__all__ = ["compile_all", "warm_up"]

_LOG = package_logger("fastinstruct.similarity")
_REBUILT = 1024
"""A `RougeIndex` of so many texts has made its lists anew, and an `LSHIndex` its tables."""


def warm_up(interruption: Interruption | None = None, on_compile: Callable[[], None] = lambda: None) -> None:
    """Compile every kernel of a `RougeIndex`, or load them from Numba's cache, so that no text has to wait for it.

    Args:
        interruption: ends it from another thread, within the few seconds that one kernel takes.
        on_compile: is called once, if something has to be compiled; all of it takes about a minute.

    Raises:
        Aborted: the interruption was set while kernels were compiled.
    """
    with listening(_once(on_compile, interruption)):
        _use(RougeIndex())
        checksum(np.zeros(1, dtype=np.uint64))


def compile_all(on_compile: Callable[[], None] = lambda: None) -> Path | None:
    """Compile every kernel there is, those of an `LSHIndex` too, as when an image is built.

    Args:
        on_compile: as for `warm_up`.

    Returns:
        The folder with the machine code; None where it can't be kept, so that every process has to compile.
    """
    warm_up(on_compile=on_compile)
    with listening(lambda: None):
        index = LSHIndex()
        _use(index)
        index.signatures(["now"])
        index.measured_recall(sample_size=1)
    return code_folder()


def _once(on_compile: Callable[[], None], interruption: Interruption | None) -> Callable[[], None]:
    has_told = False

    def compiles() -> None:
        nonlocal has_told
        if interruption is not None:
            interruption.check()
        if not has_told:
            has_told = True
            on_compile()

    return compiles


def _use(index: TextIndex) -> None:
    index.add(["compile every kernel"] * (_REBUILT + 1))
    index.admit(["one alone"])
    index.admit(["two", "together"])
    index.most_similar("now", 1)
    index.average_similarity_each(["now", "and then"])


def _tell() -> None:
    kept = code_folder()
    how = (
        "`fastinstruct warm-up` does it beforehand"
        if kept is not None
        else "every process has to: set NUMBA_CACHE_DIR to a folder that can be written"
    )
    _LOG.warning("compiling the kernels, about a minute, once for this version and machine; %s", how)


tell_when_long(_tell)
