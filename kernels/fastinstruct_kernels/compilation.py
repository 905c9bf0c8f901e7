"""Hearing of each function that Numba compiles, and where its machine code is kept.

Knows nothing of what the kernels compute. Source: the event API of Numba (numba.core.event), kind "numba:compile".
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from numba.core.event import Event, Listener, install_listener, register

from fastinstruct_kernels.words import number_words

__all__ = ["code_folder", "listening", "tell_when_long"]

LONG_S = 1.0
_PACKAGE = __name__.partition(".")[0] + "."


def code_folder() -> Path | None:
    """Where the machine code is kept; None where no folder can be written, so that every process compiles anew."""
    path = number_words.stats.cache_path  # type: ignore[attr-defined]  # it is a dispatcher of Numba's
    return Path(path) if path else None


@contextmanager
def listening(on_compile: Callable[[], None]) -> Iterator[None]:
    """Call `on_compile` before each function that this thread compiles, which takes a second or two, in the block.

    A function that comes from the cache on disk is none. What `on_compile` raises ends the call that compiles. Whoever
    listens is told by this alone, and not by `tell_when_long`.
    """
    _LONG.listeners += 1
    try:
        with install_listener("numba:compile", _InThread(on_compile)):
            yield
    finally:
        _LONG.listeners -= 1


def tell_when_long(tell: Callable[[], None]) -> None:
    """Call `tell` once, when kernels have been compiled for longer than a second and nobody listens."""
    _LONG.tell = tell


class _InThread(Listener):
    def __init__(self, on_compile: Callable[[], None]) -> None:
        self._on_compile = on_compile
        self._thread = threading.get_ident()

    def on_start(self, event: Event) -> None:
        if threading.get_ident() == self._thread:
            self._on_compile()

    def on_end(self, event: Event) -> None:
        pass


class _Long(Listener):
    """Adds up what a thread spends on kernels; those that one kernel needs are compiled while it is."""

    def __init__(self) -> None:
        self.tell: Callable[[], None] | None = None
        self.listeners = 0
        self._thread = threading.local()

    def on_start(self, event: Event) -> None:
        if _is_ours(event):
            depth = getattr(self._thread, "depth", 0)
            self._thread.depth = depth + 1
            if depth == 0:
                self._thread.began = time.monotonic() - getattr(self._thread, "spent", 0.0)

    def on_end(self, event: Event) -> None:
        if not _is_ours(event) or getattr(self._thread, "depth", 0) == 0:
            return
        self._thread.depth -= 1
        self._thread.spent = time.monotonic() - self._thread.began
        if self._thread.spent > LONG_S and self.tell is not None and self.listeners == 0:
            tell, self.tell = self.tell, None
            tell()


def _is_ours(event: Event) -> bool:
    return str(event.data["dispatcher"].py_func.__module__).startswith(_PACKAGE)


_LONG = _Long()
register("numba:compile", _LONG)  # type: ignore[no-untyped-call]
