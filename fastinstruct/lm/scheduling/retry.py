"""Whether a job is tried again after what an attempt came to, and in what way: later, elsewhere, smaller, or not.

Knows nothing of slots, tasks or timers. Joins the policy, which knows one endpoint and one outcome, with what the fleet
offers. Guarantees: what only one endpoint refuses is not lost while others serve its lane, but for the form of replies,
which is the whole run's; every way of trying again is bounded, but for a server that cannot be reached, which the
outage limit ends.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

from fastinstruct.lm.limits.retry_policy import Retry, RetryPolicy
from fastinstruct.lm.outcomes.outcomes import BadRequest, Fatal, Outcome, Overloaded, RateLimited, Transient
from fastinstruct.lm.scheduling.alarms import is_refusal
from fastinstruct.lm.scheduling.channel import CONFIRM_S, Channel, Ticket, is_unreachable
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import FailedAttempt, Job, Source, detail_of

__all__ = ["Flight", "Retrying"]

T = TypeVar("T")


@dataclass(slots=True, kw_only=True, eq=False)
class Flight(Generic[T]):
    """A drawn job on its way to delivery."""

    job: Job[T]
    attempt: int = 1
    num_rate_limited: int = 0
    num_unreachable: int = 0
    is_confirmed: bool = False
    is_second_opinion: bool = False
    is_smaller: bool = False
    failed_on: Channel | None = None
    failed: list[FailedAttempt] = field(default_factory=list)

    def note(self, channel: Channel, outcome: Outcome, verdict: Retry, latency_s: float) -> None:
        """Keep what an attempt came to that is followed by another."""
        attempt, detail = len(self.failed) + 1, detail_of(outcome)
        self.failed.append(FailedAttempt(attempt=attempt, outcome=outcome.name, detail=detail, latency_s=latency_s))
        self.failed_on = channel
        if is_unreachable(outcome):
            self.num_unreachable += 1
        elif verdict.counts:
            self.attempt += 1
        elif not isinstance(outcome, Fatal | BadRequest):
            self.num_rate_limited += 1


class Retrying:
    """Decides on second tries.

    Args:
        fleet: the endpoints; one that refuses everybody is closed where others serve its lanes.
        policy: when to try again.
        rng: the source of jitter.
    """

    def __init__(self, fleet: Fleet, policy: RetryPolicy, rng: random.Random) -> None:
        self._fleet = fleet
        self._policy = policy
        self._rng = rng

    def decide(
        self, flight: Flight[T], ticket: Ticket, outcome: Outcome, source: Source[T], now: float
    ) -> Retry | None:
        """Return after how long to try again, or None for an outcome that stands; may make the job smaller."""
        channel = ticket.channel
        match outcome:
            case Fatal(kind="reply_format"):
                return None  # whichever endpoint it was: what a run asks for must not hang on who answers
            case Fatal():
                return _confirm(flight, ticket, outcome, now) or self._turn_away(channel, outcome)
            case BadRequest(kind="context_overflow") if not flight.is_smaller:
                return _shrink(flight, source)
            case BadRequest():
                return self._ask_another(flight, channel, outcome)
            case Transient(kind="fd_limit" | "ports"):
                outcome = Overloaded()  # our own trouble: it is no attempt, and it passes
            case RateLimited() | Overloaded():
                outcome = self._with_shortest_wait(flight.job.lane, channel, outcome, now)
            case _:
                pass
        attempt = flight.attempt
        if is_unreachable(outcome):  # it costs no attempts
            attempt = min(1 + flight.num_unreachable, self._policy.max_attempts - 1)
        decision = self._policy.decide(outcome, attempt, flight.num_rate_limited, self._rng)
        return decision if isinstance(decision, Retry) else None

    def _turn_away(self, channel: Channel, outcome: Fatal) -> Retry | None:
        """Ask a channel no more that refuses everybody, where others serve its lanes."""
        return Retry(0.0, counts=False) if self._fleet.close(channel, outcome.message) else None

    def _ask_another(self, flight: Flight[T], channel: Channel, outcome: BadRequest) -> Retry | None:
        """Show a refused request to another endpoint, once, if this one has not answered any yet."""
        if flight.is_second_opinion or channel.num_ok or not is_refusal(outcome):
            return None
        if not self._fleet.others(flight.job.lane, channel):
            return None
        flight.is_second_opinion = True
        return Retry(0.0, counts=False)

    def _with_shortest_wait(
        self, lane: str, channel: Channel, outcome: RateLimited | Overloaded, now: float
    ) -> RateLimited | Overloaded:
        """Return the outcome with its hint cut to when another endpoint may take the job; without one if that is now.

        Jobs that sit a minute's hint out fill the places of those that wait, and the other endpoints stand idle.
        """
        if outcome.retry_after_s is None:
            return outcome
        others_s = self._fleet.told_to_wait_s(self._fleet.others(lane, channel), now)
        if others_s >= outcome.retry_after_s:
            return outcome
        return replace(outcome, retry_after_s=others_s or None)


def _confirm(flight: Flight[T], ticket: Ticket, outcome: Fatal, now: float) -> Retry | None:
    """Ask once more before a key that worked until now is given up."""
    if outcome.kind != "auth" or flight.is_confirmed or not ticket.channel.may_mistake_key(ticket, now):
        return None
    flight.is_confirmed = True
    return Retry(CONFIRM_S, counts=False)


def _shrink(flight: Flight[T], source: Source[T]) -> Retry | None:
    """Ask with a shorter prompt, once."""
    smaller = source.smaller(flight.job)
    if smaller is None:
        return None
    flight.job, flight.is_smaller = smaller, True
    return Retry(0.0, counts=False)
