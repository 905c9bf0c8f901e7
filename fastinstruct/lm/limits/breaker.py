"""A circuit breaker for one endpoint: when most requests fail, send none for a while, then ask with a single one.

Knows nothing of HTTP, queues or timers: time is passed in as monotonic seconds, the source of jitter when it is made.
Guarantees: never more than one probe at a time; a pause is finite, so sooner or later a request is let through; a
request sent before the last change of mind changes nothing; refusals (429, 400) are answers, not failures.

    closed      everything may be sent; opens when more than half of the last outcomes are failures, or several in a row
    open        nothing may be sent until the pause is over; pauses grow while probes fail, and shrink back with success
    half-open   one request may be sent, and what becomes of it closes or opens the breaker
"""

from __future__ import annotations

import math
import random
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from fastinstruct.lm.limits.retry_policy import MAX_HINT_S
from fastinstruct.lm.outcomes.outcomes import Aborted, Deadline, Outcome, Overloaded, RateLimited, Transient

__all__ = ["BreakerState", "BreakerStatistics", "CircuitBreaker", "is_failure"]

_FAILURES = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy", "disconnected", "idle", "server"})
_SILENT = frozenset({"fd_limit", "ports", "client"})  # our own trouble: the server was not asked
_WINDOW = 20  # outcomes
_FEWEST = 10  # outcomes that a share is taken of
_MAX_SHARE = 0.5
_MAX_IN_A_ROW = 5
_FIRST_PAUSE_S = 1.0
_LONGEST_PAUSE_S = 30.0
_LONGEST_HINT_S = 86_400.0  # a day's allowance comes back the next day
_HEALTHY = 20  # outcomes without opening, after which the next pause is a first one again


class BreakerState(StrEnum):
    """Where a breaker stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerStatistics:
    """A snapshot: the state, how long it stays open yet, how often it opened, and why it did last."""

    state: BreakerState
    wait_s: float
    num_opened: int
    reason: str


class CircuitBreaker:
    """Decides whether an endpoint is asked at all.

    Args:
        rng: the source of the pauses' jitter.
    """

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._recent: deque[bool] = deque(maxlen=_WINDOW)  # whether each was a failure
        self._num_in_a_row = 0
        self._num_since_closed = 0
        self._exponent = 0
        self._open_until: float | None = None  # None: closed
        self._probe_sent_at: float | None = None
        self._heard_since = -math.inf  # what was sent before says nothing of the state now
        self._num_opened = 0
        self._reason = ""

    def state(self, now: float) -> BreakerState:
        """Return where it stands now."""
        if self._open_until is None:
            return BreakerState.CLOSED
        return BreakerState.OPEN if now < self._open_until else BreakerState.HALF_OPEN

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a request may be sent: 0 for at once, infinity while a probe is under way."""
        if self._open_until is None:
            return 0.0
        if now < self._open_until:
            return self._open_until - now
        return 0.0 if self._probe_sent_at is None else math.inf

    def on_start(self, now: float) -> None:
        """Note that a request is sent; the first one after a pause is the probe."""
        if self.state(now) is BreakerState.HALF_OPEN:
            self._probe_sent_at = now

    def on_outcome(self, outcome: Outcome, sent_at: float, now: float) -> None:
        """Learn from what became of a request sent at `sent_at`; `Aborted` for one that was cancelled."""
        is_probe = self._probe_sent_at is not None and sent_at >= self._probe_sent_at
        if is_probe:
            self._probe_sent_at = None
        hint_s = outcome.retry_after_s if isinstance(outcome, RateLimited | Overloaded) else None
        if hint_s is not None and hint_s > MAX_HINT_S:
            told = f"{hint_s:.0f} s" if hint_s <= _LONGEST_HINT_S else "for more than a day"
            self._open(now, min(hint_s, _LONGEST_HINT_S), f"told to wait {told}")
        elif self._open_until is None:
            if sent_at >= self._heard_since:
                self._count(outcome, now)
        elif is_probe and now >= self._open_until:  # else a hint has opened it again meanwhile
            self._judge_probe(outcome, now)

    def statistics(self, now: float) -> BreakerStatistics:
        """Return the state, and why it last opened."""
        return BreakerStatistics(
            state=self.state(now), wait_s=self.wait_s(now), num_opened=self._num_opened, reason=self._reason
        )

    def _count(self, outcome: Outcome, now: float) -> None:
        if _says_nothing(outcome):
            return
        has_failed = is_failure(outcome)
        self._recent.append(has_failed)
        self._num_in_a_row = self._num_in_a_row + 1 if has_failed else 0
        self._num_since_closed += 1
        share = sum(self._recent) / len(self._recent)
        if self._num_in_a_row >= _MAX_IN_A_ROW or (len(self._recent) >= _FEWEST and share > _MAX_SHARE):
            self._fail(outcome, now)
        elif self._num_since_closed >= _HEALTHY:
            self._exponent = 0

    def _judge_probe(self, outcome: Outcome, now: float) -> None:
        if _says_nothing(outcome):
            return  # the next request is the probe
        if is_failure(outcome):
            self._fail(outcome, now)
            return
        self._open_until = None
        self._heard_since = now
        self._recent.clear()
        self._num_in_a_row = self._num_since_closed = 0

    def _fail(self, outcome: Outcome, now: float) -> None:
        longest_s = min(_LONGEST_PAUSE_S, _FIRST_PAUSE_S * 2.0 ** min(self._exponent, 16))
        self._exponent += 1
        kind = outcome.kind if isinstance(outcome, Transient) else outcome.name
        # The jitter parts the workers that share a server, and leaves it half of the pause in any case.
        self._open(now, self._rng.uniform(longest_s / 2, longest_s), f"failures: {kind}")

    def _open(self, now: float, pause_s: float, reason: str) -> None:
        until = now + pause_s
        self._open_until = until if self._open_until is None else max(self._open_until, until)
        self._num_opened += 1
        self._reason = reason


def _says_nothing(outcome: Outcome) -> bool:
    return isinstance(outcome, Aborted) or (isinstance(outcome, Transient) and outcome.kind in _SILENT)


def is_failure(outcome: Outcome) -> bool:
    """Whether the server is to blame: it could not be reached, broke off, failed or took too long."""
    return isinstance(outcome, Deadline) or (isinstance(outcome, Transient) and outcome.kind in _FAILURES)
