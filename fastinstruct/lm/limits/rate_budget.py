"""Requests and tokens per minute: what may be sent now, and when the next request may be.

Knows nothing of queues, timers or HTTP connections: time is passed in as monotonic seconds. The scheduler asks for its
oldest request first, and asks again when the wait is over. Guarantees: first come, first served, since a wait does not
depend on who asks; requests never exceed their limit in any 60 s, and tokens do so only by what was under-estimated and
is not settled yet, or by one request's; where no limit is known, nothing waits; a server's headers cannot raise a limit
above what was configured, stop a run for ever or raise an exception.

Two token buckets, each with a fifth of a second of its rate, keep the pace: a request is let through while no tokens
are owed, whatever its size, and is charged an estimate; what it really used is settled afterwards. A bucket alone
would let too much through after a time of estimates that were too high, when what they did not use comes back. So
tokens are counted over the last minute, too, each at the time it was charged.

Source: OpenAI API guide "Rate limits", the header fields x-ratelimit-*.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from fastinstruct.errors import ConfigError
from fastinstruct.lm.limits.retry_policy import MAX_HINT_S
from fastinstruct.lm.outcomes.error_body import duration_s, plain_number

__all__ = ["Bin", "Lease", "RateBudget", "RateBudgetStatistics", "SlidingWindow"]

_PERIOD_S: Final = 60.0
_SHARE: Final = 0.99  # of a limit is used: a burst on top of it, or a clock that is fast, stays below the limit
_BURST_S: Final = 0.2
_MAX_DEBT_S: Final = 600.0  # one absurd estimate, or a limit of one token, must not stop a run for ever
_TICK_S: Final = 1e-6  # shorter waits are rounding errors
_LEAST_LIMIT: Final = 1.0
_MOST_LIMIT: Final = 1e12
_HEADERS: Final = tuple(
    f"x-ratelimit-{what}-{units}" for units in ("requests", "tokens") for what in ("limit", "remaining")
)
_OTHER_PERIODS_S: Final = (3600.0, 86400.0)
_SIZE_MEMORY: Final = 20  # requests


@dataclass(frozen=True, slots=True, kw_only=True)
class RateBudgetStatistics:
    """A snapshot: the limits in force (None: none known), what is not settled yet, and the present wait."""

    requests_per_minute: float | None
    tokens_per_minute: float | None
    num_unsettled: int
    wait_s: float


class Lease:
    """One request's share of the budget, to be settled or refunded once; what comes later does nothing."""

    __slots__ = ("_budget", "_charged", "_is_open", "num_tokens")

    def __init__(self, budget: RateBudget, num_tokens: int, charged: Bin) -> None:
        self.num_tokens = num_tokens
        self._budget = budget
        self._charged = charged
        self._is_open = True

    def settle(self, used_tokens: int | None, now: float) -> None:
        """Correct the estimate by what the request used; None where nobody knows, and the estimate stands."""
        used = self.num_tokens if used_tokens is None else max(0, used_tokens)
        self._close(0, self.num_tokens - used, now)

    def refund(self, now: float) -> None:
        """Give everything back: the request was never sent."""
        self._close(1, self.num_tokens, now)

    def _close(self, num_requests: int, num_tokens: int, now: float) -> None:
        if self._is_open:
            self._is_open = False
            self._budget.credit(self._charged, num_requests, num_tokens, now)


class RateBudget:
    """How many requests and tokens a minute one endpoint and model allow.

    Args:
        requests_per_minute: the limit; None for what the server's headers tell, if anything.
        tokens_per_minute: the same for tokens, prompt and completion together.

    Raises:
        ConfigError: a limit that is not a positive number.
    """

    def __init__(self, requests_per_minute: float | None = None, tokens_per_minute: float | None = None) -> None:
        self._requests = _Bucket(_checked("requests_per_minute", requests_per_minute), needed=1.0)
        self._tokens = _Bucket(_checked("tokens_per_minute", tokens_per_minute), needed=0.0)
        self._tokens_of_minute = SlidingWindow(_PERIOD_S)
        self._usual_tokens = 0.0
        self._num_unsettled = 0

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a request may be sent; 0 for at once. The next one's size does not matter."""
        if self._requests.limit is self._tokens.limit is None:
            return 0.0
        wait_s = max(self._requests.wait_s(now), self._tokens.wait_s(now))
        if self._tokens.limit is not None:
            room = self._tokens.limit - self._usual_tokens
            wait_s = max(wait_s, self._tokens_of_minute.wait_s(room, now))
        return wait_s if wait_s > _TICK_S else 0.0

    def try_reserve(self, num_tokens: int, now: float) -> Lease | float:
        """Charge a request that is estimated to cost `num_tokens`, or return the seconds until that can be done."""
        wait_s = self.wait_s(now)
        if wait_s > 0:
            return wait_s
        num_tokens = max(0, num_tokens)
        self._usual_tokens += (num_tokens - self._usual_tokens) / _SIZE_MEMORY
        self._requests.change(-1, now)
        self._tokens.change(-num_tokens, now)
        self._num_unsettled += 1
        return Lease(self, num_tokens, self._tokens_of_minute.charge(num_tokens, now))

    def credit(self, charged: Bin, num_requests: int, num_tokens: int, now: float) -> None:
        """Take back what a lease did not use, or charge what it used above its estimate. Leases call it."""
        self._num_unsettled -= 1
        self._requests.change(num_requests, now)
        self._tokens.change(num_tokens, now)
        self._tokens_of_minute.correct(charged, -num_tokens)

    def observe(self, headers: Mapping[str, str], now: float) -> None:
        """Follow a reply's `x-ratelimit-*`; the names are in lower case, or compare without case.

        A limit brings ours down, and up again as far as it is configured. Nothing remaining closes the bucket until
        its reset, or for one unit where it refills steadily. What is not a number is ignored.
        """
        if not any(map(headers.__contains__, _HEADERS)):  # as most servers that are one's own
            return
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            limit = plain_number(headers.get(f"x-ratelimit-limit-{name}"))
            remaining = plain_number(headers.get(f"x-ratelimit-remaining-{name}"))
            reset_s = duration_s(headers.get(f"x-ratelimit-reset-{name}", "").strip())
            bucket.follow(limit, remaining, reset_s, now)

    def drain_until(self, when: float, now: float) -> None:
        """Send nothing before `when`, as a 429 asked for; for `MAX_HINT_S` at most.

        Without a known limit it does nothing: one refusal of many is no reason to stop all.
        """
        self._requests.drain(when, now)
        self._tokens.drain(when, now)

    def statistics(self, now: float) -> RateBudgetStatistics:
        """Return the limits in force and the present wait."""
        return RateBudgetStatistics(
            requests_per_minute=self._requests.limit,
            tokens_per_minute=self._tokens.limit,
            num_unsettled=self._num_unsettled,
            wait_s=self.wait_s(now),
        )


