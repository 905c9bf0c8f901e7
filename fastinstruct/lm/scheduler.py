"""Keep the slots full: draw work only when a slot is free, and try again what failed. The program's only retry loop.

Knows nothing of stages or stores. A job holds its slot from the moment it is sent until `deliver` returns, so "in
flight" means not yet acknowledged; a job that waits for its next attempt holds none. Guarantees: never more than
`max_in_flight` jobs at once, fewer than twice as many with those that wait, with one slot nothing overtakes a job that
waits, every job drawn is delivered once or left for a later run, and counters move in one place.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from fastinstruct.errors import FastInstructError, ProtocolMismatch
from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.outcomes import (
    BadRequest,
    Fatal,
    Ok,
    Outcome,
    Transient,
    Truncated,
    fatal_error,
    unreachable_error,
)
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
_UNREACHABLE = frozenset({"connect", "connect_timeout", "dns", "tls", "proxy"})
_MAX_REFUSALS = 5  # so many identical refusals and not one success: the next thousand would fare no better
_CONFIRM_DELAY_S = 1.0

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Generic[T_co]):
    """A request, and what its owner wants to know it by."""

    request: Request
    about: T_co


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """One attempt that was followed by another."""

    attempt: int
    outcome: str
    detail: str
    latency_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery(Generic[T]):
    """A job's final outcome, with the attempts that failed before it; `latency_s` is the last attempt's."""

    job: Job[T]
    outcome: Outcome
    failed: tuple[FailedAttempt, ...]
    latency_s: float


class Source(Protocol[T_co]):
    """Where jobs come from."""

    def next(self) -> Job[T_co] | None:
        """Return the most urgent job, or None while there is none; deliveries may bring more."""
        ...


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
    failed: list[FailedAttempt] = field(default_factory=list)


class Scheduler(Generic[T]):
    """Runs jobs of a source over a bounded number of slots.

    Args:
        send: turns a request into an outcome; raises nothing but CancelledError.
        max_in_flight: the number of slots.
        policy: when to try again.
        rng: the source of jitter.
        where: the endpoint's address, for messages.
        max_outage_s: how long no connection at all may be made before the run fails.
        drain_timeout_s: how long `stop` waits for what is in flight.
    """

    def __init__(
        self,
        send: Callable[[Request], Awaitable[Outcome]],
        *,
        max_in_flight: int,
        policy: RetryPolicy,
        rng: random.Random,
        where: str,
        max_outage_s: float = 120.0,
        drain_timeout_s: float = 30.0,
    ) -> None:
        self.max_in_flight = max_in_flight
        self._send = send
        self._policy = policy
        self._rng = rng
        self._where = where
        self._max_outage_s = max_outage_s
        self._drain_timeout_s = drain_timeout_s
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[_Flight[T], asyncio.TimerHandle] = {}
        self._ready: deque[_Flight[T]] = deque()
        self._changed = asyncio.Event()
        self._is_stopping = False
        self._deadline: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._num_attempts = 0
        self._num_failed_attempts = 0
        self._num_dropped = 0
        self._num_ok = 0
        self._outage_since: float | None = None
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
                if not self._tasks and (self._is_stopping or not (self._waiting or self._ready)):
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
        while not self._is_stopping and len(self._tasks) < self.max_in_flight:
            flight = self._draw(source)
            if flight is None:
                return
            task = asyncio.create_task(self._fly(flight, deliver))
            self._tasks.add(task)
            task.add_done_callback(self._landed)

    def _draw(self, source: Source[T]) -> _Flight[T] | None:
        if self._ready:
            return self._ready.popleft()
        if len(self._waiting) >= self.max_in_flight:
            return None  # a server that sends everything back must not collect jobs without end
        try:
            job = source.next()
        except Exception as error:  # noqa: BLE001 - `run` raises it once what was paid for is delivered
            self._fail(error)
            return None
        return None if job is None else _Flight(job=job)

    async def _fly(self, flight: _Flight[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> None:
        started = asyncio.get_running_loop().time()
        self._num_attempts += 1
        outcome = await self._send(flight.job.request)
        latency_s = asyncio.get_running_loop().time() - started
        self._watch(outcome)
        verdict = self._verdict(flight, outcome)
        if isinstance(verdict, Retry):
            self._try_again(flight, outcome, verdict, latency_s)
        elif isinstance(outcome, Fatal):
            self._fail(fatal_error(outcome))
        else:
            await deliver(Delivery(job=flight.job, outcome=outcome, failed=tuple(flight.failed), latency_s=latency_s))

    def _landed(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
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

    def _verdict(self, flight: _Flight[T], outcome: Outcome) -> Retry | None:
        """Decide whether to try again; an unreachable server costs no attempts, the outage limit ends that."""
        if isinstance(outcome, Fatal):
            return self._confirm(flight, outcome)
        attempt = flight.attempt
        if _is_unreachable(outcome):
            attempt = min(1 + flight.num_unreachable, self._policy.max_attempts - 1)
        decision = self._policy.decide(outcome, attempt, flight.num_rate_limited, self._rng)
        return decision if isinstance(decision, Retry) else None

    def _confirm(self, flight: _Flight[T], outcome: Fatal) -> Retry | None:
        """Ask once more before a key that worked until now ends the run."""
        if outcome.kind != "auth" or self._num_ok == 0 or flight.is_confirmed:
            return None
        flight.is_confirmed = True
        return Retry(_CONFIRM_DELAY_S, counts=False)

    def _try_again(self, flight: _Flight[T], outcome: Outcome, verdict: Retry, latency_s: float) -> None:
        detail = detail_of(outcome)
        attempt = len(flight.failed) + 1
        flight.failed.append(FailedAttempt(attempt=attempt, outcome=outcome.name, detail=detail, latency_s=latency_s))
        self._num_failed_attempts += 1
        if _is_unreachable(outcome):
            flight.num_unreachable += 1
        elif verdict.counts:
            flight.attempt += 1
        elif not isinstance(outcome, Fatal):
            flight.num_rate_limited += 1
        if not self._is_stopping:
            loop = asyncio.get_running_loop()
            self._waiting[flight] = loop.call_later(verdict.delay_s, self._waited, flight)

    def _waited(self, flight: _Flight[T]) -> None:
        del self._waiting[flight]
        self._ready.append(flight)
        self._changed.set()

    def _watch(self, outcome: Outcome) -> None:
        """Notice what concerns the whole run: an outage that lasts, or refusals without one success."""
        if isinstance(outcome, Ok):
            self._num_ok += 1
        if not _is_unreachable(outcome):
            self._outage_since = None
        else:
            self._watch_outage(outcome)
        if isinstance(outcome, BadRequest) and outcome.kind in {"other", "unsupported_parameter"} and self._num_ok == 0:
            self._refusals = [*(r for r in self._refusals if r == outcome.message), outcome.message]
            if len(self._refusals) >= _MAX_REFUSALS:
                self._fail(ProtocolMismatch(f"{self._where}: refuses every request: {outcome.message}"))

    def _watch_outage(self, outcome: Outcome) -> None:
        now = asyncio.get_running_loop().time()
        if self._outage_since is None:
            self._outage_since = now
            _LOG.warning("%s: no connection (%s); trying again", self._where, detail_of(outcome))
        elif now - self._outage_since > self._max_outage_s:
            self._fail(unreachable_error(outcome, self._where))

    async def _cancel_everything(self) -> None:
        self.abort()
        assert self._deadline is not None  # set by the first `stop`, and only there
        self._deadline.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


class _ListSource(Generic[T]):
    """A source that holds its jobs from the start."""

    def __init__(self, jobs: Sequence[Job[T]]) -> None:
        self._jobs = deque(jobs)

    def next(self) -> Job[T] | None:
        return self._jobs.popleft() if self._jobs else None


async def complete_all(scheduler: Scheduler[int], requests: Sequence[Request]) -> list[Outcome]:
    """Send these requests and return their outcomes in the same order.

    Raises:
        FastInstructError: what `Scheduler.run` raises, or the scheduler was stopped before all were answered.
    """
    outcomes: dict[int, Outcome] = {}

    async def keep(delivery: Delivery[int]) -> None:
        outcomes[delivery.job.about] = delivery.outcome

    jobs = [Job(request=request, about=number) for number, request in enumerate(requests)]
    await scheduler.run(_ListSource(jobs), keep)
    if len(outcomes) < len(requests):
        raise FastInstructError("stopped before every request was answered")
    return [outcomes[number] for number in range(len(requests))]


def _is_unreachable(outcome: Outcome) -> bool:
    return isinstance(outcome, Transient) and outcome.kind in _UNREACHABLE


def detail_of(outcome: Outcome) -> str:
    """Return what the server said of a failure, in one line without prompts or keys."""
    match outcome:
        case Transient(kind=kind, detail=detail):
            return f"{kind}: {detail}"
        case Truncated(detail=detail):
            return detail
        case BadRequest(message=message) | Fatal(message=message):
            return message
        case _:
            return outcome.name
