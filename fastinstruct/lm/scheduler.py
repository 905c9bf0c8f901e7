"""Keep the slots full: draw work only when a slot is free, and try again what failed. The program's only retry loop.

Knows nothing of stages or stores. A job holds its slot from the moment it is sent until `deliver` returns, so "in
flight" means not yet acknowledged; a job that waits for its next attempt holds none. Guarantees: never more than
`max_in_flight` jobs at once, fewer than twice as many with those that wait, with one slot nothing overtakes a job that
waits, nothing is sent that its channel does not allow, every job drawn is delivered once or left for a later run, and
counters move in one place.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

from fastinstruct.errors import FastInstructError, ProtocolMismatch
from fastinstruct.lm.channel import Channel, Ticket, is_unreachable
from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.fleet import Fleet
from fastinstruct.lm.jobs import Delivery, FailedAttempt, Job, ListSource, Source, detail_of
from fastinstruct.lm.outcomes import Aborted, BadRequest, Fatal, Ok, Outcome, fatal_error, unreachable_error
from fastinstruct.lm.retry import Retry, RetryPolicy

__all__ = [
    "Delivery",
    "FailedAttempt",
    "Job",
    "Scheduler",
    "SchedulerStatistics",
    "Source",
    "complete_all",
    "detail_of",
]

_LOG = logging.getLogger("fastinstruct.lm")
_MAX_REFUSALS = 5  # so many identical refusals and not one success: the next thousand would fare no better
_CONFIRM_DELAY_S = 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerStatistics:
    """A snapshot of the counters."""

    num_in_flight: int
    num_waiting: int
    num_attempts: int
    num_failed_attempts: int
    num_dropped: int = 0
    """Requests that were sent and then cancelled: by `abort`, or because the drain took too long."""


@dataclass(slots=True, kw_only=True, eq=False)
class _Flight(Generic[T]):
    """A drawn job on its way to delivery."""

    job: Job[T]
    attempt: int = 1
    num_rate_limited: int = 0
    num_unreachable: int = 0
    is_confirmed: bool = False
    is_smaller: bool = False
    failed_on: Channel | None = None
    failed: list[FailedAttempt] = field(default_factory=list)


class Scheduler(Generic[T]):
    """Runs jobs of a source over a bounded number of slots.

    Args:
        fleet: the endpoints, by lane; sends, raising nothing but CancelledError.
        max_in_flight: the number of slots, over all endpoints.
        policy: when to try again.
        rng: the source of jitter.
        max_outage_s: how long no connection at all may be made before the run fails.
        drain_timeout_s: how long `stop` waits for what is in flight.
        strict_model: whether a reply by another model than the one before ends the run.
    """

    def __init__(
        self,
        fleet: Fleet,
        *,
        max_in_flight: int,
        policy: RetryPolicy,
        rng: random.Random,
        max_outage_s: float = 120.0,
        drain_timeout_s: float = 30.0,
        strict_model: bool = False,
    ) -> None:
        self.max_in_flight = max_in_flight
        self.fleet = fleet
        fleet.changed = self.wake
        self._policy = policy
        self._rng = rng
        self._max_outage_s = max_outage_s
        self._drain_timeout_s = drain_timeout_s
        self._strict_model = strict_model
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[_Flight[T], asyncio.TimerHandle] = {}
        self._ready: deque[_Flight[T]] = deque()
        self._changed = asyncio.Event()
        self._opening: asyncio.TimerHandle | None = None
        self._met_closed_lane = False
        self._is_stopping = False
        self._deadline: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._num_attempts = 0
        self._num_failed_attempts = 0
        self._num_dropped = 0
        self._num_ok = 0
        self._is_out = False
        self._refusals: list[str] = []

    async def run(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> None:
        """Work until the source is empty and everything is delivered, or until `stop`.

        Raises:
            EndpointError: the server cannot be used: wrong key, unknown model, no connection, no credit.
            Exception: what `deliver`, `source` or `send` raised first; what is in flight is finished before.
        """
        try:
            while True:
                self._dispatch(source, deliver)
                if not self._tasks and (self._is_stopping or not (self._waiting or self._opening)):
                    break
                await self._changed.wait()
                self._changed.clear()
        finally:
            await self._cancel_everything()
        if self._failure is not None:
            raise self._failure

    def wake(self) -> None:
        """Tell that the source may have work again."""
        self._changed.set()

    def stop(self) -> None:
        """Draw no more jobs; finish those in flight, for `drain_timeout_s` at most."""
        if not self._is_stopping:
            self._deadline = asyncio.get_running_loop().call_later(self._drain_timeout_s, self.abort)
            self._is_stopping = True
            for timer in self._waiting.values():
                timer.cancel()
            self._waiting.clear()
            self._ready.clear()
        self._changed.set()

    def abort(self) -> None:
        """Drop what is in flight: its sockets are closed, and it is not delivered."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    def statistics(self) -> SchedulerStatistics:
        """Return the counters as they are now."""
        return SchedulerStatistics(
            num_in_flight=len(self._tasks),
            num_waiting=len(self._waiting) + len(self._ready),
            num_attempts=self._num_attempts,
            num_failed_attempts=self._num_failed_attempts,
            num_dropped=self._num_dropped,
        )

    def _dispatch(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> None:
        now = asyncio.get_running_loop().time()
        self._met_closed_lane = False
        while not self._is_stopping and len(self._tasks) < self.max_in_flight:
            flight = self._draw(source, now)
            if flight is None:
                break
            channel = self.fleet.choose(flight.job.lane, now, not_again=flight.failed_on)
            assert channel is not None  # its lane is open
            ticket = channel.start(flight.job.request, flight.job.lane, now)
            task = asyncio.create_task(self._fly(flight, ticket, source, deliver))
            self._tasks.add(task)
            task.add_done_callback(partial(self._landed, ticket))
        self._await_opening(now)

    def _draw(self, source: Source[T], now: float) -> _Flight[T] | None:
        """Return what to send next, a job that waited before a fresh one; its lane is open then."""

        def is_open(lane: str) -> bool:
            opened = self.fleet.is_open(lane, now)
            self._met_closed_lane = self._met_closed_lane or not opened
            return opened

        for place, flight in enumerate(self._ready):
            if is_open(flight.job.lane) and source.may_send(flight.job):
                del self._ready[place]
                return flight
        if len(self._waiting) + len(self._ready) >= self.max_in_flight:
            return None  # a server that sends everything back must not collect jobs without end
        try:
            job = source.next(is_open)
        except Exception as error:  # noqa: BLE001 - `run` raises it once what was paid for is delivered
            self._fail(error)
            return None
        return None if job is None else _Flight(job=job)

    def _await_opening(self, now: float) -> None:
        """Come back when a channel opens by itself, if something waits for one."""
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None
        wait_s = self.fleet.wait_s(now) if self._met_closed_lane and not self._is_stopping else math.inf
        if wait_s < math.inf:
            self._opening = asyncio.get_running_loop().call_later(wait_s, self._changed.set)

    async def _fly(
        self,
        flight: _Flight[T],
        ticket: Ticket,
        source: Source[T],
        deliver: Callable[[Delivery[T]], Awaitable[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        self._num_attempts += 1
        outcome: Outcome = Aborted()
        try:
            outcome = await ticket.channel.transport.send(flight.job.request)
        finally:
            ticket.channel.end(ticket, outcome, loop.time())
            source.attempted(flight.job, outcome)
        latency_s = loop.time() - ticket.sent_at
        self._watch(ticket.channel, outcome)
        verdict = self._verdict(flight, ticket.channel, outcome, source)
        if verdict is not None:
            self._try_again(flight, ticket.channel, outcome, verdict, latency_s)
        elif isinstance(outcome, Fatal):
            self._fail(fatal_error(outcome))
        else:
            await deliver(Delivery(job=flight.job, outcome=outcome, failed=tuple(flight.failed), latency_s=latency_s))

    def _landed(self, ticket: Ticket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        ticket.channel.end(ticket, Aborted(), asyncio.get_running_loop().time())  # if it was cancelled before it began
        if task.cancelled():
            self._num_dropped += 1
            if not self._is_stopping:  # its job would be missing without anybody's knowing
                self._fail(FastInstructError("a request was cancelled from outside its run"))
        elif (error := task.exception()) is not None:
            self._fail(error)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """Stop for good with the first failure."""
        if self._failure is None:
            self._failure = error
        self.stop()

    def _verdict(self, flight: _Flight[T], channel: Channel, outcome: Outcome, source: Source[T]) -> Retry | None:
        """Decide whether to try again; an unreachable server costs no attempts, the outage limit ends that."""
        if isinstance(outcome, Fatal):
            return self._confirm(flight, outcome) or self._turn_away(channel, outcome)
        if isinstance(outcome, BadRequest) and outcome.kind == "context_overflow" and not flight.is_smaller:
            return self._shrink(flight, source)
        attempt = flight.attempt
        if is_unreachable(outcome):
            attempt = min(1 + flight.num_unreachable, self._policy.max_attempts - 1)
        decision = self._policy.decide(outcome, attempt, flight.num_rate_limited, self._rng)
        return decision if isinstance(decision, Retry) else None

    def _confirm(self, flight: _Flight[T], outcome: Fatal) -> Retry | None:
        """Ask once more before a key that worked until now ends the run."""
        if outcome.kind != "auth" or self._num_ok == 0 or flight.is_confirmed:
            return None
        flight.is_confirmed = True
        return Retry(_CONFIRM_DELAY_S, counts=False)

    def _turn_away(self, channel: Channel, outcome: Fatal) -> Retry | None:
        """Ask a channel no more that refuses everybody, where others serve its lanes."""
        if not channel.closed_because:
            if self.fleet.is_last(channel):
                return None
            channel.closed_because = outcome.message
            _LOG.warning("%s; it is asked no more in this run", outcome.message)
        return Retry(0.0, counts=False)

    def _shrink(self, flight: _Flight[T], source: Source[T]) -> Retry | None:
        """Ask with a shorter prompt, once."""
        smaller = source.smaller(flight.job)
        if smaller is None:
            return None
        flight.job, flight.is_smaller = smaller, True
        return Retry(0.0, counts=False)

    def _try_again(
        self, flight: _Flight[T], channel: Channel, outcome: Outcome, verdict: Retry, latency_s: float
    ) -> None:
        attempt = len(flight.failed) + 1
        detail = detail_of(outcome)
        flight.failed.append(FailedAttempt(attempt=attempt, outcome=outcome.name, detail=detail, latency_s=latency_s))
        flight.failed_on = channel
        self._num_failed_attempts += 1
        if is_unreachable(outcome):
            flight.num_unreachable += 1
        elif verdict.counts:
            flight.attempt += 1
        elif not isinstance(outcome, Fatal | BadRequest):
            flight.num_rate_limited += 1
        if not self._is_stopping:
            loop = asyncio.get_running_loop()
            self._waiting[flight] = loop.call_later(verdict.delay_s, self._waited, flight)

    def _waited(self, flight: _Flight[T]) -> None:
        del self._waiting[flight]
        self._ready.append(flight)
        self._changed.set()

    def _watch(self, channel: Channel, outcome: Outcome) -> None:
        """Notice what concerns the whole run: an outage that lasts, refusals without one success, another model."""
        if isinstance(outcome, Ok):
            self._num_ok += 1
            self._watch_model(channel, outcome)
        self._watch_outage(outcome)
        if isinstance(outcome, BadRequest) and outcome.kind in {"other", "unsupported_parameter"} and self._num_ok == 0:
            self._refusals = [*(r for r in self._refusals if r == outcome.message), outcome.message]
            if len(self._refusals) >= _MAX_REFUSALS:
                self._fail(ProtocolMismatch(f"{channel.address}: refuses every request: {outcome.message}"))

    def _watch_outage(self, outcome: Outcome) -> None:
        outage = self.fleet.outage_s(asyncio.get_running_loop().time())
        was_out, self._is_out = self._is_out, outage is not None
        if outage is None or not is_unreachable(outcome):
            return
        outage_s, channel = outage
        if not was_out:
            _LOG.warning("%s: no connection (%s); trying again", channel.address, detail_of(outcome))
        elif outage_s > self._max_outage_s:
            self._fail(unreachable_error(outcome, channel.address))

    def _watch_model(self, channel: Channel, outcome: Ok) -> None:
        name = channel.changed_model(outcome)
        if name is None:
            return
        told = f"{channel.address}: answers as model {name!r} now; the server was given another model"
        if self._strict_model:
            self._fail(ProtocolMismatch(f"{told}; restore it, or set runtime.strict_model to false"))
        else:
            _LOG.warning("%s", told)

    async def _cancel_everything(self) -> None:
        self.abort()
        assert self._deadline is not None  # set by the first `stop`, and only there
        self._deadline.cancel()
        if self._opening is not None:
            self._opening.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def complete_all(
    scheduler: Scheduler[int],
    requests: Sequence[Request],
    lane: str = "",
    gate: Callable[[Source[int]], Source[int]] | None = None,
) -> list[Outcome]:
    """Send these requests, through a gate if there is one, and return their outcomes in the same order.

    Raises:
        FastInstructError: what `Scheduler.run` raises, or the scheduler was stopped before all were answered.
    """
    outcomes: dict[int, Outcome] = {}

    async def keep(delivery: Delivery[int]) -> None:
        outcomes[delivery.job.about] = delivery.outcome

    jobs = [Job(request=request, about=number, lane=lane) for number, request in enumerate(requests)]
    source: Source[int] = ListSource(jobs)
    await scheduler.run(source if gate is None else gate(source), keep)
    if len(outcomes) < len(requests):
        raise FastInstructError("stopped before every request was answered")
    return [outcomes[number] for number in range(len(requests))]