class _Bucket:
    """Units that come in steadily, up to a burst, and may be owed."""

    __slots__ = ("_burst", "_configured", "_counted_until", "_level", "_needed", "_rate", "_refills_steadily", "limit")

    def __init__(self, configured: float | None, *, needed: float) -> None:
        self._configured = configured
        self._needed = needed  # units that have to be there for a request to be let through
        self._counted_until = -math.inf  # later than now while it is drained
        self._refills_steadily = False
        self.limit: float | None = None
        self._rate = self._burst = self._level = 0.0
        self._limit_to(configured)

    def wait_s(self, now: float) -> float:
        if self.limit is None:
            return 0.0
        self._refill(now)
        missing = max(0.0, self._needed - self._level)
        return max(0.0, self._counted_until - now) + missing / self._rate

    def change(self, num_units: float, now: float) -> None:
        """Credit units (charge them where negative); credit above the burst is lost, debt has a bottom."""
        if self.limit is not None:
            self._refill(now)
            self._level = max(min(self._level + num_units, self._burst), -_MAX_DEBT_S * self._rate)

    def drain(self, when: float, now: float) -> None:
        """Stay closed until `when`, and hold then what one request needs, unless that is owed."""
        if self.limit is not None:
            self._refill(min(when, now + MAX_HINT_S))
            self._level = min(self._level, self._needed)

    def follow(self, limit: float | None, remaining: float | None, reset_s: float | None, now: float) -> None:
        """Adapt to what a server tells of itself."""
        self._refill(now)
        period_s = _period_s(limit, remaining, reset_s)
        if limit is not None and _LEAST_LIMIT <= limit <= _MOST_LIMIT:
            # An hour's or a day's allowance may be used as fast as the other limits let it.
            is_paced = not any(abs(period_s / other_s - 1) < 0.02 for other_s in _OTHER_PERIODS_S)
            self._limit_to(_lower(self._configured, limit if is_paced else None))
        if remaining is None or self.limit is None:
            return
        if remaining >= 1:
            self._refills_steadily = abs(period_s / _PERIOD_S - 1) < 0.2
            self._level = min(self._level, remaining)
        elif reset_s is not None and not self._refills_steadily:
            self.drain(now + reset_s, now)
        else:
            self._level = min(self._level, 0.0)

    def _limit_to(self, limit: float | None) -> None:
        if limit == self.limit:
            return
        was_off, self.limit = self.limit is None, limit
        if limit is not None:
            self._rate = _SHARE * limit / _PERIOD_S
            self._burst = max(self._needed, _BURST_S * self._rate)
            self._level = self._burst if was_off else min(self._level, self._burst)

    def _refill(self, now: float) -> None:
        if now > self._counted_until:
            if self._counted_until > -math.inf:
                self._level = min(self._level + self._rate * (now - self._counted_until), self._burst)
            self._counted_until = now


def _period_s(limit: float | None, remaining: float | None, reset_s: float | None) -> float:
    """In what time a bucket that refills steadily gets all of its units back; infinity where nothing tells.

    A provider's "requests" can be those of a day: 14400 of them, 1 used, reset in 6 s.
    """
    if limit is None or remaining is None or reset_s is None or remaining >= limit:
        return math.inf
    return limit * reset_s / (limit - remaining)


def _lower(configured: float | None, told: float | None) -> float | None:
    known = [limit for limit in (configured, told) if limit is not None]
    return min(known, default=None)


def _checked(name: str, limit: float | None) -> float | None:
    if limit is not None and not 0 < limit < math.inf:
        raise ConfigError(f"{name}: must be above 0 and finite, got {limit}")
    return limit


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
