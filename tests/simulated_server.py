"""A client and servers in virtual time, without an event loop: minutes of traffic in milliseconds.

The client does what the scheduler does: it keeps the slots full while breaker and budget let it, waits out refusals as
`RetryPolicy` says without a slot, tries those first whose wait is over, and draws no more while too many wait.
"""

from __future__ import annotations

import heapq
import math
import random
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Protocol

from fastinstruct.lm.limits.breaker import CircuitBreaker
from fastinstruct.lm.limits.concurrency import Controller, QueueAware
from fastinstruct.lm.limits.rate_budget import Lease, RateBudget
from fastinstruct.lm.limits.retry_policy import Retry, RetryPolicy
from fastinstruct.lm.limits.token_estimates import TokenEstimator
from fastinstruct.lm.outcomes.outcomes import Ok, Outcome, Overloaded, RateLimited
from fastinstruct.records import Completion, FinishReason, Usage

Latency = Callable[[], float]


def fixed(latency_s: float) -> Latency:
    return lambda: latency_s


def log_normal(median_s: float, sigma: float, rng: random.Random) -> Latency:
    return lambda: median_s * math.exp(rng.gauss(0.0, sigma))


def ok(usage: Usage | None = None) -> Ok:
    return Ok(Completion(text="x", finish_reason=FinishReason.STOP, usage=usage or Usage(), model="m"))


OK = ok()


class Timeline:
    """What is to happen, in order of time, and of arrangement at equal times."""

    def __init__(self) -> None:
        self.now = 0.0
        self._num = 0
        self._heap: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, time: float, action: Callable[[], None]) -> None:
        self._num += 1
        heapq.heappush(self._heap, (time, self._num, action))

    def every(self, period_s: float, action: Callable[[], None]) -> None:
        def act() -> None:
            action()
            self.at(self.now + period_s, act)

        self.at(self.now + period_s, act)

    def run(self, until: float) -> None:
        while self._heap and self._heap[0][0] <= until:
            self.now, _, action = heapq.heappop(self._heap)
            action()
        self.now = until


@dataclass(slots=True, eq=False)
class Job:
    """A request: what the client knows of its size, and what it will turn out to use."""

    key: str = "a"
    num_characters: int = 1
    max_tokens: int | None = None
    usage: Usage = field(default_factory=Usage)
    attempt: int = 1
    num_rate_limited: int = 0


class Server(Protocol):
    def send(self, job: Job, now: float) -> tuple[float, Outcome]:
        """Return after how many seconds a request that is sent now is answered, and with what."""
        ...


class TokenBucketServer:
    """Takes `rate` requests a second with a burst; refuses the others at once with a 429."""

    def __init__(self, rate: float, burst: float, latency: Latency, *, hints: bool = False) -> None:
        self.rate = rate
        self.burst = burst
        self._latency = latency
        self._hints = hints
        self._level = burst
        self._updated = 0.0

    def change_rate(self, factor: float) -> None:
        self.rate *= factor
        self.burst *= factor

    def send(self, job: Job, now: float) -> tuple[float, Outcome]:
        self._level = min(self.burst, self._level + self.rate * (now - self._updated))
        self._updated = now
        if self._level >= 1:
            self._level -= 1
            return self._latency(), OK
        return 0.02, RateLimited((1 - self._level) / self.rate if self._hints else None)


class PlacesServer:
    """Works on a number of requests at once; refuses the others at once."""

    def __init__(self, num_places: int, latency: Latency) -> None:
        self._num_places = num_places
        self._latency = latency
        self._ends: list[float] = []

    def send(self, job: Job, now: float) -> tuple[float, Outcome]:
        _drop_until(self._ends, now)
        if len(self._ends) >= self._num_places:
            return 0.02, Overloaded()
        latency_s = self._latency()
        heapq.heappush(self._ends, now + latency_s)
        return latency_s, OK


class QueueServer:
    """Works on `num_slots` requests at once and lets any number wait, first come first served, as vLLM does."""

    def __init__(self, num_slots: int, latency: Latency, *, network_s: float = 0.005) -> None:
        self.num_slots = num_slots
        self._latency = latency
        self._network_s = network_s
        self._free = [0.0] * num_slots
        self._ends: list[float] = []

    def send(self, job: Job, now: float) -> tuple[float, Outcome]:
        begins = max(now + self._network_s, heapq.heappop(self._free))
        ends = begins + self._latency()
        heapq.heappush(self._free, ends)
        heapq.heappush(self._ends, ends)
        return ends + self._network_s - now, OK

    def queue(self, now: float) -> tuple[int, int]:
        """Return how many requests run, and how many wait."""
        _drop_until(self._ends, now)
        return min(len(self._ends), self.num_slots), max(0, len(self._ends) - self.num_slots)


def _drop_until(heap: list[float], now: float) -> None:
    while heap and heap[0] <= now:
        heapq.heappop(heap)


class MeteredServer:
    """Answers everything, and writes down what arrives when."""

    def __init__(self, latency: Latency) -> None:
        self._latency = latency
        self.arrivals: list[tuple[float, int]] = []  # when, and the tokens that the request really uses

    def send(self, job: Job, now: float) -> tuple[float, Outcome]:
        self.arrivals.append((now, job.usage.prompt_tokens + job.usage.completion_tokens))
        return self._latency(), ok(job.usage)


