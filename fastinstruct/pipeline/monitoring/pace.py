"""How fast a sitting's requests finish, told from the last of them: what a forecast of the time goes by.

Pure; knows nothing of stores, limits or clocks but the times that requests carry. Guarantees: a pace is never faster
than what was seen, over whole latencies at least; where nothing has come for a while there is none.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from fastinstruct.store import Finished

__all__ = ["Pace", "Recent"]

_WINDOW_S = 60.0  # what finished in the last minute tells the pace, and
_FEWEST = 200  # so many requests at least, if there are as many
_MOST = 2000
_FIRST_LATENCIES = 2.0  # until then only the fastest of those that began together may have finished
_SILENT_LATENCIES = 5.0
_SILENT_S = 10.0  # an answer may be late; after this and that many latencies, none comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """What the last requests of a sitting did.

    Attributes:
        num_in_flight: requests that are answered, on average, at a time: by Little's law, those that finished in a
            second times their mean latency.
        latency_s: that mean latency, in seconds.
        num_of_stage: how many of each stage they were.
    """

    num_in_flight: float
    latency_s: float
    num_of_stage: Mapping[str, int]


class Recent:
    """The last requests of one sitting that were answered, in the order they finished."""

    def __init__(self) -> None:
        self._last: deque[Finished] = deque(maxlen=_MOST)
        self._began_at = math.inf
        self._counted_from = -math.inf

    def count(self, finished: Finished) -> None:
        """Take in one more; one that failed brings nothing forward."""
        if finished.is_ok:
            self._last.append(finished)
            self._began_at = min(self._began_at, finished.finished_at - finished.latency_s)

    def forget_before(self, at: float) -> None:
        """Tell no pace from what finished before: of some stages that is not known."""
        self._counted_from = at

    def pace(self, now: float | None = None, *, is_sample: bool = False) -> Pace | None:
        """Return the pace of the last minute, or of the last 200 requests where that is longer.

        Counted are the requests that finished after the window began, over the seconds since: from the first request's
        start where the window holds the whole sitting, else from a finish. Pauses count: a rate limit's are part of the
        pace.

        Args:
            now: in seconds since the epoch; None for when the last request finished, of a sitting that is over.
            is_sample: whether there are only a few requests, so that they are all there is to tell from.

        Returns:
            The pace; None before two latencies have passed, as the slow ones of the first requests are still out, and
            where no answer came for five latencies and 10 s.
        """
        if not self._last:
            return None
        ends_at = max(self._last[-1].finished_at, now or 0.0)
        begins_at, counted = self._window(ends_at)
        latency_s = sum(finished.latency_s for finished in counted) / len(counted) if counted else 0.0
        silent_s = ends_at - self._last[-1].finished_at
        is_early = not is_sample and ends_at - self._began_at < _FIRST_LATENCIES * latency_s
        is_silent = silent_s > max(_SILENT_S, _SILENT_LATENCIES * latency_s)
        if ends_at <= begins_at or latency_s <= 0 or is_early or is_silent:
            return None
        num_of_stage = Counter(finished.stage for finished in counted)
        num_a_second = len(counted) / (ends_at - begins_at)
        return Pace(num_in_flight=num_a_second * latency_s, latency_s=latency_s, num_of_stage=num_of_stage)

    def _window(self, ends_at: float) -> tuple[float, list[Finished]]:
        """Return when the window began, and what finished in it since."""
        found: list[Finished] = []
        for finished in reversed(self._last):
            is_old = finished.finished_at < ends_at - _WINDOW_S and len(found) >= _FEWEST
            if is_old or finished.finished_at <= self._counted_from:
                return finished.finished_at, found
            found.append(finished)
        if len(found) < _MOST:
            return self._began_at, found
        return found[-1].finished_at, found[:-1]
