"""Steer by a server's own queue: vLLM, SGLang and llama.cpp never refuse, they let requests wait, and say how many.

Knows nothing of HTTP or of the format of metrics: `on_metrics` is told two numbers. Guarantees: at most `maximum`
slots; without metrics, or with old or senseless ones, the limit stays what it was.

A queue that is never empty keeps every slot of the server busy; one that is long only adds latency. So the aim is a few
waiting requests, a share of those that run. While none waits and our slots are full, the limit grows by half at each
sample until the first waiting request is seen; from then on it moves by what is too many or too few. Where others use
the server, too, we answer for our share of what runs and waits, and have one waiting request of our own at least: so a
newcomer gets in.
"""

from __future__ import annotations

import math

from fastinstruct.errors import ConfigError
from fastinstruct.lm.limits.concurrency.controller import ControllerStatistics, Slots, at_least_one
from fastinstruct.lm.outcomes.outcomes import Deadline, Ok, Outcome, Overloaded, RateLimited, Transient, Truncated

__all__ = ["STALE_S", "QueueAware"]

STALE_S = 10.0
"""Metrics older than this, in seconds, say nothing any more."""

_CUT = 0.8
_GROWTH = 1.5
_SATURATED = 0.75  # of the limit: part of the slots wait for the store or the network even when work abounds
_PAUSE_AFTER_FAILURE = 10  # successes
_MAX_REPORTED = 1e9  # a larger number is a broken counter


class QueueAware:
    """Keeps a few requests waiting at a server that reports its queue.

    Args:
        maximum: slots that are never exceeded.
        initial: slots to begin with.
        waiting_share: requests that are to wait, as a share of those that run; one at least.

    Raises:
        ConfigError: fewer than one slot, or a share that is not between 0 and 1.
    """

    def __init__(self, *, maximum: int, initial: int = 8, waiting_share: float = 0.04) -> None:
        if not 0 < waiting_share <= 1:
            raise ConfigError(f"waiting_share: must be above 0 and at most 1, got {waiting_share}")
        self._slots = Slots(at_least_one("max_in_flight", maximum))
        self._limit = float(min(at_least_one("initial", initial), maximum))
        self._waiting_share = waiting_share
        self._has_waited = False  # a queue was seen, so the server's size is about known
        self._num_idle = 0  # samples in a row without a waiting request
        self._sampled_at = -math.inf
        self._pause = 0  # successes to come before growth goes on
        self._ceiling: float | None = None
        self._cut_at = -math.inf
        self._num_cuts = 0
        self._reason = "no metrics yet"

    def limit(self, now: float) -> int:
        return min(int(self._limit), self._slots.most)

    def wait_s(self, now: float) -> float:
        return math.inf

    def on_start(self, now: float) -> None:
        self._slots.num_in_flight += 1

    def on_outcome(self, outcome: Outcome, sent_at: float, now: float) -> None:
        self._slots.end_one()
        match outcome:
            case RateLimited() | Overloaded():
                if sent_at > self._cut_at:
                    self._cut(now)
            case Ok():
                self._pause = max(0, self._pause - 1)
            case Transient() | Truncated() | Deadline():
                self._pause = _PAUSE_AFTER_FAILURE
            case _:
                pass  # refused for what it asks, or cancelled: says nothing of capacity

    def on_metrics(self, running: float, waiting: float, now: float) -> None:
        """Steer by what the server reports: requests that run and that wait, all clients' together.

        Numbers that are negative, not finite or absurd are ignored.
        """
        if not (0 <= running <= _MAX_REPORTED and 0 <= waiting <= _MAX_REPORTED):
            return
        if now - self._sampled_at > STALE_S:
            self._num_idle = 0
        self._sampled_at = now
        share = min(1.0, self._slots.num_in_flight / max(1.0, running + waiting))
        # What is in flight above the limit leaves the queue by itself.
        settled = waiting - max(0.0, self._slots.num_in_flight - self._limit)
        missing = max(1.0, self._waiting_share * running * share) - settled * share
        if missing < 0:
            self._has_waited, self._num_idle = True, 0
            self._move(missing, "shortening the queue")
        elif obstacle := self._obstacle(now):
            self._reason = obstacle
        elif waiting == 0:
            self._num_idle += 1
            self._move(self._step(missing), "filling the server")
        else:
            self._has_waited, self._num_idle = True, 0
            self._move(missing, "keeping a short queue")

    def freeze(self, now: float) -> None:
        self._slots.freeze(now)

    def hard_cap(self, num_slots: int) -> None:
        self._slots.lower_cap(num_slots)
        self._limit = min(self._limit, float(self._slots.most))

    def statistics(self, now: float) -> ControllerStatistics:
        is_stale = now - self._sampled_at > STALE_S and self._sampled_at > -math.inf
        return ControllerStatistics(
            limit=self._limit,
            num_in_flight=self._slots.num_in_flight,
            num_cuts=self._num_cuts,
            ceiling=self._ceiling,
            hard_cap=self._slots.cap,
            reason="held: the metrics are old" if is_stale else self._reason,
        )

    def _step(self, missing: float) -> float:
        """Return how much to add while nothing waits: half, and once the size is known little, then more and more."""
        half = (_GROWTH - 1) * self._limit
        return half if not self._has_waited else min(half, missing * 2.0 ** (min(self._num_idle, 32) - 1))

    def _move(self, change: float, reason: str) -> None:
        self._limit = min(max(1.0, self._limit + change), float(self._slots.most))
        self._reason = reason

    def _cut(self, now: float) -> None:
        self._ceiling = self._limit
        self._cut_at = now
        self._num_cuts += 1
        self._slots.freeze(now)  # an empty queue must not bring back at once what was refused
        self._move((_CUT - 1) * self._limit, "cut")

    def _obstacle(self, now: float) -> str:
        """Say why the limit may not grow; nothing where it may."""
        if self._limit >= self._slots.most:
            return "at the maximum" if self._slots.cap is None else "at the hard cap"
        if now < self._slots.frozen_until:
            return "frozen: refused, or the client is slow"
        if self._pause:
            return "frozen: the server fails"
        return "" if self._slots.num_in_flight >= _SATURATED * self._limit else "not saturated"
