"""How many units were charged in the last minute: a sum over a window that slides, correctable afterwards.

Knows nothing of limits' meaning or of requests. Guarantees: the sum never misses a unit charged within the window;
memory is bounded, since charges of the same tenth of a second share a bin (a unit counts that much longer at most).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

__all__ = ["Bin", "SlidingWindow"]

_BIN_S: Final = 0.1


@dataclass(slots=True, eq=False)
class Bin:
    """What was charged in one tenth of a second."""

    begins: float
    num_units: int


class SlidingWindow:
    """Units charged in the last `window_s` seconds; times must not go backwards."""

    __slots__ = ("_bins", "_kept_s", "num_units")

    def __init__(self, window_s: float) -> None:
        self._kept_s = window_s + _BIN_S
        self._bins: deque[Bin] = deque()
        self.num_units = 0

    def charge(self, num_units: int, now: float) -> Bin:
        """Count units now; the bin returned is what to correct them in."""
        self._forget(now)
        if not self._bins or now >= self._bins[-1].begins + _BIN_S:
            self._bins.append(Bin(now, 0))
        self._bins[-1].num_units += num_units
        self.num_units += num_units
        return self._bins[-1]

    def correct(self, charged: Bin, num_units: int) -> None:
        """Add units (take them away where negative) to what was charged then; nothing, if that has left the window."""
        if self._bins and charged.begins >= self._bins[0].begins:
            charged.num_units += num_units
            self.num_units += num_units

    def wait_s(self, most: float, now: float) -> float:
        """Return in how many seconds no more than `most` units, or none at all, will be in the window."""
        self._forget(now)
        excess = self.num_units - most
        leaves = now
        for old in self._bins:
            if excess <= 0:
                break
            excess -= old.num_units
            leaves = old.begins + self._kept_s
        return max(0.0, leaves - now)

    def _forget(self, now: float) -> None:
        while self._bins and self._bins[0].begins + self._kept_s <= now:
            self.num_units -= self._bins.popleft().num_units
