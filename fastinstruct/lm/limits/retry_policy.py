"""Whether, and after how long, a request is tried again: one pure decision, used by the one retry loop (the scheduler).

Knows nothing of clocks, slots or HTTP; the random generator is passed in. Guarantees: a delay is never negative and,
hints apart, never above `cap_s`; full jitter is drawn after the clamp, so it does not vanish at the cap.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from fastinstruct.errors import ConfigError
from fastinstruct.lm.outcomes.outcomes import Deadline, Outcome, Overloaded, RateLimited, Transient, Truncated

__all__ = ["MAX_HINT_S", "GiveUp", "Retry", "RetryPolicy"]

MAX_HINT_S = 120.0
"""A server's hint to wait longer than this is cut to it, in seconds."""

_HINT_JITTER = 0.1  # of the hint: requests told the same second must not all come back in it


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again after `delay_s` seconds; `counts` says whether what failed was an attempt (or only a wait)."""

    delay_s: float
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Don't try again: the last outcome is the request's outcome."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryPolicy:
    """How patient a run is with one request.

    Raises:
        ConfigError: a count below its bound, or seconds that are negative or out of order.
    """

    max_attempts: int = 6
    base_s: float = 0.5
    cap_s: float = 30.0
    max_rate_limit_waits: int = 20

    def __post_init__(self) -> None:
        if self.max_attempts < 1:
            raise ConfigError(f"max_attempts: must be at least 1, got {self.max_attempts}")
        if self.max_rate_limit_waits < 0:
            raise ConfigError(f"max_rate_limit_waits: must be at least 0, got {self.max_rate_limit_waits}")
        if not 0 <= self.base_s <= self.cap_s:
            raise ConfigError(f"base_s: must be between 0 and cap_s ({self.cap_s}), got {self.base_s}")

    def decide(self, outcome: Outcome, attempt: int, num_rate_limited: int, rng: random.Random) -> Retry | GiveUp:
        """What to do after `outcome`.

        Args:
            outcome: what the attempt that just ended came to.
            attempt: that attempt's number, from 1; waits for a rate limit don't raise it.
            num_rate_limited: how often this request was already told to wait, this time not included.
            rng: the source of the jitter.
        """
        match outcome:
            case RateLimited(hint_s) | Overloaded(hint_s):
                if num_rate_limited >= self.max_rate_limit_waits:
                    return GiveUp()
                return Retry(self._wait_s(hint_s, num_rate_limited + 1, rng), counts=False)
            case Deadline() if attempt == 1:  # later ones would each cost the whole deadline again
                return self._after_attempt(attempt, rng)
            case Transient() | Truncated():
                return self._after_attempt(attempt, rng)
            case _:
                return GiveUp()

    def _after_attempt(self, attempt: int, rng: random.Random) -> Retry | GiveUp:
        if attempt >= self.max_attempts:
            return GiveUp()
        return Retry(self._backoff_s(attempt, rng), counts=True)

    def _wait_s(self, hint_s: float | None, exponent: int, rng: random.Random) -> float:
        """The server's hint and up to a tenth more, never less than it asked for; without one, backoff."""
        if hint_s is None:
            return self._backoff_s(exponent, rng)
        hint_s = min(max(hint_s, 0.0), MAX_HINT_S)
        return hint_s + rng.uniform(0, _HINT_JITTER * hint_s)

    def _backoff_s(self, exponent: int, rng: random.Random) -> float:
        # 2.0**1024 overflows; no cap is reached that late.
        return rng.uniform(0, min(self.cap_s, self.base_s * 2.0 ** min(exponent - 1, 64)))
