"""Hearing of each function that Numba compiles.

Knows nothing of what the kernels compute. Source: the event API of Numba (numba.core.event), kind "numba:compile".
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from numba.core.event import Event, Listener, install_listener

__all__ = ["listening"]


@contextmanager
def listening(on_compile: Callable[[], None]) -> Iterator[None]:
    """Call `on_compile` before each function that this thread compiles, which takes a second or two, in the block.

    A function that comes from the cache on disk is none. What `on_compile` raises ends the call that compiles.
    """
    with install_listener("numba:compile", _InThread(on_compile)):
        yield


class _InThread(Listener):
    def __init__(self, on_compile: Callable[[], None]) -> None:
        self._on_compile = on_compile
        self._thread = threading.get_ident()

    def on_start(self, event: Event) -> None:
        if threading.get_ident() == self._thread:
            self._on_compile()

    def on_end(self, event: Event) -> None:
        pass
