"""The budgets of requests and tokens per minute that a provider grants: token buckets.

Knows nothing of HTTP; the clock's readings are passed in. Guarantees that within any span of `t` seconds no more is
granted than `t` seconds of the rate and one burst; of tokens, one request more, because one that is larger than the
burst may overdraw it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from fastinstruct.scripted_server.hints import budget_headers

if TYPE_CHECKING:
    from fastinstruct.scripted_server.script import Script

__all__ = ["RateLimits", "TokenBucket"]

_ROUNDING: Final = 1e-9


class TokenBucket:
    """Fills with `rate_per_s` up to `burst_s` seconds' worth, and at least 1; it starts full."""

    def __init__(self, rate_per_s: float, burst_s: float, now_s: float) -> None:
        self._burst_s = burst_s
        self._rate_per_s = rate_per_s
        self._level = self.capacity
        self._settled_s = now_s

    @property
    def rate_per_s(self) -> float:
        return self._rate_per_s

    @property
    def capacity(self) -> float:
        return max(1.0, self._rate_per_s * self._burst_s)

    def set_rate(self, rate_per_s: float, now_s: float) -> None:
        """Fill with another rate from now on; what is above the new capacity is lost."""
        self._settle(now_s)
        self._rate_per_s = rate_per_s
        self._level = min(self._level, self.capacity)

    def level(self, now_s: float) -> float:
        """How much is in it; less than nothing if it was overdrawn."""
        self._settle(now_s)
        return self._level

    def wait_s(self, cost: float, now_s: float) -> float:
        """Seconds until `cost` is granted; 0 if now."""
        lacking = min(cost, self.capacity) - self.level(now_s)
        return lacking / self._rate_per_s if lacking > _ROUNDING else 0.0

    def take(self, cost: float, now_s: float) -> None:
        self._settle(now_s)
        self._level -= cost

    def _settle(self, now_s: float) -> None:
        if now_s > self._settled_s:
            self._level = min(self.capacity, self._level + (now_s - self._settled_s) * self._rate_per_s)
            self._settled_s = now_s


class RateLimits:
    """The budgets of a script; a schedule's time begins with the first request."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._started_s: float | None = None
        self._requests: TokenBucket | None = None
        self._tokens: TokenBucket | None = None

    def wait_s(self, num_tokens: int, now_s: float) -> float:
        """Grant a request with so many tokens and return 0; or the seconds until it would be granted."""
        if self._started_s is None:
            self._start(now_s)
        self._follow_schedule(now_s)
        wait_s = max(
            self._requests.wait_s(1, now_s) if self._requests else 0.0,
            self._tokens.wait_s(num_tokens, now_s) if self._tokens else 0.0,
        )
        if wait_s == 0:
            for bucket, cost in ((self._requests, 1), (self._tokens, num_tokens)):
                if bucket is not None:
                    bucket.take(cost, now_s)
        return wait_s

    def headers(self, now_s: float) -> str:
        """The header lines that tell the budgets as they stand."""
        lines = ""
        for name, bucket in (("requests", self._requests), ("tokens", self._tokens)):
            if bucket is not None:
                level, rate_per_s = bucket.level(now_s), bucket.rate_per_s
                reset_s = (bucket.capacity - level) / rate_per_s
                lines += budget_headers(name, limit=60 * rate_per_s, remaining=level // 1, reset_s=reset_s)
        return lines

    def _start(self, now_s: float) -> None:
        script = self._script
        self._started_s = now_s
        if (rate_per_s := self._scheduled_rate(now_s)) is not None:
            self._requests = TokenBucket(rate_per_s, script.burst_s, now_s)
        if script.tokens_per_minute is not None:
            self._tokens = TokenBucket(script.tokens_per_minute / 60, script.burst_s, now_s)

    def _scheduled_rate(self, now_s: float) -> float | None:
        """The requests per second that are granted at this time, None for any number."""
        script, passed_s = self._script, now_s - (self._started_s or 0.0)
        if script.requests_per_minute is not None:
            return script.requests_per_minute / 60
        return next((rate for start_s, rate in reversed(script.rate_schedule) if start_s <= passed_s), None)

    def _follow_schedule(self, now_s: float) -> None:
        rate_per_s = self._scheduled_rate(now_s) if self._script.rate_schedule else None
        if rate_per_s is not None and self._requests is not None and rate_per_s != self._requests.rate_per_s:
            self._requests.set_rate(rate_per_s, now_s)
