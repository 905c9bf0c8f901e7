"""Keep the slots full: draw work only when a slot is free, and try again what failed. The program's only retry loop.

Knows nothing of stages or stores. A job holds its slot from the moment it is sent until `deliver` returns, so "in
flight" means not yet acknowledged; a job that waits for its next attempt holds none. Guarantees: never more than
`max_in_flight` jobs at once, no more than so many that wait for the same endpoints, with one slot nothing overtakes a
job that waits, nothing is sent that its channel does not allow, every job drawn is delivered once or left for a later
run, what becomes of an attempt is told once, and counters move in one place.
"""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Generic, TypeVar

from fastinstruct.errors import FastInstructError
from fastinstruct.escaping import package_logger
from fastinstruct.lm.endpoints import Request
from fastinstruct.lm.limits.retry_policy import RetryPolicy
from fastinstruct.lm.outcomes.outcomes import Aborted, Fatal, Outcome, Transient, fatal_error
from fastinstruct.lm.process import seldom_collected
from fastinstruct.lm.scheduling.alarms import Alarms
from fastinstruct.lm.scheduling.channel import Channel, Ticket
from fastinstruct.lm.scheduling.fleet import Fleet
from fastinstruct.lm.scheduling.job import Allowance, Delivery, FailedAttempt, Job, ListSource, Source, detail_of
from fastinstruct.lm.scheduling.retry import Flight, Retrying
from fastinstruct.lm.scheduling.statistics import SchedulerStatistics

__all__ = [
    "Delivery",
    "FailedAttempt",
    "Job",
    "Scheduler",
    "Source",
    "complete_all",
    "detail_of",
]

_LOG = package_logger("fastinstruct.lm")
_MOST_AT_A_TIME = 32  # some milliseconds of the loop's time: writing them out and opening their connections
_SHARE_OF_DESCRIPTORS = 0.8  # of what was in flight as they ran out

T = TypeVar("T")


