"""Calls that belong to an event loop's thread, from whichever thread they come.

Knows nothing of what is called.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress

__all__ = ["LoopCalls"]


class LoopCalls:
    """Calls at once in the thread it belongs to, and by its event loop from any other; at once, too, before `bind`."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0

    def bind(self) -> None:
        """Belong to the event loop that is running, and to its thread."""
        self._loop, self._thread = asyncio.get_running_loop(), threading.get_ident()

    def call(self, what: Callable[[], None]) -> None:
        """Call; from another thread, soon, and never if the loop has ended by then."""
        if self._loop is None or threading.get_ident() == self._thread:
            what()
        else:
            with suppress(RuntimeError):  # it is closed
                self._loop.call_soon_threadsafe(what)
