"""One endpoint and model as the scheduler sees it: whether it may be asked now, and what its answers teach.

Knows nothing of queues, retries or stages. Joins what limits an endpoint: the concurrency controller, the rate budget
and the circuit breaker. Guarantees: a request that is sent is counted once in each of them when it starts and once when
it ends, however it ends.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Mapping
from typing import Protocol

from fastinstruct.lm.breaker import CircuitBreaker
from fastinstruct.lm.concurrency import Controller, ControllerStatistics, Fixed
from fastinstruct.lm.endpoints import Endpoint, Request
from fastinstruct.lm.outcomes import Aborted, Ok, Outcome, Overloaded, RateLimited, Transient
from fastinstruct.lm.rate_budget import Lease, RateBudget
from fastinstruct.lm.token_estimates import TokenEstimator

__all__ = ["Channel", "Ticket", "Transport", "is_unreachable"]

_LOG = logging.getLogger("fastinstruct.lm")
_UNREACHABLE = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy"})
_SHARE_OF_PORTS = 0.8  # of what was in flight as the ports ran out


class Transport(Protocol):
    """What sends: `HttpTransport`, or whatever keeps its contract."""

    endpoint: Endpoint

    def send(self, request: Request, /) -> Awaitable[Outcome]:
        """Return what became of the request; raise nothing but CancelledError."""
        ...


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
        self.unreachable_since: float | None = None
        self.closed_because = ""
        """Why it is asked no more, in this run: its key, its quota, its model; empty while it is."""
        self._estimator = TokenEstimator()
        self._model: str | None = None

    @classmethod
    def unlimited(cls, transport: Transport, num_slots: int = 1 << 30) -> Channel:
        """A channel whose only limit is the number of its slots, and those that the server tells."""
        return cls(transport, controller=Fixed(num_slots))

    def __repr__(self) -> str:
        return f"Channel({self.address!r})"

    @property
    def address(self) -> str:
        """The endpoint's address, fit for messages."""
        return self.transport.endpoint.address

    @property
    def load(self) -> float:
        """How full it is, for a comparison with others."""
        return self.num_in_flight / self.weight

    def is_open(self, now: float) -> bool:
        """Whether a request may be sent now."""
        return not self.closed_because and self.wait_s(now) <= 0

    def wait_s(self, now: float) -> float:
        """Return in how many seconds a request may be sent: 0 for at once, infinity while only an answer can tell."""
        wait_s = self.budget.wait_s(now)
        if self.breaker is not None:
            wait_s = max(wait_s, self.breaker.wait_s(now))
        if self.controller.limit(now) <= self.num_in_flight:
            wait_s = max(wait_s, self.controller.wait_s(now))
        return wait_s

    def start(self, request: Request, kind: str, now: float) -> Ticket:
        """Count a request as sent; it must be open. `kind` is what its costs are estimated by."""
        num_characters = _num_characters(request)
        num_tokens = self._estimator.estimate(kind, num_characters, request.sampling.max_tokens)
        lease = self.budget.try_reserve(num_tokens, now)
        self.controller.on_start(now)
        if self.breaker is not None:
            self.breaker.on_start(now)
        self.num_in_flight += 1
        return Ticket(self, request, kind, lease if isinstance(lease, Lease) else None, now)

    def end(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        """Count it as ended, once, and learn; `Aborted` for one that was cancelled."""
        if ticket.has_ended:
            return
        ticket.has_ended = True
        self.num_in_flight -= 1
        self.controller.on_outcome(outcome, ticket.sent_at, now)
        if self.breaker is not None:
            self.breaker.on_outcome(outcome, ticket.sent_at, now)
        self._settle(ticket, outcome, now)
        if isinstance(outcome, RateLimited | Overloaded) and outcome.retry_after_s is not None:
            self.budget.drain_until(now + outcome.retry_after_s, now)
        if isinstance(outcome, Transient) and outcome.kind in {"fd_limit", "ports"}:
            self._cap(outcome)
        if not is_unreachable(outcome):
            if not isinstance(outcome, Aborted):
                self.unreachable_since = None
        elif self.unreachable_since is None:
            self.unreachable_since = now

    def observe(self, headers: Mapping[str, str], now: float) -> None:
        """Follow what a reply tells of the server's limits."""
        self.budget.observe(headers, now)

    def changed_model(self, outcome: Outcome) -> str | None:
        """Return the model's name if it is not the one that answered before; the server was given another."""
        if not isinstance(outcome, Ok) or not outcome.completion.model:
            return None
        before, self._model = self._model, outcome.completion.model
        return self._model if before is not None and before != self._model else None

    def statistics(self, now: float) -> ControllerStatistics:
        """Return what its controller does, and why."""
        return self.controller.statistics(now)

    def _settle(self, ticket: Ticket, outcome: Outcome, now: float) -> None:
        usage = outcome.completion.usage if isinstance(outcome, Ok) else None
        if usage is not None:
            num_characters = _num_characters(ticket.request)
            self._estimator.learn(ticket.kind, num_characters, ticket.request.sampling.max_tokens, usage)
        if ticket.lease is not None:
            used = usage.prompt_tokens + usage.completion_tokens if usage is not None else 0
            # A refusal costs no tokens; what else failed may have.
            refused = isinstance(outcome, RateLimited | Overloaded) or is_unreachable(outcome)
            ticket.lease.settle(used or (0 if refused else None), now)

    def _cap(self, outcome: Transient) -> None:
        """Never again as many as there were when descriptors or ports ran out."""
        num_slots = max(1, int(_SHARE_OF_PORTS * (self.num_in_flight + 1)))
        self.controller.hard_cap(num_slots)
        what = "file descriptors" if outcome.kind == "fd_limit" else "ports"
        _LOG.warning("%s: out of %s; at most %d requests at once from here on", self.address, what, num_slots)


def is_unreachable(outcome: Outcome) -> bool:
    """Whether no connection could be made."""
    return isinstance(outcome, Transient) and outcome.kind in _UNREACHABLE


def _num_characters(request: Request) -> int:
    prompt = request.prompt
    return len(prompt) if isinstance(prompt, str) else sum(len(message.content) for message in prompt)
