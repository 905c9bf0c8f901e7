"""How late an event loop runs what is due: the sign that the client, not the server, is what limits a run.

Knows nothing of requests or of what follows. Time is the loop's, so a loop in virtual time will do. Guarantees: one
timer, a bounded number of samples, and nothing that is done for each request.

A stall swallows the ticks that fell due meanwhile, and they are counted with the lateness they would have had: else a
loop that stands still half of the time would look late once in a while. But only a few of them are: filling thousands
of slots at the start, or a machine that slept, is no overload, and several long stalls a minute are.

Source: Gil Tene, "How NOT to Measure Latency" (coordinated omission); the percentile is by nearest rank.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque

__all__ = ["LIMIT_S", "LagWindow", "LoopLag"]

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
