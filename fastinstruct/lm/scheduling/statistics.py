"""What an endpoint's requests came to: outcomes, latencies, tokens, and how many were in flight. In bounded memory.

Knows nothing of limits or HTTP; time is passed in as monotonic seconds.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from fastinstruct.lm.outcomes.outcomes import BadRequest, Fatal, Ok, Outcome, Transient

__all__ = ["LatencyHistogram", "SchedulerStatistics", "Tally"]

_GROWTH = math.log(1.05)
_LEAST_S, _MOST_S = 1e-4, 1e5


class LatencyHistogram:
    """Counts of seconds in buckets that grow by a twentieth each: a percentile is within 2.5% of the true one.

    What is below 0.1 ms or above a day counts as that; so there are some 400 buckets at most. `counts` says how many
    latencies each has.
    """

    def __init__(self, parts: Iterable[LatencyHistogram] = ()) -> None:
        """Begin with all latencies of the parts together."""
        self.counts: Counter[int] = Counter()
        for part in parts:
            self.counts.update(part.counts)

    def add(self, seconds: float) -> None:
        """Count one latency."""
        self.counts[round(math.log(min(max(seconds, _LEAST_S), _MOST_S)) / _GROWTH)] += 1

    def percentile(self, share: float) -> float | None:
        """Return the seconds that this share of the latencies, within (0, 1], does not exceed; None before the first.

        Source: the nearest-rank definition of a percentile.
        """
        rank = math.ceil(share * self.counts.total())
        for bucket in sorted(self.counts):
            rank -= self.counts[bucket]
            if rank <= 0:
                return math.exp(bucket * _GROWTH)
        return None


class Tally:
    """Counts what became of requests, and how many were in flight for how long.

    Attributes:
        outcomes: what it came to -> requests, such as "ok" or "transient: server".
        latencies: of whole replies.
        prompt_tokens, completion_tokens: as the replies report them.
    """

    def __init__(self) -> None:
        self.outcomes: Counter[str] = Counter()
        self.latencies = LatencyHistogram()
        self.prompt_tokens = 0
        self.completion_tokens = 0
        self._busy_s = 0.0
        self._num_in_flight = 0
        self._since = 0.0

    def count(self, outcome: Outcome, latency_s: float) -> None:
        """Take in what one request came to."""
        self.outcomes[_name(outcome)] += 1
        if isinstance(outcome, Ok):
            self.latencies.add(latency_s)
            self.prompt_tokens += outcome.completion.usage.prompt_tokens
            self.completion_tokens += outcome.completion.usage.completion_tokens

    def in_flight(self, num_in_flight: int, now: float) -> None:
        """Take note that so many requests are in flight from now on."""
        self._busy_s = self.busy_s(now)
        self._num_in_flight, self._since = num_in_flight, now

    def busy_s(self, now: float) -> float:
        """Return the seconds that requests were in flight, summed over the requests."""
        return self._busy_s + self._num_in_flight * (now - self._since)


def _name(outcome: Outcome) -> str:
    """Name an outcome with its kind; there are few kinds."""
    return f"{outcome.name}: {outcome.kind}" if isinstance(outcome, Transient | BadRequest | Fatal) else outcome.name


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatistics:
    """A snapshot of the counters."""

    num_in_flight: int
    num_waiting: int
    num_attempts: int
    num_failed_attempts: int
    num_dropped: int = 0
    """Requests that were sent and then cancelled: by `abort`, or because the drain took too long."""
