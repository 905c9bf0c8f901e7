"""What concerns the whole run in single outcomes: a lasting outage, only refusals or empty replies, another model.

Knows nothing of jobs, slots or retries. Guarantees: what is said is said once, or now and then while it goes on.
"""

from __future__ import annotations

import math

from fastinstruct.errors import EndpointError, EndpointUnreachable, ProtocolMismatch
from fastinstruct.escaping import package_logger
from fastinstruct.lm.limits.breaker import is_failure
from fastinstruct.lm.outcomes.outcomes import BadRequest, Ok, Outcome, Overloaded, RateLimited, unreachable_error
from fastinstruct.lm.scheduling.channel import Channel, is_unreachable
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import detail_of

__all__ = ["Alarms", "is_refusal"]

_LOG = package_logger("fastinstruct.lm")
_MAX_REFUSALS = 5  # so many identical refusals and not one success: the next thousand would fare no better
_TELL_EVERY_S = 30.0


class Alarms:
    """Notices, from one outcome after another, what should end the run.

    Args:
        fleet: the endpoints; one that refuses every request is closed where others serve its lanes.
        max_outage_s: how long no endpoint of a lane may be reached, or be paused for failing without one answer.
        strict_model: whether a reply by another model than the one before is a reason.
    """

    def __init__(self, fleet: Fleet, *, max_outage_s: float, strict_model: bool) -> None:
        self._fleet = fleet
        self._max_outage_s = max_outage_s
        self._strict_model = strict_model
        self._told_at: dict[Channel, float] = {}
        self._num_empty: dict[tuple[Channel, str], int] = {}
        self._answered: set[tuple[Channel, str]] = set()
        self._out: set[Channel] = set()

    def notice(self, channel: Channel, lane: str, outcome: Outcome, now: float) -> EndpointError | None:
        """Take in what a lane's request came to, once its channel has; return why the run should end, if it should."""
        if is_unreachable(outcome) or (is_failure(outcome) and channel.out_since(now) is not None):
            return self._notice_outage(channel, outcome, now)
        if channel.out_since(now) is None:
            self._out.discard(channel)
        if isinstance(outcome, RateLimited | Overloaded):
            self._notice_waiting(channel, outcome, now)
        if isinstance(outcome, Ok):
            self._answered.add((channel, lane))
            return self._notice_model(channel, outcome)
        if isinstance(outcome, BadRequest) and outcome.kind == "empty_reply":
            return self._notice_empty(channel, lane, outcome)
        return self._notice_refusal(channel, outcome) if is_refusal(outcome) else None

    def _notice_outage(self, channel: Channel, outcome: Outcome, now: float) -> EndpointError | None:
        if channel not in self._out:
            self._out.add(channel)
            if now - self._told_at.get(channel, -math.inf) >= _TELL_EVERY_S:
                self._told_at[channel] = now
                what = "no connection" if is_unreachable(outcome) else "fails"
                _LOG.warning("%s: %s (%s); trying again", channel.address, what, detail_of(outcome))
        outage_s = self._fleet.outage_s(channel, now)
        if outage_s <= self._max_outage_s:
            return None
        return EndpointUnreachable(
            f"{unreachable_error(outcome, channel.address)}; it has been so for {outage_s:.0f} s "
            f"(runtime.max_outage_s: {self._max_outage_s:.10g}). What was answered is stored: the same command goes on"
        )

    def _notice_waiting(self, channel: Channel, outcome: RateLimited | Overloaded, now: float) -> None:
        since = channel.refusing_since
        if since is None or now - max(since, self._told_at.get(channel, -math.inf)) < _TELL_EVERY_S:
            return
        self._told_at[channel] = now
        told = "%s: has refused every request for %.0f s (%s); waiting as it asks"
        _LOG.warning(told, channel.address, now - since, detail_of(outcome))

    def _notice_model(self, channel: Channel, outcome: Ok) -> EndpointError | None:
        name = channel.changed_model(outcome)
        if name is None:
            return None
        told = f"{channel.address}: answers as model {name!r} now; the server was given another model"
        if self._strict_model:
            return ProtocolMismatch(f"{told}; restore it, or set runtime.strict_model to false")
        _LOG.warning("%s", told)
        return None

    def _notice_empty(self, channel: Channel, lane: str, outcome: BadRequest) -> EndpointError | None:
        """Each lane has room of its own for replies: what is too little for one may do for another."""
        if (channel, lane) in self._answered:
            return None
        self._num_empty[channel, lane] = self._num_empty.get((channel, lane), 0) + 1
        if self._num_empty[channel, lane] < _MAX_REFUSALS:
            return None
        told = f"{channel.address}: {lane or 'every request'}: {outcome.message}"
        return None if self._fleet.close(channel, told) else ProtocolMismatch(told)

    def _notice_refusal(self, channel: Channel, outcome: Outcome) -> EndpointError | None:
        message = detail_of(outcome)
        if channel.num_refusals(message) < _MAX_REFUSALS:
            return None
        told = f"{channel.address}: refuses every request: {message}"
        return None if self._fleet.close(channel, told) else ProtocolMismatch(told)


def is_refusal(outcome: Outcome) -> bool:
    """Whether the server refuses the request for its form, so that it may refuse every one, or says nothing to it."""
    return isinstance(outcome, BadRequest) and outcome.kind in {"other", "unsupported_parameter", "empty_reply"}
