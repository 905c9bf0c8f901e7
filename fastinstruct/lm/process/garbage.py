"""Python's collector of cycles while requests are sent: it leaves alone what was there before, and comes less often.

A request makes hundreds of short-lived objects and hardly a cycle, next to a heap of modules, compiled kernels and jobs
that stays; walking that heap again and again took a sixth of a run's CPU time. Knows nothing of requests. Guarantees
that the collector is afterwards as it was, also where several blocks are under way at once. What is garbage as the
first begins is kept until the last ends: whoever may have left much of it collects before.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["seldom_collected"]

# Up to so many new containers, some MB, wait to be looked at: more than a thousand requests on their way are made of.
# The factors keep looking at the older ones rare as well.
_THRESHOLDS = (50_000, 20, 50)


class _Collector:
    """What all that are under way share: how many they are, and how to put things back."""

    def __init__(self) -> None:
        self._lock = threading.Lock()  # each loop has a thread of its own
        self._num_inside = 0
        self._thresholds = gc.get_threshold()
        self._has_frozen = False

    def enter(self) -> None:
        with self._lock:
            self._num_inside += 1
            if self._num_inside == 1:
                self._slow_down()

    def leave(self) -> None:
        with self._lock:
            self._num_inside -= 1
            if self._num_inside == 0:
                self._put_back()

    def _slow_down(self) -> None:
        self._thresholds = gc.get_threshold()
        self._has_frozen = gc.get_freeze_count() == 0  # what somebody else froze could not be told from ours
        if self._has_frozen:
            gc.freeze()
        if self._thresholds[0]:  # 0 turns it off
            gc.set_threshold(*map(max, _THRESHOLDS, self._thresholds))

    def _put_back(self) -> None:
        gc.set_threshold(*self._thresholds)
        if self._has_frozen:
            gc.unfreeze()


_COLLECTOR = _Collector()


@contextmanager
def seldom_collected() -> Iterator[None]:
    """Look for cycles seldom, and only among what is made from here on, until the block ends."""
    _COLLECTOR.enter()
    try:
        yield
    finally:
        _COLLECTOR.leave()
