"""Find the concurrency that a server bears from its refusals alone: multiplicative decrease, growth as in CUBIC.

Knows nothing of HTTP, rates or tokens. A rate limit is met by concurrency, too: so many slots, each busy for a latency,
are so many requests a second. Guarantees: at most `maximum` slots; one cut per episode (a refusal of a request sent
before the cut does not cut again); failures of the server (5xx, time-outs) never cut.

The limit doubles once per latency (a slot more for each success) until the first refusal. That refusal's limit is
remembered as the ceiling, and a cut takes a fifth. From there the limit rises as a cubic: quickly at first, hardly at
all near the ceiling, and ever faster above, since a ceiling that is clean so late is out of date. Growth counts only
time in which the slots are full and requests succeed.

Starts are paced, too, at limit / latency. Without it requests that start together come back together for ever, a wave
that overruns any limit on the rate; and what is left of a limit below one (a free tier of ten requests a minute) could
not be had. A rate is kept by the pace, so its slots get some slack for uneven latencies; a number of places at the
server (`Overloaded`) is kept by the slots, so the pace does no more than part the waves.

Tried and dropped: +5% per clean round. A round takes two latencies (requests sent after the change have to come back),
so that is several cuts a second at 50 ms, and no doubling within 30 s from a latency of one second up.

Source: RFC 9438 (CUBIC) section 4.2, the shape of the window.
"""

from __future__ import annotations

import math

from fastinstruct.lm.limits.concurrency.controller import ControllerStatistics, Slots, at_least_one
from fastinstruct.lm.outcomes.outcomes import Deadline, Ok, Outcome, Overloaded, RateLimited, Transient, Truncated

__all__ = ["Aimd"]

_CUT = 0.8
_LEAST = 0.001
_LONGEST_GAP_S = 60.0
# From a cut to the ceiling: long enough for few refusals, short enough to find new capacity within 30 s; and for slow
# servers longer, so that there are some requests between two refusals.
_RECOVERY_S = 15.0
_RECOVERY_REQUESTS = 75
_LONGEST_RECOVERY_S = 60.0
_PROBE = 0.27  # of the recovery: so long above the ceiling, and the limit is as far above it as the cut was below
_SATURATED = 0.75  # of the limit: part of the slots wait for the store or the network even when work abounds
_PAUSE_AFTER_FAILURE = 10  # successes: a server that fails more than a tenth of its requests gets no more of them
_SPREAD = 1.25  # the pace, in limits per latency, where only the slots limit
_BURST_S = 0.02  # of the pace: timers and loops are late
_TICK_S = 0.001  # a timer is no finer
_LATENCY_MEMORY = 100  # requests; more where more are in flight


