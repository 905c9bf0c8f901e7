"""Notices callbacks that block an event loop.

Counts the CPU time of the loop's own thread, not the clock on the wall: on a machine that others use, too, any callback
may stall, but only one that blocks works that long. Garbage collection does not count: it strikes whoever allocates
next, and takes the longer the more tests ran before.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from typing import Any

LIMIT_S = 0.25


class LoopWatch:
    """A context manager; `slow` names the callbacks that ran longer than `limit_s`, in any thread's loop."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.slow: list[str] = []
        self._limit_s = limit_s
        self._run: Any = None
        self._collecting = _Collecting()

    def __enter__(self) -> LoopWatch:
        self._run = run = asyncio.Handle._run
        slow, limit_s, collecting = self.slow, self._limit_s, self._collecting

        def watched(handle: Any) -> None:
            callback = handle._callback  # a handle that cancels itself forgets it
            started = time.thread_time() - collecting.spent_s
            run(handle)
            if (spent_s := time.thread_time() - collecting.spent_s - started) > limit_s:
                slow.append(f"{_name(callback)} ({spent_s:.2f} s)")

        gc.callbacks.append(self._collecting.note)
        asyncio.Handle._run = watched  # type: ignore[method-assign,assignment]  # every callback passes through it
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.Handle._run = self._run  # type: ignore[method-assign]  # as it was
        gc.callbacks.remove(self._collecting.note)


class _Collecting(threading.local):
    """How long the garbage collector worked in this thread."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._started = 0.0

    def note(self, phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            self._started = time.thread_time()
        else:
            self.spent_s += time.thread_time() - self._started


def _name(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    target = owner.get_coro() if isinstance(owner, asyncio.Task) else callback
    return str(getattr(target, "__qualname__", None) or target)