@dataclass(frozen=True, slots=True)
class Answer:
    sent_at: float
    outcome: Outcome


@dataclass
class Client:
    """The scheduler's loop over jobs without end."""

    timeline: Timeline
    server: Server
    controller: Controller
    rng: random.Random
    draw: Callable[[], Job] = Job
    budget: RateBudget = field(default_factory=RateBudget)
    estimator: TokenEstimator = field(default_factory=TokenEstimator)
    max_waiting: int = 4000
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    answers: list[Answer] = field(default_factory=list)
    num_in_flight: int = 0
    num_waiting: int = 0
    num_given_up: int = 0

    def __post_init__(self) -> None:
        self.breaker = CircuitBreaker(self.rng)
        self._ready: deque[Job] = deque()
        self._timer_at = math.inf
        self.timeline.at(self.timeline.now, self.dispatch)

    def dispatch(self) -> None:
        now = self.timeline.now
        while self.num_in_flight < self.controller.limit(now):
            wait_s = max(self.breaker.wait_s(now), self.budget.wait_s(now))
            if wait_s > 0:
                self._wake_at(now + wait_s)
                return
            job = self._next()
            if job is None:
                return
            self._send(job)
        self._wake_at(now + self.controller.wait_s(now))

    def _wake_at(self, when: float) -> None:
        if when < self._timer_at:
            self._timer_at = when
            self.timeline.at(when, self._woken)

    def _woken(self) -> None:
        if self.timeline.now == self._timer_at:  # else it was replaced by an earlier one
            self._timer_at = math.inf
            self.dispatch()

    def _next(self) -> Job | None:
        if self._ready:
            return self._ready.popleft()
        return None if self.num_waiting >= self.max_waiting else self.draw()

    def _send(self, job: Job) -> None:
        now = self.timeline.now
        lease = self.budget.try_reserve(self.estimator.estimate(job.key, job.num_characters, job.max_tokens), now)
        assert isinstance(lease, Lease)
        self.num_in_flight += 1
        self.breaker.on_start(now)
        self.controller.on_start(now)
        latency_s, outcome = self.server.send(job, now)
        self.timeline.at(now + latency_s, lambda: self._end(job, lease, now, outcome))

    def _end(self, job: Job, lease: Lease, sent_at: float, outcome: Outcome) -> None:
        now = self.timeline.now
        self.num_in_flight -= 1
        self.answers.append(Answer(sent_at, outcome))
        self.breaker.on_outcome(outcome, sent_at, now)
        self.controller.on_outcome(outcome, sent_at, now)
        self._settle(job, lease, outcome)
        self._try_again(job, outcome)
        self.dispatch()

    def _settle(self, job: Job, lease: Lease, outcome: Outcome) -> None:
        now = self.timeline.now
        match outcome:
            case Ok(completion):
                usage = completion.usage
                self.estimator.learn(job.key, job.num_characters, job.max_tokens, usage)
                lease.settle((usage.prompt_tokens + usage.completion_tokens) or None, now)
            case RateLimited(hint_s) | Overloaded(hint_s):
                lease.settle(0, now)
                if hint_s is not None:
                    self.budget.drain_until(now + hint_s, now)
            case _:
                lease.settle(None, now)

    def _try_again(self, job: Job, outcome: Outcome) -> None:
        verdict = self.policy.decide(outcome, job.attempt, job.num_rate_limited, self.rng)
        if isinstance(verdict, Retry):
            job.attempt += verdict.counts
            job.num_rate_limited += not verdict.counts
            self.num_waiting += 1
            self.timeline.at(self.timeline.now + verdict.delay_s, lambda: self._waited(job))
        else:
            self.num_given_up += not isinstance(outcome, Ok)

    def _waited(self, job: Job) -> None:
        self.num_waiting -= 1
        self._ready.append(job)
        self.dispatch()


def poll(client: Client, server: QueueServer, controller: QueueAware, period_s: float = 0.5) -> None:
    """Let the client read the server's metrics every now and then; the answer takes a twentieth of a second."""
    timeline = client.timeline

    def ask() -> None:
        running, waiting = server.queue(timeline.now)

        def hear() -> None:
            controller.on_metrics(running, waiting, timeline.now)
            client.dispatch()

        timeline.at(timeline.now + 0.05, hear)

    timeline.every(period_s, ask)


def goodput(answers: Iterable[Answer], start: float, end: float) -> float:
    """Return successes a second, among the requests sent from `start` to `end`."""
    return sum(isinstance(a.outcome, Ok) and start <= a.sent_at < end for a in answers) / (end - start)


def refused_share(answers: Iterable[Answer], start: float, end: float) -> float:
    """Return the share of 429s and the like, among the requests sent from `start` to `end`."""
    sent = [a.outcome for a in answers if start <= a.sent_at < end]
    return sum(isinstance(outcome, RateLimited | Overloaded) for outcome in sent) / len(sent)


def fullest_window(events: Iterable[tuple[float, float]], window_s: float = 60.0) -> float:
    """Return the most units in any `window_s` that includes its end only, of events (when, units) in order of time."""
    listed = list(events)
    times = [time for time, _ in listed]
    before = [0.0, *accumulate(units for _, units in listed)]
    # A nanosecond is what is rounded.
    firsts = (bisect_left(times, time - window_s + 1e-9) for time in times)
    return max(after - before[first] for after, first in zip(before[1:], firsts, strict=True))