class Aimd:
    """Additive increase, multiplicative decrease, with a ceiling that is remembered and forgotten.

    Args:
        maximum: slots that are never exceeded.
        initial: slots to begin with.

    Raises:
        ConfigError: fewer than one slot.
    """

    def __init__(self, *, maximum: int, initial: int = 8) -> None:
        self._slots = Slots(at_least_one("max_in_flight", maximum))
        self._limit = float(min(at_least_one("initial", initial), maximum))
        self._ceiling: float | None = None
        self._limits_rate = False  # what the server refused last: too many in a while, or too many at once
        self._cut_at = -math.inf
        self._num_cuts = 0
        self._num_clean = 0  # successes of requests sent since the cut
        self._growth_s = 0.0  # time since the cut that counts
        self._counted_until = -math.inf
        self._pause = 0  # successes to come before growth goes on
        self._latency_s: float | None = None
        self._next_start = -math.inf
        self._reason = "doubling"

    def limit(self, now: float) -> int:
        """Return the number of slots; while the pace holds back, no more than are taken."""
        slack = math.sqrt(self._limit) if self._limits_rate else 0.0
        num_slots = min(math.ceil(self._limit + slack), self._slots.most)
        return min(num_slots, self._slots.num_in_flight) if self._next_start - now > _TICK_S else num_slots

    def wait_s(self, now: float) -> float:
        wait_s = self._next_start - now
        return wait_s if wait_s > _TICK_S else math.inf

    def on_start(self, now: float) -> None:
        self._slots.num_in_flight += 1
        self._next_start = max(self._next_start, now - _BURST_S) + self._gap_s()

    def on_outcome(self, outcome: Outcome, sent_at: float, now: float) -> None:
        num_in_flight = self._slots.end_one()
        match outcome:
            case RateLimited() | Overloaded():
                if sent_at > self._cut_at:
                    self._limits_rate = isinstance(outcome, RateLimited)
                    self._cut(num_in_flight, now)
            case Ok():
                self._learn_latency(now - sent_at)
                self._num_clean += sent_at > self._cut_at
                self._succeed(num_in_flight, sent_at, now)
            case Transient() | Truncated() | Deadline():
                self._pause = _PAUSE_AFTER_FAILURE
            case _:
                pass  # refused for what it asks, or cancelled: says nothing of capacity

    def freeze(self, now: float) -> None:
        self._slots.freeze(now)

    def hard_cap(self, num_slots: int) -> None:
        self._slots.lower_cap(num_slots)
        self._limit = min(self._limit, float(self._slots.most))

    def statistics(self, now: float) -> ControllerStatistics:
        return ControllerStatistics(
            limit=self._limit,
            num_in_flight=self._slots.num_in_flight,
            num_cuts=self._num_cuts,
            ceiling=self._ceiling,
            hard_cap=self._slots.cap,
            reason=self._reason,
        )

    def _gap_s(self) -> float:
        """Return how long after a start the next one is due."""
        latency_s = self._latency_s
        if latency_s is None:  # nothing is known: at once, unless not even one at a time was borne
            latency_s = 0.0 if self._limit >= 1 else 1.0
        pace = self._limit if self._limits_rate else _SPREAD * self._limit
        return min(latency_s / pace, _LONGEST_GAP_S)

    def _cut(self, num_in_flight: int, now: float) -> None:
        # A server that was half idle did not refuse because of the limit.
        used = (num_in_flight + math.sqrt(self._limit)) / _SATURATED
        reached = min(self._limit, used)
        self._limit = max(_LEAST, _CUT * reached)
        if self._latency_s is not None:  # else only a burst was too big: what is borne in the long run is not known
            self._ceiling = reached
        self._cut_at = now
        self._num_cuts += 1
        self._num_clean = 0
        self._growth_s = 0.0
        self._reason = "cut"

    def _learn_latency(self, latency_s: float) -> None:
        if self._latency_s is None:
            self._latency_s = latency_s
        self._latency_s += (latency_s - self._latency_s) / max(_LATENCY_MEMORY, self._limit)

    def _succeed(self, num_in_flight: int, sent_at: float, now: float) -> None:
        counted_s = now - max(self._counted_until, sent_at - self._gap_s())
        self._counted_until = now
        obstacle = self._obstacle(num_in_flight, now)
        self._pause = max(0, self._pause - 1)
        if obstacle:
            self._reason = obstacle
        elif self._ceiling is None:
            self._reason = "doubling"
            self._limit = min(self._limit + 1, float(self._slots.most))
        else:
            self._follow_cubic(self._ceiling, counted_s)

    def _obstacle(self, num_in_flight: int, now: float) -> str:
        """Say why the limit may not grow; nothing where it may."""
        if self._limit >= self._slots.most:
            return "at the maximum" if self._slots.cap is None else "at the hard cap"
        if now < self._slots.frozen_until:
            return "frozen: the client is slow"
        if self._pause:
            return "frozen: the server fails"
        is_saturated = num_in_flight + math.sqrt(self._limit) >= _SATURATED * self._limit
        return "" if is_saturated else "not saturated"

    def _follow_cubic(self, ceiling: float, counted_s: float) -> None:
        recovery_s = self._recovery_s(ceiling)
        growth_s = self._growth_s + counted_s
        if self._num_clean < ceiling:  # a round that starts after the cut has to come back clean before the probe
            growth_s = min(growth_s, recovery_s)
        self._growth_s = growth_s
        past = growth_s / recovery_s - 1
        self._reason = "probing" if past > 0 else "recovering"
        grown = ceiling * (1 + (1 - _CUT) * (past / _PROBE if past > 0 else past) ** 3)
        self._limit = min(max(self._limit, grown), float(self._slots.most))

    def _recovery_s(self, ceiling: float) -> float:
        many_requests_s = _RECOVERY_REQUESTS * (self._latency_s or 0.0) / ceiling
        return min(max(many_requests_s, _RECOVERY_S), _LONGEST_RECOVERY_S)
