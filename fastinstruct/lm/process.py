"""What this process has to look after: its event loop, its garbage, its descriptors, its time and memory.

Knows nothing of requests or runs.

How late the loop is, is told by one timer with a bounded number of samples; nothing is done for each request, and time
is the loop's, so a loop in virtual time will do. A stall swallows the ticks that fell due meanwhile, and they are
counted with the lateness they would have had: else a loop that stands still half of the time would look late once in a
while. But only a few of them are: filling thousands of slots at the start, or a machine that slept, is no overload, and
several long stalls a minute are.

Source: Gil Tene, "How NOT to Measure Latency" (coordinated omission); the percentile is by nearest rank.
"""

from __future__ import annotations

import asyncio
import gc
import math
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

__all__ = [
    "DESCRIPTORS_BESIDE",
    "LIMIT_S",
    "SMALL",
    "LagWindow",
    "LoopLag",
    "cpu_s",
    "descriptors_allowed",
    "memory_bytes",
    "raise_descriptors_to",
    "read_in_thread_if_large",
    "seldom_collected",
]

LIMIT_S = 0.25
"""A loop that is later than this in 1% of its ticks is overloaded, in seconds."""

_INTERVAL_S = 0.05
_WINDOW = 1200  # ticks: a minute
_SHARE = 0.99
_MOST_LATE = 12  # ticks of a window that may be late while the percentile is not
_MOST_SWALLOWED = 2  # ticks that are counted of those that one stall swallowed: four stalls are no overload yet


class LagWindow:
    """The lateness of the last `_WINDOW` ticks, in seconds."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque()
        self._num_late = 0

    def add(self, lag_s: float) -> None:
        """Count a tick that came so late, and those it swallowed."""
        self._add(max(0.0, lag_s))
        for missed in range(1, min(int(lag_s / _INTERVAL_S), _MOST_SWALLOWED) + 1):
            self._add(lag_s - missed * _INTERVAL_S)

    @property
    def p99_s(self) -> float | None:
        """Return the lateness that 99% of the ticks do not exceed; None before the first."""
        if not self._lags:
            return None
        return sorted(self._lags)[math.ceil(_SHARE * len(self._lags)) - 1]

    @property
    def is_late(self) -> bool:
        """Whether the percentile of a whole window is above `LIMIT_S`; what is not known yet counts as quiet."""
        return self._num_late > _MOST_LATE

    def _add(self, lag_s: float) -> None:
        if len(self._lags) == _WINDOW:
            self._num_late -= self._lags.popleft() > LIMIT_S
        self._lags.append(lag_s)
        self._num_late += lag_s > LIMIT_S


class LoopLag:
    """Probes the running loop 20 times a second, from `start` to `stop`."""

    def __init__(self) -> None:
        self.window = LagWindow()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to probe the running loop."""
        self._await(asyncio.get_running_loop())

    def stop(self) -> None:
        """Probe no more; what was seen stays."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _await(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + _INTERVAL_S
        self._timer = loop.call_at(due, self._tick, loop, due)

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.window.add(loop.time() - due)
        self._await(loop)


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


DESCRIPTORS_BESIDE = 64
"""Descriptors for all that is no request's socket: files, pipes, the database, the listening socket."""


def descriptors_allowed(*, raised: bool = False) -> int | None:
    """Return how many descriptors this process may have open, `raised` or not; None where nothing limits them."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = hard if raised else soft
    return None if limit == resource.RLIM_INFINITY else limit


def raise_descriptors_to(num_wanted: int) -> int | None:
    """Raise the soft limit to what is wanted, or as near as the hard one allows; return it, None where none is."""
    soft, hard = descriptors_allowed(), descriptors_allowed(raised=True)
    if soft is None or soft >= num_wanted:
        return soft
    import resource

    told = resource.getrlimit(resource.RLIMIT_NOFILE)[1]  # as the system writes it, infinity included
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (num_wanted if hard is None else min(num_wanted, hard), told))
    except (OSError, ValueError):  # macOS says infinity and means less
        return soft
    return descriptors_allowed()


P = ParamSpec("P")
T = TypeVar("T")

SMALL: Final = 8 * 2**10
"""Bytes or characters whose reading takes at most some milliseconds whatever they are, and 0.05 of one mostly.

Nearly all replies are shorter; a hop to a thread and back costs as much as reading an ordinary reply of this length.
"""


async def read_in_thread_if_large(size: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """The function's result; from a thread where what it reads is larger than `SMALL`."""
    if size <= SMALL:
        return function(*args, **kwargs)
    return await asyncio.to_thread(function, *args, **kwargs)


_STATM = Path("/proc/self/statm")


def cpu_s() -> float:
    """Return the CPU seconds that this process has used, all its threads together."""
    return time.process_time()


def memory_bytes() -> int | None:
    """Return the resident memory in bytes; where only its peak is told (macOS), that; None where nothing is."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return _peak_bytes()


def _peak_bytes() -> int | None:
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
