"""Who is served and who waits: so many requests at once, the others in their order of arrival, as vLLM has it.

Knows nothing of HTTP or time; the clock's readings are passed in. Guarantees that a slot is never idle while somebody
waits, and that nobody is overtaken.
"""

from __future__ import annotations

from collections import OrderedDict

from fastinstruct.scripted_server.connections import Call, Place
from fastinstruct.scripted_server.stats import Stats

__all__ = ["Slots"]


class Slots:
    """The slots of a server and the queue before them.

    Args:
        stats: where the load is counted.
        num_slots: served at once; None for all.
        max_queue: how many may wait; None for all.
    """

    def __init__(self, stats: Stats, *, num_slots: int | None, max_queue: int | None) -> None:
        self._stats = stats
        self._num_slots, self._max_queue = num_slots, max_queue
        self._waiting: OrderedDict[Call, None] = OrderedDict()

    def enter(self, call: Call, now_s: float) -> bool:
        """Give a call a slot or, where there is none, a place in the queue; False if that is full, too."""
        if self._num_slots is None or self._stats.num_serving < self._num_slots:
            call.place = Place.SERVING
            self._stats.change_load(now_s, serving=1)
        elif self._max_queue is None or len(self._waiting) < self._max_queue:
            call.place = Place.WAITING
            self._waiting[call] = None
            self._stats.change_load(now_s, waiting=1)
        else:
            return False
        return True

    def leave(self, call: Call, now_s: float) -> Call | None:
        """Take away what a call holds; return the call that has its slot now, if one waited for it."""
        place, call.place = call.place, Place.OUTSIDE
        if place is Place.SERVING:
            return self._hand_over(now_s)
        if place is Place.WAITING:
            del self._waiting[call]
            self._stats.change_load(now_s, waiting=-1)
        return None

    def _hand_over(self, now_s: float) -> Call | None:
        if not self._waiting:
            self._stats.change_load(now_s, serving=-1)
            return None
        call, _ = self._waiting.popitem(last=False)
        call.place = Place.SERVING
        self._stats.change_load(now_s, waiting=-1)
        return call