class Scheduler(Generic[T]):
    """Runs jobs of a source over a bounded number of slots.

    Args:
        fleet: the endpoints, by lane; sends, raising nothing but CancelledError.
        max_in_flight: the number of slots, over all endpoints.
        policy: when to try again.
        rng: the source of jitter.
        max_outage_s: how long no endpoint of a lane may be reached before the run fails.
        drain_timeout_s: how long `stop` waits for what is in flight.
        strict_model: whether a reply by another model than the one before ends the run.
        allowance: what may be spent; by default anything.
        most_of_each: how many jobs of each lane are begun at all; None sets no limit.
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
        allowance: Allowance | None = None,
        most_of_each: int | None = None,
    ) -> None:
        self.max_in_flight = max_in_flight
        self.is_paused = False
        self.fleet = fleet
        fleet.changed = self.wake
        self._retrying = Retrying(fleet, policy, rng)
        self._alarms = Alarms(fleet, max_outage_s=max_outage_s, strict_model=strict_model)
        self._drain_timeout_s = drain_timeout_s
        self._allowance = allowance or Allowance()
        self._most_of_each = most_of_each
        self._num_begun: Counter[str] = Counter()  # by lane, where there is such a limit
        self._refused: dict[str, Job[T]] = {}  # by lane, what did not fit when jobs were last drawn
        self._refused_again: dict[str, Job[T]] = {}  # by key, further attempts that did not fit
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting: dict[Flight[T], asyncio.TimerHandle] = {}
        self._ready: deque[Flight[T]] = deque()
        self._num_held: Counter[str] = Counter()  # by group of lanes, those that wait and those that are ready
        self._changed = asyncio.Event()
        self._opening: asyncio.TimerHandle | None = None
        self._met_closed_lane = False
        self._is_stopping = False
        self._deadline: asyncio.TimerHandle | None = None
        self._failure: BaseException | None = None
        self._num_attempts = 0
        self._num_failed_attempts = 0
        self._num_dropped = 0
        self._is_out_of_descriptors = False

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: no slot is filled again."""
        return self._is_stopping

    @property
    def refused(self) -> Job[T] | None:
        """The most urgent job that the allowance keeps back; None where it keeps back nothing."""
        return next(iter([*self._refused.values(), *self._refused_again.values()]), None)

    async def run(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> None:
        """Work until the source is empty and everything is delivered, or until `stop`.

        Raises:
            EndpointError: the server cannot be used: wrong key, unknown model, no connection, no credit.
            Exception: what `deliver`, `source` or `send` raised first; what is in flight is finished before.
        """
        for channel in self.fleet.channels:
            channel.transport.may_resend = self._allowance.resend
        with seldom_collected():
            try:
                await self._run(source, deliver)
            finally:
                await self._cancel_everything()
        if self._failure is not None:
            raise self._failure

    def wake(self) -> None:
        """Tell that the source may have work again."""
        self._changed.set()

    def pause(self, *, is_paused: bool) -> None:
        """Send nothing until told otherwise, while what is in flight finishes; a paused run does not end by itself."""
        if is_paused != self.is_paused:
            self.is_paused = is_paused
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
            self._num_held.clear()
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

    async def _run(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> None:
        while True:
            if self._dispatch(source, deliver):
                await asyncio.sleep(0)  # thousands of slots are filled by and by; the first get on meanwhile
                continue
            more_may_come = self._waiting or self._opening or self.is_paused
            if not self._tasks and (self._is_stopping or not more_may_come):
                break
            await self._changed.wait()
            self._changed.clear()

    def _dispatch(self, source: Source[T], deliver: Callable[[Delivery[T]], Awaitable[None]]) -> bool:
        """Fill the slots; return whether it left off because so many were sent at a time."""
        now = asyncio.get_running_loop().time()
        self._met_closed_lane = False
        num_left = _MOST_AT_A_TIME
        while not (self._is_stopping or self.is_paused) and len(self._tasks) < self.max_in_flight:
            if num_left == 0:
                return True
            num_left -= 1
            try:
                drawn = self._draw(source, now)
            except Exception as error:  # noqa: BLE001 - `run` raises it once what was paid for is delivered
                self._fail(error)
                break
            if drawn is None:
                break
            flight, channel = drawn
            ticket = channel.start(flight.job.request, flight.job.lane, now)
            task = asyncio.create_task(self._fly(flight, ticket, source, deliver))
            self._tasks.add(task)
            task.add_done_callback(partial(self._landed, flight, ticket))
        self._await_opening(now)
        return False

    def _draw(self, source: Source[T], now: float) -> tuple[Flight[T], Channel] | None:
        """Return what to send next and where, a job that waited before a fresh one.

        What may not be spent on one that waited is not spent on a fresh one, either.
        """
        shut: set[tuple[str, Channel | None]] = set()
        has_leave = True
        for place, flight in enumerate(self._ready):
            if (way := (flight.job.lane, flight.failed_on)) in shut:
                continue
            channel = self.fleet.choose(flight.job.lane, now, not_again=flight.failed_on)
            if channel is None:
                shut.add(way)
                self._met_closed_lane = True
            elif self._fits_again(flight.job):
                del self._ready[place]
                self._num_held[self.fleet.group(flight.job.lane)] -= 1
                return flight, channel
            else:
                has_leave = False
        return self._draw_fresh(source, now) if has_leave else None

    def _draw_fresh(self, source: Source[T], now: float) -> tuple[Flight[T], Channel] | None:
        self._refused = refused = {}

        def is_open(lane: str) -> bool:
            if lane in refused or self._holds_enough(lane) or not self._may_begin(lane):
                return False
            opened = self.fleet.is_open(lane, now)
            self._met_closed_lane = self._met_closed_lane or not opened
            return opened

        while (job := source.next(is_open)) is not None:
            if self._allowance.reserve(job):
                channel = self.fleet.choose(job.lane, now)
                assert channel is not None  # its lane is open
                if self._most_of_each is not None:
                    self._num_begun[job.lane] += 1
                return Flight(job=job), channel
            # What is more urgent when something has settled goes first then.
            refused[job.lane] = job
            source.take_back(job)
        return None

    def _may_begin(self, lane: str) -> bool:
        return self._most_of_each is None or self._num_begun[lane] < self._most_of_each

    def _fits_again(self, job: Job[T]) -> bool:
        """Whether another attempt at a job may be paid for; where it never will, whoever waits for it waits in vain."""
        key = job.request.key
        if self._allowance.reserve(job):
            self._refused_again.pop(key, None)
            return True
        self._refused_again[key] = job
        if not self._allowance.has_reserved:
            asyncio.get_running_loop().call_soon(self.stop)  # not while it is looked for what to send next
        return False

    def _holds_enough(self, lane: str) -> bool:
        """Whether so many wait for this lane's endpoints that no more are drawn: they must not collect without end.

        With one slot any that waits will do: the order of a run must not depend on what failed.
        """
        if not self._waiting and not self._ready:
            return False
        num_held = self._num_held.total() if self.max_in_flight == 1 else self._num_held[self.fleet.group(lane)]
        return num_held >= self.max_in_flight

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
        flight: Flight[T],
        ticket: Ticket,
        source: Source[T],
        deliver: Callable[[Delivery[T]], Awaitable[None]],
    ) -> None:
        loop = asyncio.get_running_loop()
        channel = ticket.channel
        self._num_attempts += 1
        outcome: Outcome = Aborted()
        try:
            outcome = await channel.transport.send(flight.job.request)
        finally:
            self._end(flight, ticket, outcome)
        now = loop.time()
        latency_s = now - ticket.sent_at
        self._watch(channel, flight.job.lane, outcome, now)
        verdict = self._retrying.decide(flight, ticket, outcome, source, now)
        if verdict is not None:
            flight.note(channel, outcome, verdict, latency_s)
            self._try_again(flight, verdict.delay_s)
        elif isinstance(outcome, Fatal):
            self._fail(fatal_error(outcome))
        else:
            await deliver(Delivery(job=flight.job, outcome=outcome, failed=tuple(flight.failed), latency_s=latency_s))

    def _end(self, flight: Flight[T], ticket: Ticket, outcome: Outcome) -> None:
        """Tell channel and allowance, once, what an attempt came to."""
        if not ticket.has_ended:
            ticket.channel.end(ticket, outcome, asyncio.get_running_loop().time())
            self._allowance.settle(flight.job, outcome)
            if self._refused or self._refused_again:
                self._changed.set()  # there may be room now

    def _landed(self, flight: Flight[T], ticket: Ticket, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        try:
            self._end(flight, ticket, Aborted())  # if it was cancelled before it began
        except Exception as error:  # noqa: BLE001 - as in `_dispatch`
            self._fail(error)
        if task.cancelled():
            self._num_dropped += 1
            if not self._is_stopping:  # its job would be missing without anybody's knowing
                self._fail(FastInstructError("a request was cancelled from outside its run"))
        elif (failure := task.exception()) is not None:
            self._fail(failure)
        self._changed.set()

    def _fail(self, error: BaseException) -> None:
        """Stop for good with the first failure."""
        if self._failure is None:
            self._failure = error
        self.stop()

    def _watch(self, channel: Channel, lane: str, outcome: Outcome, now: float) -> None:
        """Notice what concerns more than one job."""
        if (alarm := self._alarms.notice(channel, lane, outcome, now)) is not None:
            self._fail(alarm)
        if isinstance(outcome, Transient) and outcome.kind == "fd_limit":
            self._run_out_of_descriptors()

    def _run_out_of_descriptors(self) -> None:
        """Never again as many at once. All endpoints share the descriptors; those in use show how many there are."""
        num_slots = max(1, int(_SHARE_OF_DESCRIPTORS * (self.fleet.num_in_flight + 1)))
        self.max_in_flight = min(self.max_in_flight, num_slots)
        if not self._is_out_of_descriptors:
            self._is_out_of_descriptors = True
            _LOG.warning("out of file descriptors; fewer requests at once from here on (see `ulimit -n`)")

    def _try_again(self, flight: Flight[T], delay_s: float) -> None:
        self._num_failed_attempts += 1
        if not self._is_stopping:
            loop = asyncio.get_running_loop()
            self._num_held[self.fleet.group(flight.job.lane)] += 1
            self._waiting[flight] = loop.call_later(delay_s, self._waited, flight)

    def _waited(self, flight: Flight[T]) -> None:
        del self._waiting[flight]
        self._ready.append(flight)
        self._changed.set()

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
) -> list[Outcome]:
    """Send these requests and return their outcomes in the same order.

    Raises:
        FastInstructError: what `Scheduler.run` raises, or the scheduler was stopped before all were answered.
    """
    outcomes: dict[int, Outcome] = {}

    async def keep(delivery: Delivery[int]) -> None:
        outcomes[delivery.job.about] = delivery.outcome

    jobs = [Job(request=request, about=number, lane=lane) for number, request in enumerate(requests)]
    await scheduler.run(ListSource(jobs), keep)
    if len(outcomes) < len(requests):
        raise FastInstructError("stopped before every request was answered")
    return [outcomes[number] for number in range(len(requests))]
