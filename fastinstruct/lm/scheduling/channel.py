"""One endpoint and model as the scheduler sees it: whether it may be asked now, and what its answers teach.

Knows nothing of queues, retries or stages. Joins what limits an endpoint: the concurrency controller, the rate budget
and the circuit breaker. Guarantees: a request that is sent is counted once in each of them when it starts and once when
it ends, however it ends.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping
from dataclasses import dataclass

from fastinstruct.escaping import package_logger
from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.limits.breaker import BreakerState, CircuitBreaker, is_failure
from fastinstruct.lm.limits.concurrency import Controller, Fixed
from fastinstruct.lm.limits.rate_budget import Lease, RateBudget
from fastinstruct.lm.limits.retry_policy import MAX_HINT_S
from fastinstruct.lm.limits.token_estimates import TokenEstimator
from fastinstruct.lm.outcomes.outcomes import Aborted, BadRequest, Ok, Outcome, Overloaded, RateLimited, Transient
from fastinstruct.lm.scheduling.statistics import Tally
from fastinstruct.lm.transports.base import Transport
from fastinstruct.lm.transports.codec import schema_size

__all__ = ["CONFIRM_S", "Channel", "ChannelStatistics", "Ticket", "is_unreachable"]

CONFIRM_S = 1.0
"""How long after the first refusal a key that worked until then is asked once more, in seconds."""

_LOG = package_logger("fastinstruct.lm")
_UNREACHABLE = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy"})
_SHARE_OF_PORTS = 0.8  # of what was in flight as the ports ran out
_REST_S = 1.0
_MAX_RESTING = 10_000
_MAX_MODELS = 8
_MAX_NAME = 80  # characters of a model's name, which the server makes up


class Ticket:
    """One request on its way through a channel."""

    __slots__ = ("channel", "has_ended", "kind", "lease", "request", "sent_at")

    def __init__(self, channel: Channel, request: Request, kind: str, lease: Lease | None, sent_at: float) -> None:
        self.channel = channel
        self.request = request
        self.kind = kind
        self.lease = lease
        self.sent_at = sent_at
        self.has_ended = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelStatistics:
    """A snapshot of a channel.

    Attributes:
        endpoint: model, address and route.
        address: the address alone.
        limit: the mean number of slots that its controller aims at; None where nothing limits it.
        num_in_flight: requests that are out.
        why: what the limit is doing, or why nothing is sent.
        is_asked: whether requests are sent at all: breaker and refusals let them, and a rate limit within seconds.
        is_closed: whether it is asked no more in this run; a breaker only pauses.
        outcomes: what it came to -> requests.
        latency_p50_s, latency_p90_s, latency_p99_s: of whole replies; None before the first.
        prompt_tokens, completion_tokens: as the replies report them.
        busy_s: seconds that requests were in flight, summed over the requests.
        oldest_s: how long the oldest of the requests that are out has been; None where none is.
    """

    endpoint: str
    address: str
    limit: float | None
    num_in_flight: int
    why: str
    is_asked: bool
    is_closed: bool
    outcomes: Mapping[str, int]
    latency_p50_s: float | None
    latency_p90_s: float | None
    latency_p99_s: float | None
    prompt_tokens: int
    completion_tokens: int
    busy_s: float
    oldest_s: float | None


class Channel:
    """An endpoint with all that limits it.

    Args:
        transport: sends.
        controller: how many requests may be in flight.
        budget: how many requests and tokens a minute.
        breaker: whether it is asked at all.
        weight: its share where several channels serve: one of weight 2 gets twice as many requests in flight.
    """

    def __init__(
        self,
        transport: Transport,
        *,
        controller: Controller,
        budget: RateBudget | None = None,
        breaker: CircuitBreaker | None = None,
        weight: float = 1.0,
    ) -> None:
        self.transport = transport
        self.controller = controller
        self.budget = budget or RateBudget()
        self.breaker = breaker
        self.weight = weight
        self.num_in_flight = 0
        self.num_started = 0
        self.num_ok = 0
        self.unreachable_since: float | None = None
        self.failing_since: float | None = None
        """Since when it has answered nothing, but for refusals, though it was asked; None while it answers."""
        self.refusing_since: float | None = None
        """Since when it has told to wait, and answered nothing; None while it answers."""
        self.told_until = -math.inf
        """Until when it asked to be left alone; what it answers since may have lifted that."""
        self.closed_because = ""
        """Why it is asked no more, in this run: its key, its quota, its model; empty while it is."""
        self.tally = Tally()
        self._out: dict[Ticket, None] = {}  # in the order they were sent
        self._estimator = TokenEstimator()
        self._models: set[str] = set()
        self._refusals: list[str] = []
        self._key_refused_at: float | None = None
        self._resting: list[float] = []  # a heap of the times until which failed requests count as load
        self._is_out_of_ports = False

    @classmethod
    def unlimited(cls, transport: Transport) -> Channel:
        """A channel whose only limits are those that the server tells."""
        return cls(transport, controller=Fixed(_UNLIMITED))

    def __repr__(self) -> str:
        return f"Channel({self.address!r})"

    @property
    def address(self) -> str:
        """The endpoint's address, fit for messages."""
        return self.transport.endpoint.address

    def load(self, now: float) -> float:
        """How full it is, for a comparison with others.

        A request that failed counts for a second more, or for as long as the server asked to be left alone: otherwise
        an endpoint that fails at once would look idle and attract them all.
        """
        while self._resting and self._resting[0] <= now:
            heapq.heappop(self._resting)
        return (self.num_in_flight + len(self._resting)) / self.weight

    def is_open(self, now: float) -> bool:
        """Whether a request may be sent now."""
        return not self.closed_because and self.wait_s(now) <= 0

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a request may be sent: 0 for at once, infinity while only an answer can tell."""
        wait_s = self.pause_s(now)
        if self.controller.limit(now) <= self.num_in_flight:
            wait_s = max(wait_s, self.controller.wait_s(now))
        return wait_s

    def pause_s(self, now: float) -> float:
        """Return how many seconds budget and breaker let nothing through, whatever slots are free."""
        wait_s = self.budget.wait_s(now)
        return wait_s if self.breaker is None else max(wait_s, self.breaker.wait_s(now))

    def out_since(self, now: float) -> float | None:
        """Return since when it is of no use: it cannot be reached, or fails and is paused for it; None while it is."""
        if self.unreachable_since is not None or self.breaker is None:
            return self.unreachable_since
        return None if self.breaker.state(now) is BreakerState.CLOSED else self.failing_since

    def start(self, request: Request, kind: str, now: float) -> Ticket:
        """Count a request as sent; it must be open. `kind` is what its costs are estimated by."""
        num_tokens = self._estimator.estimate(kind, _num_characters(request), request.sampling.max_tokens)
        lease = self.budget.try_reserve(num_tokens, now)
        self.controller.on_start(now)
        if self.breaker is not None:
            self.breaker.on_start(now)
        self.num_started += 1
        self._change(+1, now)
        ticket = Ticket(self, request, kind, lease if isinstance(lease, Lease) else None, now)
        self._out[ticket] = None
        return ticket

    def end(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        """Count it as ended, once, and learn; `Aborted` for one that was cancelled."""
        if ticket.has_ended:
            return
        ticket.has_ended = True
        del self._out[ticket]
        self._change(-1, now)
        self.controller.on_outcome(outcome, ticket.sent_at, now)
        if self.breaker is not None:
            self.breaker.on_outcome(outcome, ticket.sent_at, now)
        self.tally.count(outcome, now - ticket.sent_at)
        self._settle(ticket, outcome, now)
        if isinstance(outcome, Ok):
            self._succeed()
        elif not isinstance(outcome, Aborted | BadRequest):
            self._rest(outcome, now)
        self._note_use(outcome, now)

    def observe(self, headers: Mapping[str, str], now: float) -> None:
        """Follow what a reply tells of the server's limits."""
        self.budget.observe(headers, now)

    def changed_model(self, outcome: Ok) -> str | None:
        """Return the model's name if another than before answers, once for each name; the server was given another."""
        name = outcome.completion.model[:_MAX_NAME]
        if not name or name in self._models or len(self._models) >= _MAX_MODELS:
            return None
        self._models.add(name)
        return name if len(self._models) > 1 else None

    def num_refusals(self, message: str) -> int:
        """Count a request that was refused with this message; return how many were in a row, alike, and none else."""
        self._refusals = [*(refusal for refusal in self._refusals if refusal == message), message]
        return len(self._refusals) if self.num_ok == 0 else 0

    def forget_refusals(self) -> None:
        """Count what it has refused no more: it was asked whether it would."""
        self._refusals = []

    def may_mistake_key(self, ticket: Ticket, now: float) -> bool:
        """Whether a refused key is worth another question: it worked, and nothing sent since was refused as well."""
        if self.num_ok == 0:
            return False
        if self._key_refused_at is None:
            self._key_refused_at = now
        return ticket.sent_at < self._key_refused_at + CONFIRM_S

    def statistics(self, now: float) -> ChannelStatistics:
        """Return what it does, and why."""
        controller, tally = self.controller.statistics(now), self.tally
        breaker = None if self.breaker is None else self.breaker.statistics(now)
        is_paused = breaker is not None and breaker.state is not BreakerState.CLOSED
        rate_wait_s = self.budget.wait_s(now)
        waits_long = rate_wait_s >= _LONG_WAIT_S and not is_paused and not self.closed_because
        oldest = next(iter(self._out), None)
        return ChannelStatistics(
            endpoint=self.transport.endpoint.describe(),
            address=self.address,
            limit=controller.limit if controller.limit < _UNLIMITED else None,
            num_in_flight=self.num_in_flight,
            why=_rate_wait(rate_wait_s)
            if waits_long
            else self.closed_because or (breaker.reason if breaker and is_paused else controller.reason),
            is_asked=not self.closed_because and not is_paused and not waits_long,
            is_closed=bool(self.closed_because),
            outcomes=dict(tally.outcomes.most_common()),
            latency_p50_s=tally.latencies.percentile(0.5),
            latency_p90_s=tally.latencies.percentile(0.9),
            latency_p99_s=tally.latencies.percentile(0.99),
            prompt_tokens=tally.prompt_tokens,
            completion_tokens=tally.completion_tokens,
            busy_s=tally.busy_s(now),
            oldest_s=None if oldest is None else now - oldest.sent_at,
        )

    def _change(self, difference: int, now: float) -> None:
        self.num_in_flight += difference
        self.tally.in_flight(self.num_in_flight, now)

    def _succeed(self) -> None:
        self.num_ok += 1
        self.told_until = -math.inf
        self._key_refused_at = None

    def _note_use(self, outcome: Outcome, now: float) -> None:
        """Note since when it is of no use, and in what way."""
        if isinstance(outcome, Ok | BadRequest):
            self.unreachable_since = self.failing_since = self.refusing_since = None
            return
        if is_unreachable(outcome):
            self.unreachable_since = now if self.unreachable_since is None else self.unreachable_since
        elif not isinstance(outcome, Aborted):
            self.unreachable_since = None
        if self.failing_since is None and is_failure(outcome):
            self.failing_since = now
        elif self.refusing_since is None and isinstance(outcome, RateLimited | Overloaded):
            self.refusing_since = now

    def _rest(self, outcome: Outcome, now: float) -> None:
        """Heed what a failure says of the time to come."""
        rest_s = _REST_S
        if isinstance(outcome, RateLimited | Overloaded) and outcome.retry_after_s is not None:
            rest_s = max(rest_s, min(outcome.retry_after_s, MAX_HINT_S))
            self.told_until = max(self.told_until, now + outcome.retry_after_s)
            self.budget.drain_until(now + outcome.retry_after_s, now)
        if len(self._resting) < _MAX_RESTING:
            heapq.heappush(self._resting, now + rest_s)
        if isinstance(outcome, Transient) and outcome.kind == "ports":
            self._run_out_of_ports()

    def _run_out_of_ports(self) -> None:
        """Never again as many as there were; those that are left show how many there can be."""
        self.controller.hard_cap(max(1, int(_SHARE_OF_PORTS * (self.num_in_flight + 1))))
        if not self._is_out_of_ports:
            self._is_out_of_ports = True
            _LOG.warning("%s: out of ports; fewer requests at once from here on", self.address)

    def _settle(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        used: int | None = None  # what else failed may have cost something
        if isinstance(outcome, Ok):
            usage = outcome.completion.usage
            kind = (ticket.kind, _num_characters(ticket.request), ticket.request.sampling.max_tokens)
            self._estimator.learn(*kind, usage)
            used = self._estimator.used(*kind, usage)
        elif isinstance(outcome, RateLimited | Overloaded) or is_unreachable(outcome):
            used = 0  # a refusal costs no tokens
        if ticket.lease is not None:
            ticket.lease.settle(used, now)


_UNLIMITED = 1 << 30
_LONG_WAIT_S = 5.0  # for a rate limit: somebody may wonder
_DAY_S = 86_400.0


def _rate_wait(wait_s: float) -> str:
    told = f"{wait_s:,.0f} s" if wait_s <= _DAY_S else "more than a day"
    return f"its rate limit lets nothing through for {told}"


def is_unreachable(outcome: Outcome) -> bool:
    """Whether no connection could be made."""
    return isinstance(outcome, Transient) and outcome.kind in _UNREACHABLE


def _num_characters(request: Request) -> int:
    """Those of the prompt, and of the schema, which servers put into it."""
    prompt, asked = request.prompt, request.reply_format
    num_characters = len(prompt) if isinstance(prompt, str) else sum(len(message.content) for message in prompt)
    return num_characters if asked is None else num_characters + schema_size(asked)
